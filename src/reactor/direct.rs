//! Posts that an administrator makes by hand.
//!
//! This file owns their line. It must not know what they say, or who wants to see the answers.
//!
//! The surprising fact: they pass by the queue. Each is tried once and one at a time, whatever the
//! CRM has said of late, because what it says now is what somebody wants to see.

use std::collections::VecDeque;

use crate::ami::instance::Instance;
use crate::crm::{Delivery, Outcome, PostId};
use crate::engine::ConnId;

/// The queue counts from the other end.
const ID: PostId = PostId(u64::MAX);

/// A post, and who wants its answer.
#[derive(Debug)]
pub(super) struct Direct {
    /// Who asked.
    pub(super) conn: ConnId,
    /// What it is to them.
    pub(super) label: &'static str,
    /// Its `Content-Type`.
    pub(super) content_type: &'static str,
    /// What it says.
    pub(super) body: Box<str>,
}

/// The line of them.
#[derive(Debug, Default)]
pub(super) struct Directs {
    waiting: VecDeque<Direct>,
    on_its_way: Option<(ConnId, &'static str)>,
    answers: VecDeque<(ConnId, &'static str, Outcome)>,
    count: u32,
}

impl Directs {
    pub(super) fn push(&mut self, direct: Direct) {
        self.waiting.push_back(direct);
    }

    /// The next post to be made.
    pub(super) fn poll_delivery(&mut self, instance: &Instance) -> Option<Delivery> {
        if self.on_its_way.is_some() {
            return None;
        }
        let direct = self.waiting.pop_front()?;
        self.on_its_way = Some((direct.conn, direct.label));
        self.count = self.count.wrapping_add(1);
        Some(Delivery {
            id: ID,
            webhook_id: format!("{instance}-c{}", self.count).into(),
            content_type: direct.content_type,
            body: direct.body,
        })
    }

    /// Takes an outcome, if it is of one of these.
    pub(super) fn take(&mut self, id: PostId, outcome: &Outcome) -> bool {
        if id != ID {
            return false;
        }
        if let Some((conn, label)) = self.on_its_way.take() {
            self.answers.push_back((conn, label, outcome.clone()));
        }
        true
    }

    /// An answer, with who wants it and what it is to them.
    pub(super) fn poll_answer(&mut self) -> Option<(ConnId, &'static str, Outcome)> {
        self.answers.pop_front()
    }
}
