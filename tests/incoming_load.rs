//! Many callers at once: each is sent where the CRM says, or to the fallback in time when there is no
//! CRM, and REST clients notice nothing.

#![allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test owns its threads and clocks"
)]

#[macro_use]
mod support;

#[path = "incoming/scene.rs"]
mod scene;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use scene::{SOON, Scene, send_to, to};
use support::asterisk::Asterisk;
use support::crm::Answer;
use support::phone::{Call, Phone, Stage};
use support::rest::Client;

on_both! {
    two_hundred_callers_are_routed_at_once
    without_a_crm_two_hundred_callers_get_away_in_time
    twenty_callers_of_a_slow_crm_are_all_answered
}

/// They share the machine with nobody but themselves.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// So many callers, each with a number of its own, at once.
fn callers(trunk: &Phone, count: usize) -> Vec<Call> {
    (0..count)
        .map(|n| trunk.call_as(&format!("8701{n:07}"), "5000"))
        .collect()
}

/// Where each was sent, and how long the slowest waited for that.
#[track_caller]
fn sent(calls: &[Call], patience: Duration) -> (Vec<String>, Duration) {
    let waited = calls.iter().map(|call| {
        assert!(call.wait(Stage::Ended, patience), "a caller waits for ever");
        let stages = call.stages();
        stages[stages.len() - 1].1 - stages[0].1
    });
    let longest = waited.max().unwrap_or_default();
    let user = |call: &Call| {
        let contact = call.redirected_to().unwrap_or_default();
        support::sip::user(&contact).to_owned()
    };
    (calls.iter().map(user).collect(), longest)
}

/// The time that 99 of 100 answers took while `busy` went on: salara's, and those of a thread that
/// only gives back what it gets, in the same moments.
fn rest_p99(scene: &Scene, busy: impl FnOnce()) -> (Duration, Duration) {
    let over = &AtomicBool::new(false);
    let addr = scene.salara.addr();
    let mirror = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut plain = TcpStream::connect(mirror.local_addr().unwrap()).unwrap();
    let mut times = thread::scope(|scope| {
        scope.spawn(move || {
            let (mut stream, _) = mirror.accept().unwrap();
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() {
                stream.write_all(&byte).unwrap();
            }
        });
        let asking = scope.spawn(move || {
            let mut client = Client::connect(addr);
            let mut times: [Vec<Duration>; 2] = Default::default();
            while !over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let reply = client.post(r#"{"exten":"0000"}"#);
                times[0].push(asked.elapsed());
                assert_eq!(reply.body, r#"{"result":0,"text":"Idle"}"#);
                let asked = Instant::now();
                plain.write_all(b"x").unwrap();
                plain.read_exact(&mut [0]).unwrap();
                times[1].push(asked.elapsed());
                thread::sleep(Duration::from_millis(2));
            }
            times
        });
        busy();
        over.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    });
    let [salara, mirror] = times.each_mut().map(|times| {
        times.sort_unstable();
        times[times.len() * 99 / 100]
    });
    (salara, mirror)
}

fn two_hundred_callers_are_routed_at_once(asterisk: Asterisk) {
    let _alone = alone();
    let mut scene = Scene::new(asterisk, "[general]\ndefault=0000\n");
    let slow = to("000").after(Duration::from_secs(1));
    scene.crm.answer_with(move |_| slow.clone());
    let trunk = scene.trunk();
    trunk.follow_redirects(true);
    let (quiet, _) = rest_p99(&scene, || thread::sleep(Duration::from_secs(1)));
    let mut calls = Vec::new();
    let (busy, machine) = rest_p99(&scene, || {
        calls = callers(&trunk, 200);
        let (sent, longest) = sent(&calls, SOON * 2);
        assert!(sent.iter().all(|to| to == "000"), "{sent:?}");
        println!("200 callers: the slowest waited {longest:?}");
    });
    println!("REST p99: {quiet:?}, with 200 callers {busy:?}, of a mirror {machine:?}");
    assert_eq!(scene.asked(), 200);
    // They get where they were sent: each dials again, and is answered there.
    for call in &calls {
        let again = call.followed_by(SOON).expect("the trunk dials again");
        assert!(again.wait(Stage::Answered, SOON));
    }
    scene.quiet();
    // As in quiet, but for what a machine with two cores and an Asterisk has to do beside.
    let bound = (quiet + machine) * 5 + Duration::from_millis(100);
    assert!(busy < bound, "{quiet:?} {busy:?} {machine:?}");
}

fn without_a_crm_two_hundred_callers_get_away_in_time(asterisk: Asterisk) {
    let _alone = alone();
    let conf = "[general]\ndefault=000\ncurlopt_timeout=1\n";
    let mut scene = Scene::new(asterisk, conf);
    let trunk = scene.trunk();
    // It takes connections and says nothing; then it is not there at all.
    scene.crm.answer_with(|_| Answer::never());
    for is_there in [true, false] {
        if !is_there {
            scene.crm.go_down();
        }
        let calls = callers(&trunk, 200);
        let (sent, longest) = sent(&calls, SOON * 2);
        assert!(sent.iter().all(|to| to == "000"), "{sent:?}");
        println!("200 callers without a CRM: the slowest waited {longest:?}");
        // The promise is two seconds, of which one is waited out; a busy machine may take a third.
        assert!(longest < Duration::from_secs(3), "{longest:?}");
        scene.quiet();
    }
}

fn twenty_callers_of_a_slow_crm_are_all_answered(asterisk: Asterisk) {
    let _alone = alone();
    let conf = "[general]\ndefault=0000\ncurlopt_timeout=3\n";
    let scene = Scene::new(asterisk, conf);
    let slow = to("000").after(Duration::from_secs(2));
    scene.crm.answer_with(move |_| slow.clone());
    let trunk = scene.trunk();
    let calls = callers(&trunk, 20);
    let (sent, longest) = sent(&calls, SOON);
    assert!(sent.iter().all(|to| to == "000"), "{sent:?}");
    println!("20 callers of a slow CRM: the slowest waited {longest:?}");
    assert!(longest < Duration::from_secs(4), "{longest:?}");

    // And the next one does not wait behind anybody.
    scene.crm.answer_with(send_to("000"));
    let (sent, longest) = self::sent(&callers(&trunk, 1), SOON);
    assert_eq!(sent, ["000"]);
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}
