//! The watchdog: what counts as life, and what happens without it.

use super::*;

#[test]
fn an_idle_link_is_asked_for_a_sign_of_life() {
    let mut play = Play::up();
    play.wait(Duration::from_millis(29_999));
    assert_eq!(names(&play.actions()), [""; 0]);
    play.wait(Duration::from_millis(1));
    let ping = play.actions();
    assert_eq!(names(&ping), ["Ping"]);
    let pong = ["Response: Success", "Ping: Pong"];
    play.says(&with_id(&pong, &ping[0].id));
    // The answer is nobody's business, and buys half a minute.
    assert_eq!(play.told(), [""; 0]);
    play.wait(Duration::from_millis(29_999));
    assert_eq!(names(&play.actions()), [""; 0]);
    play.wait(Duration::from_millis(1));
    assert_eq!(names(&play.actions()), ["Ping"]);
}

#[test]
fn a_link_that_stays_silent_is_lost_and_made_anew() {
    let mut play = Play::up();
    play.wait(Duration::from_millis(39_999));
    assert_eq!(names(&play.actions()), ["Ping"]);
    assert_eq!(play.told(), [""; 0]);
    play.wait(Duration::from_millis(1));
    assert_eq!(
        play.told(),
        ["disconnect", "down", "connection lost: it fell silent"]
    );
    assert!(!play.session.is_up());
    assert!(play.pause() <= seconds(1));
    play.connect();
    play.log_in();
    assert!(play.session.is_up());
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let mut play = Play::up();
    // An event that comes a byte every half minute is odd, but it is not silence.
    for byte in packet(&["Event: VarSet"]) {
        play.wait(seconds(29));
        play.sends(&[byte]);
        assert_eq!(names(&play.actions()), [""; 0]);
    }
    play.wait(seconds(39));
    assert_eq!(names(&play.actions()), ["Ping"]);
    play.sends(b"E");
    play.wait(seconds(29));
    assert!(play.session.is_up());
    assert_eq!(names(&play.actions()), [""; 0]);
}

#[test]
fn an_overdue_answer_is_not_waited_for_on_a_deaf_link() {
    let mut play = Play::up();
    play.ask(1, &state_of("8003"));
    play.wait(Duration::from_millis(12_999));
    assert_eq!(play.told(), ["1: Timeout"]);
    play.wait(Duration::from_millis(1));
    assert_eq!(
        play.told(),
        ["disconnect", "down", "connection lost: it fell silent"]
    );
}

#[test]
fn a_peer_that_does_not_read_is_given_up() {
    let mut play = Play::up();
    let long = Action::MessageSend {
        to: "pjsip:8003".into(),
        from: crate::value::Sender::new("8002").unwrap(),
        body: crate::value::Body::new(&"m".repeat(900)).unwrap(),
    };
    let mut asked = 0;
    while play.session.is_up() {
        play.ask(asked, &long);
        asked += 1;
        assert!(play.session.outgoing().len() <= 64 * 1024);
    }
    assert_eq!(play.session.outgoing(), b"");
    let told = play.told();
    let mut wanted = vec!["disconnect".to_owned()];
    wanted.extend((0..asked).map(|ask| format!("{ask}: LinkDown")));
    wanted.extend([
        "down".to_owned(),
        "connection lost: it does not read".to_owned(),
    ]);
    assert_eq!(told, wanted);
    assert!((60..80).contains(&asked), "{asked}");
}

#[test]
fn a_partial_write_loses_nothing() {
    let mut play = Play::up();
    play.ask(1, &state_of("8003"));
    let whole = play.session.outgoing().to_vec();
    let mut written = Vec::new();
    while let Some(byte) = play.session.outgoing().first() {
        written.push(*byte);
        play.session.sent(1);
    }
    assert_eq!(written, whole);
    // A count beyond what there is hurts nobody.
    play.session.sent(1_000);
}

#[test]
fn what_breaks_a_limit_is_told_and_the_link_stays() {
    let mut play = Play::up();
    let headers: Vec<String> = (0..300).map(|n| format!("Variable: {n}")).collect();
    play.says(&headers);
    play.says(&["Event: Reload", "Module: All"]);
    assert_eq!(
        play.told(),
        [
            "a message of more than 64 KiB or 256 headers was skipped",
            "Reload"
        ]
    );
    assert!(play.session.is_up());
}

#[test]
fn an_answer_that_is_too_long_is_not_waited_for() {
    let mut play = Play::up();
    let command = Action::Command {
        command: "core show channels".into(),
    };
    play.ask(7, &command);
    let id = play.actions()[0].id.clone();
    let id = format!("ActionID: {id}");
    let mut lines = vec!["Response: Success".to_owned(), id];
    lines.extend((0..2_100).map(|n| format!("Output: {n}")));
    play.says(&lines);
    let answer = play.done();
    assert!(
        matches!(answer, Some((7, Err(ActionError::TooLarge)))),
        "{answer:?}"
    );
    assert!(play.session.is_up());
}

#[test]
fn what_asterisk_tells_of_itself_is_passed_on() {
    let mut play = Play::up();
    play.says(&["Event: Shutdown", "Shutdown: Cleanly", "Restart: True"]);
    play.says(&["Event: Shutdown", "Shutdown: Cleanly", "Restart: False"]);
    play.says(&[
        "Event: Reload",
        "Privilege: system,all",
        "Module: All",
        "Status: 0",
    ]);
    play.says(&[
        "Event: ExtensionStatus",
        "Exten: 8003",
        "Context: alnik",
        "Status: 9",
    ]);
    // The link is up already, and what nobody listens to is nobody's.
    play.says(&FULLY_BOOTED);
    play.says(&["Event: VarSet", "Variable: x"]);
    play.says(&["Foo: bar"]);
    assert_eq!(
        play.told(),
        [
            "Shutdown { restart: true }",
            "Shutdown { restart: false }",
            "Reload",
            r#"ExtensionStatus(ExtensionStatus { extension: "8003", context: "alnik", status: 9 })"#,
        ]
    );
}

#[test]
fn events_are_told_in_the_order_they_came_in_one_segment() {
    let mut play = Play::up();
    let mut bytes = Vec::new();
    for number in 0..100 {
        let exten = format!("Exten: {number}");
        bytes.extend(packet(&["Event: ExtensionStatus", &exten, "Status: 0"]));
    }
    play.sends(&bytes);
    let told: Vec<String> = play
        .outputs()
        .into_iter()
        .map(|output| match output {
            Output::Event(Event::ExtensionStatus(status)) => status.extension.into(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(told, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_link_that_tells_events_but_answers_nothing_is_given_up() {
    let mut play = Play::up();
    play.ask(1, &state_of("8003"));
    for _ in 0..32 {
        play.wait(seconds(1));
        play.says(&["Event: FullyBooted"]);
    }
    assert!(play.session.is_up());
    play.wait(seconds(1));
    let told = play.told();
    assert!(
        told.contains(&"connection lost: it answers nothing".to_owned()),
        "{told:?}"
    );
}
