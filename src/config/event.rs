//! The levels of `[event]`.
//!
//! They must not know what a call is; the filters that obey them live elsewhere. The surprising
//! fact: the same number means different things to the two kinds of level.

/// How much is logged, `verbose`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// 0: warnings and errors.
    #[default]
    Off,
    /// 1: what happens to calls and connections.
    On,
    /// 2: each message.
    Debug,
    /// 3: the bytes as well.
    Dump,
}

/// Which Hangup and Newchannel events go to the CRM, `hangup` and `newchannel`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallLevel {
    /// 0: none.
    #[default]
    Off,
    /// 1: those of tracked calls.
    Tracked,
    /// 2: those of all calls.
    All,
}

/// Which Newexten and AgentConnect events go to the CRM, `newexten` and `agentcon`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateLevel {
    /// 0: none.
    #[default]
    Off,
    /// 1: those of tracked calls in state UP.
    TrackedUp,
    /// 2: those of tracked calls in any state.
    Tracked,
    /// 3: those of all calls in any state.
    All,
}

impl Verbosity {
    /// All of them, by number.
    pub const ALL: [Self; 4] = [Self::Off, Self::On, Self::Debug, Self::Dump];

    /// The number in the file.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The word of `set verbose` and of `show info`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Debug => "debug",
            Self::Dump => "dump",
        }
    }
}

impl CallLevel {
    /// All of them, by number.
    pub const ALL: [Self; 3] = [Self::Off, Self::Tracked, Self::All];

    /// The number in the file.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// What `show info` says of it, in the words that scripts look for.
    pub fn words(self) -> &'static str {
        match self {
            Self::Off => "not used",
            Self::Tracked => "used for transfer call only",
            Self::All => "used for all calls",
        }
    }
}

impl StateLevel {
    /// All of them, by number.
    pub const ALL: [Self; 4] = [Self::Off, Self::TrackedUp, Self::Tracked, Self::All];

    /// The number in the file.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// What `show info` says of it, in the words that scripts look for.
    pub fn words(self) -> &'static str {
        match self {
            Self::Off => "not used",
            Self::TrackedUp => "used for transfer call with status UP",
            Self::Tracked => "used for transfer call with all status",
            Self::All => "used for all call with all status",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_stands_at_its_number() {
        for (number, level) in Verbosity::ALL.iter().enumerate() {
            assert_eq!(usize::from(level.number()), number);
        }
        for (number, level) in CallLevel::ALL.iter().enumerate() {
            assert_eq!(usize::from(level.number()), number);
        }
        for (number, level) in StateLevel::ALL.iter().enumerate() {
            assert_eq!(usize::from(level.number()), number);
        }
    }
}
