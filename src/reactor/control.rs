//! What an administrator asks for, done.
//!
//! This file owns the questions under way and the thread that writes salara.conf. It must not know
//! the words, of which `control` has all.
//!
//! The surprising fact: a change is written first and counts then. Whoever reads the answer knows
//! that the file has it, and a file that cannot be written leaves all as it was.

use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Instant, SystemTime};

use log::{info, warn};
use mio::Waker;
use mio::net::UnixListener;

use super::connection::Connection;
use super::direct::Direct;
use super::link::reason;
use super::rewrite::rewrite;
use super::socket_file::SocketFile;
use super::{Reactor, RunError};
use crate::api::{self, Reply};
use crate::config::edit::Edit;
use crate::config::{Config, Route, printable};
use crate::control::{self, FAILED, Info, SOCKETS, Sheet, TEST_EVENTS, Verb};
use crate::crm::{JSON, Outcome};
use crate::engine::ConnId;
use crate::{file, logging};

/// The administrator's side.
#[derive(Debug)]
pub(super) struct Control {
    /// Where verbs are taken, if they are.
    place: Option<SocketFile>,
    /// Why there is none.
    missing: String,
    questions: Vec<(ConnId, Question)>,
    edits: VecDeque<(ConnId, Edit)>,
    /// What becomes of the first of them.
    writing: Option<Receiver<Result<(), String>>>,
    waker: Arc<Waker>,
    started: u64,
    since: Instant,
    /// What was last told of the link.
    pub(super) link: String,
}

/// What an answer is awaited for.
#[derive(Debug)]
enum Question {
    Ask(api::Request),
    Command,
    /// So many posts.
    Posts(usize, Sheet),
}

impl Control {
    /// Listens at `given`, which must be possible, or where it can, if anywhere.
    pub(super) fn listen(
        given: Option<&Path>,
        waker: Arc<Waker>,
        now: Instant,
    ) -> Result<(Self, Option<UnixListener>), RunError> {
        let mut opened = None;
        let mut why = String::new();
        let places = match given {
            Some(given) => vec![given],
            None => SOCKETS.iter().map(Path::new).collect(),
        };
        for place in places {
            match SocketFile::open(place) {
                Ok(both) => {
                    opened = Some(both);
                    break;
                }
                Err(error @ RunError::SocketInUse(..)) => return Err(error),
                Err(error) if given.is_some() => return Err(error),
                Err(error) => why.push_str(&format!("{error}; ")),
            }
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "a run has a beginning to be shown"
        )]
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let (place, listener) = opened.unzip();
        let control = Self {
            place,
            missing: why,
            questions: Vec::new(),
            edits: VecDeque::new(),
            writing: None,
            waker,
            started: started.unwrap_or_default().as_secs(),
            since: now,
            link: "not connected yet".to_owned(),
        };
        Ok((control, listener))
    }

    /// Tells where verbs are taken.
    pub(super) fn announce(&self) {
        match &self.place {
            Some(place) => info!(target: "salara", "taking verbs at {}", place.path().display()),
            None => {
                let why = &self.missing;
                warn!(target: "salara", "no verbs are taken: {why}give a place with -s");
            }
        }
    }

    fn take(&mut self, id: ConnId) -> Option<Question> {
        let at = self.questions.iter().position(|(asker, _)| *asker == id)?;
        Some(self.questions.swap_remove(at).1)
    }

    /// The end: who comes from now on is told at once that none runs.
    pub(super) fn stop(&mut self) {
        self.place = None;
    }
}

impl Reactor {
    /// Does what an administrator asks for, or begins to.
    pub(super) fn command(&mut self, id: ConnId, verb: Verb, now: Instant) {
        let sheet = match verb {
            Verb::ShowInfo => self.info(now),
            Verb::ShowConf => show_conf(&self.path),
            Verb::ShowRoute => control::routes(&self.config.routes),
            Verb::ShowChanRecords => control::chan_records(self.engine.channels()),
            Verb::ShowEvents => self.posts.show(now),
            Verb::Edit(edit) => {
                self.control.edits.push_back((id, edit));
                return self.write_next(now);
            }
            Verb::DelChanRecord { channel, caller } => {
                let count = self.engine.channels().forget(&channel, &caller);
                // The old module's slip of the pen: scripts look for it.
                let text = format!("\tSalara: delele {count} records from chan_record_list");
                let mut sheet = Sheet::done(text);
                sheet.put("deleted", count.into());
                sheet
            }
            Verb::Ask(request) => {
                let question = Question::Ask(request.clone());
                self.control.questions.push((id, question));
                self.engine.handle_request(id, request, now);
                return self.drain(now);
            }
            Verb::SendCommand(command) => {
                self.control.questions.push((id, Question::Command));
                self.engine.handle_command(id, &command);
                return self.drain(now);
            }
            Verb::SendPost { kind, body } => {
                return self.post(id, &[("", kind.content_type(), &body)], now);
            }
            Verb::TestEvent => {
                let posts = TEST_EVENTS.map(|(name, body)| (name, JSON, body));
                return self.post(id, &posts, now);
            }
            Verb::Replay => self.posts.replay(now),
            Verb::Reload => self.reload(now),
        };
        self.answer(id, sheet, now);
    }

    /// Hands answers on that have come from elsewhere.
    pub(super) fn hear_control(&mut self, now: Instant) {
        while let Some((id, label, outcome)) = self.posts.poll_answer() {
            self.posted(id, label, &outcome, now);
        }
        let written = match &self.control.writing {
            Some(writing) => match writing.try_recv() {
                Ok(result) => result,
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => Err("the writer gave up".to_owned()),
            },
            None => return,
        };
        self.control.writing = None;
        if let Some((id, edit)) = self.control.edits.pop_front() {
            let file = self.path.display().to_string();
            let sheet = match written {
                Ok(()) => self.adopt_edit(edit),
                // Who may not write the file still wants to see what goes on.
                Err(why) if matches!(edit, Edit::Verbose(_)) => {
                    let mut sheet = self.adopt_edit(edit);
                    sheet.line(&format!("for this run only: {file}: {why}"));
                    sheet.status = FAILED;
                    sheet
                }
                Err(why) => Sheet::failed(format!("{file}: {why}")),
            };
            self.answer(id, sheet, now);
        }
        self.write_next(now);
    }

    /// A question was answered.
    pub(super) fn answered(&mut self, id: ConnId, reply: &Reply, now: Instant) {
        let sheet = match self.control.take(id) {
            Some(Question::Ask(request)) => control::status(&request, reply),
            Some(Question::Command) => match &reply.error {
                Some(why) => Sheet::failed(why.as_str()),
                None => {
                    let mut sheet = Sheet::done(&*reply.text);
                    sheet.put("output", reply.text.lines().collect::<Vec<_>>().into());
                    sheet.status = u8::from(reply.result < 0);
                    sheet
                }
            },
            Some(Question::Posts(..)) | None => return,
        };
        self.answer(id, sheet, now);
    }

    fn answer(&mut self, id: ConnId, sheet: Sheet, now: Instant) {
        if let Some(Connection::Control(exchange)) = self.clients.tell(id) {
            exchange.reply(sheet, now);
        }
    }

    fn info(&self, now: Instant) -> Sheet {
        control::info(&Info {
            config: &self.config,
            file: &self.path.display().to_string(),
            rest: &self
                .bound
                .map_or_else(|| "nowhere".to_owned(), |bound| bound.to_string()),
            agi: self.calls.bound(),
            asterisk: self.engine.asterisk(),
            link: &self.control.link,
            started: self.control.started,
            uptime: now.saturating_duration_since(self.control.since).as_secs(),
            pid: std::process::id(),
        })
    }

    /// Makes posts by hand, one after the other.
    fn post(&mut self, id: ConnId, posts: &[(&'static str, &'static str, &str)], now: Instant) {
        for (label, content_type, body) in posts {
            let direct = Direct {
                conn: id,
                label,
                content_type,
                body: (*body).into(),
            };
            if let Err(why) = self.posts.push_direct(direct) {
                return self.answer(id, Sheet::failed(why), now);
            }
        }
        let question = Question::Posts(posts.len(), Sheet::done(""));
        self.control.questions.push((id, question));
    }

    fn posted(&mut self, id: ConnId, label: &str, outcome: &Outcome, now: Instant) {
        let Some(Question::Posts(left, mut sheet)) = self.control.take(id) else {
            return;
        };
        let is_taken = matches!(
            outcome,
            Outcome::Answered {
                status: 200..=299,
                ..
            }
        );
        if !is_taken {
            sheet.status = FAILED;
        }
        match outcome {
            Outcome::Answered { status, said, .. } if label.is_empty() => {
                sheet.fact("answer", "", &**said, "");
                sheet.fact("http", "http status: ", *status, "");
            }
            Outcome::Failed(why) if label.is_empty() => {
                sheet.fact("error", "", &**why, "");
            }
            Outcome::Answered { .. } | Outcome::Failed(_) => {
                sheet.fact(label, &format!("{label}: "), outcome.to_string(), "");
            }
        }
        match left {
            0 | 1 => self.answer(id, sheet, now),
            more => {
                let question = Question::Posts(more - 1, sheet);
                self.control.questions.push((id, question));
            }
        }
    }

    /// Whether a change is one, as things stand.
    fn judge(&self, edit: &Edit) -> Result<(), Sheet> {
        let route_of = |whose: &str| {
            let mut routes = self.config.routes.iter();
            routes.find(|route| *route.caller == *whose)
        };
        match edit {
            Edit::Verbose(_) => {}
            Edit::AddRoute { caller, called } => {
                let (caller, called) = (caller.as_str(), called.as_str());
                if let Some(Route { called: old, .. }) = route_of(caller) {
                    return Err(Sheet::failed(format!(
                        "\tSalara: '{caller}:{called}' already exist\n\
                         \t{caller} goes to {old}: salara del route {caller}"
                    )));
                }
            }
            Edit::DelRoute { caller } => {
                let caller = caller.as_str();
                if route_of(caller).is_none() {
                    return Err(Sheet::failed(format!("\tSalara: no route of '{caller}'")));
                }
            }
        }
        Ok(())
    }

    /// Has a thread write the next change: a disk may be slow, and the loop must not wait for it.
    fn write_next(&mut self, now: Instant) {
        // Each is judged when its turn has come: the one before it may have made it none.
        while self.control.writing.is_none()
            && let Some((_, edit)) = self.control.edits.front()
            && let Err(sheet) = self.judge(edit)
        {
            if let Some((id, _)) = self.control.edits.pop_front() {
                self.answer(id, sheet, now);
            }
        }
        let Control {
            edits,
            writing,
            waker,
            ..
        } = &mut self.control;
        let Some((id, edit)) = edits.front().filter(|_| writing.is_none()) else {
            return;
        };
        let (answer, answered) = mpsc::sync_channel(1);
        let (id, edit, path, waker) = (*id, edit.clone(), self.path.clone(), Arc::clone(waker));
        let write = move || {
            if answer.send(rewrite(&path, &edit)).is_ok() {
                drop(waker.wake());
            }
        };
        match thread::Builder::new().name("conf".into()).spawn(write) {
            Ok(_) => *writing = Some(answered),
            Err(error) => {
                edits.pop_front();
                self.answer(
                    id,
                    Sheet::failed(format!("no thread to write with: {error}")),
                    now,
                );
            }
        }
    }

    /// What is written counts.
    fn adopt_edit(&mut self, edit: Edit) -> Sheet {
        let mut config = Config::clone(&self.config);
        let text = match edit {
            Edit::Verbose(verbose) => {
                config.event.verbose = verbose;
                logging::set_verbosity(verbose);
                let (word, number) = (verbose.word(), verbose.number());
                format!("\tSalara set events verbose to {word} ({number})")
            }
            Edit::AddRoute { caller, called } => {
                let (caller, called) = (caller.as_str(), called.as_str());
                // A reload may have read it from the file already.
                if !config.routes.iter().any(|route| *route.caller == *caller) {
                    config.routes.push(Route {
                        caller: caller.into(),
                        called: called.into(),
                        line: 0,
                    });
                }
                format!("\tSalara: add '{caller}:{called}' to route table")
            }
            Edit::DelRoute { caller } => {
                let caller = caller.as_str();
                config.routes.retain(|route| *route.caller != *caller);
                format!("\tSalara: delete '{caller}' from route table")
            }
        };
        info!(target: "salara", "{}", text.trim());
        self.adopt(Rc::new(config));
        Sheet::done(text + "\n")
    }
}

/// `show conf`
fn show_conf(path: &Path) -> Sheet {
    let file = path.display();
    match file::read(path) {
        Ok(bytes) => {
            let text = printable(&String::from_utf8_lossy(&bytes));
            let mut sheet = Sheet::done(format!("\tConfiguration file '{file}' present:\n{text}"));
            sheet.put("file", file.to_string().into());
            sheet.put("text", text.into());
            sheet
        }
        Err(error) => Sheet::failed(format!("{file}: {}", reason(&error))),
    }
}
