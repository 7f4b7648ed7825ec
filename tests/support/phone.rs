//! A SIP phone without sound: registers, calls, answers or refuses, receives MESSAGEs.
//!
//! One socket and one thread per phone, whatever number of calls it has. The thread answers what
//! comes in; the test sends from its own thread and waits for the phone's state to change.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::asterisk::Asterisk;
use super::dialog::{Dialog, State};
use super::line::{Line, token};
use super::sip;

/// A phone that answers as it was told, until it is dropped.
#[derive(Debug)]
pub struct Phone {
    line: Arc<Line>,
    thread: Option<JoinHandle<()>>,
    // Held so that the sound of a call goes to nobody else's socket.
    _rtp: UdpSocket,
}

impl Phone {
    /// Switches a phone on; it does not register by itself.
    pub fn start(server: SocketAddr, number: &str, behaviour: Behaviour) -> Self {
        Self::start_at(0, server, number, behaviour)
    }

    /// The same on a port that Asterisk's configuration names, as the trunk's.
    pub fn start_at(port: u16, server: SocketAddr, number: &str, behaviour: Behaviour) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("a port for a phone");
        let rtp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port for its sound");
        let line = Arc::new(Line {
            number: number.to_owned(),
            port: socket.local_addr().expect("bound").port(),
            rtp_port: rtp.local_addr().expect("bound").port(),
            socket,
            server,
            state: Mutex::new(State::new(behaviour)),
            changed: Condvar::new(),
        });
        let thread = thread::spawn({
            let line = Arc::clone(&line);
            move || line.run()
        });
        Self {
            line,
            thread: Some(thread),
            _rtp: rtp,
        }
    }

    /// Switches a phone on and waits until Asterisk can call it.
    #[track_caller]
    pub fn registered(asterisk: &Asterisk, number: &str, behaviour: Behaviour) -> Self {
        let phone = Self::start(asterisk.sip_addr(), number, behaviour);
        assert_eq!(phone.register(), Some(200), "REGISTER of {number}");
        asterisk.wait_reachable(number);
        phone
    }

    /// What it does with the next calls.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.line.state().behaviour = behaviour;
    }

    /// Whether it calls the number in a 302 that answers its own INVITE. At first it does not.
    pub fn follow_redirects(&self, follow: bool) {
        self.line.state().follow_redirects = follow;
    }

    /// What it does with a REFER. At first it declines.
    pub fn on_refer(&self, answer: OnRefer) {
        self.line.state().on_refer = answer;
    }

    /// The code with which it answers MESSAGE, `None` for no answer at all. At first 200.
    pub fn on_message(&self, code: Option<u16>) {
        self.line.state().message_code = code;
    }

    /// Whether it answers OPTIONS; if not, a qualified phone becomes unreachable. At first it does.
    pub fn answer_options(&self, answer: bool) {
        self.line.state().answer_options = answer;
    }

    /// Registers for an hour; returns the code of the answer.
    pub fn register(&self) -> Option<u16> {
        self.line.register(3600)
    }

    /// Takes the registration back.
    pub fn unregister(&self) -> Option<u16> {
        self.line.register(0)
    }

    /// Calls an extension.
    pub fn call(&self, extension: &str) -> Call {
        self.call_as(&self.line.number, extension)
    }

    /// Calls with another number in From, as a trunk does.
    pub fn call_as(&self, caller: &str, extension: &str) -> Call {
        self.call_from(&self.line.from(caller), extension)
    }

    /// Calls with that From header; what it does because of this call it does with the same.
    pub fn call_from(&self, from: &str, extension: &str) -> Call {
        let index = self.line.invite(&mut self.line.state(), from, extension);
        // Its thread has to learn that there is something to repeat.
        self.line.wake();
        self.handle(index)
    }

    /// Waits for the next incoming call that no earlier `incoming` returned.
    pub fn incoming(&self, within: Duration) -> Option<Call> {
        let mut index = None;
        self.line.wait(within, |state| {
            let new = |d: &Dialog| d.direction == Direction::Incoming && !d.taken;
            index = state.dialogs.iter().position(new);
            index.is_some()
        });
        let index = index?;
        self.line.state().dialogs[index].taken = true;
        Some(self.handle(index))
    }

    /// All calls of this phone, ended ones too.
    pub fn calls(&self) -> Vec<Call> {
        let count = self.line.state().dialogs.len();
        (0..count).map(|index| self.handle(index)).collect()
    }

    /// Ends all calls that have not ended.
    pub fn hang_up(&self) {
        for call in self.calls() {
            call.hang_up();
        }
    }

    /// Sends a MESSAGE to an extension; returns the code of the answer.
    pub fn send_message(&self, extension: &str, body: &str) -> Option<u16> {
        let line = &self.line;
        let to = format!("<sip:{extension}@{}>", line.server);
        let request = line
            .request("MESSAGE", &format!("sip:{extension}@{}", line.server))
            .with(
                "From",
                format!("<sip:{}@{}>;tag={}", line.number, line.server, token()),
            )
            .with("To", to)
            .with("Call-ID", token())
            .with("CSeq", "1 MESSAGE")
            .with_body("text/plain;charset=UTF-8", body);
        line.transact(&request)
    }

    /// The MESSAGEs received so far.
    pub fn inbox(&self) -> Vec<Text> {
        self.line.state().inbox.clone()
    }

    /// Waits until so many MESSAGEs have come and returns all; fewer when the time is over.
    pub fn wait_inbox(&self, count: usize, within: Duration) -> Vec<Text> {
        self.line.wait(within, |state| state.inbox.len() >= count);
        self.inbox()
    }

    /// Every SIP message that went in or out, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.line.state().seen.clone()
    }

    /// Waits until a SIP message that came in satisfies `wanted`.
    pub fn wait_seen(&self, within: Duration, wanted: impl Fn(&str) -> bool) -> bool {
        let received = |seen: &Seen| seen.way == Way::Received && wanted(&seen.text);
        self.line
            .wait(within, |state| state.seen.iter().any(received))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.line.port).into()
    }

    fn handle(&self, index: usize) -> Call {
        Call {
            line: Arc::clone(&self.line),
            index,
        }
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.line.state().stopping = true;
        self.line.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a phone does with an incoming call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Rings and answers.
    Answer {
        /// How long it rings.
        after: Duration,
    },
    /// Rings, answers and hangs up.
    AnswerAndHangUp {
        /// How long it rings.
        after: Duration,
        /// How long it talks.
        talk: Duration,
    },
    /// Refuses with that code at once.
    Refuse(u16),
    /// Rings and refuses then.
    RingAndRefuse {
        /// How long it rings.
        after: Duration,
        /// The code of the refusal.
        code: u16,
    },
    /// Rings until the caller gives up, or until [`Call::answer`].
    Ring,
    /// Says nothing at all.
    Ignore,
}

impl Behaviour {
    /// Rings for a moment and answers.
    pub const ANSWER: Self = Self::Answer {
        after: Duration::from_millis(50),
    };
    /// 486.
    pub const BUSY: Self = Self::Refuse(486);
    /// 603.
    pub const REJECT: Self = Self::Refuse(603);
    /// 404.
    pub const NOT_FOUND: Self = Self::Refuse(404);
    /// 480.
    pub const UNAVAILABLE: Self = Self::Refuse(480);
}

/// What a phone does with a REFER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRefer {
    /// Answers 603.
    Decline,
    /// Answers 202 and a NOTIFY with that code, and calls nobody.
    Notify(u16),
    /// Answers 202, calls the number in it, and says in a NOTIFY what came of it.
    Follow,
    /// Answers 202 and never sends a NOTIFY.
    Silence,
}

/// Where a call has been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The INVITE was sent or has come.
    Calling,
    /// 180 or 183 was sent or has come.
    Ringing,
    /// 200 was sent or has come.
    Answered,
    /// Refused, cancelled or hung up.
    Ended,
}

/// Who sent the INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The other side.
    Incoming,
    /// This phone.
    Outgoing,
}

/// One call of a phone.
#[derive(Debug, Clone)]
pub struct Call {
    line: Arc<Line>,
    index: usize,
}

impl Call {
    /// Waits until the call has come to that stage, also one that it has left again. `false` when
    /// the time is over, or at once when the call has ended and can no longer come there.
    pub fn wait(&self, stage: Stage, within: Duration) -> bool {
        self.line.wait(within, |state| {
            let stages = &state.dialogs[self.index].stages;
            stages
                .iter()
                .any(|(s, _)| *s == stage || *s == Stage::Ended)
        });
        self.stages().iter().any(|(s, _)| *s == stage)
    }

    /// The stages so far and when they began.
    pub fn stages(&self) -> Vec<(Stage, Instant)> {
        self.with(|dialog| dialog.stages.clone())
    }

    /// The stage it is in.
    pub fn stage(&self) -> Stage {
        self.with(|dialog| dialog.stage())
    }

    /// Who called.
    pub fn direction(&self) -> Direction {
        self.with(|dialog| dialog.direction)
    }

    /// The number of the other side: whom it called, or the caller as Asterisk said it.
    pub fn number(&self) -> String {
        self.with(|dialog| sip::user(&dialog.remote).to_owned())
    }

    /// The name of the other side beside that number, as a display shows it.
    pub fn name(&self) -> String {
        self.with(|dialog| sip::display_name(&dialog.remote).to_owned())
    }

    /// Whether Asterisk has said that it got the INVITE; a CANCEL before that is for nobody.
    pub fn wait_trying(&self, within: Duration) -> bool {
        self.line
            .wait(within, |state| state.dialogs[self.index].again.is_none())
    }

    /// The INVITE, as it was on the wire.
    pub fn invite(&self) -> String {
        self.with(|dialog| dialog.invite.encode())
    }

    /// The code that ended the INVITE, once there is one.
    pub fn code(&self) -> Option<u16> {
        self.with(|dialog| dialog.code)
    }

    /// The Contact of a 302.
    pub fn redirected_to(&self) -> Option<String> {
        self.with(|dialog| dialog.redirected_to.clone())
    }

    /// The Refer-To of a REFER that came in this call.
    pub fn referred_to(&self) -> Option<String> {
        self.with(|dialog| dialog.referred_to.clone())
    }

    /// Waits for the call that this phone made because of a 302 or a REFER.
    pub fn followed_by(&self, within: Duration) -> Option<Self> {
        self.line.wait(within, |state| {
            state.dialogs[self.index].followed_by.is_some()
        });
        let index = self.with(|dialog| dialog.followed_by)?;
        Some(Self {
            line: Arc::clone(&self.line),
            index,
        })
    }

    /// Answers a call that rings.
    pub fn answer(&self) {
        let mut state = self.line.state();
        self.line.answer(&mut state, self.index);
    }

    /// Hangs up, cancels or declines, whatever there is to end.
    pub fn hang_up(&self) {
        let mut state = self.line.state();
        self.line.hang_up(&mut state, self.index);
    }

    /// Transfers the other side to an extension, blindly.
    pub fn refer(&self, extension: &str) {
        let line = &self.line;
        let mut state = line.state();
        let request = line
            .in_dialog(&mut state.dialogs[self.index], "REFER")
            .with("Refer-To", format!("<sip:{extension}@{}>", line.server))
            .with(
                "Referred-By",
                format!("<sip:{}@{}>", line.number, line.server),
            );
        line.send(&mut state, &request);
    }

    fn with<T>(&self, look: impl FnOnce(&Dialog) -> T) -> T {
        look(&self.line.state().dialogs[self.index])
    }
}

/// A MESSAGE that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The whole From header.
    pub from: String,
    /// The whole Content-Type header.
    pub content_type: String,
    /// What it says.
    pub body: String,
}

/// Which way a SIP message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From this phone.
    Sent,
    /// To this phone.
    Received,
}

/// A SIP message as it was on the wire.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// Whence.
    pub way: Way,
    /// The whole text.
    pub text: String,
}
