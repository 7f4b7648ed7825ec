//! A SIP phone without sound: registers, calls, answers or refuses, receives MESSAGEs.
//!
//! One socket and one thread per phone. The thread answers what comes in; the test sends from its
//! own thread and waits for the phone's state to change. Timers are set by the thread alone; an
//! empty datagram from the phone to itself wakes it when it shall end.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::asterisk::Asterisk;
use super::sip::{self, Message};

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
        let mut state = self.line.state();
        let index = self.line.invite(&mut state, caller, extension);
        self.line.handle(index)
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
        Some(self.line.handle(index))
    }

    /// All calls of this phone, ended ones too.
    pub fn calls(&self) -> Vec<Call> {
        let count = self.line.state().dialogs.len();
        (0..count).map(|index| self.line.handle(index)).collect()
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
    /// Answers 202 and a NOTIFY that says 200, and calls nobody.
    Accept,
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
        Some(self.line.handle(index))
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

#[derive(Debug)]
struct Line {
    number: String,
    port: u16,
    rtp_port: u16,
    socket: UdpSocket,
    server: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    follow_redirects: bool,
    on_refer: OnRefer,
    message_code: Option<u16>,
    answer_options: bool,
    stopping: bool,
    dialogs: Vec<Dialog>,
    /// Final answers to our requests other than INVITE.
    answers: Vec<Message>,
    inbox: Vec<Text>,
    seen: Vec<Seen>,
}

impl State {
    fn new(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            follow_redirects: false,
            on_refer: OnRefer::Decline,
            message_code: Some(200),
            answer_options: true,
            stopping: false,
            dialogs: Vec::new(),
            answers: Vec::new(),
            inbox: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn find(&self, message: &Message) -> Option<usize> {
        let id = message.get("Call-ID");
        self.dialogs.iter().position(|dialog| dialog.call_id == id)
    }
}

#[derive(Debug)]
struct Dialog {
    direction: Direction,
    call_id: String,
    /// Our From header and theirs, with tags.
    local: String,
    remote: String,
    /// Where requests inside the dialog go.
    target: String,
    cseq: u32,
    /// The INVITE that made the dialog: CANCEL and ACK repeat it, responses answer it.
    invite: Message,
    /// The last response to it, for a caller that asks again.
    response: Option<Message>,
    stages: Vec<(Stage, Instant)>,
    code: Option<u16>,
    redirected_to: Option<String>,
    referred_to: Option<String>,
    followed_by: Option<usize>,
    /// The call in which a REFER asked for this one.
    referrer: Option<usize>,
    timer: Option<(Instant, Due)>,
    taken: bool,
}

impl Dialog {
    fn new(direction: Direction, invite: Message) -> Self {
        Self {
            direction,
            call_id: invite.get("Call-ID").to_owned(),
            local: invite.get("From").to_owned(),
            remote: invite.get("To").to_owned(),
            target: String::new(),
            cseq: 1,
            invite,
            response: None,
            stages: vec![(Stage::Calling, Instant::now())],
            code: None,
            redirected_to: None,
            referred_to: None,
            followed_by: None,
            referrer: None,
            timer: None,
            taken: false,
        }
    }

    fn stage(&self) -> Stage {
        self.stages
            .last()
            .map_or(Stage::Calling, |(stage, _)| *stage)
    }

    fn enter(&mut self, stage: Stage) {
        if self.stage() != stage && self.stage() != Stage::Ended {
            self.stages.push((stage, Instant::now()));
        }
    }

    fn is_early(&self) -> bool {
        matches!(self.stage(), Stage::Calling | Stage::Ringing)
    }
}

/// What is done when the timer of a call has run out.
#[derive(Debug, Clone, Copy)]
enum Due {
    Answer { talk: Option<Duration> },
    Refuse(u16),
    HangUp,
}

impl Line {
    fn run(&self) {
        let mut buffer = vec![0; 65_536];
        loop {
            let timers =
                |state: &State| state.dialogs.iter().filter_map(|d| Some(d.timer?.0)).min();
            let wake_at = timers(&self.state());
            let left = wake_at.map(|at| at.saturating_duration_since(Instant::now()).max(TICK));
            self.socket
                .set_read_timeout(left)
                .expect("a timeout above zero");
            match self.socket.recv_from(&mut buffer) {
                Ok((length, _)) => self.receive(&buffer[..length]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) => panic!("phone {}: {e}", self.number),
            }
            let mut state = self.state();
            if state.stopping {
                return;
            }
            self.fire_timers(&mut state);
            self.changed.notify_all();
        }
    }

    fn receive(&self, bytes: &[u8]) {
        let Some(message) = Message::parse(bytes) else {
            return; // our own wake-up or a keep-alive
        };
        let mut state = self.state();
        let text = String::from_utf8_lossy(bytes).into_owned();
        state.seen.push(Seen {
            at: Instant::now(),
            way: Way::Received,
            text,
        });
        match message.code() {
            Some(code) => self.on_response(&mut state, code, message),
            None => self.on_request(&mut state, message),
        }
    }

    fn fire_timers(&self, state: &mut State) {
        let now = Instant::now();
        for index in 0..state.dialogs.len() {
            match state.dialogs[index].timer {
                Some((at, due)) if at <= now => {
                    state.dialogs[index].timer = None;
                    self.fire(state, index, due);
                }
                _ => {}
            }
        }
    }

    fn fire(&self, state: &mut State, index: usize, due: Due) {
        match due {
            Due::Answer { talk } => {
                self.answer(state, index);
                let hang_up = talk.map(|talk| (Instant::now() + talk, Due::HangUp));
                state.dialogs[index].timer = hang_up;
            }
            Due::Refuse(code) => self.refuse(state, index, code),
            Due::HangUp => self.hang_up(state, index),
        }
    }

    fn on_request(&self, state: &mut State, request: Message) {
        let dialog = state.find(&request);
        match (request.method(), dialog) {
            ("INVITE", None) => self.on_invite(state, request),
            ("INVITE", Some(index)) => self.on_invite_again(state, index, &request),
            ("ACK", _) => {}
            ("OPTIONS", _) if !state.answer_options => {}
            ("CANCEL", Some(index)) => {
                self.reply(state, &request, 200);
                if state.dialogs[index].is_early() {
                    self.refuse(state, index, 487);
                }
            }
            ("BYE", Some(index)) => {
                self.reply(state, &request, 200);
                state.dialogs[index].timer = None;
                state.dialogs[index].enter(Stage::Ended);
            }
            ("REFER", Some(index)) => self.on_refer(state, index, &request),
            ("MESSAGE", _) => {
                state.inbox.push(Text {
                    from: request.get("From").to_owned(),
                    content_type: request.get("Content-Type").to_owned(),
                    body: request.body.clone(),
                });
                if let Some(code) = state.message_code {
                    self.reply(state, &request, code);
                }
            }
            ("CANCEL" | "BYE" | "REFER", None) => self.reply(state, &request, 481),
            _ => self.reply(state, &request, 200),
        }
    }

    fn on_invite(&self, state: &mut State, invite: Message) {
        let mut dialog = Dialog::new(Direction::Incoming, invite);
        let invite = &dialog.invite;
        dialog.local = format!("{};tag={}", invite.get("To"), token());
        dialog.remote = invite.get("From").to_owned();
        dialog.target = sip::uri(invite.get("Contact")).to_owned();
        state.dialogs.push(dialog);
        let index = state.dialogs.len() - 1;

        let behaviour = state.behaviour;
        if behaviour != Behaviour::Ignore {
            self.respond(state, index, 100);
        }
        if let Behaviour::Refuse(code) = behaviour {
            self.refuse(state, index, code);
            return;
        }
        if behaviour != Behaviour::Ignore {
            self.respond(state, index, 180);
            state.dialogs[index].enter(Stage::Ringing);
        }
        let now = Instant::now();
        state.dialogs[index].timer = match behaviour {
            Behaviour::Answer { after } => Some((now + after, Due::Answer { talk: None })),
            Behaviour::AnswerAndHangUp { after, talk } => {
                Some((now + after, Due::Answer { talk: Some(talk) }))
            }
            Behaviour::RingAndRefuse { after, code } => Some((now + after, Due::Refuse(code))),
            Behaviour::Refuse(_) | Behaviour::Ring | Behaviour::Ignore => None,
        };
    }

    fn on_invite_again(&self, state: &mut State, index: usize, request: &Message) {
        let dialog = &state.dialogs[index];
        if request.cseq() == dialog.invite.cseq() {
            if let Some(response) = dialog.response.clone() {
                self.send(state, &response);
            }
            return;
        }
        let response = request.response(200, "").with("Contact", self.contact());
        let response = response.with_body("application/sdp", self.sdp());
        self.send(state, &response);
    }

    fn on_refer(&self, state: &mut State, index: usize, request: &Message) {
        let on_refer = state.on_refer;
        let target = sip::uri(request.get("Refer-To")).to_owned();
        state.dialogs[index].referred_to = Some(target.clone());
        self.reply(
            state,
            request,
            if on_refer == OnRefer::Decline {
                603
            } else {
                202
            },
        );
        match on_refer {
            OnRefer::Decline | OnRefer::Silence => {}
            OnRefer::Accept => self.notify(state, index, 200),
            OnRefer::Follow => {
                let call = self.invite(state, &self.number, sip::user(&target));
                state.dialogs[call].referrer = Some(index);
                state.dialogs[index].followed_by = Some(call);
            }
        }
    }

    fn on_response(&self, state: &mut State, code: u16, response: Message) {
        if response.method() != "INVITE" {
            if code >= 200 {
                state.answers.push(response);
            }
            return;
        }
        let Some(index) = state.find(&response) else {
            return;
        };
        match code {
            100 => {}
            101..200 => state.dialogs[index].enter(Stage::Ringing),
            200..300 => {
                let dialog = &mut state.dialogs[index];
                dialog.remote = response.get("To").to_owned();
                dialog.target = sip::uri(response.get("Contact")).to_owned();
                let cseq = format!("{} ACK", response.cseq());
                let ack = self.request("ACK", &dialog.target);
                let ack = self.address(ack, dialog).with("CSeq", cseq);
                let first = dialog.code.replace(code).is_none();
                dialog.enter(Stage::Answered);
                self.send(state, &ack);
                if first {
                    self.tell_referrer(state, index, code);
                }
            }
            _ => self.on_refusal(state, index, code, &response),
        }
    }

    fn on_refusal(&self, state: &mut State, index: usize, code: u16, response: &Message) {
        let dialog = &mut state.dialogs[index];
        let mut ack = repeat(&dialog.invite, "ACK");
        for (name, value) in &mut ack.headers {
            if name == "To" {
                response.get("To").clone_into(value);
            }
        }
        let first = dialog.code.replace(code).is_none();
        let contact = sip::uri(response.get("Contact")).to_owned();
        let redirected = code / 100 == 3;
        if redirected {
            dialog.redirected_to = Some(contact.clone());
        }
        let caller = sip::user(&dialog.local).to_owned();
        self.send(state, &ack);
        if first {
            self.tell_referrer(state, index, code);
        }
        // As a phone behind an outbound proxy: the number counts, the way leads through Asterisk.
        if first && redirected && state.follow_redirects {
            let call = self.invite(state, &caller, sip::user(&contact));
            state.dialogs[index].followed_by = Some(call);
        }
        state.dialogs[index].enter(Stage::Ended);
    }

    fn tell_referrer(&self, state: &mut State, index: usize, code: u16) {
        if let Some(referrer) = state.dialogs[index].referrer {
            self.notify(state, referrer, code);
        }
    }

    fn invite(&self, state: &mut State, caller: &str, extension: &str) -> usize {
        let target = format!("sip:{extension}@{}", self.server);
        let invite = self
            .request("INVITE", &target)
            .with(
                "From",
                format!(
                    "\"{caller}\" <sip:{caller}@{}>;tag={}",
                    self.server,
                    token()
                ),
            )
            .with("To", format!("<{target}>"))
            .with("Call-ID", token())
            .with("CSeq", "1 INVITE")
            .with(
                "Allow",
                "INVITE, ACK, BYE, CANCEL, OPTIONS, REFER, NOTIFY, MESSAGE",
            )
            .with_body("application/sdp", self.sdp());
        self.send(state, &invite);
        let mut dialog = Dialog::new(Direction::Outgoing, invite);
        dialog.target = target;
        state.dialogs.push(dialog);
        state.dialogs.len() - 1
    }

    fn answer(&self, state: &mut State, index: usize) {
        let dialog = &mut state.dialogs[index];
        if dialog.direction != Direction::Incoming || !dialog.is_early() {
            return;
        }
        dialog.timer = None;
        dialog.code = Some(200);
        dialog.enter(Stage::Answered);
        self.respond(state, index, 200);
    }

    fn refuse(&self, state: &mut State, index: usize, code: u16) {
        let dialog = &mut state.dialogs[index];
        dialog.timer = None;
        dialog.code = Some(code);
        self.respond(state, index, code);
        state.dialogs[index].enter(Stage::Ended);
    }

    fn hang_up(&self, state: &mut State, index: usize) {
        let dialog = &mut state.dialogs[index];
        match (dialog.stage(), dialog.direction) {
            (Stage::Ended, _) => {}
            (Stage::Answered, _) => {
                let bye = self.in_dialog(dialog, "BYE");
                dialog.timer = None;
                dialog.enter(Stage::Ended);
                self.send(state, &bye);
            }
            (Stage::Calling | Stage::Ringing, Direction::Incoming) => {
                self.refuse(state, index, 603)
            }
            (Stage::Calling | Stage::Ringing, Direction::Outgoing) => {
                // The 487 that follows ends the call.
                let cancel = repeat(&dialog.invite, "CANCEL");
                self.send(state, &cancel);
            }
        }
        self.changed.notify_all();
    }

    fn notify(&self, state: &mut State, index: usize, code: u16) {
        let notify = self
            .in_dialog(&mut state.dialogs[index], "NOTIFY")
            .with("Event", "refer")
            .with("Subscription-State", "terminated;reason=noresource")
            .with_body(
                "message/sipfrag;version=2.0",
                format!("SIP/2.0 {code} Result\r\n"),
            );
        self.send(state, &notify);
    }

    fn register(&self, expires: u32) -> Option<u16> {
        let registrar = format!("sip:{}", self.server);
        let address = format!("<sip:{}@{}>", self.number, self.server);
        let request = self
            .request("REGISTER", &registrar)
            .with("From", format!("{address};tag={}", token()))
            .with("To", address)
            .with("Call-ID", token())
            .with("CSeq", "1 REGISTER")
            .with("Expires", expires.to_string());
        self.transact(&request)
    }

    /// Sends a request outside of a dialog, again and again until it is answered.
    fn transact(&self, request: &Message) -> Option<u16> {
        let id = request.get("Call-ID");
        let answer = |state: &State| {
            let answer = state
                .answers
                .iter()
                .find(|answer| answer.get("Call-ID") == id);
            answer.and_then(Message::code)
        };
        for _ in 0..REPEATS {
            self.send(&mut self.state(), request);
            if self.wait(REPEAT_AFTER, |state| answer(state).is_some()) {
                break;
            }
        }
        answer(&self.state())
    }

    fn reply(&self, state: &mut State, request: &Message, code: u16) {
        let response = request
            .response(code, &token())
            .with("Contact", self.contact());
        self.send(state, &response);
    }

    /// Answers the INVITE of a call.
    fn respond(&self, state: &mut State, index: usize, code: u16) {
        let dialog = &mut state.dialogs[index];
        let tag = if code == 100 {
            ""
        } else {
            sip::tag(&dialog.local).unwrap_or_default()
        };
        let mut response = dialog
            .invite
            .response(code, tag)
            .with("Contact", self.contact());
        if code == 200 {
            response = response.with_body("application/sdp", self.sdp());
        }
        dialog.response = Some(response.clone());
        self.send(state, &response);
    }

    fn in_dialog(&self, dialog: &mut Dialog, method: &str) -> Message {
        dialog.cseq += 1;
        let request = self.request(method, &dialog.target);
        self.address(request, dialog)
            .with("CSeq", format!("{} {method}", dialog.cseq))
    }

    fn address(&self, request: Message, dialog: &Dialog) -> Message {
        request
            .with("From", dialog.local.as_str())
            .with("To", dialog.remote.as_str())
            .with("Call-ID", dialog.call_id.as_str())
    }

    fn request(&self, method: &str, target: &str) -> Message {
        let via = format!(
            "SIP/2.0/UDP 127.0.0.1:{};rport;branch=z9hG4bK{}",
            self.port,
            token()
        );
        Message::new(format!("{method} {target} SIP/2.0"))
            .with("Via", via)
            .with("Max-Forwards", "70")
            .with("Contact", self.contact())
    }

    fn contact(&self) -> String {
        format!("<sip:{}@127.0.0.1:{}>", self.number, self.port)
    }

    fn sdp(&self) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n",
            self.rtp_port
        )
    }

    fn send(&self, state: &mut State, message: &Message) {
        let text = message.encode();
        // Asterisk may be down: what is lost then is lost, as on a network.
        let _ = self.socket.send_to(text.as_bytes(), self.server);
        state.seen.push(Seen {
            at: Instant::now(),
            way: Way::Sent,
            text,
        });
    }

    fn wake(&self) {
        let _ = self.socket.send_to(&[], (Ipv4Addr::LOCALHOST, self.port));
    }

    fn wait(&self, within: Duration, mut done: impl FnMut(&State) -> bool) -> bool {
        let state = self.state();
        let (_state, timeout) = self
            .changed
            .wait_timeout_while(state, within, |state| !done(state))
            .unwrap();
        !timeout.timed_out()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn handle(self: &Arc<Self>, index: usize) -> Call {
        Call {
            line: Arc::clone(self),
            index,
        }
    }
}

/// The INVITE's headers under another method: CANCEL, and ACK of a refusal, belong to the same
/// transaction.
fn repeat(invite: &Message, method: &str) -> Message {
    let mut message = Message::new(invite.start.replacen("INVITE", method, 1));
    for (name, value) in &invite.headers {
        message = match name.as_str() {
            "CSeq" => message.with("CSeq", format!("{} {method}", invite.cseq())),
            "Content-Type" | "Allow" => message,
            _ => message.with(name, value.as_str()),
        };
    }
    message
}

/// A word that no other message on this machine has.
fn token() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let moment = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default();
    format!("{:x}-{:x}-{count:x}", std::process::id(), moment.as_nanos())
}

/// A read timeout of zero would mean none.
const TICK: Duration = Duration::from_millis(1);
/// When a request that was not answered is sent again, and how often in all.
const REPEAT_AFTER: Duration = Duration::from_millis(500);
const REPEATS: u32 = 10;
