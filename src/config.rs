//! salara.conf as meant: typed, checked, with everything that is absent filled in.
//!
//! It must not touch files, sockets or the environment: a text comes in, a [`Config`] and a list
//! of problems go out. Lines as written are the business of `ini`, single keys that of `keys`.
//!
//! The surprising fact: reading never fails. What the old module accepted in some way is accepted
//! in the same way, with a warning; only what is new, or would listen at a wrong address, is an
//! error, and all of those are told at once.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use crate::value::Number;

pub mod account;
pub mod edit;
mod event;
mod glob;
mod ini;
mod keys;
mod kinds;
mod manager;
mod net;
mod problem;
mod read;
mod secret;
mod show;
mod web;

pub use event::{CallLevel, StateLevel, Verbosity};
pub use kinds::{CallRate, ChannelReply, GoodStatus, KeyNames, LogTo, Tech, Transfer};
pub use net::{Cidr, default_allow, loopback};
pub use problem::{Problem, Severity};
pub use secret::{Secret, printable_url};
pub use show::printable;
pub use web::WebAddress;

use ini::{Line, Says};
use keys::Age;
use problem::quote;

/// All of salara.conf.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `[general]`
    pub general: General,
    /// `[route]`, each caller once, in the order of the file.
    pub routes: Vec<Route>,
    /// `[event]`
    pub event: EventSettings,
    /// `[url]`
    pub url: Urls,
    /// `[keys]`
    pub keys: Keys,
    /// `[ami]`
    pub ami: AmiSettings,
    /// `[security]`
    pub security: Security,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[compat]`
    pub compat: Compat,
    /// `[log]`: where the log goes.
    pub log_to: LogTo,
}

/// `[general]`
#[derive(Clone, Debug, PartialEq)]
pub struct General {
    /// Where a call goes that neither the CRM nor `[route]` has a place for.
    pub default: Box<str>,
    /// The total time of one CRM request.
    pub curlopt_timeout: Duration,
    /// The context of calls, and of hints when a request names none.
    pub default_context: Box<str>,
    /// The channel technology of phones without a hint.
    pub tech: Tech,
    /// How an incoming call is handed over.
    pub transfer: Transfer,
}

/// A line of `[route]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Whose calls.
    pub caller: Box<str>,
    /// Where to.
    pub called: Box<str>,
    /// The line in the file, counted from one; 0 for a route that did not come from it.
    pub line: usize,
}

/// `[event]`
#[derive(Clone, Debug, PartialEq)]
pub struct EventSettings {
    /// How much is logged.
    pub verbose: Verbosity,
    /// How long the operator's phone rings.
    pub timeout_makecall: Duration,
    /// Whether calls set up over REST are tracked.
    pub watch_makecall: bool,
    /// Which Hangup events the CRM gets.
    pub hangup: CallLevel,
    /// Which Newchannel events the CRM gets.
    pub newchannel: CallLevel,
    /// Which Newexten events the CRM gets.
    pub newexten: StateLevel,
    /// Which AgentConnect events the CRM gets.
    pub agentcon: StateLevel,
}

/// `[url]`. Passwords in the URLs are not printed by `Debug`.
#[derive(Clone, PartialEq)]
pub struct Urls {
    /// Where REST requests come in.
    pub rest_server: SocketAddr,
    /// Where the CRM is asked for a caller's extension. Empty: it is not asked.
    pub dest_url: Box<str>,
    /// Where events go. Empty: nowhere.
    pub dest_url_event: Box<str>,
    /// The extension states that allow a call, a message or a transfer.
    pub good_status: GoodStatus,
    /// Where the dialplan's AGI requests come in, if anywhere.
    pub agi_server: Option<SocketAddr>,
    /// The file says so: it is not merely what is usual.
    pub agi_is_asked_for: bool,
}

/// `[keys]`: the names of JSON fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Keys {
    /// In the CRM's answer: the extension.
    pub key_word: Box<str>,
    /// In a request: whose phone rings first, or who gets a message.
    pub operator: Box<str>,
    /// In a request: who is dialled then, or who a message is from.
    pub phone: Box<str>,
    /// In a request: the text of a message.
    pub msg: Box<str>,
    /// In a request: whose extension's status is asked for.
    pub extension: KeyNames,
    /// In a request: which peer's status is asked for.
    pub peer: Box<str>,
    /// In a request: which channel's status is asked for.
    pub channel: KeyNames,
    /// In a request: the context of the extension.
    pub context: Box<str>,
}

/// `[ami]`: how Asterisk is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct AmiSettings {
    /// A name or an address.
    pub host: Box<str>,
    /// See [`AmiSettings::default_port`] when absent.
    pub port: Option<u16>,
    /// The account.
    pub user: Box<str>,
    /// Its secret; when absent it is looked up in manager.conf.
    pub secret: Option<Secret>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Certificates that Asterisk's is checked against.
    pub tls_ca: Option<PathBuf>,
    /// Asterisk's manager.conf; when absent the one beside salara.conf.
    pub manager_conf: Option<PathBuf>,
}

/// `[security]`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Security {
    /// What a REST client must show, if anything.
    pub rest_token: Option<Secret>,
    /// Who may connect to the REST listener; [`default_allow`] when absent.
    pub rest_allow: Option<Vec<Cidr>>,
    /// Who may connect to the AGI listener; [`loopback`] when absent.
    pub agi_allow: Option<Vec<Cidr>>,
    /// Whether the CRM's certificate is checked. Absent in files of the old module, which never
    /// checked it.
    pub tls_verify: Option<bool>,
    /// Certificates that the CRM's is checked against, beside the well-known ones.
    pub crm_ca: Option<PathBuf>,
    /// How many calls may be set up over REST; without it, any number.
    pub call_rate: Option<CallRate>,
}

/// `[delivery]`: what happens to events the CRM does not take at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// None, one, or two while they change.
    pub signing_secret: Vec<Secret>,
    /// Where events wait when they do not fit in memory or salara stops.
    pub spool_dir: Option<PathBuf>,
    /// The bytes they may take there.
    pub spool_max: u64,
    /// When an event is given up.
    pub retry_for: Duration,
    /// How many events travel at a time; those of one call keep their order.
    pub parallel: usize,
}

/// `[compat]`: for scripts that rely on what the old module did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compat {
    /// Answer REST requests without an HTTP head.
    pub bare_reply: bool,
    /// How a live channel is answered.
    pub channel_reply: ChannelReply,
}

/// What a text was read as.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// What it means.
    pub config: Config,
    /// What is wrong with it, by line.
    pub problems: Vec<Problem>,
    /// Which keys it sets.
    pub given: Given,
}

/// Which keys a file sets, and where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given(Vec<GivenKey>);

/// A key that a file sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenKey {
    /// Its name.
    pub name: &'static str,
    /// The section it belongs to, whichever it stands in.
    pub section: &'static str,
    /// Whether the old module did not know it.
    pub new: bool,
    /// The last line that sets it.
    pub line: usize,
}

impl Config {
    /// Reads the text of a salara.conf. What cannot be read keeps its default.
    pub fn parse(text: &str) -> Parsed {
        let mut parsed = Parsed::default();
        for line in ini::lines(text) {
            parsed.take(line);
        }
        parsed
    }
}

impl AmiSettings {
    /// The port Asterisk listens on by default.
    pub fn default_port(&self) -> u16 {
        if self.tls { 5039 } else { 5038 }
    }
}

impl Parsed {
    /// Whether salara must not start with this file.
    pub fn has_errors(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    fn take(&mut self, line: Line<'_>) {
        match line.says {
            Says::Section => {}
            Says::SecondRoute => self.warn(line, "[route]: only the first one counts".into()),
            Says::OpenSection => self.warn(line, format!("{} lacks its ]", quote(line.raw))),
            Says::Setting { key, value } => self.setting(line, key, value),
            Says::Route { caller, called } => self.route(line, caller, called),
            Says::LateRoute => {}
            Says::Hash => {
                if let Some(key) = keys::old_reading(line.raw) {
                    let text = "# begins a comment, but the old module read this line";
                    self.warn(line, format!("{text} as {key}"));
                }
            }
            Says::Stray => {
                // Only its first word: a password may follow.
                let word = quote(line.raw.split_whitespace().next().unwrap_or_default());
                let text = "begins no section, key=value or comment";
                self.warn(line, format!("{word} {text}"));
            }
        }
    }

    fn setting(&mut self, line: Line<'_>, name: &str, value: &str) {
        let Some(key) = keys::find(name) else {
            let text = unknown(name, line.raw);
            return self.warn(line, text);
        };
        let at_home = line.section.eq_ignore_ascii_case(key.section);
        match key.age {
            Age::NewHereOnly if !at_home => {
                let text = format!("{name}: counts in [{}] only; ignored here", key.section);
                return self.warn(line, text);
            }
            Age::New if !at_home => {
                self.warn(
                    line,
                    format!("{name}: belongs in [{}]; taken all the same", key.section),
                );
            }
            Age::Legacy | Age::New | Age::NewHereOnly => {}
        }
        if let Err(remark) = key.set(&mut self.config, value) {
            let text = format!("{name}: {}", remark.text);
            self.problems.push(Problem {
                line: line.number,
                severity: remark.severity,
                text,
            });
        }
        self.given.add(GivenKey {
            name: key.name,
            section: key.section,
            new: key.age != Age::Legacy,
            line: line.number,
        });
    }

    fn route(&mut self, line: Line<'_>, caller: &str, called: &str) {
        if caller.is_empty() || called.is_empty() {
            return self.warn(line, format!("{} is not caller:called", quote(line.raw)));
        }
        if let Some(first) = self
            .config
            .routes
            .iter()
            .find(|route| *route.caller == *caller)
        {
            let text = format!(
                "route of {}: already set in line {}, which counts",
                quote(caller),
                first.line
            );
            return self.warn(line, text);
        }
        if let Err(bad) = Number::new(called) {
            let (caller, called) = (quote(caller), quote(called));
            self.warn(line, format!("route of {caller}: {called} {bad}"));
        }
        let route = Route {
            caller: caller.into(),
            called: called.into(),
            line: line.number,
        };
        self.config.routes.push(route);
    }

    fn warn(&mut self, line: Line<'_>, text: String) {
        self.problems.push(Problem {
            line: line.number,
            severity: Severity::Warning,
            text,
        });
    }
}

impl Given {
    /// The keys, in the order of their first lines.
    pub fn keys(&self) -> &[GivenKey] {
        &self.0
    }

    /// The last line that sets this key.
    pub fn line(&self, name: &str) -> Option<usize> {
        self.0
            .iter()
            .find(|key| key.name == name)
            .map(|key| key.line)
    }

    fn add(&mut self, given: GivenKey) {
        match self.0.iter_mut().find(|key| key.name == given.name) {
            Some(key) => key.line = given.line,
            None => self.0.push(given),
        }
    }
}

impl Default for General {
    fn default() -> Self {
        Self {
            default: "1234".into(),
            curlopt_timeout: Duration::from_secs(3),
            default_context: "alnik".into(),
            tech: Tech::Auto,
            transfer: Transfer::Sip,
        }
    }
}

impl Default for EventSettings {
    fn default() -> Self {
        Self {
            verbose: Verbosity::Off,
            timeout_makecall: Duration::from_secs(10),
            watch_makecall: false,
            hangup: CallLevel::Off,
            newchannel: CallLevel::Off,
            newexten: StateLevel::Off,
            agentcon: StateLevel::Off,
        }
    }
}

impl Default for Urls {
    fn default() -> Self {
        Self {
            rest_server: REST_SERVER,
            // The old module's samples: recorded, and of no use to anybody.
            dest_url: "https://Alarm:3000/call_center/incoming_call/check_is_org_only?phone="
                .into(),
            dest_url_event: "https://Alarm:3000/post".into(),
            good_status: GoodStatus::default(),
            agi_server: Some(AGI_SERVER),
            agi_is_asked_for: false,
        }
    }
}

impl fmt::Debug for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Urls")
            .field("rest_server", &self.rest_server)
            .field("dest_url", &printable_url(&self.dest_url))
            .field("dest_url_event", &printable_url(&self.dest_url_event))
            .field("good_status", &self.good_status)
            .field("agi_server", &self.agi_server)
            .field("agi_is_asked_for", &self.agi_is_asked_for)
            .finish()
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            key_word: "personal_manager_internal_phone".into(),
            operator: "operator".into(),
            phone: "phone".into(),
            msg: "msg".into(),
            extension: KeyNames::either("extension", "exten"),
            peer: "peer".into(),
            channel: KeyNames::either("channel", "chan"),
            context: "context".into(),
        }
    }
}

impl Default for AmiSettings {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: None,
            user: "salara".into(),
            secret: None,
            tls: false,
            tls_ca: None,
            manager_conf: None,
        }
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            signing_secret: Vec::new(),
            spool_dir: None,
            // About 100,000 events: a day without a CRM on a busy exchange.
            spool_max: 16 << 20,
            retry_for: Duration::from_secs(24 * 60 * 60),
            parallel: 4,
        }
    }
}

fn unknown(name: &str, line: &str) -> String {
    if let Some(key) = keys::old_reading(line) {
        let text = "no such key; the old module read this line";
        return format!("{}: {text} as {key}, salara does not", quote(name));
    }
    match keys::nearest(name) {
        Some(key) => format!("{}: no such key; did you mean {key}?", quote(name)),
        None => format!("{}: no such key", quote(name)),
    }
}

const REST_SERVER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5058));

/// FastAGI's registered port.
const AGI_SERVER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4573));
