//! A small blocking AMI client: what a test sees of Asterisk without salara's help.
//!
//! A thread reads frames into one list; the test looks into the list and waits for it to grow.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A logged-in AMI session.
#[derive(Debug)]
pub struct Ami {
    socket: TcpStream,
    inbox: Arc<Inbox>,
    reader: Option<JoinHandle<()>>,
    actions: u32,
    mark: usize,
}

impl Ami {
    /// Connects and logs in; the error is Asterisk's sentence or the system's.
    pub fn login(addr: SocketAddr, user: &str, secret: &str) -> Result<Self, String> {
        let socket = TcpStream::connect_timeout(&addr, PATIENCE).map_err(|e| e.to_string())?;
        // A write to an Asterisk that has stopped reading must not hang the test.
        socket
            .set_write_timeout(Some(PATIENCE))
            .map_err(|e| e.to_string())?;
        let inbox = Arc::new(Inbox::default());
        let reader = thread::spawn({
            let inbox = Arc::clone(&inbox);
            let input = BufReader::new(socket.try_clone().map_err(|e| e.to_string())?);
            move || inbox.fill(input)
        });
        let mut ami = Self {
            socket,
            inbox,
            reader: Some(reader),
            actions: 0,
            mark: 0,
        };
        let login = [("Action", "Login"), ("Username", user), ("Secret", secret)];
        let answer = ami
            .try_action(&login, PATIENCE)
            .ok_or("no answer to Login")?;
        match answer.get("Response") {
            "Success" => Ok(ami),
            _ => Err(answer.get("Message").to_owned()),
        }
    }

    /// Sends an action and returns its response.
    #[track_caller]
    pub fn action(&mut self, headers: &[(&str, &str)]) -> Frame {
        // Originate without Async answers only when the call was answered.
        match self.try_action(headers, PATIENCE * 6) {
            Some(frame) => frame,
            None => panic!("no response to {headers:?}"),
        }
    }

    /// Sends an action that is answered by a list: its items, without response and completion.
    #[track_caller]
    pub fn list(&mut self, headers: &[(&str, &str)]) -> Vec<Frame> {
        let from = self.inbox.len();
        let response = self.action(headers);
        if response.get("EventList") != "start" {
            return Vec::new();
        }
        let id = response.get("ActionID").to_owned();
        let complete = |frame: &Frame| {
            frame.get("ActionID") == id && frame.get("EventList").eq_ignore_ascii_case("complete")
        };
        if self.inbox.wait(from, PATIENCE, complete).is_none() {
            panic!("{headers:?}: the list never ended");
        }
        let mut items = self.inbox.since(from);
        items.retain(|f| f.has("Event") && f.get("ActionID") == id && !f.has("EventList"));
        items
    }

    /// Forgets the events so far: [`Ami::wait_event`] and [`Ami::events`] see only later ones.
    pub fn mark(&mut self) {
        self.mark = self.inbox.len();
    }

    /// The events since the last mark, in order of arrival.
    pub fn events(&self) -> Vec<Frame> {
        let mut frames = self.inbox.since(self.mark);
        frames.retain(|frame| frame.has("Event"));
        frames
    }

    /// Waits until an event since the last mark satisfies `wanted`; it is not taken out.
    pub fn wait_event(&self, within: Duration, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        self.inbox.wait(self.mark, within, |frame| {
            frame.has("Event") && wanted(frame)
        })
    }

    /// The state of an extension in context `alnik`, as its number.
    #[track_caller]
    pub fn extension_state(&mut self, extension: &str) -> i32 {
        let state = [
            ("Action", "ExtensionState"),
            ("Exten", extension),
            ("Context", "alnik"),
        ];
        let frame = self.action(&state);
        frame
            .get("Status")
            .parse()
            .unwrap_or_else(|_| panic!("no Status in {frame:?}"))
    }

    /// Waits until the extension is in that state; on failure the state it is in instead.
    #[track_caller]
    pub fn wait_extension_state(
        &mut self,
        extension: &str,
        wanted: i32,
        within: Duration,
    ) -> Result<(), i32> {
        let deadline = Instant::now() + within;
        // Ask after each event: the change may have come before the first question.
        loop {
            let seen = self.inbox.len();
            let state = self.extension_state(extension);
            if state == wanted {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(state);
            }
            self.inbox.wait(seen, left, |frame| {
                frame.is("ExtensionStatus") && frame.get("Exten") == extension
            });
        }
    }

    /// All channels, without the pseudo channel that carries MESSAGEs.
    #[track_caller]
    pub fn channels(&mut self) -> Vec<Channel> {
        self.list(&[("Action", "CoreShowChannels")])
            .iter()
            .filter(|f| f.is("CoreShowChannel") && !f.get("Channel").starts_with("Message/"))
            .map(Channel::new)
            .collect()
    }

    /// Waits until the channels satisfy `wanted`; on failure those there are instead.
    pub fn wait_channels(
        &mut self,
        within: Duration,
        wanted: impl Fn(&[Channel]) -> bool,
    ) -> Result<Vec<Channel>, Vec<Channel>> {
        let deadline = Instant::now() + within;
        loop {
            let seen = self.inbox.len();
            let channels = self.channels();
            if wanted(&channels) {
                return Ok(channels);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(channels);
            }
            // Any event of a channel may be the change; one may also have been missed by a hair.
            let step = left.min(Duration::from_millis(200));
            self.inbox
                .wait(seen, step, |f| f.has("Event") && f.has("Uniqueid"));
        }
    }

    /// Whether Asterisk has closed the session.
    pub fn wait_closed(&self, within: Duration) -> bool {
        self.inbox.wait_closed(within)
    }

    fn try_action(&mut self, headers: &[(&str, &str)], within: Duration) -> Option<Frame> {
        self.actions += 1;
        let id = format!("lab-{}", self.actions);
        let from = self.inbox.len();
        let mut bytes = String::new();
        for (key, value) in headers.iter().chain([&("ActionID", id.as_str())]) {
            assert!(
                !value.contains(['\r', '\n']),
                "{key}: {value:?} is more than one line"
            );
            bytes += &format!("{key}: {value}\r\n");
        }
        bytes += "\r\n";
        self.socket.write_all(bytes.as_bytes()).ok()?;
        self.inbox.wait(from, within, |frame| {
            frame.has("Response") && !frame.has("Event") && frame.get("ActionID") == id
        })
    }
}

impl Drop for Ami {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// One event or response: its headers in order, equal keys repeated.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// Keys and values as they came.
    pub headers: Vec<(String, String)>,
}

impl Frame {
    /// The value of the first header with that key, or nothing.
    pub fn get(&self, key: &str) -> &str {
        self.find(key).unwrap_or_default()
    }

    /// Whether there is such a header, even an empty one.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Whether it is that event.
    pub fn is(&self, event: &str) -> bool {
        self.get("Event") == event
    }

    /// All values of a key that may be repeated.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let same = move |(k, _): &&(String, String)| k.eq_ignore_ascii_case(key);
        self.headers
            .iter()
            .filter(same)
            .map(|(_, value)| value.as_str())
    }

    fn find(&self, key: &str) -> Option<&str> {
        let same = |(k, _): &&(String, String)| k.eq_ignore_ascii_case(key);
        self.headers
            .iter()
            .find(same)
            .map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self
            .headers
            .iter()
            .map(|(k, v)| format!("{k}: {v}"))
            .collect();
        write!(f, "[{}]", lines.join(" | "))
    }
}

/// A channel as CoreShowChannels lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// For example `PJSIP/8003-00000001`.
    pub name: String,
    /// Asterisk's own name for it.
    pub uniqueid: String,
    /// The Uniqueid of the call that this channel belongs to.
    pub linkedid: String,
    /// `Up`, `Ring`, `Ringing`, `Down`, …
    pub state: String,
    /// The bridge it is in, or nothing.
    pub bridge: String,
    /// The dialplan application that it runs, or nothing.
    pub application: String,
    /// The extension that it is at.
    pub extension: String,
}

impl Channel {
    fn new(frame: &Frame) -> Self {
        let value = |key| frame.get(key).to_owned();
        Self {
            name: value("Channel"),
            uniqueid: value("Uniqueid"),
            linkedid: value("Linkedid"),
            state: value("ChannelStateDesc"),
            bridge: value("BridgeId"),
            application: value("Application"),
            extension: value("Exten"),
        }
    }

    /// Whether it belongs to that phone, whatever the technology.
    pub fn is_of(&self, phone: &str) -> bool {
        self.name
            .split_once('/')
            .is_some_and(|(_, rest)| rest.starts_with(&format!("{phone}-")))
    }

    /// Whether both talk to each other.
    pub fn is_bridged_with(&self, other: &Self) -> bool {
        self.state == "Up"
            && other.state == "Up"
            && !self.bridge.is_empty()
            && self.bridge == other.bridge
            && self.linkedid == other.linkedid
    }
}

/// Whether these two phones are among the channels and talk to each other.
pub fn bridged(channels: &[Channel], one: &str, other: &str) -> bool {
    let of = |phone| channels.iter().find(move |channel| channel.is_of(phone));
    match (of(one), of(other)) {
        (Some(one), Some(other)) => one.is_bridged_with(other),
        _ => false,
    }
}

#[derive(Debug, Default)]
struct Inbox {
    frames: Mutex<Frames>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Frames {
    list: Vec<Frame>,
    closed: bool,
}

impl Inbox {
    fn fill(&self, mut input: impl BufRead) {
        let mut headers = Vec::new();
        let mut line = Vec::new();
        while input.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line);
            match text.trim_end_matches(['\r', '\n']).split_once(':') {
                Some((key, value)) => {
                    let value = value.strip_prefix(' ').unwrap_or(value);
                    headers.push((key.to_owned(), value.to_owned()));
                }
                // The banner has no colon, an empty line ends a frame, two of them end it as well.
                None if headers.is_empty() => {}
                None => self.put(Frame {
                    headers: std::mem::take(&mut headers),
                }),
            }
            line.clear();
        }
        self.frames.lock().unwrap().closed = true;
        self.grown.notify_all();
    }

    fn put(&self, frame: Frame) {
        self.frames.lock().unwrap().list.push(frame);
        self.grown.notify_all();
    }

    fn len(&self) -> usize {
        self.frames.lock().unwrap().list.len()
    }

    fn since(&self, from: usize) -> Vec<Frame> {
        self.frames
            .lock()
            .unwrap()
            .list
            .get(from..)
            .unwrap_or_default()
            .to_vec()
    }

    fn wait(
        &self,
        mut from: usize,
        within: Duration,
        wanted: impl Fn(&Frame) -> bool,
    ) -> Option<Frame> {
        let deadline = Instant::now() + within;
        let mut frames = self.frames.lock().unwrap();
        loop {
            if let Some(frame) = frames.list.iter().skip(from).find(|frame| wanted(frame)) {
                return Some(frame.clone());
            }
            from = from.max(frames.list.len());
            let left = deadline.saturating_duration_since(Instant::now());
            if frames.closed || left.is_zero() {
                return None;
            }
            frames = self.grown.wait_timeout(frames, left).unwrap().0;
        }
    }

    fn wait_closed(&self, within: Duration) -> bool {
        let frames = self.frames.lock().unwrap();
        let open = |frames: &mut Frames| !frames.closed;
        self.grown
            .wait_timeout_while(frames, within, open)
            .unwrap()
            .0
            .closed
    }
}

/// How long Asterisk may take to answer on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(10);
