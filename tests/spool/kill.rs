//! salara is killed (SIGKILL) at random moments, again and again, and nothing is missing.
//!
//! What must not be missing is what salara has read, and that is proved: the answer to a REST request
//! came behind the events on the same link. Where the CRM is behind, such an event is on disk
//! already. Where it is not, the event may be on its way to a CRM that was in good order until then,
//! and is given the quarter of a second after which it would be written.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::scene::{SOON, Say, Scene};
use crate::support::crm::Answer;
use crate::support::daemon::Salara;

/// What has not been delivered by then is on disk, with a margin for a busy machine.
const WRITTEN: Duration = Duration::from_millis(750);

/// How often salara is killed.
fn kills() -> usize {
    if std::env::var_os("SALARA_LONG").is_some() {
        200
    } else {
        20
    }
}

/// The same numbers each time, unless `SALARA_SEED` says otherwise.
struct Random(u64);

impl Random {
    fn new(test: u64) -> Self {
        let seed = std::env::var("SALARA_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        Self((seed.unwrap_or(7_u64) ^ test << 32) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % limit
    }
}

/// What happened in one life of salara.
struct Life {
    /// The events it was told.
    told: std::ops::Range<usize>,
    /// Up to here it has provably read, and when that was known.
    read: Vec<(usize, Instant)>,
    killed: Instant,
}

/// Lets a salara live for a while under load; it is killed in the midst of it.
fn live(scene: &mut Scene, within: Duration, random: &mut Random) -> Life {
    let salara = Salara::start(&scene.conf(""));
    let pid = salara.pid().to_string();
    let killer = thread::spawn(move || {
        thread::sleep(within);
        let killed = Instant::now();
        assert!(
            Command::new("sh")
                .args(["-c", &format!("kill -9 {pid}")])
                .status()
                .unwrap()
                .success()
        );
        killed
    });
    let start = scene.told;
    let mut read = Vec::new();
    let is_connected = || {
        salara
            .log()
            .iter()
            .any(|line| line.contains("connected to Asterisk"))
    };
    while !killer.is_finished() {
        if !is_connected() {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        scene.tell(1 + random.below(12) as usize);
        if scene.has_read(salara.addr()) {
            read.push((scene.told, Instant::now()));
        }
        thread::sleep(Duration::from_millis(random.below(10)));
    }
    let killed = killer.join().unwrap();
    Life {
        told: start..scene.told,
        read,
        killed,
    }
}

/// In the end a salara is left alive, and a CRM takes all.
fn settle(scene: &mut Scene, must: &[usize]) {
    scene.answer(|_| Say::YES);
    let salara = scene.start();
    scene.tell_and_wait(CALLS_ONCE, &salara);
    if let Err(missing) = scene.wait_taken(must.iter().copied(), 4 * SOON) {
        panic!("{} events are missing: {missing:?}", missing.len());
    }
    scene
        .wait_taken(scene.told - CALLS_ONCE..scene.told, SOON)
        .unwrap();
    scene.wait_empty();
    scene.assert_in_order();
}

/// One last event for each call.
const CALLS_ONCE: usize = crate::scene::CALLS;

#[test]
fn killed_while_the_crm_is_behind_it_loses_nothing_that_it_has_read() {
    let mut random = Random::new(1);
    let mut scene = Scene::new();
    let mut must = Vec::new();
    let mut lives = Vec::new();
    // The CRM takes less than it is told, in each life: it is behind all the time.
    let salara = scene.start();
    scene.tell_and_wait(100, &salara);
    drop(salara);
    must.extend(0..100);
    scene.crm.come_up();
    let slow = AtomicU64::new(0);
    scene.answer(move |_| Say::Yes {
        after: Duration::from_millis(15 + slow.fetch_add(7, Ordering::Relaxed) % 20),
    });
    // On a busy machine an emulated salara reads little before it is killed: it gets more lives.
    while lives.len() < kills() || must.len() <= 20 * kills() {
        assert!(lives.len() < 10 * kills(), "no load: {}", must.len());
        let within = Duration::from_millis(random.below(400));
        let life = live(&mut scene, within, &mut random);
        let read = life.read.last().map_or(life.told.start, |(read, _)| *read);
        must.extend(life.told.start..read);
        lives.push(life);
    }
    settle(&mut scene, &must);
    // What it was told and had no time to read may be lost, but only the end of each life.
    let taken: std::collections::HashSet<usize> =
        scene.taken().iter().map(|(number, _)| *number).collect();
    for life in lives {
        let lost = life.told.clone().find(|number| !taken.contains(number));
        let after = lost.map_or(0, |lost| {
            (lost..life.told.end).filter(|n| taken.contains(n)).count()
        });
        assert_eq!(after, 0, "a hole at {lost:?} of {:?}", life.told);
    }
}

#[test]
fn killed_whatever_the_crm_does_it_loses_nothing_that_had_its_time() {
    let mut random = Random::new(2);
    let mut scene = Scene::new();
    let mut must = Vec::new();
    scene.crm.come_up();
    let mut is_up = true;
    for _ in 0..kills() {
        let mood = random.below(6);
        if is_up && mood == 5 {
            scene.crm.go_down();
        } else if !is_up && mood != 5 {
            scene.crm.come_up();
        }
        is_up = mood != 5;
        let count = AtomicU64::new(random.below(100));
        scene.answer(move |_| {
            let count = count.fetch_add(1, Ordering::Relaxed);
            match mood {
                0 => Say::YES,
                1 => Say::Yes {
                    after: Duration::from_millis(count % 60),
                },
                2 => Say::No(Answer::never()),
                3 if count.is_multiple_of(3) => Say::No(Answer::status(500, "")),
                4 if count.is_multiple_of(5) => Say::No(Answer::reset()),
                _ => Say::YES,
            }
        });
        let within = Duration::from_millis(random.below(2000));
        let life = live(&mut scene, within, &mut random);
        let in_time = |(_, at): &&(usize, Instant)| *at + WRITTEN <= life.killed;
        let read = life.read.iter().rev().find(in_time);
        must.extend(life.told.start..read.map_or(life.told.start, |(read, _)| *read));
    }
    assert!(must.len() > 5 * kills(), "no load: {}", must.len());
    if !is_up {
        scene.crm.come_up();
    }
    settle(&mut scene, &must);
}
