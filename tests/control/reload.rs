//! The file read again: all of it counts, or nothing does.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::{ALONE, done, refused};
use crate::support::daemon::{Salara, scratch_dir};
use crate::support::events_ami::EventsAmi;
use crate::support::golden;
use crate::support::ports::Ports;
use crate::support::rest::{self, Client};

fn rewrite(salara: &Salara, text: &str) {
    fs::write(salara.dir().join("salara.conf"), text).unwrap();
}

/// Where it listens now, as `show info` has it.
pub(crate) fn listens(salara: &Salara) -> SocketAddr {
    let json: serde_json::Value = serde_json::from_str(&done(salara, "show info --json")).unwrap();
    json["rest_server"].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_is_told_by_its_lines() {
    let salara = Salara::start(ALONE);
    let before = done(&salara, "show route");
    rewrite(
        &salara,
        "[route]\n1:2\n[url]\nagi_server=nowhere\n[ami]\nport=70000\n",
    );
    let why = refused(&salara, "reload");
    assert!(
        why.starts_with("not reloaded, all goes on as it was:\n"),
        "{why}"
    );
    for line in [
        "salara.conf:4: agi_server: \"nowhere\"",
        "salara.conf:6: port: \"70000\"",
    ] {
        assert!(why.contains(line), "{line} in {why}");
    }
    salara.signal("HUP");
    salara.wait_log("not reloaded, all goes on as it was");
    fs::remove_file(salara.dir().join("salara.conf")).unwrap();
    let why = refused(&salara, "reload");
    assert!(why.to_lowercase().contains("no such file"), "{why}");
    assert_eq!(done(&salara, "show route"), before);
    assert_eq!(salara.post("{}").status, 400);
    // An address that somebody else has.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("rest_server={}", taken.local_addr().unwrap());
    rewrite(
        &salara,
        &ALONE
            .replace("rest_server=127.0.0.1:0", &taken)
            .replace(":0000", ":9"),
    );
    let why = refused(&salara, "reload");
    assert!(why.contains(&format!("{taken}: cannot listen: ")), "{why}");
    assert_eq!(done(&salara, "show route"), before);
    assert_eq!(salara.post("{}").status, 400);
    rewrite(&salara, &ALONE.replace(":0000", ":9"));
    salara.signal("HUP");
    salara.wait_log("salara.conf: reloaded");
    assert!(done(&salara, "show route").contains("\t8003:9\n"));
}

#[test]
fn what_can_change_changes_and_the_rest_is_named() {
    let salara = Salara::start(ALONE);
    let spool = salara.dir().join("spool");
    let addr = salara.addr();
    let text = ALONE.replace("[general]", "[security]\nrest_token=sesame-open\n[general]");
    let text = text.replace("dest_url_event=", "dest_url_event=http://127.0.0.1:1/");
    let more = format!(
        "[delivery]\nparallel=1\nspool_dir={}\nspool_max=1M\n",
        spool.display()
    );
    rewrite(&salara, &format!("{text}{more}"));
    let told = done(&salara, "reload");
    for key in ["spool_dir", "spool_max", "parallel"] {
        assert!(
            told.contains(&format!("{key}: counts from the next start\n")),
            "{told}"
        );
    }
    assert_eq!(told.matches("spool_dir").count(), 1, "{told}");
    assert_eq!(salara.post("{}").status, 401);
    assert_eq!(
        listens(&salara),
        addr,
        "an ephemeral port is not another one"
    );
    rewrite(
        &salara,
        &ALONE.replace("[general]", "[compat]\nbare_reply=1\n[general]"),
    );
    done(&salara, "reload");
    let mut client = Client::connect(salara.addr());
    client.send(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(client.rest(), br#"{"result":-2,"text":"Error"}"#);
}

#[test]
fn a_listener_moves_and_its_clients_stay() {
    let salara = Salara::start(ALONE);
    let old = salara.addr();
    let mut client = Client::connect(old);
    assert_eq!(client.post("{}").status, 400);
    for address in [
        "127.0.0.2:0".to_owned(),
        format!("*:{}", old.port()),
        old.to_string(),
    ] {
        rewrite(&salara, &ALONE.replace("127.0.0.1:0", &address));
        let before = listens(&salara);
        let mut client_of_before = Client::connect(before);
        done(&salara, "reload");
        let now = listens(&salara);
        assert_ne!(before, now);
        let mut now = now;
        if now.ip().is_unspecified() {
            now.set_ip([127, 0, 0, 1].into());
        }
        assert_eq!(rest::post(now, "{}").status, 400, "{address}");
        assert_eq!(client_of_before.post("{}").status, 400, "{address}");
        assert_eq!(client.post("{}").status, 400, "{address}");
    }
    rewrite(&salara, &ALONE.replace("127.0.0.1:0", "127.0.0.2:0"));
    done(&salara, "reload");
    assert!(
        TcpStream::connect(old).is_err(),
        "nobody listens there any more"
    );
}

#[test]
fn doors_may_change_places_or_take_each_other_s() {
    let ports = Ports::take();
    let at = |n: u16| format!("127.0.0.1:{}", ports.port(n));
    let doors = |rest: &str, agi: &str| {
        let text = ALONE.replace("127.0.0.1:0", rest);
        text.replace("agi_server=off", &format!("agi_server={agi}"))
    };
    let salara = Salara::start(&doors(&at(1), &at(2)));
    // There and back; one at the place of the other, which is closed; and as before.
    for (rest, agi) in [
        (at(2), at(1)),
        (at(1), at(2)),
        (at(2), "off".to_owned()),
        (at(1), at(2)),
    ] {
        rewrite(&salara, &doors(&rest, &agi));
        done(&salara, "reload");
        assert_eq!(listens(&salara).to_string(), rest);
        assert_eq!(rest::post(rest.parse().unwrap(), "{}").status, 400);
        let calls = TcpStream::connect(&*at(if rest == at(1) { 2 } else { 1 }));
        assert_eq!(calls.is_ok(), agi != "off", "{agi}");
    }
    // What cannot be leaves both doors where they are.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (rest, agi) in [(&at(2), &taken), (&taken, &at(1))] {
        rewrite(&salara, &doors(rest, agi));
        let why = refused(&salara, "reload");
        assert!(
            why.contains(&format!("pid {}", std::process::id())),
            "{why}"
        );
        assert_eq!(listens(&salara).to_string(), at(1));
        assert_eq!(rest::post(at(1).parse().unwrap(), "{}").status, 400);
        assert!(TcpStream::connect(&*at(2)).is_ok());
    }
}

#[test]
fn a_door_that_was_closed_for_a_wider_one_is_opened_again_when_that_cannot_be() {
    let ports = Ports::take();
    let doors = |rest: String, agi: String| {
        let text = ALONE.replace("127.0.0.1:0", &rest);
        text.replace("agi_server=off", &format!("agi_server={agi}"))
    };
    let at = |host: &str, n: u16| format!("{host}:{}", ports.port(n));
    let home = |n: u16| at("127.0.0.1", n);
    let salara = Salara::start(&doors(home(1), home(2)));
    let as_before = |why: String| {
        let other = format!("(pid {})", std::process::id());
        assert!(why.contains(&other), "{other} in {why}");
        assert_eq!(listens(&salara).to_string(), home(1));
        assert_eq!(rest::post(salara.addr(), "{}").status, 400);
        assert!(TcpStream::connect(home(2)).is_ok());
    };
    // All addresses are wanted of a port that is ours at one and another's at another: in which order
    // the kernel tells of the two is a matter of chance.
    for host in (2..10).map(|n| format!("127.0.0.{n}")) {
        let _other = [1, 2].map(|n| std::net::TcpListener::bind(at(&host, n)).unwrap());
        for text in [doors(at("*", 1), home(2)), doors(home(1), at("*", 2))] {
            rewrite(&salara, &text);
            as_before(refused(&salara, "reload"));
        }
    }
    // One door has moved when the other cannot.
    let mut client = Client::connect(salara.addr());
    let _taken = std::net::TcpListener::bind(home(3)).unwrap();
    rewrite(&salara, &doors(at("*", 1), home(3)));
    as_before(refused(&salara, "reload"));
    assert_eq!(client.post("{}").status, 400);
    assert!(!salara.log().iter().any(|line| line.contains("any more")));
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let salara = Salara::start(ALONE);
    let file = salara.dir().join("salara.conf");
    fs::remove_file(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status();
    assert!(made.unwrap().success());
    assert!(refused(&salara, "reload").contains("not a file"));
    assert!(refused(&salara, "show conf").contains("not a file"));
    // Nor by the thread that writes: whatever is set later would wait behind it.
    assert!(refused(&salara, "set route 5 6").contains("not a file"));
    assert_eq!(salara.post("{}").status, 400);
}

#[test]
fn the_link_is_made_anew_only_when_its_settings_change() {
    let (ami, other) = (EventsAmi::start(), EventsAmi::start());
    let conf = |more: &str, port: u16| {
        ALONE
            .replace("port=1\n", &format!("port={port}\n"))
            .replace("[url]", &format!("{more}[url]"))
    };
    let salara = Salara::start(&conf("", ami.port()));
    salara.wait_connected();
    let links = || {
        let log = salara.log();
        log.iter()
            .filter(|line| line.contains("connected to Asterisk"))
            .count()
    };
    let wait = |count| {
        let mut seen = 0;
        for _ in 0..count {
            seen = salara.wait_log_after(seen, "connected to Asterisk").0;
        }
    };
    for more in [
        "timeout_makecall=3\n",
        "verbose=2\n",
        "[keys]\nkey_phone=p\n",
        "good_status=1\n",
    ] {
        rewrite(&salara, &conf(more, ami.port()));
        done(&salara, "reload");
    }
    assert!(done(&salara, "show info").contains("-- ami: connected to Asterisk"));
    assert_eq!(links(), 1);
    rewrite(&salara, &conf("hangup=2\n", ami.port()));
    done(&salara, "reload");
    wait(2);
    rewrite(&salara, &conf("hangup=2\n", other.port()));
    done(&salara, "reload");
    wait(3);
    done(&salara, "reload");
    assert_eq!(links(), 3);
}

#[test]
fn the_supervisor_hears_of_a_reload_and_of_its_end() {
    let dir = scratch_dir();
    let socket = UnixDatagram::bind(dir.join("notify")).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let names = format!("export NOTIFY_SOCKET={}/notify", dir.display());
    let salara = Salara::start_after(&names, ALONE);
    let next = || {
        let mut buffer = [0; 512];
        let count = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    };
    assert_eq!(next(), "READY=1");
    // A file that is wrong is no reason to keep systemd waiting.
    for text in [ALONE, "[ami]\nport=70000\n"] {
        rewrite(&salara, text);
        salara.signal("HUP");
        let mut told = next();
        while told.starts_with("STATUS=") {
            told = next();
        }
        assert!(told.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told}");
        assert_eq!(next(), "READY=1");
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_link_that_is_refused_is_tried_again_at_once() {
    let ami = EventsAmi::start();
    let dir = scratch_dir();
    let manager = dir.join("manager.conf");
    let account = format!(
        "[general]\nenabled=yes\nport={}\n[salara]\nsecret=x\n",
        ami.port()
    );
    fs::write(&manager, account).unwrap();
    fs::set_permissions(&manager, fs::Permissions::from_mode(0o644)).unwrap();
    let conf = ALONE.replace("port=1\nsecret=hush\n", "");
    let salara = Salara::start_in(dir, &conf.replace("[ami]", "[ami]\nuser=nobody"));
    salara.wait_log("not connected: ");
    rewrite(&salara, &conf);
    done(&salara, "reload");
    salara.wait_connected();
}

/// What the module showed after it had read another file, but for what it could not do (move) and
/// did not (forget what the new file does not say). Its words for AgentConnect's level were Newexten's.
#[test]
fn the_recorded_reload_means_the_same() {
    let local = |text: &str| {
        text.replace("127.0.0.1:5058", "127.0.0.1:0")
            .replace("127.0.0.1:5059", "127.0.0.1:0")
            + "[url]\nagi_server=off\n[ami]\nport=1\nsecret=x\n"
    };
    let salara = Salara::start(&local(&golden::conf("conf-reload")));
    let root = env!("CARGO_MANIFEST_DIR");
    let folder = format!("{root}/tests/golden/conf-reload");
    let second = fs::read_to_string(format!("{folder}/salara.conf.second")).unwrap();
    rewrite(&salara, &local(&second));
    done(&salara, "reload");
    let lines = fs::read_to_string(format!("{folder}/cli.jsonl")).unwrap();
    let outs: Vec<String> = lines
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["out"]
                .as_str()
                .unwrap()
                .into()
        })
        .collect();
    let info = done(&salara, "show info");
    let differs = [
        "rest server",
        "configuration file",
        "version",
        "started",
        "uptime",
        "Hangup",
        "AgentConnect",
    ];
    let mut met = 0;
    for line in outs[3].lines().filter(|line| line.starts_with("\t--")) {
        if differs.iter().any(|word| line.contains(word)) {
            continue;
        }
        assert!(info.lines().any(|ours| ours == line), "{line} in {info}");
        met += 1;
    }
    assert_eq!(met, 13);
    assert!(info.contains("\t-- Hangup event: 0 (not used)\n"), "{info}");
    let table = outs[4].split_once('\n').unwrap().1;
    assert_eq!(done(&salara, "show route"), table);
    // The old name of a field is none any more, on the same connection as on a new one.
    let reply = salara_addr(&salara, r#"{"exten":"8003"}"#);
    assert_eq!(reply, (400, r#"{"result":-2,"text":"Error"}"#.to_owned()));
    assert_eq!(salara_addr(&salara, r#"{"ext":"8003"}"#).0, 503);
}

fn salara_addr(salara: &Salara, json: &str) -> (u16, String) {
    let reply = rest::post(listens(salara), json);
    (reply.status, reply.body)
}
