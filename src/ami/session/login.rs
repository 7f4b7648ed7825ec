//! From the banner to a link that is up.
//!
//! This file owns what is said on the way: the login, and the questions what this Asterisk and this
//! account can do. It must not know what the link is used for then.
//!
//! The surprising fact: a login is answered before Asterisk has loaded its modules. What it can do is
//! known when it says that it has booted, which it does not say to every account.

use std::time::{Duration, Instant};

use super::super::Message;
use super::super::action::{Action, Proof};
use super::pending::Asked;
use super::{IDLE, LOGIN, Note, Output, Response, Session, State, Watch};

/// How long after a login `FullyBooted` is waited for. It never comes to an account that may not
/// read `system`, and then the link is taken as it is.
const BOOT: Duration = Duration::from_secs(5);
/// The same for an account that was told of it before: a small box takes its time.
const KNOWN_BOOT: Duration = Duration::from_secs(120);

impl Session {
    pub(super) fn greet(&mut self, version: &[u8], now: Instant) {
        let State::Greeting { credentials, .. } = &self.state else {
            return;
        };
        let credentials = credentials.clone();
        self.facts.ami_version = String::from_utf8_lossy(version).into();
        self.state = State::LoggingIn {
            give_up_at: now + LOGIN,
            credentials,
        };
        self.send_own(Asked::Challenge, &Action::Challenge, now);
    }

    pub(super) fn challenged(&mut self, response: &Response, now: Instant) {
        let State::LoggingIn { credentials, .. } = &self.state else {
            return;
        };
        let secret = credentials.secret.expose();
        let proof = match response.head.message().get("Challenge") {
            Some(challenge) if response.success => Proof::md5(challenge, secret),
            // A manager without MD5: the secret itself is all it takes.
            _ => Proof::Plain(secret.into()),
        };
        let user = credentials.user.clone();
        if matches!(proof, Proof::Plain(_)) && !self.sends_clear {
            self.sends_clear = true;
            self.note(Note::InClear);
        }
        let login = Action::Login {
            user,
            proof,
            events: self.events.clone(),
        };
        self.send_own(Asked::Login, &login, now);
    }

    pub(super) fn logged_in(&mut self, response: &Response, now: Instant) {
        let head = response.head.message();
        if response.success {
            let patience = if self.tells_boot { KNOWN_BOOT } else { BOOT };
            self.state = State::Booting {
                until: now + patience,
            };
            return self.send_own(Asked::Version, &Action::CoreSettings, now);
        }
        // The account is good, and an older link of it not yet dead (`allowmultiplelogin=no`).
        if head.is("Message", "Login Already In Use") {
            return self.hang_up("the account is logged in already", now);
        }
        self.rejected(&head.text("Message"), now);
    }

    /// Asterisk's modules are loaded. It may say so late: then what was found out before is stale.
    pub(super) fn booted(&mut self, now: Instant) {
        self.tells_boot = true;
        match self.state {
            State::Booting { .. } => self.probe(now),
            State::Probing => self.is_stale = true,
            State::Up { .. } => self.probe_again(now),
            State::Waiting { .. }
            | State::Connecting { .. }
            | State::Greeting { .. }
            | State::LoggingIn { .. } => {}
        }
    }

    pub(super) fn probe(&mut self, now: Instant) {
        self.state = State::Probing;
        self.send_own(Asked::Commands, &Action::ListCommands, now);
    }

    /// One question at a time, however often Asterisk says that it has booted.
    pub(super) fn probe_again(&mut self, now: Instant) {
        self.is_stale = self.pending.has(Asked::CommandsAgain);
        if !self.is_stale {
            self.send_own(Asked::CommandsAgain, &Action::ListCommands, now);
        }
    }

    /// What there is to ask is known, or will not be told.
    pub(super) fn probed(&mut self, commands: Option<Message<'_>>, now: Instant) {
        let before = self.facts.clone();
        if let Some(commands) = commands {
            self.facts.chan_sip = commands.get("SIPpeerstatus").is_some();
            self.facts.pjsip = commands.get("PJSIPShowEndpoint").is_some();
            if !self.filter.is_empty() && commands.get("Filter").is_some() && !self.is_up() {
                let pattern = self.filter.clone();
                self.send_own(Asked::Filter, &Action::Filter { pattern }, now);
            }
        }
        if !self.is_up() || self.facts != before {
            self.come_up(now);
        }
        if self.is_stale {
            self.probe_again(now);
        }
    }

    fn come_up(&mut self, now: Instant) {
        self.state = State::Up {
            watch: Watch::Quiet {
                ping_at: now + IDLE,
            },
        };
        self.backoff.reset();
        self.said = None;
        self.note(Note::Connected(self.facts.clone()));
        self.outputs.push_back(Output::Up(self.facts.clone()));
    }

    /// A refused account is no outage: it will be refused again, and a PBX that bans who fails too
    /// often would ban its own bridge.
    pub(super) fn rejected(&mut self, message: &str, now: Instant) {
        let retry_in = self.backoff.after_rejection();
        self.close(now + retry_in);
        self.outputs.push_back(Output::Disconnect);
        self.said = None;
        self.note(Note::Rejected {
            message: message.into(),
            retry_in,
        });
    }
}
