//! What salara takes of a small box's memory: with nothing to do, and with much.
//!
//! `SALARA_KIB=IDLE,BUSY` sets the ceilings. Without it they are those of a debug build that shares
//! its C library; `cross/check` sets the promised ones of the static binary.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test owns its threads and clocks"
)]

mod support;

use support::crm::{Answer, Crm};
use support::daemon::Salara;
use support::events_ami::{EventsAmi, newexten};
use support::rest::Client;

/// In KiB, idle and busy.
const DEBUG_BUILD: (u64, u64) = (12 * 1024, 16 * 1024);

const CLIENTS: usize = 100;
const CALLS: usize = 500;

#[test]
fn a_hundred_clients_500_calls_and_1000_events_that_wait_fit_into_little() {
    let (ami, crm) = (EventsAmi::start(), Crm::start(|_| Answer::status(503, "")));
    let mut salara = Salara::start(&format!(
        "[event]\nverbose=1\nwatch_makecall=1\nnewchannel=1\nnewexten=3\n[url]\n\
         rest_server=127.0.0.1:0\ndest_url_event={}\n[ami]\nport={}\nsecret=x\n",
        crm.url("/event"),
        ami.port()
    ));
    salara.wait_connected();
    let idle = salara.resident_kib();

    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|_| Client::connect(salara.addr()))
        .collect();
    for call in 0..CALLS {
        let json = format!(r#"{{"operator":"8003","phone":"{call}"}}"#);
        let reply = clients[call % CLIENTS].post(&json);
        let id = reply.header("Salara-Uniqueid");
        assert!(reply.status == 200 && !id.is_empty(), "{reply:?}");
        ami.tell(&format!(
            "Event: Newchannel\r\nPrivilege: call,all\r\nChannel: SIP/8003-{call:08x}\r\n\
             ChannelState: 0\r\nCallerIDNum: 8003\r\nContext: alnik\r\nExten: s\r\n\
             Uniqueid: {id}\r\nLinkedid: {id}\r\n\r\n{}",
            newexten(call, call)
        ));
    }
    // What Asterisk said is read in its order: this answer comes behind it.
    assert_eq!(clients[0].post(r#"{"chan":"SIP/none"}"#).status, 200);
    let records = salara.verb(&["show", "chan_records"]).1;
    assert!(
        records.starts_with(&format!("total={CALLS}\n")),
        "{records}"
    );
    let busy = salara.resident_kib();
    println!(
        "memory: {idle} KiB idle, {busy} KiB with {CLIENTS} clients, {CALLS} tracked calls and {} \
         events that wait",
        2 * CALLS
    );

    // So many waited, and still do.
    drop(clients);
    assert!(salara.stop().success());
    salara.wait_log(&format!(" {} events were not delivered", 2 * CALLS));

    let (most_idle, most_busy) = ceilings();
    assert!(idle <= most_idle, "{idle} KiB idle, more than {most_idle}");
    assert!(busy <= most_busy, "{busy} KiB busy, more than {most_busy}");
}

fn ceilings() -> (u64, u64) {
    let Ok(given) = std::env::var("SALARA_KIB") else {
        return DEBUG_BUILD;
    };
    let (idle, busy) = given.split_once(',').unwrap();
    (idle.parse().unwrap(), busy.parse().unwrap())
}
