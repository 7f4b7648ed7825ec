//! Many calls at once, and a CRM that makes events wait: salara stays small.

use std::time::{Duration, Instant};

use crate::office::{Office, SOON};
use crate::support::crm::Answer;

/// How many calls a second the recorded load had.
const CALLS_PER_SECOND: usize = 200;
/// The events of one.
const EVENTS: usize = 5;
/// What salara may take with all its threads at work, without the pages of the program itself.
const MAX_OWN_KIB: u64 = 4 * 1024;

#[test]
fn many_calls_at_once_are_told_in_order() {
    let calls = match std::env::var("SALARA_LONG") {
        Ok(_) => 1_000,
        Err(_) => 300,
    };
    let office = Office::open(|_, _| None);
    let begin = Instant::now();
    let mut last = begin;
    for call in 0..calls {
        let due = Duration::from_secs_f64(call as f64 / CALLS_PER_SECOND as f64);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        office.tell_call(call, 0..EVENTS);
        last = Instant::now();
    }
    let span = begin.elapsed();
    let office = office.assert_all(calls, EVENTS);
    let arrived = office.crm.requests().last().unwrap().at;
    let own = office.salara.own_kib();
    println!(
        "{calls} calls in {span:?}: the last event came {:?} after it was told; {} connections, \
         {own} KiB",
        arrived.saturating_duration_since(last),
        office.crm.connections(),
    );
    assert!(own < MAX_OWN_KIB, "{own} KiB");
}

#[test]
fn a_slow_crm_and_its_long_answers_take_no_memory() {
    let office = Office::open(|_, _| None);
    let answer = Answer::status(200, "y".repeat(10 << 20));
    office.crm.answer_with(move |_| answer.clone());
    office.tell(4, 0..5);
    office.crm.wait_for(20, SOON);
    let before = office.salara.own_kib();
    office.crm.answer_with(|_| Answer::never());
    office.tell(4, 5..500);
    office.salara.wait_log("the CRM does not take events");
    let after = office.salara.own_kib();
    println!("{before} KiB after long answers, {after} KiB with 1,980 events that wait");
    assert!(after < MAX_OWN_KIB, "{after} KiB");
    assert!(after < before + 2_048, "{before} KiB, then {after} KiB");
}
