use std::collections::BTreeSet;

use super::*;
use crate::ami::instance::Instance;

/// A disk that does as it is told, and the CRM and the clock beside it.
struct World {
    backlog: Backlog,
    disk: Vec<Record>,
    /// All before it are.
    read: usize,
    refuses: bool,
    now: Instant,
    run: u64,
    pushed: usize,
    in_flight: Vec<Delivery>,
    workers: usize,
    /// What the CRM took, in its order.
    taken: Vec<(usize, Box<str>)>,
    notes: Vec<Note>,
}

#[derive(Debug)]
struct Record {
    webhook_id: Box<str>,
    call: Box<str>,
    body: Box<str>,
    is_done: bool,
    /// It is in memory too, or was.
    is_passed: bool,
}

/// What the queue has room for.
const WINDOW: usize = 1_024;
const CALLS: usize = 5;
const WORKERS: usize = 3;
const OK: u16 = 200;

impl World {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let mut world = Self {
            backlog: backlog(1),
            disk: Vec::new(),
            read: 0,
            refuses: false,
            now,
            run: 1,
            pushed: 0,
            in_flight: Vec::new(),
            workers: WORKERS,
            taken: Vec::new(),
            notes: Vec::new(),
        };
        world.backlog.add_disk(0);
        world
    }

    fn push(&mut self, count: usize) {
        for number in self.pushed..self.pushed + count {
            let post = Post {
                call: (number % CALLS).to_string().into(),
                body: number.to_string().into(),
            };
            self.backlog.push(post, self.now);
        }
        self.pushed += count;
    }

    /// What the loop does in a turn.
    fn turn(&mut self) {
        let now = self.now;
        self.backlog.handle_timeout(now);
        if self.backlog.wants_refill() {
            while self.backlog.can_refill() {
                let rest = self.disk.iter().skip(self.read);
                let next = rest.take_while(|record| record.is_passed).count() + self.read;
                self.read = next;
                let next = Some(next).filter(|next| *next < self.disk.len());
                let Some(at) = next else {
                    self.backlog.handle_exhausted();
                    break;
                };
                let record = &mut self.disk[at];
                record.is_passed = true;
                let post = Post {
                    call: record.call.clone(),
                    body: record.body.clone(),
                };
                let (id, age) = (record.webhook_id.clone(), Duration::ZERO);
                self.backlog.restore(at as u64, id, post, age, now);
            }
        }
        while self.in_flight.len() < self.workers
            && let Some(delivery) = self.backlog.poll_delivery()
        {
            self.in_flight.push(delivery);
        }
        if self.backlog.wants_store(now) {
            self.store();
        }
        while let Some(number) = self.backlog.poll_done() {
            self.disk[usize::try_from(number).unwrap()].is_done = true;
        }
        while let Some(note) = self.backlog.poll_note() {
            self.notes.push(note);
        }
    }

    fn store(&mut self) {
        while let Some(unstored) = self.backlog.poll_unstored() {
            if self.refuses {
                return self.backlog.handle_refused(self.now);
            }
            let (kept, memo) = match unstored {
                Unstored::Kept(id, memo) => (Some(id), memo),
                Unstored::Passed(memo) => (None, memo),
            };
            self.disk.push(Record {
                webhook_id: memo.webhook_id,
                call: memo.call.into(),
                body: memo.body.into(),
                is_done: false,
                is_passed: kept.is_some(),
            });
            let number = self.disk.len() as u64 - 1;
            self.backlog.handle_stored(kept, number);
        }
    }

    fn answer(&mut self, at: usize, outcome: &Outcome) {
        let delivery = self.in_flight.remove(at);
        if matches!(outcome, Outcome::Answered { status: OK, .. }) {
            self.taken
                .push((delivery.body.parse().unwrap(), delivery.webhook_id));
        }
        self.backlog.handle_outcome(delivery.id, outcome, self.now);
    }

    /// The CRM takes all there is.
    fn take_all(&mut self) {
        self.turn();
        while !self.in_flight.is_empty() {
            self.answer(0, &status(OK));
            self.turn();
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.turn();
    }

    fn kill(&mut self) {
        self.run += 1;
        self.in_flight.clear();
        self.backlog = backlog(self.run);
        self.read = 0;
        for record in &mut self.disk {
            record.is_passed = record.is_done;
        }
        let unread = self.disk.iter().filter(|record| !record.is_done).count();
        self.backlog.add_disk(unread as u64);
    }

    fn on_disk(&self) -> Vec<usize> {
        let wanted = self.disk.iter().filter(|record| !record.is_done);
        wanted.map(|record| record.body.parse().unwrap()).collect()
    }
}

fn backlog(run: u64) -> Backlog {
    let day = Duration::from_secs(86_400);
    Backlog::new(Queue::new(Instance::new(run, 1), 4, day, run))
}

fn status(status: u16) -> Outcome {
    Outcome::Answered {
        status,
        retry_after: None,
        said: "".into(),
    }
}

fn failed() -> Outcome {
    Outcome::Failed("refused".into())
}

/// A world whose CRM has taken a post.
fn proven() -> World {
    let mut world = World::new();
    world.push(1);
    world.take_all();
    world
}

#[test]
fn what_goes_out_at_once_is_not_written() {
    let mut world = World::new();
    for _ in 0..100 {
        world.push(3);
        world.take_all();
    }
    assert_eq!((world.taken.len(), world.disk.len()), (300, 0));
}

#[test]
fn a_crm_that_is_not_known_gets_no_time() {
    let mut world = World::new();
    world.push(WORKERS + 1);
    world.turn();
    // In order, those on their way first.
    assert_eq!(world.on_disk(), [0, 1, 2, 3]);
}

#[test]
fn a_few_wait_a_moment_for_a_crm_that_takes_posts() {
    let mut world = proven();
    world.push(20);
    world.turn();
    assert_eq!(world.disk.len(), 0);
    let due = world.now + GRACE;
    assert_eq!(world.backlog.poll_timeout(), Some(due));
    world.wait(249);
    assert_eq!(world.disk.len(), 0);
    world.wait(1);
    assert_eq!(world.on_disk(), (1..=20).collect::<Vec<_>>());
    // It is behind now: what comes is written at once.
    world.push(1);
    world.turn();
    assert_eq!(world.on_disk().last(), Some(&21));
    world.take_all();
    assert_eq!(world.on_disk(), [0; 0]);
    world.push(3);
    world.turn();
    assert_eq!(world.on_disk(), [0; 0]);
}

#[test]
fn a_crowd_is_written_at_once() {
    let mut world = proven();
    world.push(CROWD);
    world.turn();
    assert_eq!(world.disk.len(), 0);
    world.push(1);
    world.turn();
    assert_eq!(world.disk.len(), CROWD + 1);
}

#[test]
fn a_refusal_is_written_with_all_before_it_and_does_not_make_others_be() {
    let mut world = proven();
    world.push(3);
    world.turn();
    world.answer(1, &status(500));
    world.turn();
    assert_eq!(world.on_disk(), [1, 2, 3]);
    world.answer(0, &status(OK));
    world.answer(0, &status(OK));
    world.turn();
    assert_eq!(world.on_disk(), [2]);
    // The refused one waits for its time; a call that has no part in it is not written.
    world.push(2);
    world.turn();
    assert_eq!(world.on_disk(), [2]);
}

#[test]
fn a_crm_that_rests_has_everything_written_at_once() {
    let mut world = proven();
    world.push(1);
    world.turn();
    world.answer(0, &failed());
    world.turn();
    world.push(1);
    world.turn();
    assert_eq!(world.on_disk(), [1, 2]);
}

#[test]
fn memory_holds_a_window_and_the_rest_comes_back_in_order() {
    let mut world = World::new();
    for _ in 0..50 {
        world.push(100);
        world.turn();
    }
    assert_eq!(world.backlog.queue.len(), WINDOW);
    assert_eq!((world.backlog.len(), world.disk.len()), (5_000, 5_000));
    // New ones go behind, also when there is room.
    for _ in 0..WINDOW {
        world.answer(0, &status(OK));
        world.turn();
        assert!(world.backlog.queue.len() <= WINDOW);
    }
    world.push(1);
    world.turn();
    assert_eq!(
        world.disk.last().map(|record| record.is_passed),
        Some(false)
    );
    world.take_all();
    let numbers: Vec<usize> = world.taken.iter().map(|(number, _)| *number).collect();
    for call in 0..CALLS {
        let its = numbers.iter().filter(|number| *number % CALLS == call);
        assert!(its.is_sorted(), "call {call}");
    }
    assert_eq!(numbers.len(), 5_001);
    assert!(world.backlog.is_empty());
}

#[test]
fn a_disk_that_refuses_leaves_everything_in_memory_and_is_asked_again() {
    let mut world = World::new();
    world.refuses = true;
    world.push(3_000);
    world.turn();
    assert_eq!((world.backlog.queue.len(), world.disk.len()), (3_000, 0));
    assert!(!world.backlog.may_write(world.now));
    world.push(1);
    world.wait(9_999);
    assert_eq!(world.disk.len(), 0);
    world.refuses = false;
    world.wait(1);
    assert_eq!(world.on_disk(), (0..3_001).collect::<Vec<_>>());
    world.take_all();
    assert_eq!((world.taken.len(), world.on_disk().len()), (3_001, 0));
}

#[test]
fn a_disk_that_refuses_in_the_middle_of_a_backlog_keeps_the_order() {
    let mut world = World::new();
    world.push(3_000);
    world.turn();
    world.refuses = true;
    world.push(100);
    world.turn();
    assert_eq!(world.backlog.unstored_len(), 100);
    assert_eq!(world.backlog.len(), 3_100);
    world.take_all();
    let numbers: Vec<usize> = world.taken.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers.len(), 3_100);
    for call in 0..CALLS {
        assert!(numbers.iter().filter(|n| *n % CALLS == call).is_sorted());
    }
}

#[test]
fn a_disk_that_comes_late_with_events_and_full_hides_none_that_is_in_memory_alone() {
    let mut world = World::new();
    world.refuses = true;
    world.push(3);
    world.turn();
    // It is there now, with an event of an earlier run, and takes nothing more.
    world.disk.push(Record {
        webhook_id: "salara-0-0-e1".into(),
        call: "0".into(),
        body: "99".into(),
        is_done: false,
        is_passed: false,
    });
    world.backlog.add_disk(1);
    world.turn();
    assert_eq!(world.backlog.unstored_len(), 3);
    world.refuses = false;
    world.wait(10_000);
    assert_eq!(world.on_disk(), [99, 0, 1, 2]);
    world.take_all();
    assert_eq!((world.taken.len(), world.on_disk().len()), (4, 0));
}

#[test]
fn what_makes_room_is_counted_and_not_tried_again() {
    let mut world = World::new();
    world.push(2_000);
    world.turn();
    // The first 1,500 numbers: 1,024 are in memory, 3 of those on their way.
    let unread = 1_500 - WINDOW as u64;
    world.backlog.handle_dropped(1_500, unread);
    for record in world.disk.iter_mut().take(1_500) {
        (record.is_done, record.is_passed) = (true, true);
    }
    assert_eq!(world.backlog.len(), 500 + WORKERS as u64);
    world.answer(0, &status(OK));
    world.answer(0, &status(500));
    world.answer(0, &status(500));
    world.take_all();
    assert_eq!(world.taken.len(), 501);
    assert_eq!(world.backlog.queue.dropped(), 1_499);
    world.wait(3_600_000);
    assert!(world.in_flight.is_empty() && world.backlog.is_empty());
}

#[test]
fn what_made_room_while_it_was_on_its_way_is_not_kept_after_410() {
    let mut world = World::new();
    world.push(10);
    world.turn();
    world.backlog.handle_dropped(10, 0);
    world.answer(0, &status(410));
    world.turn();
    assert_eq!((world.backlog.len(), world.backlog.dropped()), (2, 8));
    world.backlog.reopen();
    world.take_all();
    assert_eq!((world.taken.len(), world.backlog.dropped()), (2, 8));
}

#[test]
fn after_410_events_are_kept_for_the_next_run() {
    let mut world = proven();
    world.push(10);
    world.turn();
    world.answer(0, &status(410));
    world.turn();
    world.push(2_000);
    world.turn();
    assert_eq!(world.on_disk().len(), 2_010);
    assert!(world.backlog.queue.len() <= WINDOW);
    world.answer(0, &status(OK));
    world.turn();
    assert_eq!(world.in_flight.len(), 1);
    world.kill();
    world.take_all();
    assert_eq!(world.on_disk().len(), 0);
    let taken: BTreeSet<usize> = world.taken.iter().map(|(number, _)| *number).collect();
    assert_eq!(taken.len(), world.pushed);
}

#[test]
fn after_410_and_a_reload_all_that_was_kept_goes_out_in_order() {
    let mut world = proven();
    world.push(10);
    world.turn();
    // All that are on their way hear it; it is told once.
    world.answer(0, &status(410));
    world.answer(0, &status(410));
    world.push(2_000);
    world.turn();
    assert_eq!(world.notes, [Note::Gone { lost: 0 }]);
    world.backlog.reopen();
    world.take_all();
    assert_eq!((world.taken.len(), world.on_disk().len()), (2_011, 0));
    for call in 0..CALLS {
        let its = world.taken.iter().filter(|(n, _)| n % CALLS == call);
        assert!(its.is_sorted(), "call {call}");
    }
    assert_eq!(world.backlog.queue.dropped(), 0);
}

#[test]
fn what_failed_goes_out_again_behind_what_waits_on_disk() {
    let mut world = proven();
    world.push(3);
    world.turn();
    while !world.in_flight.is_empty() {
        world.answer(0, &status(400));
        world.turn();
    }
    world.push(2_000);
    world.turn();
    assert_eq!(world.backlog.failed().count(), 3);
    assert_eq!(world.backlog.replay(world.now), 3);
    world.take_all();
    let last: Vec<usize> = world.taken.iter().rev().take(3).map(|(n, _)| *n).collect();
    assert_eq!((last.len(), world.taken.len()), (3, 2_004));
    assert!(last.iter().all(|n| (1..=3).contains(n)), "{last:?}");
    let mut ids: Vec<_> = world.taken.iter().map(|(_, id)| id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2_004);
    assert_eq!(world.on_disk(), [0_usize; 0]);
}
