//! The threads that ask the CRM about callers.
//!
//! This file owns those threads and how the question is put. It must not know what an answer means.
//!
//! The surprising fact: there are many of them and never for long. A caller waits for each answer, so
//! none may wait behind another's slow one; and between two busy hours nobody needs a single thread.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mio::Waker;
use serde_json::Value;

use super::client::{Client, Endpoint, Request, STACK};
use super::{Found, Question, Said};

/// Questions asked at a time. With a CRM that takes a second over each, 200 callers at once wait two
/// seconds at most.
const MAX_THREADS: usize = 128;
/// Threads that have nothing to do for so long end.
const IDLE: Duration = Duration::from_secs(10);
/// Connections that are kept from one question to the next.
const CONNECTIONS: usize = 16;
/// A longer answer is not read.
const MAX_ANSWER: usize = 16 * 1024;
/// In this case the caller is written behind the URL.
const QUERY: &str = "?phone=";

/// Threads started as they are needed and ended when they are not.
#[derive(Debug)]
pub struct Lookups<Id> {
    crm: Arc<Crm>,
    shared: Arc<Shared<Id>>,
    answers: Receiver<(Id, Found)>,
    report: Sender<(Id, Found)>,
}

/// Whom they ask, and how.
#[derive(Debug)]
struct Crm {
    client: Client,
    is_query: bool,
}

#[derive(Debug)]
struct Shared<Id> {
    waker: Arc<Waker>,
    state: Mutex<State<Id>>,
    work: Condvar,
}

#[derive(Debug)]
struct State<Id> {
    questions: VecDeque<(Arc<Crm>, Question<Id>)>,
    threads: usize,
    idle: usize,
}

impl<Id: Send + 'static> Lookups<Id> {
    /// None is started yet.
    pub fn new(endpoint: Endpoint, waker: Arc<Waker>) -> Self {
        let (report, answers) = mpsc::channel();
        let shared = Shared {
            waker,
            state: Mutex::new(State {
                questions: VecDeque::new(),
                threads: 0,
                idle: 0,
            }),
            work: Condvar::new(),
        };
        Self {
            crm: Crm::new(endpoint),
            shared: Arc::new(shared),
            answers,
            report,
        }
    }

    /// What is asked from now on is asked there; what was asked is answered.
    pub fn redirect(&mut self, endpoint: Endpoint) {
        self.crm = Crm::new(endpoint);
    }

    /// Asks; the answer comes by `poll_answer` and a wake-up.
    pub fn ask(&self, question: Question<Id>) -> io::Result<()> {
        let mut state = self.shared.state();
        if state.questions.len() >= state.idle && state.threads < MAX_THREADS {
            match self.spawn() {
                Ok(()) => state.threads += 1,
                // Those there are will come to it.
                Err(_) if state.threads > 0 => {}
                Err(error) => return Err(error),
            }
        }
        state.questions.push_back((Arc::clone(&self.crm), question));
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }

    /// An answer, if one has come.
    pub fn poll_answer(&self) -> Option<(Id, Found)> {
        self.answers.try_recv().ok()
    }

    fn spawn(&self) -> io::Result<()> {
        let (shared, report) = (Arc::clone(&self.shared), self.report.clone());
        let run = move || {
            while let Some((crm, question)) = shared.next() {
                let found = crm.find(&question.caller, question.until);
                if report.send((question.call, found)).is_err() {
                    return;
                }
                drop(shared.waker.wake());
            }
        };
        thread::Builder::new()
            .name("lookup".into())
            .stack_size(STACK)
            .spawn(run)
            .map(drop)
    }
}

impl<Id> Shared<Id> {
    fn state(&self) -> MutexGuard<'_, State<Id>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next question; none when there has been nothing to do for long.
    fn next(&self) -> Option<(Arc<Crm>, Question<Id>)> {
        let mut state = self.state();
        loop {
            if let Some(question) = state.questions.pop_front() {
                return Some(question);
            }
            state.idle += 1;
            let waited = self.work.wait_timeout(state, IDLE);
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = after;
            state.idle -= 1;
            if timeout.timed_out() && state.questions.is_empty() {
                state.threads -= 1;
                return None;
            }
        }
    }
}

impl Crm {
    fn new(endpoint: Endpoint) -> Arc<Self> {
        Arc::new(Self {
            is_query: endpoint.target.url.contains(QUERY),
            client: Client::new(endpoint, CONNECTIONS),
        })
    }

    fn find(&self, caller: &str, until: Instant) -> Found {
        #[expect(clippy::disallowed_methods, reason = "it may have waited for a thread")]
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("too many callers were asked about at once".to_owned());
        }
        let (suffix, json);
        let (suffix, body, headers): (_, _, &[_]) = if self.is_query {
            suffix = encoded(caller);
            (suffix.as_str(), None, &[])
        } else {
            json = format!(r#"{{"phone":{}}}"#, Value::from(caller));
            let headers = &[("Content-Type", "application/json")];
            ("", Some(json.as_bytes()), headers)
        };
        let request = Request {
            suffix,
            body,
            headers,
            timeout: left,
            max: MAX_ANSWER + 1,
        };
        let answer = self.client.make(request)?;
        match answer.broken {
            Some(error) => Err(format!("its answer broke off: {error}")),
            None if answer.body.len() > MAX_ANSWER => {
                Err(format!("its answer is longer than {MAX_ANSWER} bytes"))
            }
            None => Ok(Said {
                status: answer.status,
                body: answer.body,
            }),
        }
    }
}

/// As it stands in a URL.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_no_part_of_the_url_s_syntax() {
        for (caller, wanted) in [
            ("8003", "8003"),
            ("+7 701", "%2B7%20701"),
            ("a&b=c#d/../", "a%26b%3Dc%23d%2F..%2F"),
            ("Ж", "%D0%96"),
            ("-._~", "-._~"),
        ] {
            assert_eq!(encoded(caller), wanted);
        }
    }
}
