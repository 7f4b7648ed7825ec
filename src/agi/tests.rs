use super::*;

#[expect(clippy::disallowed_methods, reason = "every test begins somewhere")]
fn start() -> Instant {
    Instant::now()
}

/// What a real Asterisk 22 sends, but for the lines in which nobody is interested.
const FACTS: &str = "agi_network: yes\nagi_network_script: salara\n\
    agi_request: agi://127.0.0.1:14573/salara\nagi_channel: PJSIP/trunk-00000008\nagi_language: en\n\
    agi_type: PJSIP\nagi_uniqueid: 1795377242.8\nagi_version: 22.10.1+dfsg+~cs6.17.60671434-1\n\
    agi_callerid: 79161234567\nagi_calleridname: Client\nagi_callingpres: 0\nagi_dnid: 5002\n\
    agi_rdnis: unknown\nagi_context: alnik\nagi_extension: 5002\nagi_priority: 1\nagi_enhanced: 0.0\n\
    agi_accountcode: \nagi_threadid: 140431882958528\n\n";

fn facts() -> Environment {
    Environment {
        channel: "PJSIP/trunk-00000008".into(),
        uniqueid: "1795377242.8".into(),
        tech: "PJSIP".into(),
        caller: "79161234567".into(),
        context: "alnik".into(),
        extension: "5002".into(),
    }
}

fn good(result: i32, value: Option<&str>) -> Answer {
    Answer {
        code: 200,
        result: Some(result),
        value: value.map(Into::into),
    }
}

fn bad(code: u16) -> Answer {
    Answer {
        code,
        result: None,
        value: None,
    }
}

fn get(name: &str) -> Command {
    Command::Get(name.into())
}

/// A command, and what is answered.
type Step = (Command, &'static str);

/// Plays a dialogue: each answer comes when the command before it is out. What happens, and what was
/// written.
fn dialogue(facts: &str, steps: &[Step], cut: impl Fn(usize) -> usize) -> (Vec<Event>, String) {
    let now = start();
    let mut session = Session::new(now);
    let (mut events, mut written) = (Vec::new(), Vec::new());
    let mut counts = 0..;
    let mut feed = |session: &mut Session, text: &str, events: &mut Vec<Event>| {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(cut(counts.next().unwrap()).clamp(1, rest.len()));
            session.handle_bytes(part, now);
            events.extend(std::iter::from_fn(|| session.poll_event()));
            rest = later;
        }
    };
    feed(&mut session, facts, &mut events);
    for (command, answer) in steps {
        session.command(command, now);
        written.extend_from_slice(session.outgoing());
        session.sent(session.outgoing().len(), now);
        feed(&mut session, answer, &mut events);
    }
    (events, String::from_utf8(written).unwrap())
}

const USAGE: &str = "520-Invalid command syntax.  Proper usage follows:\n\
    Usage: GET VARIABLE <variablename>\n200 result=0\n   Returns 0 if it is not set.\n\
    520 End of proper usage.\n";

fn transfer() -> Command {
    Command::Exec {
        application: "Transfer",
        argument: "PJSIP/sip:8003@127.0.0.1:15060".into(),
    }
}

/// The dialogues of `tests/captures/fastagi-*` and those with Asterisk's other answers.
fn dialogues() -> Vec<(Vec<Step>, Vec<Event>)> {
    let status = || get("TRANSFERSTATUS");
    vec![
        (
            vec![(transfer(), "200 result=0\n"), (status(), "HANGUP\n")],
            vec![Event::Answer(good(0, None)), Event::Gone(Gone::HungUp)],
        ),
        (
            vec![
                (transfer(), "200 result=0\n"),
                (status(), "200 result=1 (FAILURE)\n"),
            ],
            vec![
                Event::Answer(good(0, None)),
                Event::Answer(good(1, Some("FAILURE"))),
            ],
        ),
        (
            vec![
                (get("X"), USAGE),
                (get("X"), "510 Invalid or unknown command\r\n"),
                (get("X"), "200 result=1 (a (b) c)\n"),
                (transfer(), "200 result=-2\n"),
                (
                    get("X"),
                    "511 Command Not Permitted on a dead channel\nHANGUP\n200 result=0\n",
                ),
            ],
            vec![
                Event::Answer(bad(520)),
                Event::Answer(bad(510)),
                Event::Answer(good(1, Some("a (b) c"))),
                Event::Answer(good(-2, None)),
                Event::Answer(bad(511)),
                Event::Gone(Gone::HungUp),
            ],
        ),
        (
            vec![(get("X"), "what?\n")],
            vec![Event::Gone(Gone::Strange("an answer without a number"))],
        ),
    ]
}

#[test]
fn a_dialogue_is_the_same_however_it_is_cut() {
    for (steps, wanted) in dialogues() {
        let mut expected = vec![Event::Call(Box::new(facts()))];
        expected.extend(wanted);
        let (events, written) = dialogue(FACTS, &steps, |_| usize::MAX);
        assert_eq!(events, expected, "{steps:?}");
        let cut_small = dialogue(FACTS, &steps, |_| 1);
        assert_eq!(cut_small, (events.clone(), written.clone()), "{steps:?}");
        for seed in 1..50_usize {
            let cut = |n: usize| (n.wrapping_mul(seed * 7_919) >> 3) % 40;
            let found = dialogue(FACTS, &steps, cut);
            assert_eq!(found, (events.clone(), written.clone()), "{steps:?} {seed}");
        }
    }
}

#[test]
fn a_caller_may_have_no_number() {
    for (line, wanted) in [
        ("agi_callerid: unknown", ""),
        ("agi_callerid: Anonymous", ""),
        ("agi_callerid: ", ""),
        ("agi_callerid:", ""),
        ("agi_callerid: +7 701", "+7 701"),
    ] {
        let text = FACTS.replace("agi_callerid: 79161234567", line);
        let (events, _) = dialogue(&text, &[], |_| usize::MAX);
        let wanted = Environment {
            caller: wanted.into(),
            ..facts()
        };
        assert_eq!(events, [Event::Call(Box::new(wanted))], "{line}");
    }
}

#[test]
fn a_command_is_one_line_whatever_is_in_it() {
    for (command, wanted) in [
        (
            Command::Set {
                name: "SALARA_REASON".into(),
                value: "a \"b\" \\ c\nEXEC System \"x\"\r\0é".into(),
            },
            "SET VARIABLE \"SALARA_REASON\" \"a \\\"b\\\" \\\\ c EXEC System \\\"x\\\"  é\"\n",
        ),
        (
            transfer(),
            "EXEC \"Transfer\" \"PJSIP/sip:8003@127.0.0.1:15060\"\n",
        ),
        (
            get("CHANNEL(pjsip,request_uri)"),
            "GET VARIABLE \"CHANNEL(pjsip,request_uri)\"\n",
        ),
        (
            Command::Extension("*98#".into()),
            "SET EXTENSION \"*98#\"\n",
        ),
        (Command::Context("alnik".into()), "SET CONTEXT \"alnik\"\n"),
        (Command::First, "SET PRIORITY \"1\"\n"),
        (Command::HangUp, "HANGUP\n"),
    ] {
        let (_, written) = dialogue(FACTS, &[(command, "200 result=0\n")], |_| usize::MAX);
        assert_eq!(written, wanted);
    }
}

#[test]
fn there_is_one_command_at_a_time_and_none_after_the_end() {
    let now = start();
    let mut session = Session::new(now);
    session.command(&get("EARLY"), now);
    assert!(session.outgoing().is_empty());
    session.handle_bytes(FACTS.as_bytes(), now);
    session.command(&get("FIRST"), now);
    session.command(&get("SECOND"), now);
    assert_eq!(session.outgoing(), b"GET VARIABLE \"FIRST\"\n");
    session.sent(4, now);
    assert_eq!(session.outgoing(), b"VARIABLE \"FIRST\"\n");
    session.handle_bytes(b"HANGUP\n", now);
    session.command(&get("LATE"), now);
    assert_eq!(session.outgoing(), b"VARIABLE \"FIRST\"\n");
    assert!(!session.is_finished(), "somebody has to hear of it");
    while session.poll_event().is_some() {}
    assert!(session.is_finished() && !session.wants_read());
}

#[test]
fn a_session_ends_at_each_step_with_a_word_if_it_was_a_call() {
    let gone = |session: &mut Session| -> Vec<Event> {
        std::iter::from_fn(|| session.poll_event())
            .filter(|event| matches!(event, Event::Gone(_)))
            .collect()
    };
    let now = start();
    for length in 0..=FACTS.len() {
        let is_call = length == FACTS.len();
        let mut session = Session::new(now);
        session.handle_bytes(&FACTS.as_bytes()[..length], now);
        assert_eq!(session.is_idle(), !is_call);
        session.handle_eof(now);
        session.handle_eof(now);
        let wanted: &[Event] = match is_call {
            true => &[Event::Gone(Gone::Closed)],
            false => &[],
        };
        assert_eq!(gone(&mut session), wanted, "{length}");
        assert!(session.is_finished());
    }
    // Nobody is waited for without an end but who decides.
    let mut session = Session::new(now);
    let due = session.poll_timeout().unwrap();
    assert_eq!(due, now + ENVIRONMENT_TIME);
    session.handle_timeout(due);
    assert!(session.is_finished());
    for (command, time) in [(get("X"), ANSWER_TIME), (transfer(), EXEC_TIME)] {
        let mut session = Session::new(now);
        session.handle_bytes(FACTS.as_bytes(), now);
        assert_eq!(session.poll_timeout(), None);
        session.command(&command, now);
        assert_eq!(session.poll_timeout(), Some(now + time));
        session.handle_timeout(now + time - Duration::from_millis(1));
        assert_eq!(gone(&mut session), []);
        session.handle_timeout(now + time);
        assert_eq!(gone(&mut session), [Event::Gone(Gone::Silent)]);
    }
    // An end of salara's ends who is no call yet, and leaves calls to who decides.
    let mut session = Session::new(now);
    session.close_soon();
    assert!(session.is_finished());
    let mut session = Session::new(now);
    session.handle_bytes(FACTS.as_bytes(), now);
    session.close_soon();
    assert!(!session.is_finished());
    session.close();
    while session.poll_event().is_some() {}
    assert!(session.is_finished());
}

#[test]
fn what_is_not_a_call_is_shown_out_with_little_read() {
    let now = start();
    let long = "agi_arg_1: ".to_owned() + &"x".repeat(MAX_LINE);
    let many = "agi_x: y\n".repeat(MAX_ENVIRONMENT / 9 + 1);
    for text in [
        "GET / HTTP/1.1\r\n",
        "\n",
        "agi_channel: x\n\n",
        &long,
        &many,
        "\0\0\n",
    ] {
        let mut session = Session::new(now);
        session.handle_bytes(text.as_bytes(), now);
        assert!(session.is_finished(), "{text:.20}");
        assert_eq!(session.poll_event(), None);
    }
    let mut session = Session::new(now);
    session.handle_bytes(FACTS.as_bytes(), now);
    session.command(&get("X"), now);
    session.handle_bytes(b"520-Usage\n", now);
    session.handle_bytes("more\n".repeat(MAX_USAGE + 1).as_bytes(), now);
    let last = std::iter::from_fn(|| session.poll_event()).last();
    assert_eq!(
        last,
        Some(Event::Gone(Gone::Strange("a usage without an end")))
    );
}

#[test]
fn a_crm_sets_plain_variables_to_plain_values_only() {
    for name in ["CRM_CLIENT", "_CRM_CLIENT", "__CRM_client_2", "CRM_1"] {
        assert!(is_variable(name), "{name}");
    }
    let long = format!("CRM_{}", "N".repeat(252));
    for name in [
        "",
        "_",
        "CRM_",
        "__CRM_",
        "___CRM_X",
        "CRM_SHELL(rm)",
        "CRM_(num)",
        "CRM_A B",
        "CRM_A=B",
        "CRM_A,B",
        "CRM_${X}",
        "CRM_имя",
        "CRM_A\n",
        "crm_x",
        "CLIENT",
        "SALARA_RESULT",
        "EXTEN",
        // What Asterisk acts upon.
        "__SIPADDHEADER01",
        "__TRANSFER_CONTEXT",
        "FORWARD_CONTEXT",
        "PJSIP_HEADER",
        "SHELL(rm)",
        "CALLERID(num)",
        &long,
    ] {
        assert!(!is_variable(name), "{name}");
    }
    for value in [
        "",
        "Иванов И. И.",
        "VIP +7 (701) 222-33-44",
        "O'Reilly",
        "a@b.kz",
        "100%",
    ] {
        assert!(may_be_told(value), "{value}");
    }
    let long = "v".repeat(256);
    for value in [
        "a,b",
        "a&PJSIP/x",
        "a|b",
        "${SHELL(x)}",
        "$[1]",
        "a\"b",
        "a\\b",
        "a\nb",
        "a;b",
        "`x`",
        "<x>",
        &long,
    ] {
        assert!(!may_be_told(value), "{value}");
    }
}
