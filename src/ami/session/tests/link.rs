//! The link's end and its next beginning: who is told, and when it is tried again.

use super::*;

/// Loses the connection for a reason.
fn lose(play: &mut Play, why: &str, near: bool) {
    play.session.handle_disconnected(why, near, play.now);
    play.drain();
}

/// Lets the account be refused in words, from the banner on.
fn refuse(play: &mut Play, words: &str) {
    play.sends(BANNER.as_bytes());
    play.answer("Challenge", &["Response: Success", "Challenge: 1"]);
    play.wait(seconds(1));
    play.answer("Login", &["Response: Error", &format!("Message: {words}")]);
}

#[test]
fn a_lost_link_fails_everything_pending_at_once_and_once() {
    let mut play = Play::up();
    play.ask(1, &state_of("8003"));
    play.ask(2, &status_of("SIP/8003-1"));
    play.ask(3, &peer("8003"));
    let ids: Vec<String> = play.actions().into_iter().map(|sent| sent.id).collect();
    // The second is in the middle of its list.
    play.says(&with_id(
        &["Response: Success", "EventList: start"],
        &ids[1],
    ));
    lose(&mut play, "Asterisk closed it", false);
    let failed = ["1: LinkDown", "2: LinkDown", "3: LinkDown", "down"];
    let lost = "connection lost: Asterisk closed it";
    assert_eq!(play.told(), [failed.as_slice(), &[lost]].concat());
    // Neither a second loss, nor the answers' deadlines, nor the next link say so again.
    lose(&mut play, "Asterisk closed it", false);
    play.connect();
    play.wait(seconds(5));
    assert_eq!(play.told(), [""; 0]);
    play.log_in();
    for id in &ids {
        play.says(&with_id(&["Response: Success"], id));
    }
    assert_eq!(play.told(), [""; 0]);
}

#[test]
fn what_was_not_written_dies_with_its_link() {
    let mut play = Play::up();
    play.ask(1, &state_of("8003"));
    assert_ne!(play.session.outgoing(), b"");
    lose(&mut play, "x", false);
    assert_eq!(play.session.outgoing(), b"");
    play.connect();
    assert_eq!(play.session.outgoing(), b"");
}

#[test]
fn half_a_message_dies_with_its_link() {
    let mut play = Play::up();
    play.sends(b"Event: Reload\r\nModule: ");
    lose(&mut play, "x", false);
    play.outputs.clear();
    play.connect();
    play.log_in();
    play.says(&["Event: Shutdown"]);
    assert_eq!(play.told(), ["Shutdown { restart: false }"]);
}

#[test]
fn a_link_that_fails_is_tried_less_and_less_often() {
    let mut play = Play::begin();
    for step in [1, 2, 4, 8, 16, 30, 30] {
        play.wait_until(play.session.poll_timeout().unwrap());
        lose(&mut play, "no route to host", false);
        let (pause, step) = (play.pause(), seconds(step));
        assert!(step / 2 <= pause && pause <= step, "{pause:?} of {step:?}");
    }
    // A success starts over.
    play.outputs.clear();
    play.connect();
    play.log_in();
    lose(&mut play, "Asterisk closed it", false);
    assert!(play.pause() <= seconds(1));
}

#[test]
fn a_login_that_got_nowhere_is_no_success() {
    let mut play = Play::connected();
    for step in [1, 2, 4, 8] {
        play.sends(BANNER.as_bytes());
        play.answer("Challenge", &["Response: Success", "Challenge: 1"]);
        play.answer("Login", &["Response: Success"]);
        lose(&mut play, "Asterisk closed it", false);
        assert!(play.pause() >= seconds(step) / 2);
        play.outputs.clear();
        play.connect();
    }
}

#[test]
fn a_refusal_by_this_machine_is_tried_again_every_second() {
    let mut play = Play::begin();
    for _ in 0..20 {
        play.wait_until(play.session.poll_timeout().unwrap());
        lose(&mut play, "127.0.0.1:5038: connection refused", true);
        assert!(play.pause() <= seconds(1));
    }
    // And does not make a true failure wait longer.
    play.wait_until(play.session.poll_timeout().unwrap());
    lose(&mut play, "no route to host", false);
    assert!(play.pause() <= seconds(1));
}

#[test]
fn why_there_is_no_link_is_said_once_for_each_reason() {
    let mut play = Play::begin();
    let refused = "not connected: connection refused; trying on";
    let silent = "not connected: no banner within 10 s: not an Asterisk manager?; trying on";
    let fails = |play: &mut Play, why: &str| {
        play.wait_until(play.session.poll_timeout().unwrap());
        lose(play, why, true);
        play.told()
            .into_iter()
            .filter(|told| told != "connect")
            .collect::<Vec<_>>()
    };
    assert_eq!(fails(&mut play, "connection refused"), [refused]);
    for _ in 0..5 {
        assert_eq!(fails(&mut play, "connection refused"), [""; 0]);
    }
    play.connect();
    play.wait(seconds(10));
    assert_eq!(play.told(), ["disconnect", silent]);
    assert_eq!(fails(&mut play, "connection refused"), [refused]);
    // After the link was up, even an old reason is news.
    play.connect();
    play.log_in();
    lose(&mut play, "connection refused", false);
    assert_eq!(play.told(), ["down", "connection lost: connection refused"]);
    assert_eq!(fails(&mut play, "connection refused"), [refused]);
}

#[test]
fn a_refused_account_is_told_and_tried_ever_more_rarely() {
    let mut play = Play::connected();
    for step in [60, 120, 240, 300, 300] {
        refuse(&mut play, "Authentication failed");
        let outputs = play.outputs();
        let [
            Output::Disconnect,
            Output::Note(Note::Rejected { message, retry_in }),
        ] = &outputs[..]
        else {
            panic!("{outputs:?}")
        };
        assert_eq!(message, "Authentication failed");
        let step = seconds(step);
        assert!(step / 2 <= *retry_in && *retry_in <= step, "{retry_in:?}");
        assert_eq!(play.pause(), *retry_in);
        // Asterisk closes the connection too; that makes nothing faster and says nothing.
        lose(&mut play, "Asterisk closed it", false);
        assert_eq!(play.pause(), *retry_in);
        play.wait(*retry_in - Duration::from_millis(1));
        assert_eq!(play.told(), [""; 0]);
        play.connect();
    }
    // A success starts over.
    play.log_in();
    lose(&mut play, "x", false);
    play.outputs.clear();
    play.connect();
    refuse(&mut play, "Authentication failed");
    assert!(play.pause() <= seconds(60));
}

#[test]
fn a_refused_account_is_told_in_words_that_help() {
    let note = Note::Rejected {
        message: "Authentication failed".into(),
        retry_in: seconds(53),
    };
    assert_eq!(
        note.to_string(),
        "Asterisk refuses the account: \"Authentication failed\"; check user and secret, and \
         permit in manager.conf. Next try in 53 s"
    );
}

#[test]
fn an_account_whose_old_link_still_lives_is_tried_again_soon() {
    let mut play = Play::connected();
    for step in [1, 2, 4] {
        refuse(&mut play, "Login Already In Use");
        let (pause, step) = (play.pause(), seconds(step));
        assert!(step / 2 <= pause && pause <= step, "{pause:?} of {step:?}");
        let told = play.told();
        if step == seconds(1) {
            let note = "not connected: the account is logged in already; trying on";
            assert_eq!(told, ["disconnect", note]);
        } else {
            assert_eq!(told, ["disconnect"]);
        }
        play.connect();
    }
}

#[test]
fn other_settings_make_the_link_anew_and_the_same_ones_do_not() {
    let mut play = Play::up();
    let names = ["Hangup"];
    play.session
        .reconnect("system,call", &names, true, play.now);
    play.drain();
    play.connect();
    play.log_in();
    play.told();
    play.ask(1, &state_of("8003"));
    play.session
        .reconnect("system,call", &names, false, play.now);
    play.drain();
    assert_eq!(play.told(), [""; 0]);
    play.session
        .reconnect("system,call,agent", &names, false, play.now);
    play.drain();
    let lost = "connection lost: salara.conf wants another";
    assert_eq!(play.told(), ["disconnect", "1: LinkDown", "down", lost]);
    // At once, and for the new events.
    play.connect();
    play.log_in();
    assert!(play.session.is_up());
}

#[test]
fn a_link_that_is_down_is_tried_at_once_when_settings_are_read_again() {
    let mut play = Play::up();
    lose(&mut play, "x", false);
    play.told();
    let before = play.session.poll_timeout();
    assert!(before > Some(play.now));
    play.session.reconnect("system,call", &[], false, play.now);
    assert_eq!(play.session.poll_timeout(), Some(play.now));
    play.connect();
    play.session.reconnect("system,call", &[], false, play.now);
    assert_eq!(play.session.poll_timeout(), Some(play.now));
}
