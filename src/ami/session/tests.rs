//! The session against an Asterisk that a test plays, in a test's own time.

use super::*;

mod answers;
mod dialogue;
mod link;
mod login;
mod watch;

/// The greeting of Asterisk 22.
const BANNER: &str = "Asterisk Call Manager/11.0.0\r\n";
/// What a booted Asterisk sends behind an accepted login.
const FULLY_BOOTED: [&str; 3] = [
    "Event: FullyBooted",
    "Privilege: system,all",
    "Status: Fully Booted",
];

#[expect(clippy::disallowed_methods, reason = "every test begins somewhere")]
fn start() -> Instant {
    Instant::now()
}

fn credentials() -> Credentials {
    Credentials {
        user: "salara".into(),
        secret: Secret::new("secret22"),
    }
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A session, the Asterisk at its other end, and the clock of both.
struct Play {
    session: Session,
    now: Instant,
    /// What the session wanted or told, and no test has looked at yet.
    outputs: VecDeque<Output>,
}

const VERSION: [&str; 2] = ["Response: Success", "AsteriskVersion: 22.10.1"];

const COMMANDS: [&str; 3] = [
    "Response: Success",
    "SIPpeerstatus: x",
    "PJSIPShowEndpoint: x",
];

impl Play {
    /// Nobody has connected yet.
    fn begin() -> Self {
        let now = start();
        let instance = Instance::new(0x65f2_a01c, 1001);
        Self {
            session: Session::new(instance, "system,call", 7, now),
            now,
            outputs: VecDeque::new(),
        }
    }

    /// The connection stands, and Asterisk has said nothing yet.
    fn connected() -> Self {
        let mut play = Self::begin();
        play.connect();
        play
    }

    /// The link is up on both dialects, and nothing is pending.
    fn up() -> Self {
        let mut play = Self::connected();
        play.log_in();
        assert!(play.session.is_up());
        play
    }

    /// Waits until the session connects, and lets it.
    fn connect(&mut self) {
        let at = self.session.poll_timeout().unwrap();
        self.wait_until(at.max(self.now));
        assert_eq!(self.outputs.pop_back(), Some(Output::Connect));
        self.session.handle_connected(credentials(), self.now);
        self.drain();
    }

    /// Plays a login from the banner to `Up`, and looks away.
    fn log_in(&mut self) {
        self.sends(BANNER.as_bytes());
        self.answer("Challenge", &["Response: Success", "Challenge: 13828689"]);
        self.answer("Login", &["Response: Success"]);
        self.says(&FULLY_BOOTED);
        self.probe();
        self.outputs.clear();
    }

    /// Answers both questions of the probe as an Asterisk with chan_sip and PJSIP.
    #[track_caller]
    fn probe(&mut self) {
        let probe = self.actions();
        assert_eq!(names(&probe), ["CoreSettings", "ListCommands"]);
        self.says(&with_id(&VERSION, &probe[0].id));
        self.says(&with_id(&COMMANDS, &probe[1].id));
    }

    /// Asterisk answers the one action it has been sent.
    #[track_caller]
    fn answer(&mut self, action: &str, lines: &[&str]) {
        let sent = self.actions();
        assert_eq!(names(&sent), [action]);
        self.says(&with_id(lines, &sent[0].id));
    }

    /// Asterisk sends a message.
    fn says<L: AsRef<str>>(&mut self, lines: &[L]) {
        self.sends(&packet(lines));
    }

    /// Asterisk sends bytes.
    fn sends(&mut self, bytes: &[u8]) {
        self.session.handle_bytes(bytes, self.now);
        self.drain();
    }

    /// The engine asks.
    fn ask(&mut self, ask: u32, action: &Action) {
        self.session.ask(Ask(ask), action, self.now);
        self.drain();
    }

    /// Everything that was written since the last look, as actions.
    fn actions(&mut self) -> Vec<Sent> {
        let bytes = self.session.outgoing().to_vec();
        self.session.sent(bytes.len());
        assert_eq!(self.session.outgoing(), b"");
        actions(&bytes)
    }

    /// Lets time pass. Each deadline on the way is met on time, and moves.
    fn wait(&mut self, time: Duration) {
        self.wait_until(self.now + time);
    }

    fn wait_until(&mut self, end: Instant) {
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            self.drain();
            let next = self.session.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a busy loop");
        }
        self.now = end;
        self.session.handle_timeout(end);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            self.outputs.push_back(output);
        }
    }

    /// All that was wanted or told since the last look.
    fn outputs(&mut self) -> Vec<Output> {
        self.outputs.drain(..).collect()
    }

    /// The same, in short.
    fn told(&mut self) -> Vec<String> {
        self.outputs
            .drain(..)
            .map(|output| brief(&output))
            .collect()
    }

    /// The next ask's answer; whatever else was told is passed over.
    fn done(&mut self) -> Option<(u32, Result<Response, ActionError>)> {
        loop {
            if let Output::Done(ask, result) = self.outputs.pop_front()? {
                return Some((ask.0, result));
            }
        }
    }

    /// How long the session means to wait before it connects again.
    fn pause(&self) -> Duration {
        assert!(matches!(self.session.state, State::Waiting { .. }));
        self.session.poll_timeout().unwrap() - self.now
    }
}

/// An action as Asterisk reads it.
#[derive(Debug)]
struct Sent {
    name: String,
    id: String,
    lines: Vec<String>,
}

impl Sent {
    fn has(&self, line: &str) -> bool {
        self.lines.iter().any(|l| l == line)
    }

    fn mentions(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.contains(text))
    }
}

fn actions(bytes: &[u8]) -> Vec<Sent> {
    let text = std::str::from_utf8(bytes).unwrap();
    let packets: Vec<&str> = text.split_terminator("\r\n\r\n").collect();
    assert!(text.is_empty() || text.ends_with("\r\n\r\n"), "{text:?}");
    let sent = packets.into_iter().map(|packet| {
        let lines: Vec<String> = packet.split("\r\n").map(String::from).collect();
        let value = |at: usize, key: &str| lines[at].strip_prefix(key).unwrap().to_owned();
        Sent {
            name: value(0, "Action: "),
            id: value(1, "ActionID: "),
            lines,
        }
    });
    sent.collect()
}

fn names(actions: &[Sent]) -> Vec<&str> {
    actions.iter().map(|sent| sent.name.as_str()).collect()
}

fn packet<L: AsRef<str>>(lines: &[L]) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    for line in lines {
        bytes.extend_from_slice(line.as_ref().as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// The message with its ActionID where Asterisk puts it.
fn with_id(lines: &[&str], id: &str) -> Vec<String> {
    let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    lines.insert(1, format!("ActionID: {id}"));
    lines
}

/// An output in a few words.
fn brief(output: &Output) -> String {
    match output {
        Output::Connect => "connect".into(),
        Output::Disconnect => "disconnect".into(),
        Output::Up(_) => "up".into(),
        Output::Down => "down".into(),
        Output::Event(event) => format!("{event:?}"),
        Output::Done(ask, Ok(response)) => {
            let head = response.head.message();
            let how = if response.success { "yes" } else { "no" };
            let items = response.items.len();
            format!("{}: {how} {:?} + {items}", ask.0, head.text("Message"))
        }
        Output::Done(ask, Err(error)) => format!("{}: {error:?}", ask.0),
        Output::Note(note) => note.to_string(),
    }
}

fn state_of(extension: &str) -> Action {
    Action::ExtensionState {
        extension: crate::value::Name::new(extension).unwrap(),
        context: crate::value::Name::new("alnik").unwrap(),
    }
}

fn status_of(channel: &str) -> Action {
    Action::Status {
        channel: crate::value::Name::new(channel).unwrap(),
    }
}

fn peer(name: &str) -> Action {
    Action::SipPeerStatus {
        peer: crate::value::Name::new(name).unwrap(),
    }
}
