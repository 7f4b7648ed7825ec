//! Where salara answers otherwise than it is recorded, on purpose.

/// Something salara answers otherwise on purpose.
#[derive(Debug)]
pub(crate) struct Difference {
    /// The exchange of the scenario.
    pub(crate) name: &'static str,
    /// What salara answers: statuses and bodies, none where it closes without a word.
    pub(crate) ours: &'static [(u16, &'static str)],
    /// The words of the specification.
    #[expect(dead_code, reason = "for who reads the list")]
    pub(crate) why: &'static str,
}

const fn differs(
    name: &'static str,
    ours: &'static [(u16, &'static str)],
    why: &'static str,
) -> Difference {
    Difference { name, ours, why }
}

pub(crate) const NONE: &[Difference] = &[];

/// In the one daemon that does not answer a live channel as the module did.
pub(crate) const DOCUMENTED: &[Difference] = &[
    differs(
        "chan SIP/8001-00000000 during ringing call",
        &[(200, r#"{"result":0,"text":"Ring (4)"}"#)],
        LIVE_CHANNEL,
    ),
    differs(
        "chan lower-case SIP/8003-00000001 during ringing call",
        &[(200, r#"{"result":0,"text":"Ringing (5)"}"#)],
        LIVE_CHANNEL,
    ),
    differs(
        "chan SIP/8003-00000003 in a live call",
        &[(200, r#"{"result":0,"text":"Up (6)"}"#)],
        LIVE_CHANNEL,
    ),
    differs(
        "chan SIP/8002-00000005 in a live call",
        &[(200, r#"{"result":0,"text":"Up (6)"}"#)],
        LIVE_CHANNEL,
    ),
    differs(
        "chan SIP/8001-00000002 in a live call",
        &[(200, r#"{"result":0,"text":"Up (6)"}"#)],
        LIVE_CHANNEL,
    ),
    differs(
        "chan SIP/8001-00000006 dialling in, not answered",
        &[(200, r#"{"result":0,"text":"Ring (4)"}"#)],
        LIVE_CHANNEL,
    ),
    differs(
        "chan Local/7778@alnik-00000000;2",
        &[(200, r#"{"result":0,"text":"Ring (4)"}"#)],
        LIVE_CHANNEL,
    ),
];

pub(crate) const REST_JSON: &[Difference] = &[
    differs("newline in exten", &[(400, ERROR)], LINE_BREAKS),
    differs("peer injection", &[(400, ERROR)], LINE_BREAKS),
    differs("peer lf injection", &[(400, ERROR)], LINE_BREAKS),
    differs(
        "operator with newline, unknown",
        &[(400, ERROR)],
        LINE_BREAKS,
    ),
    differs("empty phone", &[(400, ERROR)], DIALLED),
];

pub(crate) const REST_HTTP: &[Difference] = &[
    differs("lower-case content-length", &[(200, IDLE)], ONE_SPELLING),
    differs(
        "lower-case content-length, form in body",
        &[(200, UNKNOWN)],
        ONE_SPELLING,
    ),
    differs(
        "Content-Length with 6 blanks (7 characters)",
        &[(200, IDLE)],
        ONE_SPELLING,
    ),
    differs("Content-Length 20 digits", &[(200, IDLE)], ONE_SPELLING),
    differs("LF LF only", &[(200, UNKNOWN)], LINE_ENDS),
    differs("early close: nothing sent, half close", &[], NOTHING),
    differs(
        "pipelined two POSTs",
        &[(200, IDLE), (200, UNAVAILABLE)],
        LENGTH,
    ),
    differs(
        "Content-Length in body of a GET-like request",
        &[(200, UNKNOWN), (400, ERROR)],
        LENGTH,
    ),
    differs(
        "Content-Length 0 with json",
        &[(400, ERROR), (400, ERROR)],
        LENGTH,
    ),
    differs(
        "Content-Length too short (cuts the json)",
        &[(400, ERROR), (400, ERROR)],
        LENGTH,
    ),
    differs("Content-Length not a number", &[(400, ERROR)], NOT_A_LENGTH),
    differs(
        "100 bytes, no blank line, client waits 2 s",
        &[(408, ERROR)],
        SLOW,
    ),
    differs(
        "Content-Length too long, then half close",
        &[(400, ERROR)],
        LENGTH,
    ),
    differs("5 TCP segments, 150 ms apart", &[(200, IDLE)], TOGETHER),
    differs(
        "header and body in separate segments, 500 ms apart",
        &[(200, IDLE)],
        TOGETHER,
    ),
    differs("one byte at a time", &[(200, IDLE)], TOGETHER),
    differs(
        "total request size 1024 (padding in a header)",
        &[(200, IDLE)],
        FIRST_1023,
    ),
    differs(
        "total request size 1100 (padding in a header)",
        &[(200, IDLE)],
        FIRST_1023,
    ),
    differs(
        "total request size 2000 (padding in a header)",
        &[(200, IDLE)],
        FIRST_1023,
    ),
    differs(
        "total request size 1100 (padding in the json body)",
        &[(200, IDLE)],
        FIRST_1023,
    ),
    differs(
        "total request size 3000 (padding in the json body)",
        &[(200, IDLE)],
        FIRST_1023,
    ),
];

pub(crate) const REST_NO_KEYS: &[Difference] = &[
    differs(
        r#"no [keys] section {"exten":"8003"}"#,
        &[(200, IDLE)],
        BOTH_NAMES,
    ),
    differs(
        r#"no [keys] section {"chan":"x"}"#,
        &[(200, r#"{"result":-1,"text":"Channel not present"}"#)],
        BOTH_NAMES,
    ),
];

/// `§11` is the list of what is different on purpose, quoted as "the original | salara".
const LIVE_CHANNEL: &str =
    "§11: live channel `{\"result\":6,\"text\":\"UP\"}` | `{\"result\":0,\"text\":\"Up (6)\"}`";
const LINE_BREAKS: &str = "§11: CR/LF in a value adds AMI headers | refused with 400";
const DIALLED: &str = "§4: what is dialled is letters, digits and `*#+._-@` only";
const ONE_SPELLING: &str = "§11: only the spelling `Content-Length:` | HTTP as §3 says";
const LINE_ENDS: &str = "§11: half-sent requests hang | HTTP as §3 says: a line may lack its CR";
const LENGTH: &str = "§11: pipelining hangs | HTTP as §3 says: a request is what its length says, and \
                      what follows is the next one";
const NOT_A_LENGTH: &str =
    "§11: half-sent requests hang | HTTP as §3 says: 400 for what is not HTTP";
const SLOW: &str = "§11: idle and half-sent requests hang | closed by deadline";
const NOTHING: &str = "§11: bare JSON | HTTP as §3 says: who asks nothing is answered nothing";
const TOGETHER: &str =
    "§11: header and body must arrive together | HTTP as §3 says: any segmentation";
const FIRST_1023: &str = "§11: first 1023 bytes | HTTP as §3 says";
const BOTH_NAMES: &str = "§2.2: with key_extension/key_channel absent, accept both the default name \
                          and the documented one";

pub(crate) const ERROR: &str = r#"{"result":-2,"text":"Error"}"#;
pub(crate) const UNKNOWN: &str = r#"{"result":-1,"text":"Unknown"}"#;
pub(crate) const IDLE: &str = r#"{"result":0,"text":"Idle"}"#;
pub(crate) const IN_USE: &str = r#"{"result":1,"text":"InUse"}"#;
pub(crate) const BUSY: &str = r#"{"result":2,"text":"Busy"}"#;
pub(crate) const UNAVAILABLE: &str = r#"{"result":4,"text":"Unavailable"}"#;
pub(crate) const RINGING: &str = r#"{"result":8,"text":"Ringing"}"#;
