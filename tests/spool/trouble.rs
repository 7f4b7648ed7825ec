//! Disks that are full, files that are damaged, room that is not there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::scene::{SOON, Say, Scene};
use crate::support::crm::Answer;
use crate::support::daemon::{Salara, run};

#[test]
fn a_damaged_file_costs_the_damaged_event_and_no_other() {
    let mut scene = Scene::new();
    let salara = scene.start();
    scene.tell_and_wait(60, &salara);
    drop(salara);
    let files = scene.files();
    assert_eq!(files.len(), 1, "{files:?}");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&files[0]), mode(&scene.spool)), (0o600, 0o700));
    let mut bytes = fs::read(&files[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    fs::write(&files[0], bytes).unwrap();
    scene.crm.come_up();
    let salara = scene.start();
    salara.wait_log("damaged bytes passed over");
    salara.wait_log("59 events from before wait in");
    let missing = scene.wait_taken(0..60, Duration::from_secs(5)).unwrap_err();
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!((20..40).contains(&missing[0]), "{missing:?}");
    scene.assert_in_order();
    scene.wait_empty();
}

#[test]
fn a_spool_of_another_version_is_left_alone() {
    let mut scene = Scene::new();
    fs::create_dir(&scene.spool).unwrap();
    let theirs = scene.spool.join("00000007.spool");
    // The header of version 2 with its checksum.
    let header = b"salara-s\x02\0\0\0\x82\x5a\xdf\x3f what they wrote";
    fs::write(&theirs, header).unwrap();
    let salara = scene.start();
    salara.wait_log("00000007.spool: version 2 is not known; left alone");
    scene.tell_and_wait(10, &salara);
    scene.crm.come_up();
    scene.wait_taken(0..10, SOON).unwrap();
    drop(salara);
    assert_eq!(fs::read(&theirs).unwrap(), header);
}

#[test]
fn what_does_not_fit_goes_oldest_first_and_is_counted() {
    let mut scene = Scene::new();
    let salara = Salara::start(&scene.conf("spool_max=64k\n"));
    salara.wait_connected();
    for _ in 0..20 {
        scene.tell_and_wait(100, &salara);
        assert!(scene.bytes() <= 64 * 1024, "{}", scene.bytes());
    }
    assert!(scene.bytes() > 32 * 1024, "{}", scene.bytes());
    salara.wait_log("too many events wait for the CRM: 1024 dropped so far, oldest first");
    drop(salara);
    scene.crm.come_up();
    let salara = scene.start();
    let told = salara.wait_log("events from before wait in");
    let waiting = told.split(" events from").next().unwrap();
    let waiting: usize = waiting.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((100..1000).contains(&waiting), "{told}");
    scene.wait_taken(2000 - waiting..2000, SOON).unwrap();
    scene.wait_empty();
    assert_eq!(scene.taken().len(), waiting);
    scene.assert_in_order();
}

#[test]
fn on_a_full_disk_events_wait_in_memory() {
    let mut scene = Scene::new();
    // The system's way to say that a file may grow no more; without the trap it kills.
    let limit = "trap '' XFSZ; ulimit -f 8";
    let salara = Salara::start_after(limit, &scene.conf(""));
    salara.wait_connected();
    for _ in 0..5 {
        scene.tell_and_wait(100, &salara);
    }
    let line = salara.wait_log("events wait in memory only; trying on");
    assert!(line.contains(scene.spool.to_str().unwrap()), "{line}");
    assert!((1..=8 * 1024).contains(&scene.bytes()), "{}", scene.bytes());
    scene.crm.come_up();
    scene.wait_taken(0..500, SOON).unwrap();
    scene.assert_in_order();
    let said = |line: &&String| line.contains("in memory only");
    assert_eq!(salara.log().iter().filter(said).count(), 1);
    scene.wait_empty();
}

#[test]
fn a_directory_that_cannot_be_is_said_and_done_without() {
    let mut scene = Scene::new();
    fs::write(&scene.spool, "a file").unwrap();
    let mut salara = scene.start();
    let line = salara.wait_log("events wait in memory only; trying on");
    assert!(line.contains(scene.spool.to_str().unwrap()), "{line}");
    scene.tell_and_wait(50, &salara);
    scene.crm.come_up();
    scene.wait_taken(0..50, SOON).unwrap();
    scene.assert_in_order();
    // Once there is a place for it, it is used.
    scene.crm.go_down();
    scene.tell_and_wait(50, &salara);
    fs::remove_file(&scene.spool).unwrap();
    salara.wait_log("events can be written again");
    assert_eq!(salara.stop().code(), Some(0));
    salara.wait_log("50 events wait in");
    drop(salara);
    scene.crm.come_up();
    let _salara = scene.start();
    scene.wait_taken(0..100, SOON).unwrap();
    scene.assert_in_order();
}

#[test]
fn two_salaras_do_not_share_a_spool() {
    let scene = Scene::new();
    let salara = scene.start();
    let file = scene.scratch().join("other.conf");
    fs::write(&file, scene.conf("")).unwrap();
    let (code, _, err) = run(&["-c", file.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{err}");
    let wanted = format!(
        "{}: another salara keeps its events there",
        scene.spool.display()
    );
    assert!(err.contains(&wanted), "{err}");
    drop(salara);
    drop(scene.start());
}

#[test]
fn what_is_on_its_way_at_the_end_is_kept() {
    let mut scene = Scene::new();
    scene.crm.come_up();
    scene.answer(|_| Say::No(Answer::never()));
    let mut salara = scene.start();
    scene.tell_and_wait(20, &salara);
    assert_eq!(salara.stop().code(), Some(0));
    salara.wait_log("20 events wait in");
    drop(salara);
    scene.answer(|_| Say::YES);
    let _salara = scene.start();
    scene.wait_taken(0..20, SOON).unwrap();
    scene.assert_in_order();
    scene.wait_empty();
}

#[test]
fn without_a_spool_what_is_lost_at_the_end_is_counted() {
    let mut scene = Scene::new();
    let mut salara = Salara::start(&scene.conf_in_memory());
    salara.wait_connected();
    scene.tell_and_wait(20, &salara);
    assert_eq!(salara.stop().code(), Some(0));
    salara.wait_log("20 events were not delivered and are lost");
}

#[test]
fn what_the_crm_takes_is_still_posted_at_the_end() {
    let mut scene = Scene::new();
    scene.crm.come_up();
    scene.answer(|_| Say::Yes {
        after: Duration::from_millis(100),
    });
    let mut salara = Salara::start(&scene.conf_in_memory());
    salara.wait_connected();
    scene.tell_and_wait(30, &salara);
    assert_eq!(salara.stop().code(), Some(0));
    assert_eq!(scene.taken().len(), 30);
    scene.assert_in_order();
    assert!(!salara.log().join("\n").contains("lost"));
}

#[test]
fn a_crm_that_never_answers_does_not_hold_up_the_end() {
    let mut scene = Scene::new();
    scene.crm.come_up();
    scene.answer(|_| Say::No(Answer::never()));
    let conf = scene
        .conf("")
        .replace("curlopt_timeout=1", "curlopt_timeout=5");
    let mut salara = Salara::start(&conf);
    salara.wait_connected();
    scene.tell_and_wait(20, &salara);
    let asked = Instant::now();
    assert_eq!(salara.stop().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5));
    salara.wait_log("20 events wait in");
}
