//! Secrets: salara is given every one there is and told to log all it can. Then its log, and with
//! strace(1) all it wrote anywhere but to a TCP peer, is searched for them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test owns its threads and clocks"
)]

mod support;

use std::fs;
use std::time::Duration;

use support::asterisk::{self, Asterisk, Version};
use support::crm::{Answer, Crm};
use support::daemon::{Salara, conf_beside, scratch_dir};
use support::phone::{Behaviour, Phone};
use support::rest;
use support::trace;

const SOON: Duration = Duration::from_secs(20);
const TOKEN: &str = "token-Pq7xW2";
const WRONG_TOKEN: &str = "wrong-Vb3nM8";
/// Base64 of `signing-Zk4tR9-signing-Zk4tR9`, and itself.
const SIGNING: &str = "c2lnbmluZy1aazR0Ujktc2lnbmluZy1aazR0Ujk=";
const SIGNING_KEY: &str = "signing-Zk4tR9";
const PASSWORD: &str = "word-Hc6sJ1";
/// Base64 of `user:word-Hc6sJ1`.
const BASIC: &str = "dXNlcjp3b3JkLUhjNnNKMQ";
const WRONG_SECRET: &str = "secret-Xy5uL0";

#[test]
fn no_secret_leaves_by_any_way_but_the_one_it_is_for() {
    if asterisk::missing(Version::V22) {
        return;
    }
    let asterisk = Asterisk::start(Version::V22);
    let mut crm = Crm::start(|_| Answer::json("{}"));
    let scratch = scratch_dir();
    let trace = scratch.join("trace");
    let url = crm.url("/event");
    let url = url.replace("http://", &format!("http://user:{PASSWORD}@"));
    let delivery = format!(
        "[event]\nverbose=3\nhangup=2\nnewchannel=2\nnewexten=3\n[url]\ndest_url_event={url}\n\
         [security]\nrest_token={TOKEN}\n[delivery]\nsigning_secret=whsec_{SIGNING}\nspool_dir={}\n",
        scratch.join("spool").display()
    );

    let conf = format!("{}{delivery}", conf_beside(&asterisk));
    let calls = "write,writev,pwrite64,pwritev,sendto,sendmsg,sendmmsg,execve,rename,openat";
    let mut salara = trace::start(&trace, calls, &conf);
    salara.wait_connected();
    let _phone = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    for (token, status) in [(TOKEN, 200), (WRONG_TOKEN, 401)] {
        for scheme in ["Bearer", "Basic"] {
            let reply = ask(&salara, &format!("{scheme} {token}"));
            let wanted = if scheme == "Bearer" { status } else { 401 };
            assert_eq!(reply, wanted, "{scheme} {token}");
        }
    }
    let posted = crm.wait_for(4, SOON);
    assert!(posted[0].header("Authorization").contains(BASIC));
    assert!(posted[0].header("webhook-signature").starts_with("v1,"));
    // What waits goes to disk; what the CRM says of it to the log.
    crm.go_down();
    assert_eq!(ask(&salara, &format!("Bearer {TOKEN}")), 200);
    salara.wait_log("the CRM does not take events");
    crm.answer_with(move |_| Answer::status(302, "").header("Location", &url));
    crm.come_up();
    salara.wait_log("a redirect to http://***@");
    assert_eq!(salara.stop().code(), Some(0));
    let log = salara.log().join("\n");
    assert!(log.contains("[DEBUG] wire: < "), "it logs all it can");

    // A login that is refused, by a secret of salara.conf's own.
    let port = asterisk.ami_addr().port();
    let conf = format!(
        "[event]\nverbose=3\n[url]\nrest_server=127.0.0.1:0\n[ami]\nport={port}\nsecret={WRONG_SECRET}\n"
    );
    let refused = Salara::start(&conf);
    refused.wait_log("Asterisk refuses the account");
    let log = log + &refused.log().join("\n");

    let secret = asterisk.secret("salara");
    let secrets = [
        &*secret,
        WRONG_SECRET,
        TOKEN,
        WRONG_TOKEN,
        SIGNING,
        SIGNING_KEY,
        PASSWORD,
        BASIC,
    ];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
    if let Some(written) = trace::read(&trace) {
        let (tcp, rest): (Vec<&str>, Vec<&str>) = written
            .lines()
            .partition(|line| line.contains("<TCP:[") || line.contains("<TCPv6:["));
        // The search would find them: they are where they belong.
        assert!(tcp.iter().any(|line| line.contains(BASIC)));
        assert!(rest.iter().any(|line| line.contains("wire: < ")));
        assert!(rest.iter().any(|line| line.contains("/spool/")));
        for secret in secrets {
            let leak = rest.iter().find(|line| line.contains(secret));
            assert_eq!(leak, None, "{secret}");
        }
    }
    fs::remove_dir_all(scratch).unwrap();
}

fn ask(salara: &Salara, authorization: &str) -> u16 {
    let json = r#"{"operator":"8003","phone":"0000"}"#;
    let length = json.len();
    let head = format!("POST / HTTP/1.1\r\nAuthorization: {authorization}\r\n");
    let bytes = format!("{head}Content-Length: {length}\r\n\r\n{json}");
    rest::exchange(salara.addr(), bytes.as_bytes()).status
}
