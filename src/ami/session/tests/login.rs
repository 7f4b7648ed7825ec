//! From the banner to `Up`, and what may come between.

use super::*;

#[test]
fn a_login_proves_the_secret_without_saying_it() {
    let mut play = Play::connected();
    play.sends(BANNER.as_bytes());
    let asked = play.actions();
    assert_eq!(names(&asked), ["Challenge"]);
    assert!(asked[0].has("AuthType: MD5"));
    // What a real Asterisk 22 asked, and the key it accepted.
    let challenge = ["Response: Success", "Challenge: 13828689"];
    play.says(&with_id(&challenge, &asked[0].id));
    let login = play.actions();
    assert_eq!(names(&login), ["Login"]);
    assert!(login[0].has("Username: salara"));
    assert!(login[0].has("AuthType: MD5"));
    assert!(login[0].has("Key: 59e1d23427681cf55666ea9c687c1d0d"));
    assert!(login[0].has("Events: system,call"));
    assert!(!login[0].mentions("secret22"));
    assert_ne!(asked[0].id, login[0].id);
}

#[test]
fn a_manager_without_md5_gets_the_secret_itself() {
    for refusal in [
        ["Response: Error", "Message: Must specify AuthType"],
        ["Response: Error", "Message: Permission denied"],
        ["Response: Success", "Message: no challenge in it"],
        ["Response: Error", "Challenge: 13828689"],
    ] {
        let mut play = Play::connected();
        play.sends(BANNER.as_bytes());
        play.answer("Challenge", &refusal);
        let login = play.actions();
        assert_eq!(names(&login), ["Login"]);
        assert!(login[0].has("Secret: secret22"));
        assert!(login[0].has("Events: system,call"));
        assert!(!login[0].mentions("AuthType"));
        assert!(!login[0].mentions("Key"));
    }
}

#[test]
fn every_version_of_the_manager_is_greeted() {
    for (banner, version) in [
        ("Asterisk Call Manager/1.0", "1.0"),
        ("Asterisk Call Manager/1.1", "1.1"),
        ("Asterisk Call Manager/1.2", "1.2"),
        ("Asterisk Call Manager/1.3", "1.3"),
        ("Asterisk Call Manager/2.5.0", "2.5.0"),
        ("Asterisk Call Manager/2.10.6", "2.10.6"),
        ("Asterisk Call Manager/3.2.2", "3.2.2"),
        ("Asterisk Call Manager/4.0.3", "4.0.3"),
        ("Asterisk Call Manager/5.0.5", "5.0.5"),
        ("Asterisk Call Manager/6.0.1", "6.0.1"),
        ("Asterisk Call Manager/7.0.3", "7.0.3"),
        ("Asterisk Call Manager/8.0.2", "8.0.2"),
        ("Asterisk Call Manager/9.0.0", "9.0.0"),
        ("Asterisk Call Manager/10.0.0", "10.0.0"),
        ("Asterisk Call Manager/11.0.0", "11.0.0"),
        ("Asterisk Call Manager/12.0.0", "12.0.0"),
        ("Asterisk Call Manager/13.0.0", "13.0.0"),
        ("Asterisk Call Manager Proxy/1.22", "1.22"),
        ("OpenPBX Call Manager/1.0", "1.0"),
    ] {
        for end in ["\r\n", "\n"] {
            let mut play = Play::connected();
            play.sends(format!("{banner}{end}").as_bytes());
            play.log_in_after_the_banner();
            let up = play.outputs().pop();
            let Some(Output::Up(facts)) = up else {
                panic!("{banner}: {up:?}")
            };
            assert_eq!(&*facts.ami_version, version);
        }
    }
}

#[test]
fn what_greets_otherwise_is_no_manager_and_is_not_spoken_to() {
    for (greeting, met) in [
        ("SSH-2.0-OpenSSH_9.2p1\r\n", "SSH-2.0-OpenSSH_9.2p1"),
        ("HTTP/1.1 400 Bad Request\r\n", "HTTP/1.1 400 Bad Request"),
        ("220 mail ESMTP\r\n", "220 mail ESMTP"),
        ("\r\n", ""),
    ] {
        let mut play = Play::connected();
        play.sends(greeting.as_bytes());
        let why = format!(
            "not connected: met {met:?} where \"Asterisk Call Manager/…\" was wanted; trying on"
        );
        assert_eq!(play.told(), ["disconnect".to_owned(), why]);
        assert_eq!(names(&play.actions()), [""; 0]);
        assert!(play.pause() <= seconds(1));
    }
}

#[test]
fn each_step_of_a_login_has_ten_seconds() {
    let gives_up = |mut play: Play, why: &str| {
        play.wait(Duration::from_millis(9_999));
        assert_eq!(play.told(), [""; 0]);
        play.wait(Duration::from_millis(1));
        let note = format!("not connected: {why}; trying on");
        assert_eq!(play.told(), ["disconnect".to_owned(), note]);
    };
    let mut connecting = Play::begin();
    connecting.wait(Duration::ZERO);
    assert_eq!(connecting.told(), ["connect"]);
    gives_up(connecting, "no connection within 10 s");

    let greeting = Play::connected();
    gives_up(greeting, "no banner within 10 s: not an Asterisk manager?");

    let mut challenged = Play::connected();
    challenged.sends(BANNER.as_bytes());
    gives_up(challenged, "no answer to the login within 10 s");

    let mut logging_in = Play::connected();
    logging_in.sends(BANNER.as_bytes());
    logging_in.answer("Challenge", &["Response: Success", "Challenge: 1"]);
    gives_up(logging_in, "no answer to the login within 10 s");
}

#[test]
fn the_link_is_up_when_asterisk_has_booted_and_told_what_it_can() {
    let mut play = Play::logged_in();
    // What there is to ask is not known before the modules are loaded.
    play.answer("CoreSettings", &VERSION);
    assert_eq!(play.told(), [""; 0]);
    play.says(&FULLY_BOOTED);
    assert_eq!(play.told(), [""; 0]);
    play.answer("ListCommands", &COMMANDS);
    let facts = Facts {
        ami_version: "11.0.0".into(),
        asterisk_version: Some("22.10.1".into()),
        chan_sip: true,
        pjsip: true,
    };
    let wanted = [
        Output::Note(Note::Connected(facts.clone())),
        Output::Up(facts),
    ];
    assert_eq!(play.outputs(), wanted);
    assert!(play.session.is_up());
}

#[test]
fn an_account_that_may_not_read_system_is_up_after_five_seconds() {
    let mut play = Play::logged_in();
    play.answer("CoreSettings", &VERSION);
    play.wait(Duration::from_millis(4_999));
    assert_eq!(names(&play.actions()), [""; 0]);
    play.wait(Duration::from_millis(1));
    play.answer("ListCommands", &COMMANDS);
    assert_eq!(
        play.told(),
        [
            "connected to Asterisk 22.10.1, AMI 11.0.0, chan_sip and PJSIP",
            "up"
        ]
    );
}

#[test]
fn an_asterisk_that_boots_slowly_is_asked_again() {
    let mut play = Play::logged_in();
    play.answer("CoreSettings", &VERSION);
    play.wait(seconds(5));
    play.answer("ListCommands", &["Response: Success", "Ping: x"]);
    assert_eq!(
        play.told().first().map(String::as_str),
        Some(
            "connected to Asterisk 22.10.1, AMI 11.0.0, peers cannot be asked for: no write=system?"
        )
    );
    play.says(&FULLY_BOOTED);
    play.answer("ListCommands", &COMMANDS);
    assert_eq!(
        play.told(),
        [
            "connected to Asterisk 22.10.1, AMI 11.0.0, chan_sip and PJSIP",
            "up"
        ]
    );
    // And from now on it is known that it tells: the next boot is waited for.
    play.session.handle_disconnected("gone", true, play.now);
    play.drain();
    play.outputs.clear();
    play.connect();
    play.sends(BANNER.as_bytes());
    play.answer("Challenge", &["Response: Success", "Challenge: 13828689"]);
    play.answer("Login", &["Response: Success"]);
    play.answer("CoreSettings", &VERSION);
    play.wait(seconds(100));
    assert_eq!(play.told(), [""; 0]);
    play.says(&FULLY_BOOTED);
    play.answer("ListCommands", &COMMANDS);
    assert!(play.session.is_up());
}

#[test]
fn an_asterisk_that_says_often_that_it_has_booted_is_asked_one_question_at_a_time() {
    let mut play = Play::up();
    for _ in 0..40 {
        play.says(&FULLY_BOOTED);
    }
    play.answer("ListCommands", &COMMANDS);
    // The later ones may have meant more.
    assert_eq!(names(&play.actions()), ["ListCommands"]);
    play.says(&FULLY_BOOTED);
    play.wait(seconds(3));
    assert_eq!(names(&play.actions()), ["ListCommands"]);
    play.wait(seconds(3));
    assert_eq!(names(&play.actions()), [""; 0]);
    play.says(&FULLY_BOOTED);
    assert_eq!(names(&play.actions()), ["ListCommands"]);
}

#[test]
fn a_slow_login_is_waited_for() {
    let mut play = Play::connected();
    play.sends(BANNER.as_bytes());
    play.wait(seconds(4));
    play.answer("Challenge", &["Response: Success", "Challenge: 13828689"]);
    play.wait(seconds(4));
    play.answer("Login", &["Response: Success"]);
    assert_eq!(names(&play.actions()), ["CoreSettings"]);
}

#[test]
fn an_asterisk_that_does_not_tell_what_it_can_is_taken_as_it_is() {
    let nothing = "connected to Asterisk of unknown version, AMI 11.0.0, peers cannot be asked \
                   for: no write=system?";
    // It refuses both questions.
    let mut refused = Play::logged_in();
    refused.says(&FULLY_BOOTED);
    for question in refused.actions() {
        let no = ["Response: Error", "Message: Permission denied"];
        refused.says(&with_id(&no, &question.id));
    }
    assert_eq!(refused.told(), [nothing, "up"]);

    // It answers neither.
    let mut silent = Play::logged_in();
    silent.says(&FULLY_BOOTED);
    silent.wait(Duration::from_millis(9_999));
    assert_eq!(silent.told(), [""; 0]);
    silent.wait(Duration::from_millis(1));
    assert_eq!(silent.told(), [nothing, "up"]);
}

#[test]
fn what_asterisk_can_is_what_the_account_may_ask() {
    for (commands, chan_sip, pjsip) in [
        (
            [
                "SIPpeerstatus: Show SIP peer status (Priv: system,all)",
                "Ping: x",
            ],
            true,
            false,
        ),
        (
            [
                "PJSIPShowEndpoint: Detail listing (Priv: system,all)",
                "Ping: x",
            ],
            false,
            true,
        ),
        (["SIPPEERSTATUS: x", "pjsipshowendpoint: x"], true, true),
        (["SIPpeers: x", "PJSIPShowEndpoints: x"], false, false),
    ] {
        let mut play = Play::logged_in();
        play.says(&FULLY_BOOTED);
        let probe = play.actions();
        play.says(&with_id(&["Response: Success"], &probe[0].id));
        let answer = ["Response: Success", commands[0], commands[1]];
        play.says(&with_id(&answer, &probe[1].id));
        let Some(Output::Up(facts)) = play.outputs().pop() else {
            panic!("not up")
        };
        assert_eq!((facts.chan_sip, facts.pjsip), (chan_sip, pjsip));
        assert_eq!(facts.asterisk_version, None);
    }
}

#[test]
fn what_another_asterisk_could_is_forgotten_with_its_link() {
    let mut play = Play::up();
    play.session.handle_disconnected("gone", true, play.now);
    play.connect();
    play.sends(BANNER.as_bytes());
    play.answer("Challenge", &["Response: Success", "Challenge: 1"]);
    play.answer("Login", &["Response: Success"]);
    play.says(&FULLY_BOOTED);
    for question in play.actions() {
        play.says(&with_id(&["Response: Error"], &question.id));
    }
    let facts = Facts {
        ami_version: "11.0.0".into(),
        ..Facts::default()
    };
    assert_eq!(play.outputs().pop(), Some(Output::Up(facts)));
}

#[test]
fn nothing_is_said_before_the_banner_and_nothing_asked_before_the_login() {
    let mut play = Play::begin();
    let refused = |play: &mut Play| {
        play.ask(1, &Action::Ping);
        assert_eq!(play.told(), ["1: LinkDown"]);
    };
    refused(&mut play);
    assert_eq!(play.session.outgoing(), b"");
    play.connect();
    refused(&mut play);
    assert_eq!(play.session.outgoing(), b"");
    play.sends(&BANNER.as_bytes()[..20]);
    assert_eq!(play.session.outgoing(), b"");
    play.sends(&BANNER.as_bytes()[20..]);
    refused(&mut play);
    play.answer("Challenge", &["Response: Success", "Challenge: 1"]);
    refused(&mut play);
    play.answer("Login", &["Response: Success"]);
    refused(&mut play);
    play.says(&FULLY_BOOTED);
    refused(&mut play);
    play.probe();
    assert!(play.session.is_up());
    assert_eq!(names(&play.actions()), [""; 0]);
}

#[test]
fn a_user_that_does_not_fit_a_line_is_refused_like_a_wrong_one() {
    let mut play = Play::begin();
    play.wait(Duration::ZERO);
    play.outputs.clear();
    let forged = Credentials {
        user: "salara\r\nSecret: x".into(),
        secret: Secret::new("s"),
    };
    play.session.handle_connected(forged, play.now);
    play.sends(BANNER.as_bytes());
    play.answer("Challenge", &["Response: Success", "Challenge: 1"]);
    assert_eq!(play.session.outgoing(), b"");
    let outputs = play.outputs();
    let [
        Output::Disconnect,
        Output::Note(Note::Rejected { message, .. }),
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(message, "the user or the secret holds what a line cannot");
}

#[test]
fn a_secret_is_not_printed_with_its_session() {
    let mut play = Play::connected();
    for _ in 0..2 {
        let printed = format!("{:?}", play.session);
        assert!(
            printed.contains("salara") && !printed.contains("secret22"),
            "{printed}"
        );
        play.sends(BANNER.as_bytes());
    }
}

impl Play {
    /// The login is accepted, the probe is out.
    fn logged_in() -> Self {
        let mut play = Self::connected();
        play.sends(BANNER.as_bytes());
        play.answer("Challenge", &["Response: Success", "Challenge: 13828689"]);
        play.answer(
            "Login",
            &["Response: Success", "Message: Authentication accepted"],
        );
        play
    }

    fn log_in_after_the_banner(&mut self) {
        self.answer("Challenge", &["Response: Success", "Challenge: 13828689"]);
        self.answer("Login", &["Response: Success"]);
        self.says(&FULLY_BOOTED);
        self.probe();
    }
}

#[test]
fn events_of_no_use_are_kept_away_where_the_account_may_ask_for_that() {
    for (command, wanted) in [("Filter: x", ["Filter"].as_slice()), ("Ping: x", &[])] {
        let mut play = Play::logged_in();
        let filtered = Session::new(Instance::new(1, 1), "system,call", 7, play.now);
        play.session = filtered.with_filter(&["Reload", "Hangup"]);
        play.connect();
        play.sends(BANNER.as_bytes());
        play.answer("Challenge", &["Response: Success", "Challenge: 1"]);
        play.answer("Login", &["Response: Success"]);
        play.says(&FULLY_BOOTED);
        let probe = play.actions();
        play.says(&with_id(&["Response: Success"], &probe[0].id));
        play.says(&with_id(&["Response: Success", command], &probe[1].id));
        // Nobody waits for the answer.
        assert!(play.session.is_up());
        play.outputs.clear();
        let asked = play.actions();
        assert_eq!(names(&asked), wanted);
        for filter in asked {
            assert!(filter.has("Filter: ^Event: (Reload|Hangup)[[:space:]]"));
            let no = ["Response: Error", "Message: Permission denied"];
            play.says(&with_id(&no, &filter.id));
        }
        assert_eq!(play.told(), [""; 0]);
    }
}
