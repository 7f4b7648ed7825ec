//! Changes that stay in the file.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use super::{ALONE, done, refused};
use crate::support::daemon::{Salara, scratch_dir};

/// A running salara is given so long for what takes milliseconds.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_change_counts_at_once_and_touches_no_other_byte() {
    let before = "; mine\r\n[route]\r\n8003:0000 ; night\r\n;--\r\n[event]\r\nverbose=1 ; loud\r\n\
                  my_key=1\r\n[url]\r\nrest_server=127.0.0.1:0\r\nagi_server=off\r\n[ami]\r\nport=1\r\nsecret=x\r\n";
    let dir = scratch_dir();
    fs::create_dir(dir.join("etc")).unwrap();
    let real = dir.join("etc/real.conf");
    symlink(&real, dir.join("salara.conf")).unwrap();
    let salara = Salara::start_in(dir.clone(), before);
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    // Only root can give a file away, and an owner must be kept also then.
    let owner = fs::metadata(&real).unwrap().uid();
    let owner = if owner == 0 { 65_534 } else { owner };
    chown(&real, Some(owner), None).unwrap();

    assert_eq!(
        done(&salara, "set verbose dump"),
        "\tSalara set events verbose to dump (3)\n"
    );
    salara.post("{}");
    salara.wait_log("[DEBUG]");
    assert_eq!(
        done(&salara, "set verbose on"),
        "\tSalara set events verbose to on (1)\n"
    );
    assert_eq!(
        done(&salara, "set route 8100 8200"),
        "\tSalara: add '8100:8200' to route table\n"
    );
    let said = refused(&salara, "set route 8003 1");
    assert!(
        said.starts_with("\tSalara: '8003:1' already exist\n"),
        "{said}"
    );
    let table = "\tSalara route table (caller:called):\n\t8003:0000\n\t8100:8200\n";
    assert_eq!(done(&salara, "show route"), table);
    let after = before.replace("; night\r\n", "; night\r\n8100:8200\r\n");
    assert_eq!(fs::read_to_string(&real).unwrap(), after);
    let there = fs::metadata(&real).unwrap();
    assert_eq!(
        (there.permissions().mode() & 0o777, there.uid()),
        (0o640, owner)
    );
    assert!(
        fs::symlink_metadata(dir.join("salara.conf"))
            .unwrap()
            .is_symlink()
    );

    done(&salara, "del route 8100");
    assert_eq!(
        refused(&salara, "del route 8100").trim(),
        "Salara: no route of '8100'"
    );
    assert_eq!(fs::read_to_string(&real).unwrap(), before);
    assert_eq!(
        fs::read_dir(dir.join("etc")).unwrap().count(),
        1,
        "nothing is left beside it"
    );
    done(&salara, "reload");
    assert_eq!(
        done(&salara, "show route"),
        "\tSalara route table (caller:called):\n\t8003:0000\n"
    );
}

#[test]
fn equal_routes_at_once_become_one() {
    let salara = Salara::start(ALONE);
    let said: Vec<(Option<i32>, String, String)> = std::thread::scope(|scope| {
        let ask = || salara.verb(&["set", "route", "555", "1"]);
        let asked: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|ask| ask.join().unwrap()).collect()
    });
    let added = said.iter().filter(|(code, ..)| *code == Some(0)).count();
    let refused = said
        .iter()
        .filter(|(.., err)| err.contains("'555:1' already exist"))
        .count();
    assert_eq!((added, refused), (1, 5), "{said:?}");
    let table = "\tSalara route table (caller:called):\n\t8003:0000\n\t555:1\n";
    assert_eq!(done(&salara, "show route"), table);
}

#[test]
fn routes_beside_reloads_stand_once_in_the_table() {
    let salara = Salara::start(ALONE);
    std::thread::scope(|scope| {
        for n in 60..72 {
            let salara = &salara;
            // Of many at once some are turned away where salara is slow, and say so: they ask again.
            scope.spawn(move || {
                let set = || salara.verb(&["set", "route", &n.to_string(), "1"]).0;
                assert!((0..20).any(|_| set() == Some(0)), "{n} is turned away");
            });
            scope.spawn(move || salara.verb(&["reload"]));
        }
    });
    let table = done(&salara, "show route");
    for n in 60..72 {
        assert_eq!(table.matches(&format!("\t{n}:1\n")).count(), 1, "{table}");
    }
}

#[test]
fn what_cannot_be_written_does_not_count() {
    let salara = Salara::start(ALONE);
    let file = salara.dir().join("salara.conf");
    fs::remove_file(&file).unwrap();
    let said = refused(&salara, "set route 1 2");
    assert!(said.contains("salara.conf: no such file"), "{said}");
    let said = refused(&salara, "set verbose debug");
    let begins = "\tSalara set events verbose to debug (2)\nfor this run only: ";
    assert!(said.starts_with(begins), "{said}");
    assert!(done(&salara, "show info").contains("events verbose level: 2 (debug)"));
    // What the administrator has written and not read in yet is his.
    fs::write(&file, ALONE.replace("8003:0000", "8003:0000\n1:9")).unwrap();
    let said = refused(&salara, "set route 1 2");
    assert!(said.contains("line 5 has a route of 1 to 9"), "{said}");
    assert_eq!(
        done(&salara, "show route"),
        "\tSalara route table (caller:called):\n\t8003:0000\n"
    );
}

/// As README.md sets it up: the file and its directory are the user's, and a link leads there. Only
/// root can become another user; by itself the test then says so.
#[test]
fn another_user_writes_what_is_his_and_says_what_he_cannot_keep() {
    const USER: u32 = 65_534;
    let dir = scratch_dir();
    let own = |path: &Path, user, group| chown(path, Some(user), Some(group));
    if own(&dir, USER, USER).is_err() {
        println!("not root: not shown here");
        return fs::remove_dir_all(dir).unwrap();
    }
    let (etc, real) = (dir.join("etc"), dir.join("etc/salara.conf"));
    fs::create_dir(&etc).unwrap();
    fs::write(&real, ALONE).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
    symlink(&real, dir.join("salara.conf")).unwrap();
    own(&etc, USER, USER).unwrap();
    own(&real, USER, USER).unwrap();
    let salara = Salara::start_as(USER, dir);
    done(&salara, "set route 8100 8200");
    let there = fs::metadata(&real).unwrap();
    assert_eq!((there.uid(), there.gid()), (USER, USER));
    for (user, group, what) in [(USER, 0, "group (0)"), (0, USER, "owner (0)")] {
        own(&real, user, group).unwrap();
        let said = refused(&salara, "set route 8101 8200");
        let wanted = format!("its {what} cannot be kept: operation not permitted");
        assert!(said.contains(&wanted), "{said}");
        let there = fs::metadata(&real).unwrap();
        assert_eq!((there.uid(), there.gid()), (user, group));
    }
    assert_eq!(fs::read_dir(&etc).unwrap().count(), 1);
}

#[test]
fn a_kill_at_any_moment_leaves_the_old_file_or_the_new_one() {
    let mut random: u64 = 1;
    let mut written = 0;
    for round in 0..200 {
        let mut salara = Salara::start(ALONE);
        let file = salara.dir().join("salara.conf");
        let socket = salara.dir().join("salara.ctl");
        let (tell, told) = mpsc::channel();
        let setting = std::thread::spawn(move || {
            for route in 1000.. {
                let Ok(mut stream) = UnixStream::connect(&socket) else {
                    return;
                };
                let line = format!(
                    "{{\"salara\":1,\"words\":[\"set\",\"route\",\"{route}\",\"{route}\"]}}\n"
                );
                let mut answer = String::new();
                let sent = stream.write_all(line.as_bytes());
                if sent.is_err() || stream.read_to_string(&mut answer).is_err() || answer.is_empty()
                {
                    return;
                }
                assert!(answer.starts_with("salara/1 0 "), "{answer}");
                let _ = tell.send(());
            }
        });
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // However slow this machine is, it is killed at its work.
        for _ in 0..random % 5 {
            told.recv_timeout(SOON).unwrap();
        }
        std::thread::sleep(Duration::from_micros(random % 5_000));
        salara.kill();
        setting.join().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let routes: Vec<&str> = text.lines().filter(|line| line.starts_with('1')).collect();
        let wanted = (1000..1000 + routes.len()).map(|route| format!("{route}:{route}\n"));
        let wanted = wanted.collect::<String>();
        let whole = ALONE.replace("8003:0000\n", &format!("8003:0000\n{wanted}"));
        assert_eq!(text, whole, "round {round}");
        written += routes.len();
    }
    assert!(
        written > 200,
        "{written} routes are too few to have been hit"
    );
}
