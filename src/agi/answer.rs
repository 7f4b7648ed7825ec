//! What Asterisk says to a command.
//!
//! This file owns the reading of `200 result=1 (value)`. It must not know the command.
//!
//! The surprising fact: `result=0` is success for one command and failure for another; and the value
//! in brackets may hold brackets itself.

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200, or what was wrong: 510 no such command, 511 the channel is dead, 520 its usage.
    pub code: u16,
    /// What the command made of it.
    pub result: Option<i32>,
    /// What was asked for.
    pub value: Option<Box<str>>,
}

impl Answer {
    /// Reads a line; `None` when it is no answer, or only the beginning of one (`520-`).
    pub(super) fn read(line: &str) -> Option<Self> {
        let (code, rest) = line.split_at_checked(3)?;
        if !rest.is_empty() && !rest.starts_with(' ') {
            return None;
        }
        let code = code
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(code)?;
        let rest = rest.trim_start();
        let result = rest.strip_prefix("result=");
        let number = result.map(|result| result.split(' ').next().unwrap_or_default());
        let value = result
            .and_then(|result| result.split_once(" ("))
            .and_then(|(_, value)| value.rsplit_once(')'));
        Some(Self {
            code: code.parse().ok()?,
            result: number.and_then(|number| number.parse().ok()),
            value: value.map(|(value, _)| value.into()),
        })
    }

    /// Whether the command was understood and allowed.
    pub fn is_good(&self) -> bool {
        self.code == 200
    }

    /// Whether the command did what it was to do, where a number below zero says that it did not.
    pub fn is_done(&self) -> bool {
        self.is_good() && self.result.is_none_or(|result| result >= 0)
    }
}
