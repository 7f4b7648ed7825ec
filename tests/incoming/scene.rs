//! What an incoming call meets: an Asterisk, a CRM, salara, and somebody at AMI who writes down what
//! salara tells the dialplan.

use std::time::{Duration, Instant};

use crate::support::ami::Ami;
use crate::support::asterisk::Asterisk;
use crate::support::crm::{Answer, Crm, Request};
use crate::support::daemon::{Salara, conf_beside};
use crate::support::phone::{Behaviour, Call, Phone, Stage};

/// A phone, an Asterisk, a CRM or salara is given so long for what takes milliseconds.
pub const SOON: Duration = Duration::from_secs(10);
/// A caller from outside, who has an entry in `[route]`.
pub const OUTSIDE: &str = "87012223344";
/// The table for when the CRM does not know. 0000 is idle always.
pub const ROUTES: &str = "[route]\n8003:0000\n87012223344:0000\n";

/// Everything that takes part.
pub struct Scene {
    pub salara: Salara,
    pub crm: Crm,
    pub ami: Ami,
    pub asterisk: Asterisk,
}

impl Scene {
    /// The CRM sends everybody to 8001 until it is told otherwise. `conf` is added to salara.conf.
    pub fn new(asterisk: Asterisk, conf: &str) -> Self {
        let crm = Crm::start(send_to("8001"));
        let salara = Salara::start(&conf_of(&asterisk, &crm, conf));
        salara.wait_connected();
        Self {
            salara,
            crm,
            ami: asterisk.ami(),
            asterisk,
        }
    }

    /// Goes on with another salara.conf.
    pub fn restart_with(&mut self, conf: &str) {
        self.salara.stop();
        self.start_with(conf);
    }

    /// The same when salara has ended already.
    pub fn start_with(&mut self, conf: &str) {
        self.salara = Salara::start(&conf_of(&self.asterisk, &self.crm, conf));
        self.salara.wait_connected();
    }

    /// A phone that can be called.
    pub fn phone(&self, number: &str) -> Phone {
        Phone::registered(&self.asterisk, number, Behaviour::ANSWER)
    }

    /// What callers from outside come through. It does as it is told to follow.
    pub fn trunk(&self) -> Phone {
        let (port, server) = (self.asterisk.trunk_port(), self.asterisk.sip_addr());
        Phone::start_at(port, server, "trunk", Behaviour::ANSWER)
    }

    /// Waits until the dialplan has been told this, and returns the reason it was given. Only what
    /// happened since the last `ami.mark()` counts.
    #[track_caller]
    pub fn told(&self, result: &str, dest: &str) -> String {
        let is = |name: &str, value: &str| {
            let (name, value) = (name.to_owned(), value.to_owned());
            move |f: &crate::support::ami::Frame| {
                f.is("VarSet") && f.get("Variable") == name && f.get("Value") == value
            }
        };
        let told = self.ami.wait_event(SOON, is("SALARA_RESULT", result));
        assert!(
            told.is_some(),
            "no SALARA_RESULT={result} but {:?}; {:?}",
            self.set("SALARA_RESULT"),
            self.set("SALARA_REASON"),
        );
        let reason = self.set("SALARA_REASON").pop().unwrap_or_default();
        let dests = self.set("SALARA_DEST");
        let last = dests.last().map_or("", String::as_str);
        assert_eq!(last, dest, "SALARA_DEST: {dests:?}; {reason}");
        reason
    }

    /// The values a channel variable was given since the last mark.
    pub fn set(&self, name: &str) -> Vec<String> {
        let events = self.ami.events();
        let set = events
            .iter()
            .filter(|f| f.is("VarSet") && f.get("Variable") == name);
        // AMI writes some of it as C does.
        let plain = |value: &str| {
            value
                .replace("\\'", "'")
                .replace("\\\"", "\"")
                .replace("\\\\", "\\")
        };
        set.map(|f| plain(f.get("Value"))).collect()
    }

    /// Waits until Asterisk has no calls.
    #[track_caller]
    pub fn quiet(&mut self) {
        let left = self.ami.wait_channels(SOON, <[_]>::is_empty);
        assert!(left.is_ok(), "{left:?}");
    }

    /// What was said each time the dialplan went on behind salara, so many times up to now.
    #[track_caller]
    pub fn went_on(&self, times: usize) -> Vec<String> {
        let deadline = Instant::now() + SOON;
        // Asterisk logs when it comes to it.
        while self.went_on_yet().len() < times && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let lines = self.went_on_yet();
        assert_eq!(lines.len(), times, "{lines:?}");
        lines
    }

    fn went_on_yet(&self) -> Vec<String> {
        let log = self.asterisk.log();
        let lines = log
            .lines()
            .filter_map(|line| line.split("went on: ").nth(1));
        lines
            .map(|line| line.split('"').next().unwrap_or_default().trim().to_owned())
            .collect()
    }

    /// How often the CRM was asked.
    pub fn asked(&self) -> usize {
        let requests = self.crm.requests();
        requests
            .iter()
            .filter(|r| r.path.starts_with("/phone"))
            .count()
    }
}

/// The CRM sends every caller there, and takes events.
pub fn send_to(extension: &str) -> impl Fn(&Request) -> Answer + Send + Sync + 'static {
    let answer = to(extension);
    move |request| match request.path.starts_with("/phone") {
        true => answer.clone(),
        false => Answer::json("{}"),
    }
}

/// The CRM's answer that sends a caller there.
pub fn to(extension: &str) -> Answer {
    Answer::json(serde_json::json!({ KEY_WORD: extension }).to_string())
}

/// Waits for a call's end; the code of its INVITE.
#[track_caller]
pub fn code_of(call: &Call) -> Option<u16> {
    assert!(call.wait(Stage::Ended, SOON), "the call did not end");
    call.code()
}

fn conf_of(asterisk: &Asterisk, crm: &Crm, conf: &str) -> String {
    format!(
        "{}[url]\ndest_url={}\nagi_server=127.0.0.1:{}\n{conf}",
        conf_beside(asterisk),
        crm.url("/phone"),
        asterisk.agi_port(),
    )
}

/// The field of the CRM's answer.
pub const KEY_WORD: &str = "personal_manager_internal_phone";
