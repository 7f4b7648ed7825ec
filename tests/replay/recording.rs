//! A recording of the original module as a test plays it: what Asterisk said and when, what was
//! asked for meanwhile, and what the CRM got.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use salara::api::{self, Request};
use salara::config::Config;
use serde_json::Value;

/// Time of the recorded clock.
pub type Clock = Duration;

/// A scenario.
#[derive(Debug)]
pub struct Recording {
    pub name: String,
    pub config: Config,
    /// What Asterisk sent.
    pub pieces: Vec<Piece>,
    /// What was asked for meanwhile, in order of time.
    pub acts: Vec<(Clock, Act)>,
    /// The bodies the CRM got, in order.
    pub posts: Vec<String>,
}

/// Bytes that came together.
#[derive(Clone, Debug)]
pub struct Piece {
    pub at: Clock,
    pub bytes: Vec<u8>,
}

/// What salara does while Asterisk talks.
#[derive(Debug)]
pub enum Act {
    Call(Call),
    Incoming(Incoming),
}

/// A call that the dialplan gave to the module.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub channel: String,
    pub uniqueid: String,
    pub caller: String,
    pub context: String,
    pub extension: String,
    /// What the CRM was asked and said; none where nobody was there.
    pub asked: Option<Asked>,
    /// Where the module sent the caller, if anywhere.
    pub sent_to: Option<String>,
}

/// An exchange with the CRM about a caller.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub body: Vec<u8>,
    /// The bytes of the answer.
    pub answer: Vec<u8>,
}

/// A call over REST.
#[derive(Debug)]
pub struct Call {
    pub request: Request,
    pub operator: String,
    pub phone: String,
    /// What the client was told.
    pub reply: String,
    /// The operator's state in it.
    pub state: i32,
    pub text: String,
    /// The id Asterisk gave the operator's channel; none where there never was one.
    pub leg: Option<String>,
}

/// The scenarios below `tests/golden`: those with something Asterisk said, and the others.
pub fn scenarios() -> (Vec<String>, Vec<String>) {
    let folder = fs::read_dir(folder()).unwrap();
    let mut names: Vec<String> = folder
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
        .into_iter()
        .partition(|name| folder_of(name).join("ami.txt").exists())
}

impl Recording {
    pub fn read(name: &str) -> Self {
        let parsed = Config::parse(&text(name, "salara.conf").unwrap());
        assert!(!parsed.has_errors(), "{name}: {:?}", parsed.problems);
        let config = parsed.config;
        let pieces = pieces(name);
        let mut acts: Vec<(Clock, Act)> = calls(name, &config, &pieces);
        acts.extend(incoming(name, &pieces));
        acts.sort_by_key(|(at, _)| *at);
        let posts = jsonl(name, "crm.jsonl")
            .iter()
            .filter(|request| request["path"] == "/event")
            .map(|request| String::from_utf8(latin1(&request["body"])).unwrap())
            .collect();
        Self {
            name: name.to_owned(),
            config,
            pieces,
            acts,
            posts,
        }
    }

    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.acts.iter().filter_map(|(_, act)| match act {
            Act::Call(call) => Some(call),
            Act::Incoming(_) => None,
        })
    }

    pub fn incoming(&self) -> impl Iterator<Item = &Incoming> {
        self.acts.iter().filter_map(|(_, act)| match act {
            Act::Call(_) => None,
            Act::Incoming(incoming) => Some(incoming),
        })
    }

    pub fn transfers(&self) -> usize {
        let sent = self.incoming().filter(|call| call.sent_to.is_some());
        sent.count()
    }
}

/// `ami.times` names the first line of each piece.
fn pieces(name: &str) -> Vec<Piece> {
    let bytes = fs::read(folder_of(name).join("ami.txt")).unwrap();
    let times: HashMap<usize, Clock> = text(name, "ami.times")
        .unwrap()
        .lines()
        .map(|line| {
            let (line, at) = line.split_once(' ').unwrap();
            (line.parse().unwrap(), clock(at.parse().unwrap()))
        })
        .collect();
    assert!(times.contains_key(&1), "{name}: the banner has no time");
    let mut pieces: Vec<Piece> = Vec::new();
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if let Some(at) = times.get(&(index + 1)) {
            pieces.push(Piece {
                at: *at,
                bytes: Vec::new(),
            });
        }
        pieces.last_mut().unwrap().bytes.extend_from_slice(line);
    }
    assert_eq!(
        pieces.len(),
        times.len(),
        "{name}: a time for a line that is not there"
    );
    pieces
}

/// The calls that salara would have set up, too: it refuses what has line breaks in it.
fn calls(name: &str, config: &Config, pieces: &[Piece]) -> Vec<(Clock, Act)> {
    let mut legs = operator_legs(pieces);
    let mut calls = Vec::new();
    for exchange in jsonl(name, "rest.jsonl") {
        let bytes = latin1(&exchange["request"]);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else { continue };
        let (head, body) = (String::from_utf8_lossy(&bytes[..end]), &bytes[end + 4..]);
        let target = head.split(' ').nth(1).unwrap_or("/");
        let Ok(request) = api::parse(target, body, &config.keys) else {
            continue;
        };
        let Request::Call {
            operator, phone, ..
        } = &request
        else {
            continue;
        };
        let Ok(reply) = serde_json::from_str::<Value>(exchange["response"].as_str().unwrap())
        else {
            continue;
        };
        let state = i32::try_from(reply["result"].as_i64().unwrap()).unwrap();
        let at = clock(exchange["t"].as_f64().unwrap());
        let device = format!("SIP/{}-", operator.as_str());
        let is_good = config.url.good_status.contains(state);
        let leg = legs.iter().position(|(since, channel, _)| {
            is_good && channel.starts_with(&device) && *since >= at && *since < at + AT_ONCE
        });
        let call = Call {
            operator: operator.as_str().to_owned(),
            phone: phone.as_str().to_owned(),
            reply: exchange["response"].as_str().unwrap().to_owned(),
            state,
            text: reply["text"].as_str().unwrap().to_owned(),
            leg: leg.map(|leg| legs.remove(leg).2),
            request,
        };
        calls.push((at, Act::Call(call)));
    }
    calls
}

/// How soon after a request Asterisk rings the operator.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The channels that begin at `s`: when, their name and their id.
fn operator_legs(pieces: &[Piece]) -> Vec<(Clock, String, String)> {
    let legs = events(pieces).into_iter().filter(|(_, event)| {
        let is = |key: &str, value: &str| event.get(key).is_some_and(|v| v == value);
        is("Event", "Newchannel") && is("Exten", "s")
    });
    legs.map(|(at, event)| (at, event["Channel"].clone(), event["Uniqueid"].clone()))
        .collect()
}

/// Whatever Asterisk said, by its headers.
fn events(pieces: &[Piece]) -> Vec<(Clock, HashMap<String, String>)> {
    let mut events = Vec::new();
    let mut event: HashMap<String, String> = HashMap::new();
    for piece in pieces {
        for line in String::from_utf8_lossy(&piece.bytes).lines() {
            if let Some((key, value)) = line.split_once(':') {
                event.insert(key.to_owned(), value.trim_start().to_owned());
            } else if line.is_empty() {
                events.push((piece.at, std::mem::take(&mut event)));
            }
        }
    }
    events
}

/// The calls of the module's application, each with what the CRM said and where the caller was sent.
/// One that was sent somewhere counts from that moment.
fn incoming(name: &str, pieces: &[Piece]) -> Vec<(Clock, Act)> {
    let (mut transfers, mut exchanges) = (transfers(name), lookups(name));
    let mut calls = Vec::new();
    for (at, event) in events(pieces) {
        let is = |key: &str, value: &str| event.get(key).is_some_and(|v| v == value);
        // Without an argument the module did nothing; AGI has none to leave out.
        let starts = is("Event", "Newexten") && is("Application", "salara");
        if !starts || is("AppData", "") {
            continue;
        }
        let caller = event["CallerIDNum"].clone();
        let mut take = transfers.iter().position(|(_, who, _)| *who == caller);
        let sent = take.take().map(|at| transfers.remove(at));
        let asked = exchanges.iter().position(|(who, _)| *who == caller);
        let call = Incoming {
            channel: event["Channel"].clone(),
            uniqueid: event["Uniqueid"].clone(),
            context: event["Context"].clone(),
            extension: event["Exten"].clone(),
            asked: asked.map(|at| exchanges.remove(at).1),
            sent_to: sent.as_ref().map(|(_, _, target)| target.clone()),
            caller,
        };
        calls.push((sent.map_or(at, |(at, ..)| at), Act::Incoming(call)));
    }
    assert!(transfers.is_empty(), "{name}: who was sent? {transfers:?}");
    assert!(exchanges.is_empty(), "{name}: who was asked about?");
    calls
}

/// What the CRM was asked about callers, with the caller.
fn lookups(name: &str) -> Vec<(String, Asked)> {
    let exchanges = jsonl(name, "crm.jsonl");
    let exchanges = exchanges.iter().filter_map(|exchange| {
        let text = |key: &str| exchange[key].as_str().unwrap_or_default().to_owned();
        let (path, body) = (text("path"), latin1(&exchange["body"]));
        let caller = match path.split_once("?phone=") {
            Some((_, caller)) => caller.to_owned(),
            None if path == "/phone" => {
                let body: Value = serde_json::from_slice(&body).unwrap();
                body["phone"].as_str().unwrap().to_owned()
            }
            None => return None,
        };
        let asked = Asked {
            method: text("method"),
            path,
            body,
            answer: latin1(&exchange["answer"]),
        };
        Some((caller, asked))
    });
    exchanges.collect()
}

/// The callers that Asterisk sent elsewhere: by a 302 before an answer, by a REFER after it. Not
/// those of whom the CRM was never asked, although it was there: they were not the module's.
fn transfers(name: &str) -> Vec<(Clock, String, String)> {
    let crm = jsonl(name, "crm.jsonl");
    let asked: HashSet<String> = crm
        .iter()
        .filter_map(|request| {
            let path = request["path"].as_str()?;
            match path.split_once("?phone=") {
                Some((_, caller)) => Some(caller.to_owned()),
                None if path == "/phone" => {
                    let body: Value = serde_json::from_slice(&latin1(&request["body"])).ok()?;
                    body["phone"].as_str().map(str::to_owned)
                }
                None => None,
            }
        })
        .collect();
    let mut transfers = Vec::new();
    for packet in jsonl(name, "sip.jsonl") {
        if packet["dir"] != "<" {
            continue;
        }
        let message = packet["msg"].as_str().unwrap();
        let (caller, target) = if message.starts_with("SIP/2.0 302 ") {
            (user(message, "From: "), user(message, "Contact: "))
        } else if message.starts_with("REFER ") {
            (user(message, "To: "), user(message, "Refer-To: "))
        } else {
            continue;
        };
        if !crm.is_empty() && !asked.contains(&caller) {
            continue;
        }
        let at = clock(packet["t"].as_f64().unwrap());
        transfers.push((at, caller, target));
    }
    transfers
}

/// The user part of the address in a SIP header.
fn user(message: &str, header: &str) -> String {
    let line = message.lines().find(|line| line.starts_with(header));
    let (_, address) = line.unwrap().split_once("sip:").unwrap();
    address.split_once('@').unwrap().0.to_owned()
}

fn clock(epoch: f64) -> Clock {
    Duration::from_secs_f64(epoch)
}

/// Bytes are recorded as the characters of Latin-1.
fn latin1(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    text.chars().map(|c| u8::try_from(c).unwrap()).collect()
}

/// The lines of a file; none where there is no such file.
fn jsonl(name: &str, file: &str) -> Vec<Value> {
    let text = text(name, file).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text(name: &str, file: &str) -> Option<String> {
    fs::read_to_string(folder_of(name).join(file)).ok()
}

fn folder_of(name: &str) -> PathBuf {
    folder().join(name)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}
