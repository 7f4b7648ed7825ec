//! What the phones see, printed as it happens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::out;
use super::support::phone::{Call, Direction, Phone, Stage};
use super::support::sip;

/// The phones and a thread that looks at them.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Prints from now on what these phones do.
    pub(crate) fn start(phones: Vec<(&'static str, Phone)>) -> Self {
        let shared = Arc::new(Shared {
            printed: Mutex::new(vec![Printed::default(); phones.len()]),
            phones,
            over: AtomicBool::new(false),
        });
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.run()
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// One of the phones.
    pub(crate) fn phone(&self, number: &str) -> Option<&Phone> {
        let mut phones = self.shared.phones.iter();
        phones
            .find(|(name, _)| *name == number)
            .map(|(_, phone)| phone)
    }

    /// Prints what has happened and is not printed yet.
    pub(crate) fn catch_up(&self) {
        self.shared.look();
    }

    /// Waits until every phone knows that its calls are over.
    pub(crate) fn wait_silence(&self, within: Duration) -> bool {
        let phones = self.shared.phones.iter();
        let mut calls = phones.flat_map(|(_, phone)| phone.calls());
        calls.all(|call| call.wait(Stage::Ended, within))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Shared {
    phones: Vec<(&'static str, Phone)>,
    printed: Mutex<Vec<Printed>>,
    over: AtomicBool,
}

/// How much of a phone's life is printed.
#[derive(Clone, Default)]
struct Printed {
    /// Stages of each call.
    stages: Vec<usize>,
    texts: usize,
}

impl Shared {
    fn run(&self) {
        let mut registered = Instant::now();
        while !self.over.load(Ordering::Relaxed) {
            self.look();
            // They would be forgotten after an hour, or when somebody restarts Asterisk.
            if registered.elapsed() > REGISTER_EVERY {
                for (_, phone) in self.phones.iter().filter(|(number, _)| is_phone(number)) {
                    let _ = phone.register();
                }
                registered = Instant::now();
            }
            thread::sleep(STEP);
        }
    }

    fn look(&self) {
        let Ok(mut printed) = self.printed.lock() else {
            return;
        };
        // What comes while one phone after the other is looked at waits for the next look: what
        // another did before it would be told behind it.
        let now = Instant::now();
        let mut news = Vec::new();
        for ((number, phone), printed) in self.phones.iter().zip(printed.iter_mut()) {
            let calls = phone.calls();
            printed.stages.resize(calls.len(), 0);
            for (call, count) in calls.iter().zip(printed.stages.iter_mut()) {
                let stages = call.stages();
                let new = stages.iter().skip(*count);
                for (stage, at) in new.take_while(|(_, at)| *at <= now) {
                    news.extend(tell(call, *stage).map(|what| (*at, name(number), what)));
                    *count += 1;
                }
            }
        }
        news.sort_by_key(|(at, ..)| *at);
        for (_, who, what) in news {
            out::line(&who, what);
        }
        for ((number, phone), printed) in self.phones.iter().zip(printed.iter_mut()) {
            for text in phone.inbox().iter().skip(printed.texts) {
                let from = sip::user(&text.from);
                out::line(&name(number), format_args!("shows a message from {from}:"));
                for line in text.body.lines() {
                    out::line("", format_args!("  {line}"));
                }
                printed.texts += 1;
            }
        }
    }
}

/// A trunk has a name instead of a number, and does not register.
fn is_phone(number: &str) -> bool {
    number.chars().all(|c| c.is_ascii_digit())
}

fn name(number: &str) -> String {
    match is_phone(number) {
        true => format!("phone {number}"),
        false => number.to_owned(),
    }
}

fn tell(call: &Call, stage: Stage) -> Option<String> {
    let number = call.number();
    let code = call.code().filter(|code| *code >= 300);
    let text = match (call.direction(), stage) {
        (Direction::Incoming, Stage::Calling) => return None,
        (Direction::Incoming, Stage::Ringing) => format!("rings, its display says {number}"),
        (Direction::Incoming, Stage::Answered) => "answers".into(),
        (Direction::Outgoing, Stage::Calling) => format!("calls {number}"),
        (Direction::Outgoing, Stage::Ringing) => format!("hears it ring at {number}"),
        (Direction::Outgoing, Stage::Answered) => format!("is answered by {number}"),
        (_, Stage::Ended) => match (code, call.redirected_to()) {
            (Some(code), Some(place)) => format!("is told to call {place} ({code})"),
            (Some(code), None) => format!("the call is over ({code})"),
            (None, _) => "the call is over".into(),
        },
    };
    Some(text)
}

const STEP: Duration = Duration::from_millis(15);
const REGISTER_EVERY: Duration = Duration::from_secs(60);
