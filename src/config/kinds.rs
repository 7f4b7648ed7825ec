//! The small types that single keys of salara.conf have.
//!
//! They must not know lines or problems: each says whether a text is one of its values, the table
//! of keys says the rest. The surprising fact: `good_status` has eight places, and those left
//! empty read as 0.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// The channel technology of phones that have no hint, `tech`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tech {
    /// Whatever Asterisk has loaded.
    #[default]
    Auto,
    /// This one, spelled as Asterisk spells it.
    Named(Box<str>),
}

impl Tech {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("auto") {
            return Some(Self::Auto);
        }
        if let Some(known) = TECHS.iter().find(|known| known.eq_ignore_ascii_case(text)) {
            return Some(Self::Named((*known).into()));
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        (!text.is_empty() && text.chars().all(word)).then(|| Self::Named(text.into()))
    }
}

impl fmt::Display for Tech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => write!(f, "auto"),
            Self::Named(name) => write!(f, "{name}"),
        }
    }
}

/// Where the log goes, `log_to`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogTo {
    /// Where whoever started salara reads it.
    #[default]
    Stderr,
    /// The syslog daemon behind this socket.
    Syslog(PathBuf),
    /// This file.
    File(PathBuf),
}

impl LogTo {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "stderr" => Some(Self::Stderr),
            "syslog" => Some(Self::Syslog("/dev/log".into())),
            _ => match text.strip_prefix("syslog:") {
                Some(socket) => absolute(socket).map(Self::Syslog),
                None => absolute(text).map(Self::File),
            },
        }
    }
}

/// A relative path would mean something else to each who starts salara.
fn absolute(path: &str) -> Option<PathBuf> {
    (path.starts_with('/') && !path.ends_with('/') && !path.contains('\0')).then(|| path.into())
}

/// How an incoming call is handed over, `transfer`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transfer {
    /// The caller's phone or trunk dials again: 302 before the answer, REFER after it.
    #[default]
    Sip,
    /// The same channel goes on at the destination.
    Goto,
}

impl Transfer {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "sip" => Some(Self::Sip),
            "goto" => Some(Self::Goto),
            _ => None,
        }
    }
}

/// How a live channel is answered over REST, `channel_reply`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelReply {
    /// `{"result":0,"text":"Up (6)"}`, as documented.
    #[default]
    Documented,
    /// `{"result":6,"text":"UP"}`, as the old module did it.
    Module,
}

impl ChannelReply {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "documented" => Some(Self::Documented),
            "module" => Some(Self::Module),
            _ => None,
        }
    }
}

/// The extension states that allow a call, a message or a transfer, `good_status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoodStatus(Vec<i32>);

impl GoodStatus {
    /// The places of the old module. Those that are not filled hold 0.
    pub const PLACES: usize = 8;

    pub(super) fn new(mut listed: Vec<i32>) -> Self {
        listed.truncate(Self::PLACES);
        Self(listed)
    }

    /// Whether an extension in this state may be disturbed.
    pub fn contains(&self, status: i32) -> bool {
        self.0.contains(&status) || (status == 0 && self.0.len() < Self::PLACES)
    }

    /// The states as listed in the file, without the 0 that may go unsaid.
    pub fn listed(&self) -> &[i32] {
        &self.0
    }
}

impl Default for GoodStatus {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl fmt::Display for GoodStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, status) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{status}")?;
        }
        Ok(())
    }
}

/// The names a JSON field may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyNames(Vec<Box<str>>);

impl KeyNames {
    /// The name the file gave.
    pub(super) fn one(name: &str) -> Self {
        Self(vec![name.into()])
    }

    /// The built-in name and the one the old module's documentation used.
    pub(super) fn either(built_in: &str, documented: &str) -> Self {
        Self(vec![built_in.into(), documented.into()])
    }

    /// The names, the one to show first.
    pub fn names(&self) -> &[Box<str>] {
        &self.0
    }
}

/// How many calls may be set up over REST, `call_rate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRate {
    /// Calls in a minute.
    pub per_minute: NonZeroU32,
}

impl CallRate {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix("/min").unwrap_or(text).trim_end();
        number.parse().ok().map(|per_minute| Self { per_minute })
    }
}

impl fmt::Display for CallRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/min", self.per_minute)
    }
}

/// As Asterisk prints them in channel names.
const TECHS: [&str; 12] = [
    "PJSIP", "SIP", "IAX2", "DAHDI", "Local", "SCCP", "Skinny", "MGCP", "OOH323", "UniStim",
    "Motif", "Console",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_technology_is_spelled_as_asterisk_spells_it() {
        for (text, wanted) in [
            ("pjsip", "PJSIP"),
            ("iax2", "IAX2"),
            ("LOCAL", "Local"),
            ("chan_x-2", "chan_x-2"),
        ] {
            assert_eq!(Tech::parse(text), Some(Tech::Named(wanted.into())));
        }
        assert_eq!(Tech::parse("AUTO"), Some(Tech::Auto));
        for text in ["", "SIP/", "a b", "SIP&x"] {
            assert_eq!(Tech::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_log_goes_to_stderr_syslog_or_an_absolute_path() {
        for (text, wanted) in [
            ("stderr", LogTo::Stderr),
            ("syslog", LogTo::Syslog("/dev/log".into())),
            ("syslog:/run/x", LogTo::Syslog("/run/x".into())),
            ("/var/log/salara", LogTo::File("/var/log/salara".into())),
        ] {
            assert_eq!(LogTo::parse(text), Some(wanted));
        }
        for text in [
            "",
            "stdout",
            "salara.log",
            "syslog:",
            "syslog:x",
            "/var/log/",
        ] {
            assert_eq!(LogTo::parse(text), None, "{text}");
        }
    }

    #[test]
    fn zero_is_good_unless_eight_others_are_listed() {
        let good = |listed: &[i32]| GoodStatus::new(listed.to_vec());
        assert!(GoodStatus::default().contains(0));
        assert!(!GoodStatus::default().contains(4));
        assert!(good(&[]).contains(0));
        assert!(good(&[4]).contains(0) && good(&[4]).contains(4));
        let eight = good(&[4, 1, 2, 8, 9, 16, 5, 6, 0]);
        assert!(!eight.contains(0) && eight.contains(6));
        assert_eq!(eight.to_string(), "4,1,2,8,9,16,5,6");
    }

    #[test]
    fn a_call_rate_is_calls_in_a_minute() {
        for text in ["30", "30/min", "30 /min"] {
            let per_minute = CallRate::parse(text).map(|rate| rate.per_minute.get());
            assert_eq!(per_minute, Some(30), "{text}");
        }
        for text in ["", "0", "-1", "30/h", "many"] {
            assert_eq!(CallRate::parse(text), None, "{text}");
        }
    }
}
