//! What a hint says about the phone behind an extension.
//!
//! This file owns the reading of `Hint:` values such as `PJSIP/8003&Custom:dnd,CustomPresence:8003`.
//! It must not know what the device is wanted for.
//!
//! The surprising fact: a hint may name things that cannot ring (`Custom:`, `MWI:`, `Queue:`), and a
//! PJSIP device may carry a contact behind its endpoint's name.

/// A technology and a device of it: `PJSIP` and `8003`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Device<'a> {
    pub(super) tech: &'a str,
    pub(super) rest: &'a str,
}

impl<'a> Device<'a> {
    /// The device a hint wants rung: the first of `preferred`'s technology, else the first that can
    /// ring at all.
    pub(super) fn of_hint(hint: &'a str, preferred: Option<&str>) -> Option<Self> {
        // Presence providers stand behind a comma.
        let devices = hint.split(',').next().unwrap_or_default();
        let mut ringable = devices.split('&').filter_map(Self::parse);
        let first = ringable.next()?;
        let wanted = |device: &Self| {
            preferred.is_none_or(|preferred| device.tech.eq_ignore_ascii_case(preferred))
        };
        if wanted(&first) {
            Some(first)
        } else {
            ringable.find(wanted).or(Some(first))
        }
    }

    /// Reads `TECH/rest`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (tech, rest) = text.trim().split_once('/')?;
        let named = !tech.is_empty() && tech.chars().all(|c| c.is_ascii_alphanumeric());
        (named && !rest.is_empty()).then_some(Self { tech, rest })
    }

    /// The peer or endpoint, without a contact or an extension behind it.
    pub(super) fn name(&self) -> &'a str {
        self.rest.split('/').next().unwrap_or(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_real_device_of_a_hint_rings() {
        for (hint, preferred, wanted) in [
            ("PJSIP/8003", None, Some(("PJSIP", "8003"))),
            (
                "Custom:dnd&PJSIP/8003&SIP/8003",
                None,
                Some(("PJSIP", "8003")),
            ),
            ("PJSIP/8003&SIP/8004", Some("sip"), Some(("SIP", "8004"))),
            ("PJSIP/8003", Some("SIP"), Some(("PJSIP", "8003"))),
            ("DAHDI/1,CustomPresence:x", None, Some(("DAHDI", "1"))),
            ("Custom:0000", None, None),
            ("Queue:710&MWI:8003@default", None, None),
            ("", None, None),
            ("/8003", None, None),
            ("SIP/", None, None),
        ] {
            let device = Device::of_hint(hint, preferred);
            assert_eq!(
                device.map(|device| (device.tech, device.rest)),
                wanted,
                "{hint}"
            );
        }
        assert_eq!(
            Device::parse("PJSIP/8003/sip:8003@10.0.0.9")
                .unwrap()
                .name(),
            "8003"
        );
    }
}
