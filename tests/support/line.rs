//! What is inside a phone: its state, its calls, and what it says to what it hears.
//!
//! One thread per line answers what comes in and lets the timers run out; the test's own thread
//! sends too, under the same lock. UDP loses what a full socket cannot hold, so an INVITE is sent
//! again until somebody answers it, as SIP has it.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::dialog::{Dialog, Due, State};
use super::phone::{Behaviour, Direction, OnRefer, Seen, Stage, Text, Way};
use super::sip::{self, Message};

/// A phone's line.
#[derive(Debug)]
pub struct Line {
    pub number: String,
    pub port: u16,
    pub rtp_port: u16,
    pub socket: UdpSocket,
    pub server: SocketAddr,
    pub state: Mutex<State>,
    pub changed: Condvar,
}

impl Line {
    pub fn run(&self) {
        let mut buffer = vec![0; 65_536];
        loop {
            let wake_at = self.state().dialogs.iter().filter_map(Dialog::due).min();
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
            let dialog = &mut state.dialogs[index];
            if let Some((at, pause)) = dialog.again.filter(|(at, _)| *at <= now) {
                dialog.again = Some((at + pause * 2, pause * 2));
                let invite = dialog.invite.clone();
                self.send(state, &invite);
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
            OnRefer::Notify(code) => self.notify(state, index, code),
            OnRefer::Follow => {
                let dialog = &state.dialogs[index];
                let from = match dialog.direction {
                    Direction::Incoming => self.from(&self.number),
                    Direction::Outgoing => sip::without_tag(&dialog.local).to_owned(),
                };
                let call = self.invite(state, &from, sip::user(&target));
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
        state.dialogs[index].again = None;
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
        let from = sip::without_tag(&dialog.local).to_owned();
        self.send(state, &ack);
        if first {
            self.tell_referrer(state, index, code);
        }
        // As a phone behind an outbound proxy: the number counts, the way leads through Asterisk.
        if first && redirected && state.follow_redirects {
            let call = self.invite(state, &from, sip::user(&contact));
            state.dialogs[index].followed_by = Some(call);
        }
        state.dialogs[index].enter(Stage::Ended);
    }

    fn tell_referrer(&self, state: &mut State, index: usize, code: u16) {
        if let Some(referrer) = state.dialogs[index].referrer {
            self.notify(state, referrer, code);
        }
    }

    /// The From header of one of its calls, without a tag.
    pub fn from(&self, caller: &str) -> String {
        format!("\"{caller}\" <sip:{caller}@{}>", self.server)
    }

    pub fn invite(&self, state: &mut State, from: &str, extension: &str) -> usize {
        let target = format!("sip:{extension}@{}", self.server);
        let invite = self
            .request("INVITE", &target)
            .with("From", format!("{from};tag={}", token()))
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
        dialog.again = Some((Instant::now() + REPEAT_AFTER, REPEAT_AFTER));
        state.dialogs.push(dialog);
        state.dialogs.len() - 1
    }

    pub fn answer(&self, state: &mut State, index: usize) {
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

    pub fn hang_up(&self, state: &mut State, index: usize) {
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

    pub fn register(&self, expires: u32) -> Option<u16> {
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
    pub fn transact(&self, request: &Message) -> Option<u16> {
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

    pub fn in_dialog(&self, dialog: &mut Dialog, method: &str) -> Message {
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

    pub fn request(&self, method: &str, target: &str) -> Message {
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

    pub fn send(&self, state: &mut State, message: &Message) {
        let text = message.encode();
        // Asterisk may be down: what is lost then is lost, as on a network.
        let _ = self.socket.send_to(text.as_bytes(), self.server);
        state.seen.push(Seen {
            at: Instant::now(),
            way: Way::Sent,
            text,
        });
    }

    pub fn wake(&self) {
        let _ = self.socket.send_to(&[], (Ipv4Addr::LOCALHOST, self.port));
    }

    pub fn wait(&self, within: Duration, mut done: impl FnMut(&State) -> bool) -> bool {
        let state = self.state();
        let (_state, timeout) = self
            .changed
            .wait_timeout_while(state, within, |state| !done(state))
            .unwrap();
        !timeout.timed_out()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
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
pub fn token() -> String {
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
