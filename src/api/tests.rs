use super::*;
use crate::config::Config;

/// The names in the shipped salara.conf.
fn stock() -> Keys {
    Config::parse("[keys]\nkey_extension=exten\nkey_channel=chan\n")
        .config
        .keys
}

fn ask(body: &str) -> Result<Request, BadRequest> {
    parse("/", body.as_bytes(), &stock())
}

/// The status and the reason, as one text.
fn refusal(result: Result<Request, BadRequest>) -> String {
    let bad = result.unwrap_err();
    format!("{} {bad}", bad.status)
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn context(text: &str) -> Option<Name> {
    (!text.is_empty()).then(|| name(text))
}

fn call(operator: &str, phone: &str, in_context: &str) -> Request {
    Request::Call {
        operator: Number::new(operator).unwrap(),
        phone: Number::new(phone).unwrap(),
        context: context(in_context),
    }
}

fn message(operator: &str, phone: &str, msg: &str) -> Request {
    Request::Message {
        operator: name(operator),
        phone: Sender::new(phone).unwrap(),
        body: Body::new(msg).unwrap(),
        context: None,
    }
}

fn extension(extension: &str, in_context: &str) -> Request {
    Request::Extension {
        extension: name(extension),
        context: context(in_context),
    }
}

fn peer(peer: &str) -> Request {
    Request::Peer { peer: name(peer) }
}

fn channel(channel: &str) -> Request {
    Request::Channel {
        channel: name(channel),
    }
}

#[test]
fn json_is_read_in_the_order_of_the_original() {
    for (body, expected) in [
        (
            r#"{"operator":"8003","phone":"0000","context":"alnik"}"#,
            call("8003", "0000", "alnik"),
        ),
        (r#"{"operator":8003,"phone":710}"#, call("8003", "710", "")),
        (
            r#"{"operator":"8003","phone":"+7701","exten":"1"}"#,
            call("8003", "+7701", ""),
        ),
        (
            r#"{"operator":"8003","phone":"8002","msg":"hi"}"#,
            message("8003", "8002", "hi"),
        ),
        (
            r#"{"operator":8003,"phone":8002,"msg":""}"#,
            message("8003", "8002", ""),
        ),
        (
            r#"{"operator":"8003","phone":"\"Boss\" <sip:b@x>","msg":"a\r\n\r\nb"}"#,
            message("8003", "\"Boss\" <sip:b@x>", "a\r\n\r\nb"),
        ),
        (
            r#"{"operator":"8003","phone":"8002","msg":5}"#,
            call("8003", "8002", ""),
        ),
        (
            r#"{"operator":"8003","phone":"8002","msg":null}"#,
            call("8003", "8002", ""),
        ),
        (
            r#"{"chan":"x","peer":"9","exten":"8003"}"#,
            extension("8003", ""),
        ),
        (r#"{"operator":null,"exten":8009}"#, extension("8009", "")),
        (r#"{"phone":"1","exten":-1}"#, extension("-1", "")),
        (
            r#"{"exten":18446744073709551615}"#,
            extension("18446744073709551615", ""),
        ),
        (
            r#"{"exten":"8002","context":"other"}"#,
            extension("8002", "other"),
        ),
        (r#"{"exten":"8003","context":""}"#, extension("8003", "")),
        (r#"{"exten":"8003","context":5}"#, extension("8003", "")),
        (r#"{"exten":"1","exten":"2"}"#, extension("2", "")),
        (r#"{"exten":""}"#, extension("", "")),
        (r#"{"exten":"аб","x":[1,{"a":null}]}"#, extension("аб", "")),
        ("  \r\n {\"exten\":\"8003\"}\r\n", extension("8003", "")),
        (r#"{"exten":1.5,"peer":8003,"chan":"x"}"#, peer("8003")),
        (r#"{"peer":"SIP/8003","context":"a\nb"}"#, peer("SIP/8003")),
        (r#"{"peer":""}"#, peer("")),
        (
            r#"{"chan":"SIP/8003-00000020"}"#,
            channel("SIP/8003-00000020"),
        ),
    ] {
        assert_eq!(ask(body), Ok(expected), "{body}");
    }
}

#[test]
fn json_that_asks_nothing_is_told_what_is_understood() {
    const NOTHING: &str = "400 names no request: wanted is operator with phone (and msg), \
         or one of exten, peer, chan; each a string or, but for msg and chan, an integer";
    for body in [
        "{}",
        r#"{"EXTEN":"8003"}"#,
        r#"{"exten":8003.0}"#,
        r#"{"exten":1e2}"#,
        r#"{"exten":99999999999999999999}"#,
        r#"{"exten":true,"peer":null,"chan":5}"#,
        r#"{"exten":["8003"]}"#,
        r#"{"phone":"8002","msg":"hi"}"#,
        r#"{"operator":8003.5,"phone":"0000"}"#,
        r#"{"channel":"SIP/8003-00000000","context":"alnik"}"#,
    ] {
        assert_eq!(refusal(ask(body)), NOTHING, "{body}");
    }
    for (body, reason) in [
        ("[]", "400 the body is an array, not an object"),
        ("\"8003\"", "400 the body is a string, not an object"),
        ("8003", "400 the body is an integer, not an object"),
        ("null", "400 the body is null, not an object"),
        (
            r#"{"operator":"8003","exten":"8003"}"#,
            "400 operator is given, but phone is missing",
        ),
        (
            r#"{"operator":"8003","phone":null}"#,
            "400 operator is given, but phone is null, not a string or an integer",
        ),
        (
            r#"{"operator":"8003","phone":1.5}"#,
            "400 operator is given, but phone is a number beyond 64 bits or with a fraction, \
             not a string or an integer",
        ),
        (
            r#"{"exten":"8003""#,
            "400 the body is neither JSON (EOF while parsing an object at line 1 column 15) \
             nor a form with operator and phone",
        ),
        (
            r#"{"exten":"8003"} trailing"#,
            "400 the body is neither JSON (trailing characters at line 1 column 18) \
             nor a form with operator and phone",
        ),
        (
            "\u{feff}{\"exten\":\"8003\"}",
            "400 the body is neither JSON (expected value at line 1 column 1) \
             nor a form with operator and phone",
        ),
        (
            r#"{"phone":0000}"#,
            "400 the body is neither JSON (invalid number at line 1 column 11) \
             nor a form with operator and phone",
        ),
    ] {
        assert_eq!(refusal(ask(body)), reason, "{body}");
    }
    let broken = parse("/", b"{\"exten\":\"\xff\"}", &stock());
    assert!(refusal(broken).contains("invalid unicode code point"));
}

#[test]
fn a_value_is_refused_by_the_name_its_sender_knows() {
    let nines = "9".repeat(80);
    let long_msg = "m".repeat(1001);
    let long_text = "ж".repeat(371);
    for (body, reason) in [
        (
            r#"{"operator":"8003","phone":"000&x"}"#.to_owned(),
            "400 phone: holds '&'; only letters, digits and *#+._-@ can be dialled",
        ),
        (
            r#"{"operator":"","phone":"000"}"#.to_owned(),
            "400 operator: is empty",
        ),
        (
            r#"{"operator":"9999","phone":""}"#.to_owned(),
            "400 phone: is empty",
        ),
        (
            r#"{"operator":"8003","phone":"000\nPriority: 2"}"#.to_owned(),
            "400 phone: holds the control character '\\n'",
        ),
        (
            r#"{"operator":"8003\r\nX: y","phone":"1","msg":"x"}"#.to_owned(),
            "400 operator: holds the control character '\\r'",
        ),
        (
            r#"{"operator":"8003","phone":"1","msg":"a\u0000"}"#.to_owned(),
            "400 msg: holds the control character '\\0'",
        ),
        (
            format!(r#"{{"operator":"8003","phone":"1","msg":"{long_msg}"}}"#),
            "413 msg: is 1001 bytes long; at most 1000 fit",
        ),
        (
            format!(r#"{{"operator":"8003","phone":"1","msg":"{long_text}"}}"#),
            "413 msg: is 742 bytes long; at most 740 fit",
        ),
        (
            format!(r#"{{"operator":"8003","phone":"{nines}"}}"#),
            "400 phone: is 80 bytes long; at most 79 fit",
        ),
        (
            format!(r#"{{"exten":"1","context":"{nines}"}}"#),
            "400 context: is 80 bytes long; at most 79 fit",
        ),
        (
            r#"{"peer":"8003\r\nActionID: 77"}"#.to_owned(),
            "400 peer: holds the control character '\\r'",
        ),
        (
            r#"{"chan":"\u0007"}"#.to_owned(),
            "400 chan: holds the control character '\\u{7}'",
        ),
    ] {
        assert_eq!(refusal(ask(&body)), reason, "{body}");
    }
}

#[test]
fn fields_have_the_names_the_configuration_gives_them() {
    let renamed = "[keys]\nkey_operator=op\nkey_phone=ph\nkey_msg=txt\nkey_extension=ext\n\
                   key_peer=pr\nkey_channel=ch\nkey_context=ctx\n";
    let keys = Config::parse(renamed).config.keys;
    let ask = |body: &str| parse("/", body.as_bytes(), &keys);
    assert_eq!(
        ask(r#"{"op":"1","ph":"2","txt":"t"}"#),
        Ok(message("1", "2", "t"))
    );
    assert_eq!(ask(r#"{"ext":"1","ctx":"c"}"#), Ok(extension("1", "c")));
    assert_eq!(ask(r#"{"pr":1}"#), Ok(peer("1")));
    assert_eq!(ask(r#"{"ch":"c"}"#), Ok(channel("c")));
    assert_eq!(
        refusal(ask(r#"{"op":"1","ph":"a b"}"#)),
        "400 ph: holds ' '; only letters, digits and *#+._-@ can be dialled"
    );
    assert_eq!(
        refusal(ask(r#"{"operator":"1","phone":"2"}"#)),
        "400 names no request: wanted is op with ph (and txt), or one of ext, pr, ch; \
         each a string or, but for txt and ch, an integer"
    );
    assert_eq!(ask("operator=1&phone=2"), Ok(call("1", "2", "")));

    let keys = Keys::default();
    for (body, expected) in [
        (r#"{"extension":"1"}"#, extension("1", "")),
        (r#"{"exten":"1"}"#, extension("1", "")),
        (r#"{"extension":null,"exten":"1"}"#, extension("1", "")),
        (r#"{"channel":"c"}"#, channel("c")),
        (r#"{"chan":"c"}"#, channel("c")),
    ] {
        assert_eq!(parse("/", body.as_bytes(), &keys), Ok(expected), "{body}");
    }
}

#[test]
fn a_form_is_found_in_the_body_and_in_the_target() {
    for (form, expected) in [
        ("operator=8003&phone=0000", call("8003", "0000", "")),
        ("phone=0000&operator=8003&x=1", call("8003", "0000", "")),
        ("operator=1&operator=2&phone=3&phone=4", call("1", "3", "")),
        ("operator=8003&phone=8002&msg=", message("8003", "8002", "")),
        (
            "operator=8003&phone=8002&msg=a%20b%26c+%d0%96",
            message("8003", "8002", "a b&c Ж"),
        ),
        (
            "operator=8003&phone=8002&msg=are/you?=%2",
            message("8003", "8002", "are/you?=%2"),
        ),
        (
            "operator=8003&phone=8002&msg=100%+%zz%4",
            message("8003", "8002", "100% %zz%4"),
        ),
        ("operator=99%399&phone=%2B7701", call("9999", "+7701", "")),
        ("operator=8003&phone=+7701", call("8003", "+7701", "")),
        (
            "operator=8003&phone=%22A+B%22+<sip:a@b>&msg=+1",
            message("8003", "\"A B\" <sip:a@b>", " 1"),
        ),
        ("operator=8003&phone=%2A98%23", call("8003", "*98#", "")),
    ] {
        assert_eq!(ask(form), Ok(expected.clone()), "{form}");
        assert_eq!(ask(&format!("{form}\r\n")), Ok(expected.clone()), "{form}");
        for start in [
            "/",
            "",
            "/?",
            "/any/path?",
            "/any/",
            "/any?x=1&",
            "http://h:5058/",
        ] {
            let target = format!("{start}{form}");
            let found = parse(&target, b" \r\n", &stock());
            assert_eq!(found, Ok(expected.clone()), "{target}");
        }
    }
}

#[test]
fn a_form_without_its_two_numbers_is_refused() {
    const NOT_THERE: &str = "400 neither a body nor a form with operator and phone in the path";
    for (form, reason) in [
        (
            "operator=8003",
            "400 operator is given, but phone is missing",
        ),
        (
            "phone=8003&msg=x",
            "400 phone is given, but operator is missing",
        ),
        ("operator=&phone=1", "400 operator: is empty"),
        (
            "operator=8003&phone=1+2",
            "400 phone: holds ' '; only letters, digits and *#+._-@ can be dialled",
        ),
        (
            "operator=8003&phone=%2B7701%0d%0aX",
            "400 phone: holds the control character '\\r'",
        ),
        ("operator=8003&phone=%ff", "400 phone: is not UTF-8"),
        ("operator=8003&phone=1&msg=%c3%28", "400 msg: is not UTF-8"),
    ] {
        assert_eq!(refusal(ask(form)), reason, "{form}");
        let target = format!("/?{form}");
        assert_eq!(refusal(parse(&target, b"", &stock())), reason, "{target}");
    }
    for target in [
        "/",
        "*",
        "",
        "/exten=8003",
        "/?msg=x",
        "/operator",
        "/xoperator=1&Phone=2",
    ] {
        assert_eq!(
            refusal(parse(target, b"", &stock())),
            NOT_THERE,
            "{target:?}"
        );
    }
    assert_eq!(
        refusal(parse("/operator=1&phone=2", b"exten=8003", &stock())),
        "400 the body is neither JSON (expected value at line 1 column 1) \
         nor a form with operator and phone"
    );
}

#[test]
fn nesting_is_cut_off_before_it_costs_anything() {
    for open in ["[", "{\"a\":", "[{\"exten\":"] {
        let bomb = open.repeat(crate::http::MAX_BODY / open.len());
        assert!(refusal(ask(&bomb)).contains("recursion limit exceeded"));
    }
    let deep = format!(
        r#"{{"exten":"1","x":{}1{}}}"#,
        "[".repeat(100),
        "]".repeat(100)
    );
    assert_eq!(ask(&deep), Ok(extension("1", "")));
}

#[test]
fn a_reply_has_the_bytes_clients_compare() {
    let idle = Reply::state(0, "Idle").with("Salara-Channel", "PJSIP/8003-00000001");
    assert_eq!(idle.body(), r#"{"result":0,"text":"Idle"}"#);
    assert_eq!(
        idle.to_response(),
        Response {
            status: 200,
            content_type: "application/json",
            headers: vec![("Salara-Channel", "PJSIP/8003-00000001".to_owned())],
            body: br#"{"result":0,"text":"Idle"}"#.to_vec(),
        }
    );
    let odd = Reply::state(-1, "a\"b\\c\u{1}ж".to_owned());
    assert_eq!(odd.body(), r#"{"result":-1,"text":"a\"b\\c\u0001ж"}"#);
}

#[test]
fn an_error_says_what_to_do_about_it() {
    let response = |status| Reply::error(status, "why").to_response();
    assert_eq!(response(400).body, ERROR_BODY.as_bytes());
    assert_eq!(response(400).headers, [("Salara-Error", "why".to_owned())]);
    assert_eq!(
        response(401).headers,
        [
            ("WWW-Authenticate", "Bearer".to_owned()),
            ("Salara-Error", "why".to_owned())
        ]
    );
    assert_eq!(
        response(503).headers,
        [
            ("Retry-After", "1".to_owned()),
            ("Salara-Error", "why".to_owned())
        ]
    );
    let bad = ask("[]").unwrap_err();
    assert_eq!(bad.to_string(), "the body is an array, not an object");
    assert_eq!(
        Reply::from(bad),
        Reply::error(400, "the body is an array, not an object")
    );
}
