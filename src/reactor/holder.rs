//! Who has a port that salara cannot have.
//!
//! This file owns the search through /proc. It must not know what the port is for.
//!
//! The surprising fact: the kernel prints an address in the byte order of its machine, in words of
//! 32 bits, so it is made from the address the same way and never read back.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// The program that listens where we would, with its number: `salara (pid 1234)`; this one only when
/// no other does. `None` when it is another user's, or gone.
pub(super) fn holder(address: SocketAddr) -> Option<String> {
    let marks = marks(address);
    let own = PathBuf::from(format!("/proc/{}", std::process::id()));
    // Beside the numbers there are `self` and others, which name a process twice.
    let is_number = |name: &OsStr| name.to_string_lossy().parse::<u32>().is_ok();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let processes = processes.filter(|process| is_number(&process.file_name()));
    let others = processes.map(|process| process.path());
    let others = others.filter(|process| *process != own);
    let holder = others.chain([own.clone()]).find(|process| {
        let files = fs::read_dir(process.join("fd")).into_iter().flatten();
        let mut links = files
            .flatten()
            .filter_map(|file| fs::read_link(file.path()).ok());
        links.any(|link| marks.iter().any(|mark| link.as_os_str() == &**mark))
    })?;
    let name = fs::read_to_string(holder.join("comm")).ok()?;
    let pid = holder.file_name()?.to_string_lossy();
    Some(format!("{} (pid {pid})", name.trim_end()))
}

/// The sockets that listen there, as a process has them among its files.
fn marks(address: SocketAddr) -> Vec<String> {
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = octets
        .chunks_exact(4)
        .filter_map(|word| word.try_into().ok());
    let ip: String = words
        .map(|word| format!("{:08X}", u32::from_ne_bytes(word)))
        .collect();
    let port = format!("{:04X}", address.port());
    let mut marks = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let table = fs::read_to_string(table).unwrap_or_default();
        marks.extend(table.lines().filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let (at, state) = (columns.get(1)?, columns.get(3)?);
            let (its_ip, its_port) = at.split_once(':')?;
            let any = |ip: &str| ip.bytes().all(|digit| digit == b'0');
            let meets = its_ip == ip || any(its_ip) || any(&ip);
            let listens = *state == "0A" && its_port == port && meets;
            let inode = columns.get(9).filter(|_| listens)?;
            Some(format!("socket:[{inode}]"))
        }));
    }
    marks
}
