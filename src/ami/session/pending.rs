//! The actions whose answers are awaited.
//!
//! This file owns the match of an answer to its action, and the collecting of event lists. It must
//! not know what an answer means.
//!
//! The surprising fact: a message's wording announces nothing (`Command output follows` comes with
//! `Response: Error`), and before Asterisk 12 neither does `EventList: start`; what is a list is
//! known from the action. Old versions also answer without an ActionID, but one session's actions
//! are always answered in the order they were sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::Message;
use super::super::instance::Ask;
use super::Response;

/// An answer later than this is none. Asterisk answers within milliseconds.
const DEADLINE: Duration = Duration::from_secs(3);
/// A queue of questions this long means that Asterisk no longer answers.
const MAX_PENDING: usize = 256;
/// A list longer than this is cut: a PBX on a small box has not so many channels.
const MAX_ITEMS: usize = 4_096;

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Challenge,
    Login,
    Version,
    Commands,
    Ping,
    Engine(Ask),
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// In the order they were sent, which is the order of their deadlines.
    rows: VecDeque<Row>,
}

#[derive(Debug)]
struct Row {
    id: String,
    asked: Asked,
    /// The event that ends the answer, where it is a list.
    list_end: Option<&'static str>,
    deadline: Instant,
    /// The response, while its list is being collected.
    partial: Option<Response>,
}

/// What a message was to the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It completes an answer.
    Done(Asked, Response),
    /// It is part of an answer.
    Collected,
    /// It answers nothing that was asked.
    NotAsked,
}

impl Pending {
    pub(super) fn add(
        &mut self,
        id: String,
        asked: Asked,
        list_end: Option<&'static str>,
        now: Instant,
    ) {
        let deadline = now + DEADLINE;
        self.rows.push_back(Row {
            id,
            asked,
            list_end,
            deadline,
            partial: None,
        });
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= MAX_PENDING
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.rows.front().map(|row| row.deadline)
    }

    /// Takes out what is overdue.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(String, Asked)> {
        let mut overdue = Vec::new();
        while let Some(row) = self.rows.pop_front_if(|row| row.deadline <= now) {
            overdue.push((row.id, row.asked));
        }
        overdue
    }

    /// Takes out everything.
    pub(super) fn fail_all(&mut self) -> Vec<Asked> {
        self.rows.drain(..).map(|row| row.asked).collect()
    }

    pub(super) fn handle(&mut self, message: Message<'_>) -> Verdict {
        match message.event() {
            Some(_) => self.item(message),
            None => self.response(message),
        }
    }

    fn response(&mut self, message: Message<'_>) -> Verdict {
        let Some(response) = message.get("Response") else {
            return Verdict::NotAsked;
        };
        let at = match message.get("ActionID") {
            Some(id) => self.rows.iter().position(|row| row.id.as_bytes() == id),
            None => self.rows.iter().position(|row| row.partial.is_none()),
        };
        let success = !response.eq_ignore_ascii_case(b"Error");
        let answer = Response {
            success,
            head: message.to_owned(),
            items: Vec::new(),
            is_cut: false,
        };
        let Some(row) = at.and_then(|at| self.rows.get_mut(at)) else {
            return Verdict::NotAsked;
        };
        if success && (row.list_end.is_some() || message.is("EventList", "start")) {
            row.partial = Some(answer);
            return Verdict::Collected;
        }
        self.finish(at, answer)
    }

    fn item(&mut self, message: Message<'_>) -> Verdict {
        let Some(id) = message.get("ActionID") else {
            return Verdict::NotAsked;
        };
        // `OriginateResponse` carries the ActionID of an action that was answered long ago.
        let at = self
            .rows
            .iter()
            .position(|row| row.partial.is_some() && row.id.as_bytes() == id);
        let Some(row) = at.and_then(|at| self.rows.get_mut(at)) else {
            return Verdict::NotAsked;
        };
        let ends = message.is("EventList", "Complete")
            || message.is("EventList", "cancelled")
            || row.list_end.is_some_and(|end| message.is("Event", end));
        if !ends {
            if let Some(answer) = row.partial.as_mut() {
                if answer.items.len() < MAX_ITEMS {
                    answer.items.push(message.to_owned());
                } else {
                    answer.is_cut = true;
                }
            }
            return Verdict::Collected;
        }
        match row.partial.take() {
            Some(answer) => self.finish(at, answer),
            None => Verdict::NotAsked,
        }
    }

    fn finish(&mut self, at: Option<usize>, answer: Response) -> Verdict {
        match at.and_then(|at| self.rows.remove(at)) {
            Some(row) => Verdict::Done(row.asked, answer),
            None => Verdict::NotAsked,
        }
    }
}
