//! The states Asterisk tells of hints and channels, and their names.
//!
//! This file owns the numbers' meaning. It must not know who asks for a state.
//!
//! The surprising fact: a hint's state is a sum of bits (9 is in use and ringing), a channel's is
//! not, and the same number means another thing in each.

use std::borrow::Cow;

/// The state of an extension that has no hint.
pub const NO_HINT: i32 = -1;

/// The name of a hint's state (`ast_extension_state2str` in `pbx.c`), for an Asterisk that sends
/// none: `StatusText` came with version 13.
pub fn hint_text(state: i32) -> Cow<'static, str> {
    match state {
        i32::MIN..=-2 => "Removed".into(),
        NO_HINT => "Unknown".into(),
        0 => "Idle".into(),
        _ => {
            let bits = [
                (1, "InUse"),
                (2, "Busy"),
                (4, "Unavailable"),
                (8, "Ringing"),
                (16, "Hold"),
            ];
            let names: Vec<&str> = bits
                .iter()
                .filter(|(bit, _)| state & bit != 0)
                .map(|(_, name)| *name)
                .collect();
            if names.is_empty() {
                "Unknown".into()
            } else {
                names.join("&").into()
            }
        }
    }
}

/// The name of a channel's state in events and in `channel_reply=module`.
pub fn channel_state(state: i32) -> &'static str {
    match state {
        0 => "DOWN",
        1 => "RESERVED",
        2 => "OFFHOOK",
        3 => "DIALING",
        4 => "RING",
        5 => "RINGING",
        6 => "UP",
        7 => "BUSY",
        8 => "DIALING_OFFHOOK",
        9 => "PRERING",
        _ => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_s_state_is_named_as_asterisk_names_it() {
        for (state, text) in [
            (-2, "Removed"),
            (-1, "Unknown"),
            (0, "Idle"),
            (1, "InUse"),
            (2, "Busy"),
            (4, "Unavailable"),
            (8, "Ringing"),
            (9, "InUse&Ringing"),
            (16, "Hold"),
            (17, "InUse&Hold"),
            (64, "Unknown"),
        ] {
            assert_eq!(hint_text(state), text);
        }
    }
}
