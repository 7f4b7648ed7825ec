//! Accounts in manager.conf, on files that exist in memory only.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use salara::config::account::{Account, AccountError, ManagerFiles, find_account};

/// Files by path. A text of `(denied)` cannot be read.
struct Memory {
    files: BTreeMap<PathBuf, &'static str>,
    read: RefCell<usize>,
}

impl ManagerFiles for Memory {
    fn read(&self, path: &Path) -> io::Result<String> {
        *self.read.borrow_mut() += 1;
        match self.files.get(path) {
            Some(&"(denied)") => Err(io::ErrorKind::PermissionDenied.into()),
            Some(text) => Ok((*text).into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let inside = |path: &&PathBuf| path.parent() == Some(directory);
        let found: Vec<PathBuf> = self.files.keys().rev().filter(inside).cloned().collect();
        if found.is_empty() {
            Err(io::ErrorKind::NotFound.into())
        } else {
            Ok(found)
        }
    }
}

fn memory(files: &[(&str, &'static str)]) -> Memory {
    let files = files
        .iter()
        .map(|(path, text)| (Path::new("/etc/asterisk").join(path), *text));
    Memory {
        files: files.collect(),
        read: RefCell::new(0),
    }
}

fn find(files: &[(&str, &'static str)]) -> Result<Account, AccountError> {
    find_account(
        &memory(files),
        Path::new("/etc/asterisk/manager.conf"),
        "salara",
    )
}

fn found(files: &[(&str, &'static str)]) -> Account {
    find(files).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(files: &[(&str, &'static str)]) -> String {
    find(files).unwrap_err().to_string()
}

fn secret(text: &'static str) -> String {
    found(&[("manager.conf", text)]).secret.expose().to_owned()
}

#[test]
fn an_account_as_it_usually_stands() {
    let account = found(&[(
        "manager.conf",
        "; AMI\r\n\
         [general]\r\n\
         enabled = yes\r\n\
         port = 15038\r\n\
         bindaddr = 192.168.1.7\r\n\
         [salara]\r\n\
         secret = hunter2 ; not the real one\r\n\
         deny = 0.0.0.0/0.0.0.0\r\n\
         read = call,agent, Reporting\r\n\
         write => call,originate\r\n\
         [other]\r\n\
         secret = no\r\n",
    )]);
    assert_eq!(account.secret.expose(), "hunter2");
    assert_eq!(account.port, 15038);
    assert_eq!(
        account.bindaddr,
        Some("192.168.1.7".parse::<IpAddr>().unwrap())
    );
    assert_eq!(account.tls, None);
    assert_eq!(
        account.read.missing(&["call", "reporting", "dialplan"]),
        ["dialplan"]
    );
    assert_eq!(
        account.write.missing(&["originate", "message", "system"]),
        ["message", "system"]
    );
    assert_eq!(account.notes, [""; 0]);
    assert!(!format!("{account:?}").contains("hunter2"));
}

#[test]
fn what_is_not_told_is_as_asterisk_has_it() {
    let account = found(&[("manager.conf", "[general]\nenabled=1\n[Salara]\nSecret=x\n")]);
    assert_eq!(
        (account.port, account.bindaddr, account.tls),
        (5038, None, None)
    );
    assert_eq!(account.read.missing(&["call"]), ["call"]);
}

#[test]
fn all_classes_are_allowed_by_one_word() {
    for word in ["all", "ALL", "yes", "-1"] {
        let text = format!("[general]\nenabled=yes\n[salara]\nsecret=x\nread={word}\n");
        let account = found(&[("manager.conf", text.leak())]);
        assert!(account.read.allows("system"), "{word}");
    }
}

#[test]
fn a_wildcard_is_reached_at_loopback() {
    for (listens, reached) in [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "127.0.0.1"),
        ("::1", "::1"),
    ] {
        let text = format!("[general]\nenabled=yes\nbindaddr={listens}\n[salara]\nsecret=x\n");
        let account = found(&[("manager.conf", text.leak())]);
        assert_eq!(account.bindaddr, Some(reached.parse::<IpAddr>().unwrap()));
    }
    let text = "[general]\nenabled=yes\nbindaddr=pbx.example.com\n[salara]\nsecret=x\n";
    assert_eq!(found(&[("manager.conf", text)]).bindaddr, None);
}

#[test]
fn tls_is_reached_where_it_listens() {
    for (lines, reached) in [
        ("", "127.0.0.1:5039"),
        ("bindaddr=10.0.0.1", "10.0.0.1:5039"),
        ("tlsbindaddr=0.0.0.0", "127.0.0.1:5039"),
        ("tlsbindaddr=0.0.0.0:5040", "127.0.0.1:5040"),
        ("tlsbindaddr=[::1]:5040", "[::1]:5040"),
    ] {
        let text = format!("[general]\nenabled=yes\ntlsenable=yes\n{lines}\n[salara]\nsecret=x\n");
        let account = found(&[("manager.conf", text.leak())]);
        assert_eq!(account.tls, Some(reached.parse().unwrap()), "{lines}");
    }
}

#[test]
fn comments_hide_what_they_hide_from_asterisk() {
    let text = "[general]\nenabled=yes\n;--\n[salara]\nsecret=old\n--;\n[salara]\n\
                ;secret=older\nsecret=a\\;b;c\n;---- end ----;\n";
    assert_eq!(secret(text), "a;b");
}

#[test]
fn a_template_gives_what_the_account_does_not() {
    let text = "[general]\nenabled=yes\n\
                [base](!)\nsecret=from-base\nread=call\n\
                [more](!,base)\nread=call,agent\n\
                [salara](more)\nwrite=call\n";
    let account = found(&[("manager.conf", text)]);
    assert_eq!(account.secret.expose(), "from-base");
    assert!(account.read.allows("agent"));
    assert!(account.write.allows("call"));
}

#[test]
fn a_section_may_be_added_to_later() {
    let text = "[general]\nenabled=no\n[salara]\nsecret=first\nread=call\n\
                [general](+)\nenabled=yes\n[salara](+)\nread+=,agent\nsecret=second\n";
    let account = found(&[("manager.conf", text)]);
    assert_eq!(account.secret.expose(), "second");
    assert_eq!(account.read.missing(&["call", "agent"]), [""; 0]);
}

#[test]
fn an_account_may_be_in_an_included_file() {
    for include in [
        "#include manager_salara.conf",
        "#include \"manager_salara.conf\"",
        "#include <manager_salara.conf>",
        "#tryinclude manager_salara.conf",
        "#include /etc/asterisk/manager_salara.conf",
        "#include manager_*.conf",
        "#include manager_[a-z]alar?.conf ; the CRM",
    ] {
        let text = format!("[general]\nenabled=yes\n{include}\n");
        let files = [
            ("manager.conf", &*text.leak()),
            ("manager_salara.conf", "[salara]\nsecret=included\n"),
            ("manager_salara.conf~", "[salara]\nsecret=wrong\n"),
        ];
        let account = found(&files);
        assert_eq!(account.secret.expose(), "included", "{include}");
        assert_eq!(account.notes, [""; 0], "{include}");
    }
}

#[test]
fn included_directories_are_read_in_the_order_of_names() {
    let account = found(&[
        (
            "manager.conf",
            "[general]\nenabled=yes\n#include manager.d/*.conf\n",
        ),
        ("manager.d/10-salara.conf", "[salara]\nsecret=ten\n"),
        (
            "manager.d/20-salara.conf",
            "[salara]\nsecret=twenty\n#include manager.d/deep/x\n",
        ),
        ("manager.d/.30-salara.conf", "[salara]\nsecret=hidden\n"),
        ("manager.d/deep/x", "read=call\n"),
    ]);
    assert_eq!(account.secret.expose(), "twenty");
    assert!(account.read.allows("call"));
}

#[test]
fn an_include_goes_on_in_its_section() {
    let account = found(&[
        (
            "manager.conf",
            "[general]\n#include general.conf\nport=5040\n[salara]\nsecret=x\n",
        ),
        ("general.conf", "enabled=yes\n[stranger]\nsecret=y\n"),
    ]);
    assert_eq!((account.secret.expose(), account.port), ("x", 5040));
}

#[test]
fn what_cannot_be_followed_is_told() {
    let files = [
        (
            "manager.conf",
            "[general]\nenabled=yes\n#include gone.conf\n#tryinclude gone-too.conf\n\
             #include shut.conf\n#exec /bin/accounts\n#include */x.conf\n#include none-*.conf\n",
        ),
        ("shut.conf", "(denied)"),
    ];
    assert_eq!(
        refused(&files),
        "/etc/asterisk/manager.conf: no section [salara]; \
         /etc/asterisk/gone.conf: no such file; \
         /etc/asterisk/shut.conf: salara may not read it; \
         /etc/asterisk/manager.conf: #exec is not followed; \
         /etc/asterisk/*/x.conf: patterns are followed in the last part of a path only"
    );
    let text = "[general]\nenabled=yes\n[salara](ghost)\nsecret=x\n";
    let account = found(&[("manager.conf", text)]);
    assert_eq!(
        account.notes,
        ["[salara] is made from [ghost], which is not there"]
    );
}

#[test]
fn files_that_include_each_other_come_to_an_end() {
    let files = memory(&[
        (
            "manager.conf",
            "[general]\nenabled=yes\n[salara]\nsecret=x\n#include *.conf\n",
        ),
        ("b.conf", "#include *.conf\n#include manager.conf\n"),
    ]);
    let account = find_account(&files, Path::new("/etc/asterisk/manager.conf"), "salara").unwrap();
    assert_eq!(account.secret.expose(), "x");
    let read = *files.read.borrow();
    assert!((10..=300).contains(&read), "{read} files");
    assert!(account.notes.len() < 1_000, "{} notes", account.notes.len());
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(refused(&[]), "/etc/asterisk/manager.conf: no such file");
    assert_eq!(
        refused(&[("manager.conf", "(denied)")]),
        "/etc/asterisk/manager.conf: salara may not read it"
    );
    for text in ["", "[general]\nenabled = no\n", "[general]\n;enabled=yes\n"] {
        assert_eq!(
            refused(&[("manager.conf", text)]),
            "/etc/asterisk/manager.conf: [general] enabled is not yes: Asterisk listens to no one"
        );
    }
    for (text, why) in [
        ("", "no section [salara]"),
        (
            "[salara](!)\nsecret=x",
            "[salara] is a template (!), which nobody can log in with",
        ),
        ("[salara]\nread=all", "[salara] has no secret"),
        ("[salara]\nsecret=", "[salara] has no secret"),
    ] {
        let text = format!("[general]\nenabled=yes\n{text}\n");
        let told = refused(&[("manager.conf", text.leak())]);
        assert_eq!(told, format!("/etc/asterisk/manager.conf: {why}"));
    }
}
