//! Verbs beside a real Asterisk, and reloads in the middle of its calls.

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::reload::listens;
use super::{done, refused};
use crate::support::asterisk::Asterisk;
use crate::support::crm::{Answer, Crm};
use crate::support::daemon::Salara;
use crate::support::phone::{Behaviour, Phone, Stage};
use crate::support::rest::{self, Client};

on_both! {
    every_verb_is_answered
    a_hundred_reloads_lose_no_request_and_no_event
    a_caller_goes_by_the_route_that_was_just_set_and_reloads_do_not_lose_him
}

/// A phone, an Asterisk or salara is given so long for what takes milliseconds.
const SOON: Duration = Duration::from_secs(10);

fn every_verb_is_answered(asterisk: Asterisk) {
    let crm = Crm::start(|_| Answer::json("{}"));
    let events = format!(
        "[event]\nwatch_makecall=1\nhangup=1\n[url]\ndest_url_event={}\n",
        crm.url("/event")
    );
    let salara = Salara::beside(&asterisk, &events);
    let operator = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let mut ami = asterisk.ami();
    ami.wait_extension_state("8003", 0, SOON).unwrap();

    assert_eq!(
        done(&salara, "get status extension 8003"),
        "Status=0 (Idle)\n"
    );
    assert_eq!(
        refused(&salara, "get status extension 9999"),
        "Status=-1 (Unknown)\n"
    );
    assert_eq!(
        done(&salara, "get status peer 8003"),
        "Peer: 8003\nStatus=0 (Reachable)\n"
    );
    assert_eq!(
        refused(&salara, "get status peer 9999"),
        "Peer: 9999\nStatus=-1 (Error)\n"
    );
    let unknown = "SIP/x - is not a known channel\n";
    assert_eq!(refused(&salara, "get status channel SIP/x"), unknown);
    let version = format!("\t-- asterisk version: {}", asterisk.version().number());
    assert!(done(&salara, "show info").contains(&version));

    let sent = "Status=0 (Idle)\nMessage handed to Asterisk\n";
    assert_eq!(done(&salara, "send msg 8002 8003 hello there"), sent);
    let inbox = operator.wait_inbox(1, SOON);
    assert_eq!(inbox[0].body, "hello there");
    let bad = refused(&salara, "send msg 8002 9999 hello");
    assert_eq!(
        bad,
        "Status=-1 (Unknown)\nNot sent: this is not one of good_status\n"
    );

    // The account of the README may not, and is told what it lacks.
    let lacks = "the AMI account may not Command: it needs write=command\n";
    assert_eq!(refused(&salara, "send command core show uptime"), lacks);

    let call = salara.post(r#"{"operator":"8003","phone":"0000"}"#);
    let uniqueid = call.header("Salara-Uniqueid").to_owned();
    let call = operator.incoming(SOON).expect("the operator's phone rings");
    assert!(call.wait(Stage::Answered, SOON));
    let tech = asterisk.tech();
    let records = done(&salara, "show chan_records");
    let (total, record) = records.split_once('\n').unwrap();
    assert_eq!(total, "total=1");
    let begins = format!("chan='{tech}/8003-");
    let ends = format!("' exten='0000' caller='8003' uid='{uniqueid}'\n");
    assert!(
        record.starts_with(&begins) && record.ends_with(&ends),
        "{record}"
    );
    let channel = record.split('\'').nth(1).unwrap();
    // The phone's answer may still be on its way to Asterisk.
    let chan = format!(r#"{{"chan":"{channel}"}}"#);
    rest::wait_body(salara.addr(), &chan, r#"{"result":0,"text":"Up (6)"}"#);
    assert_eq!(
        done(&salara, &format!("get status channel {channel}")),
        "Status=6 (Up)\n"
    );
    let gone = done(&salara, &format!("del chan_record {channel} 8003"));
    assert_eq!(gone, "\tSalara: delele 1 records from chan_record_list\n");
    assert_eq!(done(&salara, "show chan_records"), "total=0\n");
    call.hang_up();

    // One that may.
    let may = format!(
        "{events}[ami]\nuser=tester\nsecret={}\n",
        asterisk.secret("tester")
    );
    let salara = Salara::beside(
        &asterisk,
        &format!("{may}port={}\n", asterisk.ami_addr().port()),
    );
    let uptime = done(&salara, "send command core show uptime");
    assert!(uptime.starts_with("System uptime: "), "{uptime}");
    let help = done(&salara, "send command core show applications");
    assert!(help.lines().count() > 30, "{help}");
    let none = refused(&salara, "send command no such thing");
    assert!(
        none.starts_with("No such command 'no such thing'"),
        "{none}"
    );
}

fn a_hundred_reloads_lose_no_request_and_no_event(asterisk: Asterisk) {
    let crm = Crm::start(|_| Answer::json("{}"));
    let events = format!(
        "[event]\nwatch_makecall=1\nhangup=1\nnewchannel=1\nnewexten=1\n[url]\ndest_url_event={}\n",
        crm.url("/event")
    );
    let salara = Salara::beside(&asterisk, &events);
    let operator = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let file = salara.dir().join("salara.conf");
    let first = std::fs::read_to_string(&file).unwrap();
    // Nothing that concerns the link, and much of the rest.
    let second = format!(
        "{first}[route]\n1:2\n[keys]\nkey_phone=p\n[general]\ncurlopt_timeout=2\n\
         [security]\nrest_allow=127.0.0.0/8\n"
    );
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    // Every tenth reload moves the listener, and who is inside stays. Nobody is on his way in then: the
    // kernel turns away who comes between the last look out of a door and its end.
    let door = RwLock::new(salara.addr());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = None;
                // 125 a second each, and every tenth on a connection of its own.
                let began = Instant::now();
                for count in 0_u32.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let ask = r#"{"exten":"8001"}"#;
                    let reply = if count % 10 == 0 {
                        let door = door.read().unwrap();
                        client.insert(Client::connect(*door)).post(ask)
                    } else {
                        client.as_mut().unwrap().post(ask)
                    };
                    assert_eq!(reply.status, 200, "{reply:?}");
                    served.fetch_add(1, Ordering::Relaxed);
                    let due = began + Duration::from_millis(8) * count;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            });
        }
        let mut calls = Vec::new();
        let reload = |text: &str, home: u32| {
            std::fs::write(
                &file,
                format!("{text}[url]\nrest_server=127.0.0.{home}:0\n"),
            )
            .unwrap();
            done(&salara, "reload");
        };
        let mut home = 1;
        for round in 0..100 {
            // Calls that last about a second each, so that one is always alive.
            if round % 20 == 0 {
                let call = r#"{"operator":"8003","phone":"000"}"#;
                let call = call.replace("phone", if round == 0 { "phone" } else { "p" });
                let made = rest::post(*door.read().unwrap(), &call);
                assert_eq!(
                    (made.status, made.body.as_str()),
                    (200, r#"{"result":0,"text":"Idle"}"#)
                );
                calls.push(operator.incoming(SOON).expect("the operator's phone rings"));
            }
            let text = if round % 2 == 0 { &second } else { &first };
            if round % 10 == 5 {
                let mut door = door.write().unwrap();
                home = 3 - home;
                reload(text, home);
                let was = std::mem::replace(&mut *door, listens(&salara));
                assert_ne!(was, *door);
            } else {
                reload(text, home);
            }
            if round % 20 == 18 {
                let last = calls.last().unwrap();
                assert!(last.wait(Stage::Ended, SOON));
                // The next begins when Asterisk says that the phone is idle.
                asterisk
                    .ami()
                    .wait_extension_state("8003", 0, SOON)
                    .unwrap();
            }
            if round % 20 == 19 {
                reload(&second, home);
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(
        served.load(Ordering::Relaxed) > 400,
        "{served:?} requests are too few to tell"
    );
    // Newchannel, three applications and Hangup of each call.
    let requests = crm.wait_for(25, SOON);
    let count = |event: &str| {
        let event = format!("{{\"event\":\"{event}\"");
        requests
            .iter()
            .filter(|r| r.body.starts_with(&event))
            .count()
    };
    assert_eq!(
        (count("Newchannel"), count("Newexten"), count("Hangup")),
        (5, 15, 5),
        "{requests:?}"
    );
    let log = salara.log();
    let links = log
        .iter()
        .filter(|line| line.contains("connected to Asterisk"))
        .count();
    assert_eq!(links, 1);
}

fn a_caller_goes_by_the_route_that_was_just_set_and_reloads_do_not_lose_him(asterisk: Asterisk) {
    let crm = Crm::start(|_| Answer::status(404, "who?"));
    let conf = format!(
        "[general]\ndefault=1234\n[url]\nagi_server=127.0.0.1:{}\ndest_url={}\ndest_url_event=\n",
        asterisk.agi_port(),
        crm.url("/phone")
    );
    let salara = Salara::beside(&asterisk, &conf);
    let caller = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let dials_again = |to: &str| {
        let call = caller.call("5000");
        assert!(call.wait(Stage::Ended, SOON));
        assert!(
            call.redirected_to()
                .is_some_and(|target| target.contains(&format!(":{to}@")))
        );
    };
    done(&salara, "set route 8003 0000");
    dials_again("0000");
    // Until he has dialled again, all there is of him is his number.
    let waits = "total=1\nchan='' exten='0000' caller='8003' uid='(null)'\n";
    assert_eq!(done(&salara, "show chan_records"), waits);
    let agi = format!("\t-- agi server: 127.0.0.1:{}\n", asterisk.agi_port());
    assert!(done(&salara, "show info").contains(&agi));
    done(&salara, "del route 8003");
    done(&salara, "set route 8003 000");

    // Reloads while the CRM is asked: the door moves away, and he is transferred all the same.
    let file = salara.dir().join("salara.conf");
    let before = std::fs::read_to_string(&file).unwrap();
    crm.answer_with(|_| Answer::status(404, "").after(Duration::from_millis(700)));
    crm.forget();
    let call = caller.call("5000");
    crm.wait_for(1, SOON);
    let off = "\n[url]\nagi_server=off\ndest_url=http://127.0.0.1:1/\n";
    std::fs::write(&file, format!("{before}{off}")).unwrap();
    done(&salara, "reload");
    assert!(done(&salara, "show info").contains("\t-- agi server: off\n"));
    assert!(call.wait(Stage::Ended, SOON));
    assert!(
        call.redirected_to()
            .is_some_and(|target| target.contains(":000@"))
    );
    // Nobody is there for the next one, and the dialplan goes on at once.
    let call = caller.call("5000");
    assert!(call.wait(Stage::Ended, SOON));
    assert_eq!(call.redirected_to(), None);
    std::fs::write(&file, before).unwrap();
    done(&salara, "reload");
    dials_again("000");
}
