//! What is answered, in words and in JSON.
//!
//! This file owns the texts. It must not know where their facts come from.
//!
//! The surprising fact: scripts look for lines of the old module, so those stand as they stood
//! then, a slip of the pen (`delele`) included. What it did not know has lines of its own.

use std::net::SocketAddr;

use serde_json::{Map, Value};

use super::{Answer, DONE, FAILED};
use crate::VERSION;
use crate::ami::session::Facts;
use crate::api::{self, Reply};
use crate::channel::{Channels, Record};
use crate::config::{Config, Route, printable_url};

/// An answer being written, for a person and for a script at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// The exit code.
    pub status: u8,
    text: String,
    facts: Map<String, Value>,
}

/// What `show info` tells beside the configuration.
#[derive(Debug)]
pub struct Info<'a> {
    /// What is in force.
    pub config: &'a Config,
    /// The file it came from.
    pub file: &'a str,
    /// Where REST requests come in.
    pub rest: &'a str,
    /// Where calls come in, if they do.
    pub agi: Option<SocketAddr>,
    /// What is known of Asterisk, while there is a link.
    pub asterisk: Option<&'a Facts>,
    /// What was last told of the link.
    pub link: &'a str,
    /// When this run began, in seconds since 1970.
    pub started: u64,
    /// For how many seconds it runs.
    pub uptime: u64,
    /// Its process.
    pub pid: u32,
}

impl Sheet {
    /// It was done.
    pub fn done(text: impl Into<String>) -> Self {
        Self {
            status: DONE,
            text: text.into(),
            facts: Map::new(),
        }
    }

    /// It was not.
    pub fn failed(why: impl Into<String>) -> Self {
        Self {
            status: FAILED,
            ..Self::done(why)
        }
    }

    /// Adds a line, and a script's name for what it tells.
    pub fn fact(&mut self, key: &str, before: &str, value: impl Into<Value>, after: &str) {
        let value = value.into();
        for part in [
            before,
            value.as_str().unwrap_or(&value.to_string()),
            after,
            "\n",
        ] {
            self.text.push_str(part);
        }
        self.put(key, value);
    }

    /// Adds a line for people.
    pub fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Adds a fact for scripts.
    pub fn put(&mut self, key: &str, value: Value) {
        self.facts.insert(key.to_owned(), value);
    }

    /// What is printed.
    pub(super) fn print(mut self, json: bool) -> Answer {
        if json {
            if self.facts.is_empty() {
                let key = if self.status == DONE { "text" } else { "error" };
                self.put(key, self.text.trim().into());
            }
            self.text = Value::Object(self.facts).to_string();
        }
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        Answer {
            status: self.status,
            text: self.text,
        }
    }
}

/// `show info`
pub fn info(info: &Info<'_>) -> Sheet {
    let Config {
        general,
        event,
        url,
        keys,
        security,
        ..
    } = info.config;
    let mut sheet = Sheet::done("\tSalara module info:\n");
    let mut quoted = |key: &str, before: &str, value: &str| {
        sheet.fact(key, &format!("\t-- {before}'"), value, "'");
    };
    quoted("file", "configuration file ", info.file);
    quoted("default", "default routing dest ", &general.default);
    quoted("rest_server", "rest server listen on: ", info.rest);
    quoted("dest_url", "default url ", &printable_url(&url.dest_url));
    quoted(
        "dest_url_event",
        "default url_event ",
        &printable_url(&url.dest_url_event),
    );
    let mut fact = |key: &str, before: &str, value: Value, after: &str| {
        sheet.fact(key, &format!("\t-- {before}"), value, after);
    };
    let seconds = |of: std::time::Duration| Value::from(of.as_secs());
    let text = |of: &str| Value::from(of);
    fact(
        "curlopt_timeout",
        "curl timeout ",
        seconds(general.curlopt_timeout),
        "",
    );
    fact(
        "default_context",
        "default context: ",
        text(&general.default_context),
        "",
    );
    fact("version", "module version: ", text(VERSION), "");
    let asterisk = info
        .asterisk
        .and_then(|facts| facts.asterisk_version.as_deref());
    fact(
        "asterisk_version",
        "asterisk version: ",
        text(asterisk.unwrap_or("unknown")),
        "",
    );
    let verbose = event.verbose;
    let word = format!(" ({})", verbose.word());
    fact(
        "verbose",
        "events verbose level: ",
        verbose.number().into(),
        &word,
    );
    fact(
        "timeout_makecall",
        "timeout makecall: ",
        seconds(event.timeout_makecall),
        "",
    );
    fact(
        "watch_makecall",
        "watch makecall: ",
        u8::from(event.watch_makecall).into(),
        "",
    );
    for (key, before, number, words) in [
        (
            "hangup",
            "Hangup event: ",
            event.hangup.number(),
            event.hangup.words(),
        ),
        (
            "newchannel",
            "Newchannel event: ",
            event.newchannel.number(),
            event.newchannel.words(),
        ),
        (
            "newexten",
            "Newexten event: ",
            event.newexten.number(),
            event.newexten.words(),
        ),
        (
            "agentcon",
            "AgentConnect event: ",
            event.agentcon.number(),
            event.agentcon.words(),
        ),
    ] {
        fact(key, before, number.into(), &format!(" ({words})"));
    }
    fact("started", "started: ", date(info.started).into(), " UTC");
    let (minutes, hours) = (info.uptime / 60, info.uptime / 3600);
    let clock = format!(
        "uptime: {:04}:{:02}:{:02}:{:02} (",
        hours / 24,
        hours % 24,
        minutes % 60,
        info.uptime % 60
    );
    fact("uptime", &clock, info.uptime.into(), " sec)");
    fact(
        "routes",
        "routing table: ",
        info.config.routes.len().into(),
        " records",
    );
    fact("key_word", "key_word: '", text(&keys.key_word), "'");
    let first =
        |names: &crate::config::KeyNames| names.names().first().cloned().unwrap_or_default();
    let (extension, channel) = (first(&keys.extension), first(&keys.channel));
    let names: [&str; 7] = [
        &keys.operator,
        &keys.phone,
        &keys.msg,
        &extension,
        &keys.peer,
        &channel,
        &keys.context,
    ];
    fact("rest_keys", "rest keys: '", names.join("' '").into(), "'");
    fact("pid", "pid: ", info.pid.into(), "");
    fact("ami", "ami: ", text(info.link), "");
    let agi = info
        .agi
        .map_or_else(|| "off".to_owned(), |agi| agi.to_string());
    fact("agi_server", "agi server: ", agi.into(), "");
    fact(
        "good_status",
        "good status: ",
        url.good_status.to_string().into(),
        "",
    );
    let https = [&url.dest_url, &url.dest_url_event]
        .iter()
        .any(|url| url.starts_with("https:"));
    if https && security.tls_verify != Some(true) {
        fact(
            "tls_verify",
            "the CRM's certificate is not checked: tls_verify=",
            0.into(),
            "",
        );
    }
    sheet.put("rest_keys", names.to_vec().into());
    sheet
}

/// `show route`
pub fn routes(routes: &[Route]) -> Sheet {
    let mut sheet = Sheet::done("\tSalara route table (caller:called):\n");
    let mut list = Vec::new();
    for Route { caller, called, .. } in routes {
        sheet.line(&format!("\t{caller}:{called}"));
        list.push(object(&[("caller", caller), ("called", called)]));
    }
    sheet.put("routes", list.into());
    sheet
}

/// `show chan_records`
pub fn chan_records(channels: &Channels) -> Sheet {
    let records = channels.records().map(|(id, record)| {
        let Record {
            channel,
            caller,
            extension,
            ..
        } = record;
        [&**channel, extension, caller, id]
    });
    // The old module's words for an id that is not known.
    let awaited = channels
        .awaited()
        .map(|(caller, extension)| ["", extension, caller, "(null)"]);
    let mut all: Vec<[&str; 4]> = records.chain(awaited).collect();
    all.sort_by_key(|[.., id]| *id);
    let mut sheet = Sheet::done("");
    sheet.fact("total", "total=", all.len(), "");
    let mut list = Vec::new();
    for [channel, extension, caller, id] in all {
        sheet.line(&format!(
            "chan='{channel}' exten='{extension}' caller='{caller}' uid='{id}'"
        ));
        list.push(object(&[
            ("chan", channel),
            ("exten", extension),
            ("caller", caller),
            ("uid", id),
        ]));
    }
    sheet.put("chan_records", list.into());
    sheet
}

/// The answer to what a REST client may ask too.
pub fn status(request: &api::Request, reply: &Reply) -> Sheet {
    if let Some(why) = &reply.error {
        return Sheet::failed(why.as_str());
    }
    let mut sheet = Sheet::done("");
    let (mut state, mut text) = (reply.result, &*reply.text);
    match request {
        api::Request::Peer { peer } => sheet.fact("peer", "Peer: ", peer.as_str(), ""),
        api::Request::Channel { channel } if state < 0 => {
            return Sheet::failed(format!("{} - is not a known channel", channel.as_str()));
        }
        // Over REST it is `Up (6)`, and 0 says no more than that it was found.
        api::Request::Channel { .. } => {
            let parts = text
                .strip_suffix(')')
                .and_then(|text| text.rsplit_once(" ("));
            if let Some((name, number)) = parts
                && let Ok(number) = number.parse()
            {
                (state, text) = (number, name);
            }
        }
        api::Request::Extension { .. }
        | api::Request::Call { .. }
        | api::Request::Message { .. } => {}
    }
    sheet.line(&format!("Status={state} ({text})"));
    sheet.put("status", state.into());
    sheet.put("text", text.into());
    if let api::Request::Message { .. } = request {
        let is_sent = !reply.facts.is_empty();
        sheet.put("sent", is_sent.into());
        sheet.line(if is_sent {
            "Message handed to Asterisk"
        } else {
            "Not sent: this is not one of good_status"
        });
        sheet.status = if is_sent { DONE } else { FAILED };
    } else if state < 0 {
        sheet.status = FAILED;
    }
    sheet
}

/// A sample of each event, by its name.
pub const TEST_EVENTS: [(&str, &str); 4] = [
    (
        "Newchannel",
        r#"{"event":"Newchannel","chan":"Test/8003-00000000","caller":"8003","exten":"0000","state":"DOWN"}"#,
    ),
    (
        "Newexten",
        r#"{"event":"Newexten","chan":"Test/8003-00000000","caller":"8003","exten":"0000","state":"UP","app":"Playback"}"#,
    ),
    (
        "AgentConnect",
        r#"{"event":"AgentConnect","chan":"Test/8003-00000000","caller":"8003","queue":"710","state":"UP","agent":"2222"}"#,
    ),
    (
        "Hangup",
        r#"{"event":"Hangup","chan":"Test/8003-00000000","caller":"8003","exten":"0000","state":"UP"}"#,
    ),
];

fn object(fields: &[(&str, &str)]) -> Value {
    let fields = fields.iter();
    fields
        .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
        .collect::<Map<String, Value>>()
        .into()
}

/// A moment as the old module wrote it: `Sun Nov 22 19:46:43 2026`.
fn date(unix: u64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb",
    ];
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Years that begin in March, counted from the year 0: the day that may be missing is the last.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + u64::from(month >= 10);
    let name = |names: &[&'static str], at: u64| {
        let at = usize::try_from(at).unwrap_or_default();
        names.get(at).copied().unwrap_or_default()
    };
    let (weekday, month) = (name(&WEEKDAYS, days % 7), name(&MONTHS, month));
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday} {month} {day:>2} {hour:02}:{minute:02}:{second:02} {year}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_c_does() {
        for (unix, written) in [
            (0, "Thu Jan  1 00:00:00 1970"),
            (951_782_400, "Tue Feb 29 00:00:00 2000"),
            (1_795_376_803, "Sun Nov 22 19:46:43 2026"),
            (4_107_542_399, "Sun Feb 28 23:59:59 2100"),
            (4_107_542_400, "Mon Mar  1 00:00:00 2100"),
        ] {
            assert_eq!(date(unix), written);
        }
    }
}
