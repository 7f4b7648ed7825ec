//! Actions and what comes back: in order or not, in pieces, from strangers, too much or never.

use super::*;

#[test]
fn an_answer_finds_its_action_in_any_order() {
    let mut play = Play::up();
    for ask in 1..=3 {
        play.ask(ask, &state_of("8003"));
    }
    let sent = play.actions();
    assert_eq!(names(&sent), ["ExtensionState"; 3]);
    for at in [2, 0, 1] {
        let message = format!("Message: for {}", at + 1);
        play.says(&with_id(&["Response: Success", &message], &sent[at].id));
    }
    assert_eq!(
        play.told(),
        [
            r#"3: yes "for 3" + 0"#,
            r#"1: yes "for 1" + 0"#,
            r#"2: yes "for 2" + 0"#
        ]
    );
}

#[test]
fn an_answer_without_an_action_id_is_the_oldest_question_s() {
    let mut play = Play::up();
    play.ask(1, &state_of("8001"));
    play.ask(2, &status_of("SIP/8003-1"));
    play.ask(3, &state_of("8003"));
    play.says(&["Response: Success", "Message: first"]);
    // The list's head; its items name their action.
    play.says(&["Response: Success", "Message: second"]);
    play.says(&["Response: Error", "Message: third"]);
    assert_eq!(
        play.told(),
        [r#"1: yes "first" + 0"#, r#"3: no "third" + 0"#]
    );
    let id = play.actions()[1].id.clone();
    play.says(&with_id(&["Event: StatusComplete"], &id));
    assert_eq!(play.told(), [r#"2: yes "second" + 0"#]);
}

#[test]
fn lists_of_two_actions_and_strangers_events_may_alternate() {
    let mut play = Play::up();
    play.ask(1, &peer("8003"));
    play.ask(2, &status_of("SIP/8003-1"));
    let ids: Vec<String> = play.actions().into_iter().map(|sent| sent.id).collect();
    let start = [
        "Response: Success",
        "EventList: start",
        "Message: x follows",
    ];
    play.says(&with_id(&start, &ids[0]));
    play.says(&with_id(&["Event: PeerStatus", "N: 1"], &ids[0]));
    play.says(&with_id(&start, &ids[1]));
    play.says(&["Event: VarSet", "Channel: SIP/8003-2"]);
    play.says(&with_id(&["Event: Status", "N: 1"], &ids[1]));
    play.says(&with_id(&["Event: PeerStatus", "N: 2"], &ids[0]));
    play.says(&with_id(&["Event: PeerStatus", "N: 9"], "another-1"));
    play.says(&["Event: PeerStatus", "N: 10"]);
    play.says(&with_id(&["Event: Status", "N: 2"], &ids[1]));
    let complete = [
        "Event: StatusComplete",
        "EventList: Complete",
        "ListItems: 2",
    ];
    play.says(&with_id(&complete, &ids[1]));
    play.says(&with_id(&["Event: PeerStatus", "N: 3"], &ids[0]));
    let complete = ["Event: SIPpeerstatusComplete", "EventList: Complete"];
    play.says(&with_id(&complete, &ids[0]));
    for (ask, wanted) in [(2, vec!["1", "2"]), (1, vec!["1", "2", "3"])] {
        let (done, result) = play.done().unwrap();
        let items = result.unwrap().items;
        let numbers: Vec<_> = items.iter().map(|item| item.message().text("N")).collect();
        assert_eq!(
            (done, numbers),
            (ask, wanted.into_iter().map(Into::into).collect())
        );
    }
    assert_eq!(play.told(), [""; 0]);
}

#[test]
fn an_old_list_says_neither_that_it_begins_nor_that_it_ends() {
    let mut play = Play::up();
    play.ask(1, &status_of("SIP/8003-1"));
    let id = play.actions()[0].id.clone();
    play.says(&with_id(
        &["Response: Success", "Message: Channel status will follow"],
        &id,
    ));
    play.says(&with_id(&["Event: Status", "ChannelState: 6"], &id));
    assert_eq!(play.told(), [""; 0]);
    play.says(&with_id(&["Event: StatusComplete"], &id));
    assert_eq!(play.told(), [r#"1: yes "Channel status will follow" + 1"#]);
}

#[test]
fn a_list_s_marks_may_be_in_any_letter_case() {
    for (start, end) in [
        ("start", "Complete"),
        ("Start", "complete"),
        ("START", "COMPLETE"),
    ] {
        let mut play = Play::up();
        play.ask(1, &Action::Ping);
        let id = play.actions()[0].id.clone();
        play.says(&with_id(
            &["Response: Success", &format!("EventList: {start}")],
            &id,
        ));
        play.says(&with_id(&["Event: Surprise"], &id));
        assert_eq!(play.told(), [""; 0]);
        play.says(&with_id(
            &["Event: SurpriseOver", &format!("EventList: {end}")],
            &id,
        ));
        assert_eq!(play.told(), [r#"1: yes "" + 1"#]);
    }
}

#[test]
fn a_list_that_asterisk_breaks_off_is_answered_with_what_came() {
    let mut play = Play::up();
    play.ask(1, &peer("8003"));
    let id = play.actions()[0].id.clone();
    play.says(&with_id(&["Response: Success", "EventList: start"], &id));
    play.says(&with_id(&["Event: PeerStatus"], &id));
    play.says(&with_id(
        &["Event: SIPpeerstatusComplete", "EventList: cancelled"],
        &id,
    ));
    assert_eq!(play.told(), [r#"1: yes "" + 1"#]);
}

#[test]
fn a_list_costs_bounded_memory_and_is_answered_all_the_same() {
    let mut play = Play::up();
    play.ask(1, &peer("8003"));
    let id = play.actions()[0].id.clone();
    play.says(&with_id(&["Response: Success", "EventList: start"], &id));
    for _ in 0..10_000 {
        play.says(&with_id(&["Event: PeerStatus"], &id));
    }
    play.says(&with_id(
        &["Event: SIPpeerstatusComplete", "EventList: Complete"],
        &id,
    ));
    let (_, response) = play.done().unwrap();
    let response = response.unwrap();
    assert_eq!((response.items.len(), response.is_cut), (4_096, true));
}

#[test]
fn a_list_that_never_ends_is_no_answer() {
    let mut play = Play::up();
    play.ask(1, &peer("8003"));
    let id = play.actions()[0].id.clone();
    play.says(&with_id(&["Response: Success", "EventList: start"], &id));
    for _ in 0..5 {
        play.wait(Duration::from_millis(500));
        play.says(&with_id(&["Event: PeerStatus"], &id));
    }
    play.wait(Duration::from_millis(500));
    assert_eq!(play.told(), ["1: Timeout"]);
    // What still comes of it is nobody's.
    play.says(&with_id(&["Event: PeerStatus"], &id));
    play.says(&with_id(
        &["Event: SIPpeerstatusComplete", "EventList: Complete"],
        &id,
    ));
    assert_eq!(play.told(), [""; 0]);
}

#[test]
fn wording_announces_no_list() {
    for lines in [
        ["Response: Error", "Message: Command output follows"],
        ["Response: Error", "Message: Peer status will follow"],
    ] {
        for action in [state_of("8003"), peer("8003")] {
            let mut play = Play::up();
            play.ask(1, &action);
            let id = play.actions()[0].id.clone();
            play.says(&with_id(&lines, &id));
            let words = lines[1].trim_start_matches("Message: ");
            assert_eq!(play.told(), [format!("1: no {words:?} + 0")]);
        }
    }
    let mut play = Play::up();
    play.ask(1, &state_of("8003"));
    let id = play.actions()[0].id.clone();
    play.says(&with_id(
        &["Response: Success", "Message: Channels will follow"],
        &id,
    ));
    assert_eq!(play.told(), [r#"1: yes "Channels will follow" + 0"#]);
}

#[test]
fn an_old_pong_and_a_goodbye_are_no_errors() {
    for word in ["Success", "Pong", "Goodbye", "Follows"] {
        let mut play = Play::up();
        play.ask(1, &Action::Ping);
        let id = play.actions()[0].id.clone();
        let head = format!("Response: {word}");
        play.says(&with_id(&[&head, "Message: x\r\n--END COMMAND--"], &id));
        assert_eq!(play.told(), [r#"1: yes "x" + 0"#]);
    }
}

#[test]
fn an_answer_nobody_waits_for_is_passed_over() {
    let mut play = Play::up();
    play.ask(1, &state_of("8003"));
    let id = play.actions()[0].id.clone();
    let no = ["Response: Error", "Message: whose?"];
    for stranger in ["another-1", "salara-65f2a01c-3e8-1", "", &format!("{id}0")] {
        play.says(&with_id(&no, stranger));
    }
    assert_eq!(play.told(), [""; 0]);
    let yes = ["Response: Success", "Message: mine"];
    play.says(&with_id(&yes, &id));
    play.says(&with_id(&yes, &id));
    assert_eq!(play.told(), [r#"1: yes "mine" + 0"#]);
    // With no question at all.
    play.says(&with_id(&no, "another-2"));
    play.says(&no);
    assert_eq!(play.told(), [""; 0]);
}

#[test]
fn an_originate_response_is_an_event_whosever_it_is() {
    let mut play = Play::up();
    play.ask(1, &state_of("8003"));
    let id = play.actions()[0].id.clone();
    for call in [id.as_str(), "salara-65f2a01c-3e8-1"] {
        let ended = ["Event: OriginateResponse", "Response: Failure", "Reason: 5"];
        play.says(&with_id(&ended, call));
        let outputs = play.outputs();
        let [Output::Event(Event::OriginateResponse(response))] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        assert_eq!((&*response.action_id, response.reason), (call, 5));
    }
    play.says(&with_id(&["Response: Success"], &id));
    assert_eq!(play.told(), [r#"1: yes "" + 0"#]);
}

#[test]
fn an_action_without_an_answer_is_told_so_and_the_link_is_tried() {
    let mut play = Play::up();
    play.ask(1, &state_of("8003"));
    play.wait(seconds(1));
    play.ask(2, &state_of("8002"));
    assert_eq!(names(&play.actions()), ["ExtensionState", "ExtensionState"]);
    play.wait(Duration::from_millis(1_999));
    assert_eq!(play.told(), [""; 0]);
    play.wait(Duration::from_millis(1));
    assert_eq!(play.told(), ["1: Timeout"]);
    assert_eq!(names(&play.actions()), ["Ping"]);
    play.wait(seconds(1));
    assert_eq!(play.told(), ["2: Timeout"]);
    // One ping is enough.
    assert_eq!(names(&play.actions()), [""; 0]);
    // And late is never: who asked has been answered.
    let late = with_id(&["Response: Success"], "salara-65f2a01c-3e9-1");
    play.says(&late);
    assert_eq!(play.told(), [""; 0]);
}

#[test]
fn a_full_table_takes_no_more() {
    let mut play = Play::up();
    for ask in 0..600 {
        play.ask(ask, &Action::Ping);
    }
    let refused: Vec<String> = (512..600).map(|ask| format!("{ask}: Busy")).collect();
    assert_eq!(play.told(), refused);
    let sent = play.actions();
    assert_eq!(sent.len(), 512);
    // One answer makes room for one question.
    play.says(&with_id(&["Response: Success"], &sent[100].id));
    play.ask(600, &Action::Ping);
    play.ask(601, &Action::Ping);
    assert_eq!(play.told(), [r#"100: yes "" + 0"#, "601: Busy"]);
}

#[test]
fn a_value_that_would_forge_a_header_is_not_sent() {
    let mut play = Play::up();
    let forged = Action::MessageSend {
        to: "pjsip:8003\r\nAction: Command".into(),
        from: crate::value::Sender::new("8002").unwrap(),
        body: crate::value::Body::new("x").unwrap(),
    };
    play.ask(1, &forged);
    assert_eq!(play.told(), ["1: Refused"]);
    assert_eq!(play.session.outgoing(), b"");
    assert!(play.session.is_up());
}

#[test]
fn no_two_actions_share_an_id_on_one_link_or_two() {
    let mut play = Play::connected();
    let mut ids = Vec::new();
    for _ in 0..3 {
        play.sends(BANNER.as_bytes());
        for wanted in ["Challenge", "Login"] {
            let sent = play.actions();
            assert_eq!(names(&sent), [wanted]);
            play.says(&with_id(
                &["Response: Success", "Challenge: 1"],
                &sent[0].id,
            ));
            ids.push(sent[0].id.clone());
        }
        let probe = play.actions();
        ids.extend(probe.into_iter().map(|sent| sent.id));
        play.session.handle_disconnected("gone", true, play.now);
        play.drain();
        play.connect();
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((count, ids.len()), (9, 9));
}
