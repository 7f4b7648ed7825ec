//! `salara setup`: the account it makes, the files it leaves alone, and an Asterisk that takes it.

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

#[macro_use]
mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use support::asterisk::Asterisk;
use support::daemon::{Salara, conf_beside, run, scratch_dir};

on_both! {
    an_account_that_was_made_is_found_and_taken
}

const GENERAL: &str = "[general]\nenabled=yes\n";

/// A directory as /etc/asterisk is one.
struct Etc(PathBuf);

impl Etc {
    fn new(manager_conf: &str) -> Self {
        let etc = Self(scratch_dir());
        fs::write(etc.0.join("manager.conf"), manager_conf).unwrap();
        etc
    }

    fn setup(&self, more: &[&str]) -> (Option<i32>, String, String) {
        let file = self.0.join("salara.conf");
        let args = ["-c", file.to_str().unwrap(), "setup"];
        run(&[&args, more].concat())
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// All that is in it, by path.
    fn files(&self) -> Vec<(PathBuf, String)> {
        let mut files = Vec::new();
        let mut directories = vec![self.0.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    files.push((path.clone(), fs::read_to_string(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }
}

impl Drop for Etc {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn an_account_that_was_made_is_found_and_taken(asterisk: Asterisk) {
    let manager_conf = asterisk.etc().join("manager.conf");
    let text = fs::read_to_string(&manager_conf).unwrap();
    let text = text.replace("[salara]", "[another]");
    fs::write(
        &manager_conf,
        format!("{text}\n#include manager.d/*.conf\n"),
    )
    .unwrap();
    asterisk.cli("manager reload");
    let salara = Salara::start(&conf_beside(&asterisk));
    salara.wait_log("no section [salara]");

    let conf = asterisk.dir().join("salara.conf");
    fs::write(&conf, conf_beside(&asterisk)).unwrap();
    let (code, out, err) = run(&["-c", conf.to_str().unwrap(), "setup"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.contains("Have Asterisk read it: asterisk -rx 'manager reload'\n"),
        "{out}"
    );
    asterisk.cli("manager reload");
    salara.wait_connected();
    assert_eq!(salara.post(r#"{"exten":"0000"}"#).status, 200);
    assert!(!salara.log().join("\n").contains("refuses"));
}

#[test]
fn an_account_gets_a_file_of_its_own_wherever_files_are_included() {
    for (include, file) in [
        ("#include manager.d/*.conf", "manager.d/salara.conf"),
        ("#include \"manager.d/*.conf\"", "manager.d/salara.conf"),
        (
            "  #tryinclude <accounts/s*.conf> ; ours",
            "accounts/salara.conf",
        ),
        (
            "#include other.conf\n#include DIR/here/*",
            "here/salara.conf",
        ),
        ("#tryinclude manager.d/salara.conf", "manager.d/salara.conf"),
    ] {
        let etc = Etc::new("");
        let text = format!("{GENERAL}{include}\n").replace("DIR", etc.0.to_str().unwrap());
        fs::write(etc.0.join("manager.conf"), text).unwrap();
        let before = etc.files();

        let (code, dry, err) = etc.setup(&["--dry-run"]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{include}");
        assert_eq!(etc.files(), before);
        assert!(dry.contains("secret=(32 random digits)\n"), "{dry}");

        let (code, out, err) = etc.setup(&[]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{include}");
        let path = etc.0.join(file);
        assert!(
            out.starts_with(&format!("{}: written", path.display())),
            "{out}"
        );
        assert!(
            out.contains("exten => 5000,1,AGI(agi://127.0.0.1/salara)\n"),
            "{out}"
        );
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        let text = etc.read(file);
        let secret = text
            .split("secret=")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap();
        assert!(secret.len() == 32 && secret.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(!out.contains(secret), "it is not shown");
        let wanted = dry.split("written:\n\n").nth(1).unwrap();
        assert!(
            wanted.starts_with(&text.replace(secret, "(32 random digits)")),
            "{dry}"
        );

        // Twice is once.
        let (code, out, _) = etc.setup(&[]);
        assert_eq!(code, Some(0));
        assert!(
            out.starts_with("[salara] is there already; nothing was written\n"),
            "{out}"
        );
        assert!(!out.contains("It lacks"), "{out}");
        assert_eq!(etc.read(file), text);
    }
}

#[test]
fn no_two_secrets_are_alike() {
    let secret = || {
        let etc = Etc::new(&format!("{GENERAL}#include manager.d/*.conf\n"));
        etc.setup(&[]);
        etc.read("manager.d/salara.conf")
    };
    assert_ne!(secret(), secret());
}

#[test]
fn what_is_there_is_never_changed() {
    for (manager_conf, code, said) in [
        (
            "[general]\nenabled=yes\n#include manager.d/*.conf\n[Salara]\nsecret=x\nread=call\nwrite=all\n",
            0,
            "It lacks read=system,agent,reporting,dialplan\n",
        ),
        (
            "[general]\nenabled=yes\n[salara]\nread=call\n",
            1,
            "[salara] has no secret; nothing was written",
        ),
        (
            "[general]\nenabled=no\n#include manager_custom.conf\n",
            1,
            "nothing there includes a salara.conf. Nothing was written.",
        ),
        (
            "[general]\nenabled=no\n[salara]\nsecret=x\n",
            0,
            "enabled is not yes",
        ),
        (
            "[general]\nenabled=yes\n#tryinclude other.d/*.conf\n",
            1,
            "other.d/salara.conf: is there, without [salara]; it was not changed",
        ),
    ] {
        let etc = Etc::new(manager_conf);
        fs::create_dir(etc.0.join("other.d")).unwrap();
        fs::write(etc.0.join("other.d/salara.conf"), "; mine\n").unwrap();
        let before = etc.files();
        let (found, out, err) = etc.setup(&[]);
        assert_eq!(found, Some(code), "{manager_conf}: {out}{err}");
        let text = if code == 0 { out } else { err };
        assert!(text.contains(said), "{said} in {text}");
        assert_eq!(etc.files(), before, "{manager_conf}");
    }
}

#[test]
fn what_cannot_be_done_is_said_with_what_to_do() {
    let etc = Etc::new("[general]\nenabled=yes\n");
    let (code, out, err) = etc.setup(&[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    for part in [
        "#include manager.d/*.conf\n",
        "\n[salara]\nsecret=",
        "\nwrite=system,",
    ] {
        assert!(err.contains(part), "{part} in {err}");
    }
    fs::write(etc.0.join("salara.conf"), "[ami]\nsecret=x\n").unwrap();
    let (code, _, err) = etc.setup(&[]);
    assert_eq!(code, Some(1));
    assert!(err.contains("salara.conf: names a secret itself"), "{err}");

    fs::write(
        etc.0.join("salara.conf"),
        "[url]\nagi_server=127.0.0.1:4574\n",
    )
    .unwrap();
    fs::write(
        etc.0.join("manager.conf"),
        "[general]\n#include manager.d/*.conf\n",
    )
    .unwrap();
    let (code, out, _) = etc.setup(&[]);
    assert_eq!(code, Some(0));
    assert!(
        out.contains("manager.conf: [general] enabled is not yes"),
        "{out}"
    );
    assert!(out.contains("AGI(agi://127.0.0.1:4574/salara)"), "{out}");

    fs::remove_file(etc.0.join("manager.conf")).unwrap();
    let (code, _, err) = etc.setup(&[]);
    assert_eq!(code, Some(1));
    assert!(err.contains("manager.conf: no such file"), "{err}");
}

/// Needs the right to give a file away.
#[test]
fn asterisk_s_group_may_read_the_file() {
    let etc = Etc::new(&format!("{GENERAL}#include manager.d/*.conf\n"));
    let manager_conf = etc.0.join("manager.conf");
    let asterisk = fs::read_to_string("/etc/group").unwrap();
    let asterisk = asterisk.lines().find(|line| line.starts_with("asterisk:"));
    let gid = asterisk.map_or(4711, |line| {
        line.split(':').nth(2).unwrap().parse().unwrap()
    });
    let is_root = std::os::unix::fs::chown(&manager_conf, None, Some(gid)).is_ok();
    let (_, out, _) = etc.setup(&[]);
    let of = |path: &Path| fs::metadata(path).unwrap().gid();
    let wanted = of(&manager_conf);
    assert_eq!(of(&etc.0.join("manager.d/salara.conf")), wanted);
    assert_eq!(of(&etc.0.join("manager.d")), wanted);
    if is_root {
        assert!(!out.contains("group is not known"), "{out}");
    }
}

#[test]
fn what_a_kill_left_half_written_stands_in_nobody_s_way() {
    let etc = Etc::new(&format!("{GENERAL}#include manager.d/*.conf\n"));
    fs::create_dir(etc.0.join("manager.d")).unwrap();
    fs::write(etc.0.join("manager.d/salara.conf.new"), "[sal").unwrap();
    let (code, _, err) = etc.setup(&[]);
    assert_eq!(code, Some(0), "{err}");
    assert!(etc.read("manager.d/salara.conf").contains("\nwrite="));
    assert!(!etc.0.join("manager.d/salara.conf.new").exists());
}
