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
/// While it logs someone in or has just loaded its modules, it may take this long.
const STARTING: Duration = Duration::from_secs(10);
/// A queue of questions this long means that Asterisk no longer answers: 200 of clients and one of each
/// of as many callers as come in a second.
const MAX_PENDING: usize = 512;
/// Overdue answers beyond this are no longer awaited. So many actions are not written to a peer that
/// does not read.
const MAX_LATE: usize = 2_048;
/// A list longer than this is cut: a PBX on a small box has not so many channels.
const MAX_ITEMS: usize = 4_096;

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Challenge,
    Login,
    Version,
    Commands,
    /// The same question while others are under way.
    CommandsAgain,
    Filter,
    Ping,
    Engine(Ask),
}

impl Asked {
    /// How long its answer is waited for.
    fn patience(self) -> Duration {
        match self {
            // They are the last asked as long as they are asked: deadlines keep the order of asking,
            // which answers without an ActionID are told apart by.
            Self::Challenge | Self::Login | Self::Commands => STARTING,
            Self::Version | Self::CommandsAgain | Self::Filter | Self::Ping | Self::Engine(_) => {
                DEADLINE
            }
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// In the order they were sent.
    rows: VecDeque<Row>,
    /// What is overdue, and whose answers may still come.
    late: VecDeque<Asked>,
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
        let deadline = now + asked.patience();
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

    pub(super) fn has(&self, asked: Asked) -> bool {
        self.rows.iter().any(|row| row.asked == asked)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.rows.iter().map(|row| row.deadline).min()
    }

    /// Takes out what is overdue.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(String, Asked)> {
        let mut overdue = Vec::new();
        while let Some(at) = self.rows.iter().position(|row| row.deadline <= now)
            && let Some(row) = self.rows.remove(at)
        {
            if row.partial.is_none() {
                if self.late.len() >= MAX_LATE {
                    self.late.pop_front();
                }
                self.late.push_back(row.asked);
            }
            overdue.push((row.id, row.asked));
        }
        overdue
    }

    /// Takes out what was asked for the engine and has an answer that is not read.
    pub(super) fn pass_over(&mut self, id: &[u8]) -> Option<Ask> {
        let at = self.rows.iter().position(|row| row.id.as_bytes() == id)?;
        let Asked::Engine(ask) = self.rows.get(at)?.asked else {
            return None;
        };
        self.rows.remove(at);
        Some(ask)
    }

    /// Takes out everything.
    pub(super) fn fail_all(&mut self) -> Vec<Asked> {
        self.late.clear();
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
            Some(id) => self.named(id),
            None => self.nameless(message),
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

    /// Finds the action of an answer by its ActionID. What is overdue is older, so it is lost.
    fn named(&mut self, id: &[u8]) -> Option<usize> {
        let at = self.rows.iter().position(|row| row.id.as_bytes() == id)?;
        self.late.clear();
        Some(at)
    }

    /// Finds the action of an answer without an ActionID: the oldest that has none, and that may be
    /// an overdue one. A pong shows where the answers are: what was asked before its ping is over.
    fn nameless(&mut self, message: Message<'_>) -> Option<usize> {
        if message.get("Ping").is_none() && !message.is("Response", "Pong") {
            return match self.late.pop_front() {
                Some(_) => None,
                None => self.rows.iter().position(|row| row.partial.is_none()),
            };
        }
        if let Some(at) = self.late.iter().position(|asked| *asked == Asked::Ping) {
            self.late.drain(..=at);
            return None;
        }
        self.late.clear();
        self.rows.iter().position(|row| row.asked == Asked::Ping)
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
            Some(mut answer) => {
                answer.is_cut |= message.is("EventList", "cancelled");
                self.finish(at, answer)
            }
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

#[cfg(test)]
mod tests {
    use super::super::super::codec::{Decoder, Item};
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "every test begins somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    /// A table with three questions: one for a list, one that knows of none, one more.
    fn asked() -> (Pending, Instant) {
        let (mut table, now) = (Pending::default(), start());
        table.add(
            "a".into(),
            Asked::Engine(Ask(1)),
            Some("StatusComplete"),
            now,
        );
        table.add("b".into(), Asked::Engine(Ask(2)), None, now + DEADLINE / 3);
        table.add("c".into(), Asked::Ping, None, now + DEADLINE / 2);
        (table, now)
    }

    /// Shows a table a message of these lines.
    fn show(table: &mut Pending, lines: &[&str]) -> Verdict {
        let packet = format!(
            "Asterisk Call Manager/1.1\r\n{}\r\n\r\n",
            lines.join("\r\n")
        );
        let mut decoder = Decoder::new();
        decoder.push(packet.as_bytes());
        assert!(matches!(decoder.next(), Ok(Some(Item::Banner(_)))));
        match decoder.next() {
            Ok(Some(Item::Message(message))) => table.handle(message),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn is_done(verdict: Verdict, wanted: Asked) -> Response {
        match verdict {
            Verdict::Done(asked, response) if asked == wanted => response,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_overdue_is_taken_out_and_nothing_else() {
        let (mut table, now) = asked();
        assert_eq!(table.deadline(), Some(now + DEADLINE));
        assert_eq!(table.expire(now + DEADLINE - Duration::from_millis(1)), []);
        let first = ("a".to_owned(), Asked::Engine(Ask(1)));
        assert_eq!(table.expire(now + DEADLINE), [first]);
        assert_eq!(table.deadline(), Some(now + DEADLINE / 3 + DEADLINE));
        assert_eq!(table.fail_all(), [Asked::Engine(Ask(2)), Asked::Ping]);
        assert_eq!(table.deadline(), None);
        assert_eq!(table.fail_all(), []);
    }

    #[test]
    fn a_nameless_answer_is_the_first_s_that_has_none() {
        let (mut table, _) = asked();
        let nameless = ["Response: Success"];
        assert_eq!(show(&mut table, &nameless), Verdict::Collected);
        is_done(show(&mut table, &nameless), Asked::Engine(Ask(2)));
        is_done(show(&mut table, &nameless), Asked::Ping);
        assert_eq!(show(&mut table, &nameless), Verdict::NotAsked);
        let end = ["Event: StatusComplete", "ActionID: a"];
        is_done(show(&mut table, &end), Asked::Engine(Ask(1)));
    }

    #[test]
    fn a_nameless_answer_that_is_late_is_not_the_next_one_s() {
        let (mut table, now) = asked();
        let nameless = ["Response: Success"];
        let late = now + DEADLINE + DEADLINE / 3;
        assert_eq!(table.expire(late).len(), 2);
        table.add("d".into(), Asked::Engine(Ask(3)), None, late);
        // The answers to a and b, then one to c.
        assert_eq!(show(&mut table, &nameless), Verdict::NotAsked);
        assert_eq!(show(&mut table, &nameless), Verdict::NotAsked);
        is_done(show(&mut table, &nameless), Asked::Ping);
        is_done(show(&mut table, &nameless), Asked::Engine(Ask(3)));
    }

    #[test]
    fn a_pong_ends_the_wait_for_nameless_answers_that_were_lost() {
        for pong in [
            ["Response: Pong", "x: y"],
            ["Response: Success", "Ping: Pong"],
        ] {
            let (mut table, now) = asked();
            assert_eq!(table.expire(now + DEADLINE + DEADLINE / 3).len(), 2);
            table.add("d".into(), Asked::Engine(Ask(3)), None, now);
            is_done(show(&mut table, &pong), Asked::Ping);
            is_done(
                show(&mut table, &["Response: Success"]),
                Asked::Engine(Ask(3)),
            );
        }
    }

    #[test]
    fn a_pong_may_be_an_overdue_ping_s() {
        let (mut table, now) = asked();
        table.add("d".into(), Asked::Engine(Ask(3)), None, now + DEADLINE / 2);
        let late = now + DEADLINE + DEADLINE / 2;
        assert_eq!(table.expire(late).len(), 4);
        table.add("e".into(), Asked::Ping, None, late);
        let pong = ["Response: Success", "Ping: Pong"];
        // What was asked behind that ping is still awaited.
        assert_eq!(show(&mut table, &pong), Verdict::NotAsked);
        assert_eq!(show(&mut table, &["Response: Success"]), Verdict::NotAsked);
        is_done(show(&mut table, &pong), Asked::Ping);
    }

    #[test]
    fn answers_with_names_need_no_order() {
        let (mut table, now) = asked();
        assert_eq!(table.expire(now + DEADLINE).len(), 1);
        let late = ["Response: Success", "ActionID: a"];
        assert_eq!(show(&mut table, &late), Verdict::NotAsked);
        is_done(
            show(&mut table, &["Response: Success", "ActionID: c"]),
            Asked::Ping,
        );
        is_done(
            show(&mut table, &["Response: Success"]),
            Asked::Engine(Ask(2)),
        );
    }

    #[test]
    fn what_is_overdue_costs_bounded_memory() {
        let (mut table, now) = (Pending::default(), start());
        for ask in 0..5_000 {
            table.add(ask.to_string(), Asked::Ping, None, now);
            table.expire(now + DEADLINE);
        }
        assert_eq!(table.late.len(), MAX_LATE);
        assert_eq!(table.fail_all(), []);
        assert_eq!(table.late.len(), 0);
    }

    #[test]
    fn an_event_before_its_list_has_begun_is_no_item() {
        let (mut table, _) = asked();
        for id in ["a", "b", "d"] {
            let item = ["Event: Status", &format!("ActionID: {id}")];
            assert_eq!(show(&mut table, &item), Verdict::NotAsked, "{id}");
        }
        assert_eq!(
            show(&mut table, &["Response: Success", "ActionID: a"]),
            Verdict::Collected
        );
        assert_eq!(
            show(&mut table, &["Event: Status", "ActionID: a"]),
            Verdict::Collected
        );
        assert_eq!(show(&mut table, &["Event: Status"]), Verdict::NotAsked);
        let whole = is_done(
            show(&mut table, &["Event: StatusComplete", "ActionID: a"]),
            Asked::Engine(Ask(1)),
        );
        assert_eq!((whole.items.len(), whole.is_cut), (1, false));
    }

    #[test]
    fn a_list_that_asterisk_breaks_off_is_cut() {
        let (mut table, _) = asked();
        show(
            &mut table,
            &["Response: Success", "ActionID: b", "EventList: start"],
        );
        show(&mut table, &["Event: Channel", "ActionID: b"]);
        let end = [
            "Event: ChannelsComplete",
            "ActionID: b",
            "EventList: cancelled",
        ];
        let rest = is_done(show(&mut table, &end), Asked::Engine(Ask(2)));
        assert_eq!((rest.items.len(), rest.is_cut), (1, true));
    }

    #[test]
    fn an_error_ends_even_a_list() {
        let (mut table, _) = asked();
        let refused = ["Response: Error", "ActionID: a", "EventList: start"];
        let response = is_done(show(&mut table, &refused), Asked::Engine(Ask(1)));
        assert!(!response.success);
    }

    #[test]
    fn the_table_has_a_size() {
        let (mut table, now) = (Pending::default(), start());
        for ask in 0..512 {
            assert!(!table.is_full());
            table.add(ask.to_string(), Asked::Engine(Ask(ask)), None, now);
        }
        assert!(table.is_full());
        is_done(
            show(&mut table, &["Response: Success"]),
            Asked::Engine(Ask(0)),
        );
        assert!(!table.is_full());
    }
}
