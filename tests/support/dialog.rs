//! What a phone remembers: its settings, its calls, and every message that went in or out.

use std::time::{Duration, Instant};

use super::phone::{Behaviour, Direction, OnRefer, Seen, Stage, Text};
use super::sip::Message;

/// A phone's state.
#[derive(Debug)]
pub struct State {
    pub behaviour: Behaviour,
    pub follow_redirects: bool,
    pub on_refer: OnRefer,
    pub message_code: Option<u16>,
    pub answer_options: bool,
    pub stopping: bool,
    pub dialogs: Vec<Dialog>,
    /// Final answers to our requests other than INVITE.
    pub answers: Vec<Message>,
    pub inbox: Vec<Text>,
    pub seen: Vec<Seen>,
}

impl State {
    pub fn new(behaviour: Behaviour) -> Self {
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

    pub fn find(&self, message: &Message) -> Option<usize> {
        let id = message.get("Call-ID");
        self.dialogs.iter().position(|dialog| dialog.call_id == id)
    }
}

/// A call as SIP has it.
#[derive(Debug)]
pub struct Dialog {
    pub direction: Direction,
    pub call_id: String,
    /// Our From header and theirs, with tags.
    pub local: String,
    pub remote: String,
    /// Where requests inside the dialog go.
    pub target: String,
    pub cseq: u32,
    /// The INVITE that made the dialog: CANCEL and ACK repeat it, responses answer it.
    pub invite: Message,
    /// The last response to it, for a caller that asks again.
    pub response: Option<Message>,
    pub stages: Vec<(Stage, Instant)>,
    pub code: Option<u16>,
    pub redirected_to: Option<String>,
    pub referred_to: Option<String>,
    pub followed_by: Option<usize>,
    /// The call in which a REFER asked for this one.
    pub referrer: Option<usize>,
    pub timer: Option<(Instant, Due)>,
    /// When our INVITE is sent again, and how long after the time before.
    pub again: Option<(Instant, Duration)>,
    pub taken: bool,
}

impl Dialog {
    pub fn new(direction: Direction, invite: Message) -> Self {
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
            again: None,
            taken: false,
        }
    }

    pub fn stage(&self) -> Stage {
        self.stages
            .last()
            .map_or(Stage::Calling, |(stage, _)| *stage)
    }

    /// When there is something to do about it.
    pub fn due(&self) -> Option<Instant> {
        let timer = self.timer.map(|(at, _)| at);
        timer.into_iter().chain(self.again.map(|(at, _)| at)).min()
    }

    pub fn enter(&mut self, stage: Stage) {
        if self.stage() != stage && self.stage() != Stage::Ended {
            self.stages.push((stage, Instant::now()));
        }
    }

    pub fn is_early(&self) -> bool {
        matches!(self.stage(), Stage::Calling | Stage::Ringing)
    }
}

/// What is done when the timer of a call has run out.
#[derive(Debug, Clone, Copy)]
pub enum Due {
    Answer { talk: Option<Duration> },
    Refuse(u16),
    HangUp,
}
