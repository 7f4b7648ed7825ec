//! `salara setup`: makes the account in manager.conf.
//!
//! This file owns what is written there, and what is said about it. It must not know what an account
//! is used for.
//!
//! The surprising fact: no file is ever changed. What is there is another's, so the account gets a
//! file of its own where manager.conf includes such files, and else is only shown.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::Path;

use super::{Disk, manager_conf};
use crate::config::Config;
use crate::config::account::{AccountError, find_account, find_room};
use crate::file;

/// The name of the file.
const NAME: &str = "salara.conf";
/// What Asterisk's console is told.
const RELOAD: &str = "asterisk -rx 'manager reload'";
/// What an account needs, to read and to write.
const READ: &str = "system,call,agent,reporting,dialplan";
const WRITE: &str = "system,call,originate,message,reporting";
/// Where Asterisk looks for AGI when no port is named.
const AGI_PORT: u16 = 4573;

/// Makes the account that this configuration, read from `beside`, looks for; `is_dry` only says what
/// would be done. An error says what stands in the way and what to do about it.
pub fn setup(config: &Config, beside: &Path, is_dry: bool) -> Result<String, String> {
    if config.ami.secret.is_some() {
        let beside = beside.display();
        return Err(format!(
            "{beside}: names a secret itself, so manager.conf is not asked"
        ));
    }
    let (start, user) = (manager_conf(&config.ami, beside), &*config.ami.user);
    let mut said = match find_room(&Disk, &start, user, NAME) {
        Ok(None) => existing(&start, user)?,
        Ok(Some(file)) => make(&file, &start, user, is_dry)?,
        Err(why @ AccountError::NoSection { .. }) => {
            let (start, stanza) = (start.display(), stanza(user, &secret()?));
            return Err(format!(
                "{why}, and nothing there includes a {NAME}. Nothing was written.\nEither add the \
                 line\n\n#include manager.d/*.conf\n\nto {start} and run this again, or add the \
                 account itself:\n\n{stanza}"
            ));
        }
        Err(why) => return Err(why.to_string()),
    };
    if let Err(why @ AccountError::Disabled { .. }) = find_account(&Disk, &start, user) {
        said.push(why.to_string());
    }
    said.push(format!("Have Asterisk read it: {RELOAD}"));
    said.extend(config.url.agi_server.map(|agi| {
        let port = agi.port();
        let port = (port != AGI_PORT).then(|| format!(":{port}"));
        let port = port.unwrap_or_default();
        format!(
            "For incoming calls, in the dialplan: exten => 5000,1,AGI(agi://127.0.0.1{port}/salara)"
        )
    }));
    said.push(String::new());
    Ok(said.join("\n"))
}

/// Writes the account, or says what would be written.
fn make(file: &Path, start: &Path, user: &str, is_dry: bool) -> Result<Vec<String>, String> {
    let shown = file.display();
    if is_dry {
        let stanza = stanza(user, "(32 random digits)");
        return Ok(vec![format!("{shown}: would be written:\n\n{stanza}")]);
    }
    let group = group(start);
    match write_new(file, &stanza(user, &secret()?), group) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(format!(
                "{shown}: is there, without [{user}]; it was not changed"
            ));
        }
        Err(error) => return Err(format!("{shown}: {error}")),
    }
    let mut said = vec![format!("{shown}: written, with the account [{user}]")];
    if group.is_none() {
        said.push(format!(
            "Asterisk's group is not known: it must be able to read {shown}"
        ));
    }
    Ok(said)
}

/// What is to be said of an account that is there.
fn existing(start: &Path, user: &str) -> Result<Vec<String>, String> {
    let mut said = vec![format!("[{user}] is there already; nothing was written")];
    match find_account(&Disk, start, user) {
        Ok(account) => {
            for (what, wanted, has) in [
                ("read", READ, account.read),
                ("write", WRITE, account.write),
            ] {
                let wanted: Vec<&str> = wanted.split(',').collect();
                let missing = has.missing(&wanted);
                if !missing.is_empty() {
                    said.push(format!("It lacks {what}={}", missing.join(",")));
                }
            }
        }
        Err(AccountError::Disabled { .. }) => {}
        Err(why) => return Err(format!("{why}; nothing was written")),
    }
    Ok(said)
}

fn stanza(user: &str, secret: &str) -> String {
    format!(
        "; salara's account; salara reads the secret here.\n[{user}]\nsecret={secret}\n\
         deny=0.0.0.0/0.0.0.0\ndeny=::/0\npermit=127.0.0.1/255.255.255.255\npermit=::1/128\n\
         read={READ}\nwrite={WRITE}\nwritetimeout=5000\n"
    )
}

fn secret() -> Result<String, String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|error| format!("/dev/urandom: {error}"))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// Asterisk's group: the one of that name, else the one manager.conf has, unless that is root's.
fn group(manager_conf: &Path) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let named = groups.lines().find_map(|line| {
        let mut fields = line.strip_prefix("asterisk:")?.split(':').skip(1);
        fields.next()?.parse().ok()
    });
    let owner = || fs::metadata(manager_conf).ok().map(|of| of.gid());
    named.or_else(|| owner().filter(|gid| *gid != 0))
}

/// Never over a file that is there; and if it cannot be written whole, not at all.
fn write_new(path: &Path, text: &str, group: Option<u32>) -> io::Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let is_new = !directory.exists();
    if is_new {
        fs::DirBuilder::new().mode(0o750).create(directory)?;
    }
    let given = match group {
        Some(_) if is_new => chown(directory, None, group),
        _ => Ok(()),
    };
    let written = given.and_then(|()| file::create(path, text, group));
    if written.is_err() && is_new {
        drop(fs::remove_dir(directory));
    }
    written
}
