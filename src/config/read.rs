//! How texts become values.
//!
//! It must not know any key. Legacy values never fail: they end up as what the old module made of
//! them, with a remark. New values are taken whole or refused.
//!
//! The surprising fact: the old module read numbers as C's `atoi` does, so that `2abc` is 2 and
//! `x` is 0, and then ignored what was out of range.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::kinds::GoodStatus;
use super::net::Cidr;
use super::problem::{Remark, quote};
use super::secret::{Secret, printable_url};
use super::web::WebAddress;
use crate::value::{Name, Number};

/// What setting a key comes to.
pub(super) type Told = Result<(), Remark>;

/// A legacy number that stands for one of a few values.
pub(super) fn choice<T: Copy>(
    slot: &mut T,
    found: &str,
    wanted: &str,
    all: &[T],
    number: fn(T) -> u8,
) -> Told {
    let read = atoi(found);
    match usize::try_from(read).ok().and_then(|index| all.get(index)) {
        Some(value) => {
            *slot = *value;
            unless_exact(found, read, wanted, read)
        }
        None => kept(found, wanted, number(*slot)),
    }
}

/// A legacy 0 or 1. Any other number counted as 1 in the old module.
pub(super) fn switch(slot: &mut bool, found: &str) -> Told {
    let read = atoi(found);
    *slot = read != 0;
    if read != 0 && read != 1 {
        return Err(Remark::warning(format!(
            "{} is not 0 or 1; taken as 1",
            quote(found)
        )));
    }
    unless_exact(found, read, "0 or 1", read)
}

/// A legacy number of seconds.
pub(super) fn seconds(
    slot: &mut Duration,
    found: &str,
    range: RangeInclusive<u64>,
    wanted: &str,
) -> Told {
    let read = atoi(found);
    match u64::try_from(read)
        .ok()
        .filter(|seconds| range.contains(seconds))
    {
        Some(seconds) => {
            *slot = Duration::from_secs(seconds);
            unless_exact(found, read, wanted, read)
        }
        None => kept(found, wanted, slot.as_secs()),
    }
}

/// A legacy list of extension states.
pub(super) fn states(slot: &mut GoodStatus, found: &str) -> Told {
    let mut odd = Vec::new();
    let mut listed = Vec::new();
    for item in found
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
    {
        let read = atoi(item);
        if item.parse() != Ok(read) {
            odd.push(format!("{} is not a number; taken as {read}", quote(item)));
        }
        listed.push(i32::try_from(read).unwrap_or(i32::MAX));
    }
    if listed.len() > GoodStatus::PLACES {
        let count = listed.len();
        odd.push(format!(
            "{count} states are listed; only the first {} count",
            GoodStatus::PLACES
        ));
    }
    *slot = GoodStatus::new(listed);
    if odd.is_empty() {
        Ok(())
    } else {
        Err(Remark::warning(odd.join("; ")))
    }
}

/// A legacy text that is dialled.
pub(super) fn number(slot: &mut Box<str>, found: &str) -> Told {
    text(slot, found)?;
    Number::new(found)
        .map(drop)
        .map_err(|bad| Remark::warning(format!("{} {bad}", quote(found))))
}

/// A legacy text that names something in the dialplan. One that Asterisk could not hold is of no
/// use to any request.
pub(super) fn name(slot: &mut Box<str>, found: &str) -> Told {
    if let Err(bad) = Name::new(found) {
        let (found, kept) = (quote(found), quote(slot));
        return Err(Remark::warning(format!("{found} {bad}; {kept} is kept")));
    }
    text(slot, found)
}

/// A legacy text.
pub(super) fn text(slot: &mut Box<str>, found: &str) -> Told {
    if found.is_empty() {
        return Err(Remark::warning(format!(
            "is empty; {} is kept",
            quote(slot)
        )));
    }
    *slot = found.into();
    Ok(())
}

/// A legacy URL. An empty one switches its use off.
pub(super) fn url(slot: &mut Box<str>, found: &str) -> Told {
    *slot = found.into();
    if found.is_empty() {
        return Err(Remark::warning("is empty; nothing is sent there"));
    }
    let shown = quote(&printable_url(found));
    let guessed = format!("http://{found}");
    let is_guess = !found.contains("://");
    match WebAddress::new(if is_guess { &guessed } else { found }) {
        Ok(_) if is_guess => {
            // The old module's HTTP library guessed.
            *slot = guessed.into();
            Err(Remark::warning(format!(
                "{shown} names no scheme; taken as http://"
            )))
        }
        Ok(_) => Ok(()),
        Err(why) => Err(Remark::warning(format!("{shown} is not a URL: {why}"))),
    }
}

/// A new value: taken, or refused in words.
pub(super) fn accept<T>(slot: &mut T, value: Option<T>, found: &str, wanted: &str) -> Told {
    match value {
        Some(value) => {
            *slot = value;
            Ok(())
        }
        None => Err(Remark::error(format!("{} is not {wanted}", quote(found)))),
    }
}

/// A password or token. What was found is not told.
pub(super) fn secret(slot: &mut Option<Secret>, found: &str) -> Told {
    if found.chars().any(char::is_control) {
        return Err(Remark::error("what is given holds a control character"));
    }
    *slot = Some(Secret::new(found));
    Ok(())
}

/// A token that travels in a header.
pub(super) fn token(slot: &mut Option<Secret>, found: &str) -> Told {
    if !found.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Remark::error(
            "what is given is not one word of ASCII letters, digits or signs",
        ));
    }
    *slot = Some(Secret::new(found));
    Ok(())
}

/// One signing secret, or two while they change.
pub(super) fn signing_secrets(slot: &mut Vec<Secret>, found: &str) -> Told {
    let secrets: Vec<Secret> = items(found).map(Secret::new).collect();
    if secrets.is_empty() || secrets.len() > MAX_SIGNING_SECRETS {
        let count = secrets.len();
        return Err(Remark::error(format!(
            "{count} secrets are given; one or two are wanted"
        )));
    }
    if secrets.iter().any(|secret| secret.signing_key().is_none()) {
        return Err(Remark::error("what follows whsec_ is not base64"));
    }
    *slot = secrets;
    Ok(())
}

/// A list of networks.
pub(super) fn networks(slot: &mut Option<Vec<Cidr>>, found: &str) -> Told {
    let mut networks = Vec::new();
    for item in items(found) {
        let Some(network) = Cidr::parse(item) else {
            let wanted = "an address or a network such as 10.0.0.0/8";
            return Err(Remark::error(format!("{} is not {wanted}", quote(item))));
        };
        networks.push(network);
    }
    *slot = Some(networks);
    Ok(())
}

/// A host's name or address, without a port.
pub(super) fn host(found: &str) -> Option<Box<str>> {
    let bare = found
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(found);
    let address = bare.parse::<std::net::IpAddr>().is_ok();
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (address || (!found.is_empty() && found.chars().all(letter))).then(|| bare.into())
}

/// A port to connect to.
pub(super) fn port(found: &str) -> Option<Option<u16>> {
    found.parse().ok().filter(|port| *port != 0).map(Some)
}

/// A path.
pub(super) fn path(found: &str) -> Option<Option<PathBuf>> {
    (!found.contains('\0')).then(|| Some(found.into()))
}

/// Yes or no, in Asterisk's words.
pub(super) fn flag(found: &str) -> Option<bool> {
    match found.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// A number of bytes: `65536`, `512k`, `16M`, `1G`.
pub(super) fn bytes(found: &str) -> Option<u64> {
    let (number, unit) = with_unit(found);
    let factor: u64 = match unit {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    number
        .parse::<u64>()
        .ok()?
        .checked_mul(factor)
        .filter(|bytes| *bytes > 0)
}

/// A span of time: `90`, `90s`, `15m`, `24h`, `7d`.
pub(super) fn span(found: &str) -> Option<Duration> {
    let (number, unit) = with_unit(found);
    let factor: u64 = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(factor)?;
    (seconds <= MAX_SPAN).then(|| Duration::from_secs(seconds))
}

fn with_unit(found: &str) -> (&str, &str) {
    let digits = found
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(found.len());
    let (number, unit) = found.split_at(digits);
    (number, unit.trim_start())
}

fn items(found: &str) -> impl Iterator<Item = &str> {
    found
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|item| !item.is_empty())
}

/// The number at the start of a text, or 0, as C's `atoi` has it.
fn atoi(text: &str) -> i64 {
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut number: i64 = 0;
    for digit in digits.chars().map_while(|c| c.to_digit(10)) {
        number = number.saturating_mul(10).saturating_add(i64::from(digit));
    }
    if negative {
        number.saturating_neg()
    } else {
        number
    }
}

fn unless_exact(found: &str, read: i64, wanted: &str, taken: impl Display) -> Told {
    if found.parse() == Ok(read) {
        return Ok(());
    }
    Err(Remark::warning(format!(
        "{} is not {wanted}; taken as {taken}",
        quote(found)
    )))
}

fn kept(found: &str, wanted: &str, kept: impl Display) -> Told {
    Err(Remark::warning(format!(
        "{} is not {wanted}; {kept} is kept",
        quote(found)
    )))
}

/// One in use and one on its way in or out.
const MAX_SIGNING_SECRETS: usize = 2;

/// A year: no deadline computed from it leaves what a clock can hold.
const MAX_SPAN: u64 = 366 * 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_old_module_read_them() {
        for (text, number) in [
            ("12", 12),
            (" 2", 2),
            ("2abc", 2),
            ("x", 0),
            ("", 0),
            ("-3", -3),
            ("+3", 3),
            ("--3", 0),
            ("99999999999999999999", i64::MAX),
            ("-99999999999999999999", -i64::MAX),
        ] {
            assert_eq!(atoi(text), number, "{text:?}");
        }
    }

    #[test]
    fn bytes_and_spans_have_units() {
        assert_eq!(bytes("65536"), Some(65536));
        assert_eq!(bytes("512k"), Some(524_288));
        assert_eq!(bytes("16 M"), Some(16 << 20));
        assert_eq!(bytes("1G"), Some(1 << 30));
        for text in ["", "0", "k", "-1", "1.5M", "16MB", "99999999999G"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("15m", 900),
            ("24h", 86_400),
            ("0", 0),
        ] {
            assert_eq!(span(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(span("366d"), Some(Duration::from_secs(MAX_SPAN)));
        for text in ["", "h", "-1h", "1w", "367d", "99999999999999999d"] {
            assert_eq!(span(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for (text, wanted) in [
            ("pbx.example.com", "pbx.example.com"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
        ] {
            assert_eq!(host(text).as_deref(), Some(wanted));
        }
        for text in [
            "",
            "pbx:5038",
            "127.0.0.1:5038",
            "[::1]:5038",
            "a b",
            "tls://pbx",
            "[]",
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }

    #[test]
    fn a_url_is_kept_as_written() {
        let read = |found| {
            let mut slot: Box<str> = "old".into();
            let told = url(&mut slot, found).map_err(|remark| remark.text).err();
            (slot.into_string(), told.unwrap_or_default())
        };
        assert_eq!(
            read("HTTP://crm/x?phone="),
            ("HTTP://crm/x?phone=".into(), String::new())
        );
        assert_eq!(
            read(""),
            (String::new(), "is empty; nothing is sent there".into())
        );
        assert_eq!(
            read("crm/x"),
            (
                "http://crm/x".into(),
                "\"crm/x\" names no scheme; taken as http://".into()
            )
        );
        assert_eq!(
            read("ftp://a:b@crm/"),
            (
                "ftp://a:b@crm/".into(),
                "\"ftp://***@crm/\" is not a URL: http:// or https:// is wanted".into()
            )
        );
    }
}
