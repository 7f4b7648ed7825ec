//! Where Asterisk is, and who salara is to it.
//!
//! This file owns the look into manager.conf when salara.conf names no secret; an account is made
//! by `setup`. It must not know what a login is.
//!
//! The surprising fact: this is asked again at every attempt to connect. An account that is made
//! while salara runs is found without a restart.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::ami::session::Credentials;
use crate::config::AmiSettings;
use crate::config::account::{ManagerFiles, find_account};
use crate::file;

mod setup;

pub use setup::setup;

/// A place to connect to and how to log in there.
#[derive(Debug)]
pub struct Target {
    /// A name or an address.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
    /// Who logs in there.
    pub credentials: Credentials,
}

/// Finds out where to connect; an error says what is missing.
pub fn target(settings: &AmiSettings, beside: &Path) -> Result<Target, String> {
    let user = settings.user.clone();
    if let Some(secret) = settings.secret.clone() {
        return Ok(Target {
            host: settings.host.clone(),
            port: settings.port.unwrap_or_else(|| settings.default_port()),
            credentials: Credentials { user, secret },
        });
    }
    let path = manager_conf(settings, beside);
    let account = find_account(&Disk, &path, &user).map_err(|error| error.to_string())?;
    // What salara.conf says of the place counts; what it leaves out, manager.conf knows.
    let host = match account.bindaddr {
        Some(address) if settings.host == AmiSettings::default().host => address.to_string().into(),
        _ => settings.host.clone(),
    };
    let port = settings.port.unwrap_or(account.port);
    Ok(Target {
        host,
        port,
        credentials: Credentials {
            user,
            secret: account.secret,
        },
    })
}

/// The manager.conf that is read: the configured one, else the one beside salara.conf.
fn manager_conf(settings: &AmiSettings, beside: &Path) -> PathBuf {
    let neighbour = || {
        beside
            .parent()
            .unwrap_or_else(|| Path::new("."))
            .join("manager.conf")
    };
    settings.manager_conf.clone().unwrap_or_else(neighbour)
}

/// manager.conf and what it includes, from the disk.
struct Disk;

impl ManagerFiles for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        file::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(directory)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    }
}
