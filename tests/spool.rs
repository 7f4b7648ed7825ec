//! Events that wait on disk: the real binary, killed, restarted and starved of room.
//!
//! `SALARA_LONG=1` kills it 200 times instead of 20 and sends a whole backlog of 16 MB;
//! `SALARA_SEED=n` chooses other moments.

#![allow(unreachable_pub, reason = "a module of a test binary has no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test owns its threads and clocks"
)]

#[path = "spool/kill.rs"]
mod kill;
#[path = "spool/scene.rs"]
mod scene;
mod support;
#[path = "spool/trouble.rs"]
mod trouble;

use std::thread;
use std::time::Duration;

use scene::{SOON, Say, Scene};
use support::crm::Answer;

#[test]
fn events_outlive_salara_and_a_crm_that_is_down() {
    let mut scene = Scene::new();
    let salara = scene.start();
    scene.tell_and_wait(300, &salara);
    assert!(!scene.files().is_empty());
    drop(salara);
    let salara = scene.start();
    salara.wait_log("300 events from before wait in");
    scene.tell_and_wait(100, &salara);
    scene.crm.come_up();
    scene.wait_taken(0..400, SOON).unwrap();
    assert_eq!(scene.taken().len(), 400);
    scene.assert_in_order();
    salara.wait_log("no more events wait in");
    scene.wait_empty();
}

#[test]
fn an_event_that_comes_twice_comes_with_its_webhook_id() {
    let mut scene = Scene::new();
    scene.crm.come_up();
    // It takes them, but salara does not live to hear it.
    scene.answer(|_| Say::Yes {
        after: Duration::from_millis(900),
    });
    let salara = scene.start();
    scene.tell_and_wait(4, &salara);
    scene.wait_taken(0..4, SOON).unwrap();
    scene.wait_not_empty();
    drop(salara);
    scene.answer(|_| Say::YES);
    let _salara = scene.start();
    scene.wait_empty();
    assert_eq!(scene.taken().len(), 8);
    scene.assert_in_order();
}

#[test]
fn nothing_is_written_while_the_crm_keeps_up() {
    // A machine that stands still for a quarter of a second makes any CRM slow.
    let is_still = || {
        let mut scene = Scene::new();
        scene.crm.come_up();
        let salara = scene.start();
        // Until it has taken one, it is not known to take any.
        scene.tell(1);
        scene.wait_taken(0..1, SOON).unwrap();
        thread::sleep(Duration::from_millis(10));
        for _ in 0..25 {
            scene.tell(20);
            thread::sleep(Duration::from_millis(40));
            if !scene.files().is_empty() {
                return false;
            }
        }
        scene.wait_taken(0..501, SOON).unwrap();
        let empty = scene.files().is_empty();
        drop(salara);
        empty
    };
    assert!((0..5).any(|_| is_still()));
}

#[test]
fn a_post_that_only_needs_patience_does_not_make_the_others_wait_or_be_written() {
    let mut scene = Scene::new();
    scene.crm.come_up();
    scene.answer(|request| match scene::number(&request.body) {
        1 => Say::No(Answer::status(500, "")),
        _ => Say::YES,
    });
    let salara = scene.start();
    scene.tell_and_wait(1, &salara);
    scene.wait_taken(0..1, SOON).unwrap();
    scene.tell_and_wait(1, &salara);
    scene.wait_not_empty();
    scene.tell_and_wait(6, &salara);
    scene.wait_taken(2..8, SOON).unwrap();
    // One event of two hundred bytes, and its name; perhaps one that met a retry.
    assert!(scene.bytes() < 800, "{}", scene.bytes());
}

#[test]
fn a_long_backlog_takes_no_memory() {
    let mut scene = Scene::new();
    let salara = scene.start();
    scene.tell_and_wait(2_000, &salara);
    let before = salara.resident_kib();
    while scene.bytes() < 15 << 20 {
        scene.tell_and_wait(2_000, &salara);
    }
    let grown = salara.resident_kib().saturating_sub(before);
    assert!(grown < 1024, "{grown} KiB more than {before}");
    drop(salara);
    let is_long = std::env::var_os("SALARA_LONG").is_some();
    let salara = scene.start();
    let restarted = salara.resident_kib();
    assert!(
        restarted < before + 1024,
        "{restarted} KiB, {before} before"
    );
    scene.crm.come_up();
    let wanted = if is_long { scene.told } else { 4_000 };
    scene.wait_taken(0..wanted, 20 * SOON).unwrap();
    scene.assert_in_order();
    let grown = salara.peak_kib().saturating_sub(before);
    assert!(grown < 2048, "{grown} KiB more than {before}");
    if is_long {
        scene.wait_empty();
    }
}
