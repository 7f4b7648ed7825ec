//! What clients of the original sent, byte for byte, and whether salara takes it as it was taken.
//!
//! Only the framing and the meaning of a request are compared here, not the states Asterisk would
//! answer with: a recorded `-2 Error` must be refused, any other recorded answer must be asked for.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its clock begins somewhere"
)]

use std::path::Path;
use std::time::Instant;

use salara::api::{self, ERROR_BODY, Reply};
use salara::config::{Config, Keys};
use salara::http::{Connection, Options};
use serde_json::Value;

/// What the original did with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Recorded {
    /// Answered with a state.
    Answer,
    /// Answered `{"result":-2,"text":"Error"}`, or the five bytes `Error`.
    Error,
    /// Nothing for two seconds and more, with a core at 100 %.
    Hang,
}

/// What salara does with it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ours {
    Asked,
    Refused(u16),
    /// Closes without a word.
    Silent,
}

use Ours::{Asked, Refused, Silent};

/// Something salara does otherwise on purpose.
struct Difference {
    #[expect(dead_code, reason = "for who reads the list")]
    why: &'static str,
    /// Scenario, exchange, and what salara does there.
    met_in: &'static [(&'static str, &'static str, Ours)],
}

struct Exchange {
    name: String,
    request: Vec<u8>,
    segments: Vec<usize>,
    half_close: bool,
    response: String,
}

/// Scenarios, the `[keys]` of their salara.conf, and how many exchanges they hold.
const SCENARIOS: [(&str, &str, usize); 33] = [
    ("rest-http", STOCK, 56),
    ("rest-json", STOCK, 45),
    ("rest-status", STOCK, 52),
    ("rest-idle-connections", STOCK, 1),
    ("rest-custom-keys", RENAMED, 10),
    ("rest-no-keys-section", "", 7),
    ("makecall-injection", STOCK, 8),
    ("makecall-get-and-form", STOCK, 3),
    ("message-send", STOCK, 16),
    ("crash-chan-60", STOCK, 2),
    ("crash-chan-100", STOCK, 2),
    ("crash-chan-300", STOCK, 2),
    ("crash-context-500", STOCK, 1),
    ("crash-context-900", STOCK, 2),
    ("crash-exten-80", STOCK, 2),
    ("crash-exten-100", STOCK, 2),
    ("crash-exten-200", STOCK, 2),
    ("crash-exten-300", STOCK, 2),
    ("crash-exten-600", STOCK, 2),
    ("crash-form-msg-200", STOCK, 2),
    ("crash-msg-80", STOCK, 2),
    ("crash-msg-240", STOCK, 2),
    ("crash-msg-500", STOCK, 2),
    ("crash-msg-800", STOCK, 1),
    ("crash-peer-80", STOCK, 2),
    ("crash-peer-480", STOCK, 2),
    ("crash-percent-msg-dump", STOCK, 1),
    ("crash-percent-phone", STOCK, 2),
    ("crash-phone-79", STOCK, 2),
    ("crash-phone-120", STOCK, 2),
    ("crash-phone-500", STOCK, 2),
    ("crash-phone-800", STOCK, 1),
    ("crash-unload-in-call", STOCK, 1),
];

const STOCK: &str = "[keys]\nkey_extension=exten\nkey_channel=chan\n";

const RENAMED: &str = "[keys]\nkey_operator=op\nkey_phone=ph\nkey_msg=txt\nkey_extension=ext\n\
                       key_peer=pr\nkey_channel=ch\nkey_context=ctx\n";

/// Each must be met, or it is no difference any more.
const DIFFERENCES: &[Difference] = &[
    Difference {
        why: "header names have no letter case, and a length is a length however it is written",
        met_in: &[
            ("rest-http", "lower-case content-length", Asked),
            (
                "rest-http",
                "lower-case content-length, form in body",
                Asked,
            ),
            (
                "rest-http",
                "Content-Length with 6 blanks (7 characters)",
                Asked,
            ),
            ("rest-http", "Content-Length 20 digits", Asked),
        ],
    },
    Difference {
        why: "a line may end without its CR",
        met_in: &[("rest-http", "LF LF only", Asked)],
    },
    Difference {
        why: "a request is what its length says, and what follows is the next one",
        met_in: &[
            ("rest-http", "pipelined two POSTs", Asked),
            (
                "rest-http",
                "Content-Length in body of a GET-like request",
                Asked,
            ),
            ("rest-http", "Content-Length 0 with json", Refused(400)),
            (
                "rest-http",
                "Content-Length too short (cuts the json)",
                Refused(400),
            ),
            (
                "rest-http",
                "Content-Length too long, then half close",
                Refused(400),
            ),
        ],
    },
    Difference {
        why: "a length that is none is refused at once, and a request that does not end in time",
        met_in: &[
            ("rest-http", "Content-Length not a number", Refused(400)),
            (
                "rest-http",
                "100 bytes, no blank line, client waits 2 s",
                Refused(408),
            ),
        ],
    },
    Difference {
        why: "who asks nothing is answered nothing",
        met_in: &[("rest-http", "early close: nothing sent, half close", Silent)],
    },
    Difference {
        why: "head and body may come in any segments",
        met_in: &[
            ("rest-http", "5 TCP segments, 150 ms apart", Asked),
            (
                "rest-http",
                "header and body in separate segments, 500 ms apart",
                Asked,
            ),
            ("rest-http", "one byte at a time", Asked),
        ],
    },
    Difference {
        why: "a request may be longer than 1023 bytes",
        met_in: &[
            (
                "rest-http",
                "total request size 1024 (padding in a header)",
                Asked,
            ),
            (
                "rest-http",
                "total request size 1100 (padding in a header)",
                Asked,
            ),
            (
                "rest-http",
                "total request size 2000 (padding in a header)",
                Asked,
            ),
            (
                "rest-http",
                "total request size 1100 (padding in the json body)",
                Asked,
            ),
            (
                "rest-http",
                "total request size 3000 (padding in the json body)",
                Asked,
            ),
        ],
    },
    Difference {
        why: "without key_extension and key_channel, the documented names are understood, too",
        met_in: &[
            (
                "rest-no-keys-section",
                r#"no [keys] section {"exten":"8003"}"#,
                Asked,
            ),
            (
                "rest-no-keys-section",
                r#"no [keys] section {"chan":"x"}"#,
                Asked,
            ),
        ],
    },
    Difference {
        why: "line breaks would add headers to an action",
        met_in: &[
            ("rest-json", "newline in exten", Refused(400)),
            ("rest-json", "peer injection", Refused(400)),
            ("rest-json", "peer lf injection", Refused(400)),
            ("rest-json", "operator with newline, unknown", Refused(400)),
            (
                "makecall-injection",
                "AMI injection through phone (LF)",
                Refused(400),
            ),
            (
                "makecall-injection",
                "AMI injection through phone (CRLF)",
                Refused(400),
            ),
            (
                "makecall-injection",
                "AMI injection of a second action",
                Refused(400),
            ),
            (
                "makecall-injection",
                "CRLF in operator: unknown extension",
                Refused(400),
            ),
        ],
    },
    Difference {
        why: "what is dialled is letters, digits and *#+._-@, at least one",
        met_in: &[
            ("rest-json", "empty phone", Refused(400)),
            ("makecall-injection", "ampersand in operator", Refused(400)),
            ("makecall-injection", "quote in phone", Refused(400)),
            ("makecall-injection", "blanks in phone", Refused(400)),
            ("makecall-injection", "unicode in phone", Refused(400)),
            ("crash-percent-phone", "percent-phone", Refused(400)),
        ],
    },
    Difference {
        why: "Asterisk holds 79 bytes of a name, and the original wrote more into its memory",
        met_in: &[
            ("crash-chan-100", "peerquote-100", Refused(400)),
            ("crash-chan-300", "peerquote-300", Refused(400)),
            ("crash-context-500", "context-500", Refused(400)),
            ("crash-exten-80", "exten-80", Refused(400)),
            ("crash-exten-100", "exten-100", Refused(400)),
            ("crash-exten-200", "exten-200", Refused(400)),
            ("crash-exten-300", "exten-300", Refused(400)),
            ("crash-exten-600", "exten-600", Refused(400)),
            ("crash-peer-80", "peer-80", Refused(400)),
            ("crash-peer-480", "peer-480", Refused(400)),
            ("crash-phone-120", "phone-120", Refused(400)),
            ("crash-phone-500", "phone-500", Refused(400)),
            ("crash-phone-800", "phone-800", Refused(400)),
        ],
    },
];

#[test]
fn recorded_requests_are_taken_as_they_were() {
    let met_in = |difference: &Difference| difference.met_in.iter();
    let mut unmet: Vec<_> = DIFFERENCES.iter().flat_map(met_in).collect();
    let mut wrong = Vec::new();
    for (scenario, keys, count) in SCENARIOS {
        let keys = Config::parse(keys).config.keys;
        let exchanges = read(scenario);
        assert_eq!(exchanges.len(), count, "{scenario}");
        for exchange in exchanges {
            let (recorded, ours) = (exchange.recorded(), play(&exchange, &keys));
            let is_alike = matches!(
                (recorded, ours),
                (Recorded::Answer, Asked) | (Recorded::Error, Refused(_))
            );
            let name = exchange.name.as_str();
            let listed = unmet
                .iter()
                .position(|met| (met.0, met.1) == (scenario, name));
            let is_expected = match listed.map(|at| unmet.swap_remove(at)) {
                Some((_, _, expected)) => !is_alike && ours == *expected,
                None => is_alike,
            };
            if !is_expected {
                wrong.push(format!(
                    "{scenario} {name:?}: recorded {recorded:?}, ours {ours:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(unmet.is_empty(), "listed, and not met: {unmet:?}");
}

impl Exchange {
    fn recorded(&self) -> Recorded {
        match self.response.as_str() {
            "" => Recorded::Hang,
            "Error" | ERROR_BODY => Recorded::Error,
            answer if answer.starts_with(r#"{"result":"#) => Recorded::Answer,
            other => panic!("{other:?} was never seen before"),
        }
    }

    /// The bytes as they came, in as many pieces.
    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.request.as_slice();
        let mut sizes = self.segments.iter();
        std::iter::from_fn(move || {
            let size = sizes.next().map_or(rest.len(), |size| *size);
            let (segment, later) = rest.split_at(size);
            rest = later;
            (!segment.is_empty()).then_some(segment)
        })
    }
}

fn read(scenario: &str) -> Vec<Exchange> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = std::fs::read_to_string(golden.join(scenario).join("rest.jsonl")).unwrap();
    let exchange = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| value.get(key).unwrap().as_str().unwrap().to_owned();
        let sizes = value.get("segments").unwrap().as_array();
        Exchange {
            name: text("name"),
            // Bytes are recorded as the characters of Latin-1.
            request: text("request")
                .chars()
                .map(|c| u8::try_from(c).unwrap())
                .collect(),
            segments: sizes
                .into_iter()
                .flatten()
                .map(|size| usize::try_from(size.as_u64().unwrap()).unwrap())
                .collect(),
            half_close: value.get("half_close").unwrap().as_bool().unwrap(),
            response: text("response"),
        }
    };
    text.lines().map(exchange).collect()
}

/// The first thing that comes of it; time passes only when nothing else happens.
fn play(exchange: &Exchange, keys: &Keys) -> Ours {
    let [with_head, bare] = [false, true].map(|bare_reply| {
        let now = Instant::now();
        let options = Options {
            bare_reply,
            error_body: ERROR_BODY,
        };
        let mut connection = Connection::new(options, now);
        for segment in exchange.segments() {
            connection.handle_bytes(segment, now);
        }
        if exchange.half_close {
            connection.handle_eof(now);
        }
        let mut asked = connection.poll_request();
        if asked.is_none() && connection.outgoing().is_empty() && !connection.is_finished() {
            connection.handle_timeout(connection.poll_timeout().unwrap());
            asked = connection.poll_request();
        }
        let understood = asked.map(|asked| api::parse(&asked.target, &asked.body, keys));
        match understood {
            Some(Ok(_)) => return (Asked, String::new()),
            Some(Err(bad)) => connection.reply(&Reply::from(bad).to_response(), now),
            None => {}
        }
        let output = String::from_utf8(connection.outgoing().to_vec()).unwrap();
        match output.as_str() {
            "" => (Silent, output),
            ERROR_BODY => (Refused(0), output),
            _ => (Refused(status(&output)), output),
        }
    });
    match with_head {
        (Refused(_), output) => {
            assert!(output.contains("\r\nSalara-Error: "), "{output}");
            let body = if exchange.request.starts_with(b"HEAD ") {
                ""
            } else {
                ERROR_BODY
            };
            assert!(output.ends_with(&format!("\r\n\r\n{body}")), "{output}");
            assert_eq!(
                bare.1, ERROR_BODY,
                "in the mode of the original, its very bytes"
            );
        }
        (ours, _) => assert_eq!(ours, bare.0),
    }
    with_head.0
}

fn status(output: &str) -> u16 {
    let status = output.strip_prefix("HTTP/1.1 ").unwrap();
    status.get(..3).unwrap().parse().unwrap()
}
