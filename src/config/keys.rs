//! The keys of salara.conf: their names, their sections and what they set. The one list of them.
//!
//! It must not know lines. The surprising fact: the old module found its keys anywhere in a line,
//! so no new key may end with an old one: after going back, the module would misread it.

use std::net::SocketAddr;

use super::event::{CallLevel, StateLevel, Verbosity};
use super::kinds::{CallRate, ChannelReply, KeyNames, LogTo, Tech, Transfer};
use super::net;
use super::problem::{Remark, quote};
use super::read::{self, Told};
use super::{AGI_SERVER, Config, REST_SERVER};

/// A key and how it is read.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) section: &'static str,
    pub(super) age: Age,
    set: fn(&mut Config, &str) -> Told,
}

/// Where a key comes from, which decides how strict salara is with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// From the old module: counts in any section, never fails.
    Legacy,
    /// Ours: counts in any section, with a warning outside its own.
    New,
    /// Ours, with a name too common to be taken from another section.
    NewHereOnly,
}

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key somebody who wrote this may have meant.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > LONGEST_SLIP {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let length = name.chars().count();
    let begins = |key: &&Key| length >= SHORTEST_START && key.name.starts_with(&name);
    if let Some(key) = KEYS.iter().find(begins) {
        return Some(key.name);
    }
    let distances = KEYS.iter().map(|key| (distance(&name, key.name), key.name));
    let near = distances.filter(|(apart, _)| *apart <= (length / 4).max(1));
    near.min_by_key(|(apart, _)| *apart).map(|(_, name)| name)
}

/// The key the old module saw in a line: the longest of its own that stands there before a `=`.
pub(super) fn old_reading(line: &str) -> Option<&'static str> {
    let legacy = KEYS
        .iter()
        .filter(|key| key.age == Age::Legacy)
        .map(|key| key.name);
    legacy
        .filter(|name| line.contains(&format!("{name}=")))
        .max_by_key(|name| name.len())
}

impl Key {
    /// Sets the key. What is new is taken whole and must be text; what is old is taken as it comes.
    pub(super) fn set(&self, config: &mut Config, value: &str) -> Told {
        let lossy = value.contains(char::REPLACEMENT_CHARACTER);
        if self.age == Age::Legacy {
            (self.set)(config, value)?;
            return if lossy {
                Err(Remark::warning(NOT_TEXT))
            } else {
                Ok(())
            };
        }
        if value.is_empty() {
            return Err(Remark::error(
                "is empty; give it a value or remove the line",
            ));
        }
        if lossy {
            return Err(Remark::error(NOT_TEXT));
        }
        (self.set)(config, value)
    }
}

const fn legacy(
    section: &'static str,
    name: &'static str,
    set: fn(&mut Config, &str) -> Told,
) -> Key {
    Key {
        name,
        section,
        age: Age::Legacy,
        set,
    }
}

const fn new(section: &'static str, name: &'static str, set: fn(&mut Config, &str) -> Told) -> Key {
    Key {
        name,
        section,
        age: Age::New,
        set,
    }
}

const fn ami(name: &'static str, set: fn(&mut Config, &str) -> Told) -> Key {
    Key {
        name,
        section: "ami",
        age: Age::NewHereOnly,
        set,
    }
}

/// Every key, in the order of the shipped file.
pub(super) static KEYS: &[Key] = &[
    legacy("general", "default", |c, v| {
        read::number(&mut c.general.default, v)
    }),
    legacy("general", "curlopt_timeout", |c, v| {
        read::seconds(&mut c.general.curlopt_timeout, v, 1..=5, "1 to 5 seconds")
    }),
    legacy("general", "default_context", |c, v| {
        read::name(&mut c.general.default_context, v)
    }),
    new("general", "tech", |c, v| {
        read::accept(
            &mut c.general.tech,
            Tech::parse(v),
            v,
            "auto, pjsip, sip or the like",
        )
    }),
    new("general", "transfer", |c, v| {
        read::accept(
            &mut c.general.transfer,
            Transfer::parse(v),
            v,
            "sip or goto",
        )
    }),
    legacy("event", "verbose", |c, v| {
        let wanted = "0, 1, 2 or 3";
        read::choice(
            &mut c.event.verbose,
            v,
            wanted,
            &Verbosity::ALL,
            Verbosity::number,
        )
    }),
    legacy("event", "timeout_makecall", |c, v| {
        read::seconds(
            &mut c.event.timeout_makecall,
            v,
            0..=MAX_RING,
            "0 to 2147483 seconds",
        )
    }),
    legacy("event", "watch_makecall", |c, v| {
        read::switch(&mut c.event.watch_makecall, v)
    }),
    legacy("event", "hangup", |c, v| call_level(&mut c.event.hangup, v)),
    legacy("event", "newchannel", |c, v| {
        call_level(&mut c.event.newchannel, v)
    }),
    legacy("event", "newexten", |c, v| {
        state_level(&mut c.event.newexten, v)
    }),
    legacy("event", "agentcon", |c, v| {
        state_level(&mut c.event.agentcon, v)
    }),
    legacy("url", "rest_server", |c, v| {
        rest_server(&mut c.url.rest_server, v)
    }),
    legacy("url", "dest_url", |c, v| read::url(&mut c.url.dest_url, v)),
    legacy("url", "dest_url_event", |c, v| {
        read::url(&mut c.url.dest_url_event, v)
    }),
    legacy("url", "good_status", |c, v| {
        read::states(&mut c.url.good_status, v)
    }),
    new("url", "agi_server", |c, v| {
        let off = v.eq_ignore_ascii_case("off");
        let value = if off {
            Some(None)
        } else {
            net::listener(v, AGI_SERVER).map(Some)
        };
        c.url.agi_is_asked_for |= value.is_some();
        read::accept(
            &mut c.url.agi_server,
            value,
            v,
            "an address such as 127.0.0.1:4573, or off",
        )
    }),
    legacy("keys", "key_word", |c, v| {
        read::text(&mut c.keys.key_word, v)
    }),
    legacy("keys", "key_operator", |c, v| {
        read::text(&mut c.keys.operator, v)
    }),
    legacy("keys", "key_phone", |c, v| read::text(&mut c.keys.phone, v)),
    legacy("keys", "key_msg", |c, v| read::text(&mut c.keys.msg, v)),
    legacy("keys", "key_extension", |c, v| {
        key_names(&mut c.keys.extension, v)
    }),
    legacy("keys", "key_peer", |c, v| read::text(&mut c.keys.peer, v)),
    legacy("keys", "key_channel", |c, v| {
        key_names(&mut c.keys.channel, v)
    }),
    legacy("keys", "key_context", |c, v| {
        read::text(&mut c.keys.context, v)
    }),
    ami("host", |c, v| {
        read::accept(
            &mut c.ami.host,
            read::host(v),
            v,
            "a host; its port is set with port=",
        )
    }),
    ami("port", |c, v| {
        read::accept(&mut c.ami.port, read::port(v), v, "a port, 1 to 65535")
    }),
    ami("user", |c, v| {
        let user = (!v.chars().any(char::is_control)).then(|| v.into());
        read::accept(&mut c.ami.user, user, v, "the name of an account")
    }),
    ami("secret", |c, v| read::secret(&mut c.ami.secret, v)),
    ami("tls", |c, v| {
        read::accept(&mut c.ami.tls, read::flag(v), v, "0 or 1")
    }),
    ami("tls_ca", |c, v| {
        read::accept(&mut c.ami.tls_ca, read::path(v), v, "a path")
    }),
    ami("manager_conf", |c, v| {
        read::accept(&mut c.ami.manager_conf, read::path(v), v, "a path")
    }),
    new("security", "rest_token", |c, v| {
        read::token(&mut c.security.rest_token, v)
    }),
    new("security", "rest_allow", |c, v| {
        read::networks(&mut c.security.rest_allow, v)
    }),
    new("security", "agi_allow", |c, v| {
        read::networks(&mut c.security.agi_allow, v)
    }),
    new("security", "tls_verify", |c, v| {
        read::accept(
            &mut c.security.tls_verify,
            read::flag(v).map(Some),
            v,
            "0 or 1",
        )
    }),
    new("security", "crm_ca", |c, v| {
        read::accept(&mut c.security.crm_ca, read::path(v), v, "a path")
    }),
    new("security", "call_rate", |c, v| {
        let rate = CallRate::parse(v).map(Some);
        read::accept(
            &mut c.security.call_rate,
            rate,
            v,
            "a number of calls a minute such as 30",
        )
    }),
    new("delivery", "signing_secret", |c, v| {
        read::signing_secrets(&mut c.delivery.signing_secret, v)
    }),
    new("delivery", "spool_dir", |c, v| {
        read::accept(&mut c.delivery.spool_dir, read::path(v), v, "a path")
    }),
    new("delivery", "spool_max", |c, v| {
        read::accept(
            &mut c.delivery.spool_max,
            read::bytes(v),
            v,
            "a size such as 512k or 16M",
        )
    }),
    new("delivery", "retry_for", |c, v| {
        let wanted = "a time such as 90s, 15m, 24h or 7d, at most 366d";
        read::accept(&mut c.delivery.retry_for, read::span(v), v, wanted)
    }),
    new("delivery", "parallel", |c, v| {
        let parallel = v.parse().ok().filter(|n| (1..=MAX_PARALLEL).contains(n));
        read::accept(
            &mut c.delivery.parallel,
            parallel,
            v,
            "a number from 1 to 16",
        )
    }),
    new("compat", "bare_reply", |c, v| {
        read::accept(&mut c.compat.bare_reply, read::flag(v), v, "0 or 1")
    }),
    new("compat", "channel_reply", |c, v| {
        let reply = ChannelReply::parse(v);
        read::accept(
            &mut c.compat.channel_reply,
            reply,
            v,
            "documented or module",
        )
    }),
    new("log", "log_to", |c, v| {
        let wanted = "stderr, syslog or the absolute path of a file";
        read::accept(&mut c.log_to, LogTo::parse(v), v, wanted)
    }),
];

fn call_level(slot: &mut CallLevel, value: &str) -> Told {
    read::choice(slot, value, "0, 1 or 2", &CallLevel::ALL, CallLevel::number)
}

fn state_level(slot: &mut StateLevel, value: &str) -> Told {
    read::choice(
        slot,
        value,
        "0, 1, 2 or 3",
        &StateLevel::ALL,
        StateLevel::number,
    )
}

/// The one legacy key that can fail: the old module died of what is no address, and to listen
/// elsewhere than told is worse than not to start.
fn rest_server(slot: &mut SocketAddr, value: &str) -> Told {
    if value.is_empty() {
        return Err(Remark::warning(format!("is empty; {slot} is kept")));
    }
    let Some(address) = net::listener(value, REST_SERVER) else {
        let wanted = "an address such as 127.0.0.1:5058 (names are not looked up)";
        return Err(Remark::error(format!("{} is not {wanted}", quote(value))));
    };
    *slot = address;
    Ok(())
}

fn key_names(slot: &mut KeyNames, value: &str) -> Told {
    if value.is_empty() {
        let kept = slot.names().join(" or ");
        return Err(Remark::warning(format!(
            "is empty; {} is kept",
            quote(&kept)
        )));
    }
    *slot = KeyNames::one(value);
    Ok(())
}

/// How many single-letter changes lie between two words.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, a) in one.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index.saturating_add(1);
        let mut next = vec![left];
        for (b, above) in other.chars().zip(row.iter().skip(1)) {
            let change = diagonal.saturating_add(usize::from(a != b));
            left = change
                .min(left.saturating_add(1))
                .min(above.saturating_add(1));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// The file's bytes were read as UTF-8 and are not. The value may be a secret: it is not told.
const NOT_TEXT: &str = "what is given is not UTF-8 text";

/// More bytes are no key with a slip in it but, say, a whole binary file read by mistake: to compare
/// all its lines would hold up a reload for seconds.
const LONGEST_SLIP: usize = 64;

/// Fewer letters begin too many keys.
const SHORTEST_START: usize = 4;

/// Asterisk takes the ring time as milliseconds in an `int`.
const MAX_RING: u64 = 2_147_483;

/// Connections to the CRM at a time; each costs a thread's stack.
const MAX_PARALLEL: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_new_key_can_be_misread_by_the_old_module() {
        let (old, new): (Vec<_>, Vec<_>) = KEYS.iter().partition(|key| key.age == Age::Legacy);
        assert_eq!((old.len(), new.len()), (22, 24));
        for new in new {
            for old in &old {
                let line = format!("{}=", new.name);
                assert!(
                    !line.contains(&format!("{}=", old.name)),
                    "{} {}",
                    new.name,
                    old.name
                );
            }
        }
    }

    #[test]
    fn no_key_is_listed_twice() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(
                KEYS[..index].iter().all(|other| other.name != key.name),
                "{}",
                key.name
            );
        }
    }

    #[test]
    fn distance_counts_changes() {
        for (one, other, apart) in [
            ("hangup", "hangup", 0),
            ("hangup", "hangups", 1),
            ("hngup", "hangup", 1),
            ("hamgup", "hangup", 1),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), apart, "{one} {other}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_key() {
        assert_eq!(nearest("dest_uri"), Some("dest_url"));
        assert_eq!(nearest("Hangup"), Some("hangup"));
        assert_eq!(nearest("rest_tokn"), Some("rest_token"));
        assert_eq!(nearest("key_exten"), Some("key_extension"));
        assert_eq!(nearest("spool"), Some("spool_dir"));
        assert_eq!(nearest("exten"), None);
        assert_eq!(nearest("x"), None);
        assert_eq!(nearest(""), None);
        assert_eq!(nearest(&format!("hangup{}", " ".repeat(1 << 20))), None);
    }

    #[test]
    fn the_old_module_saw_the_longest_key_of_a_line() {
        assert_eq!(old_reading("my_dest_url=http://a/"), Some("dest_url"));
        assert_eq!(old_reading("#default=888"), Some("default"));
        assert_eq!(old_reading("xkey_word=default=1"), Some("key_word"));
        assert_eq!(old_reading("dest_url = http://a/"), None);
        assert_eq!(old_reading("dest_url_old=http://a/"), None);
    }
}
