//! What Asterisk is told over AGI.
//!
//! This file owns how a command is spelled, and which names and values may be put into one. It must
//! not know who asks, or why.
//!
//! The surprising fact: a variable's name is a way to run things. `SET VARIABLE SHELL(…)` calls a
//! function, and a value with `${…}` in it would be read again wherever the dialplan evaluates it.

/// The longest name or value of a variable.
const MAX_VARIABLE: usize = 255;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Sets a variable or a function of the channel.
    Set {
        /// Its name.
        name: Box<str>,
        /// What it is then.
        value: Box<str>,
    },
    /// Asks for a variable or a function.
    Get(Box<str>),
    /// Runs an application.
    Exec {
        /// Its name.
        application: &'static str,
        /// Its arguments.
        argument: Box<str>,
    },
    /// Where the dialplan goes on: the context.
    Context(Box<str>),
    /// Where the dialplan goes on: the extension.
    Extension(Box<str>),
    /// Where the dialplan goes on: its first line.
    First,
    /// Ends the call.
    HangUp,
}

impl Command {
    /// Appends the command's line.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (verb, words) = match self {
            Self::Set { name, value } => ("SET VARIABLE", [Some(&**name), Some(&**value)]),
            Self::Get(name) => ("GET VARIABLE", [Some(&**name), None]),
            Self::Exec {
                application,
                argument,
            } => ("EXEC", [Some(*application), Some(&**argument)]),
            Self::Context(context) => ("SET CONTEXT", [Some(&**context), None]),
            Self::Extension(extension) => ("SET EXTENSION", [Some(&**extension), None]),
            Self::First => ("SET PRIORITY", [Some("1"), None]),
            Self::HangUp => ("HANGUP", [None, None]),
        };
        out.extend_from_slice(verb.as_bytes());
        for word in words.into_iter().flatten() {
            out.extend_from_slice(b" \"");
            for byte in word.bytes() {
                match byte {
                    b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                    // Whatever it was, it must not end the line.
                    0..b' ' | 0x7f => out.push(b' '),
                    _ => out.push(byte),
                }
            }
            out.push(b'"');
        }
        out.push(b'\n');
    }
}

/// Whether a CRM may set a variable of this name: `CRM_` and a plain name, with `_` or `__` before it
/// where it is to be inherited. Asterisk acts upon many names, and no list of them is ever whole; upon
/// none that begins so.
pub fn is_variable(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let bare = name.strip_prefix('_').unwrap_or(name);
    let bare = bare.strip_prefix('_').unwrap_or(bare);
    name.len() <= MAX_VARIABLE
        && bare
            .strip_prefix("CRM_")
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(plain))
}

/// Whether a CRM may say this to the dialplan.
pub fn may_be_told(value: &str) -> bool {
    value.len() <= MAX_VARIABLE && value.chars().all(is_harmless)
}

/// Whether AGI, an expression, a list of arguments or a dial string could not take it for syntax.
pub fn is_harmless(c: char) -> bool {
    c.is_alphanumeric() || " _-+.:/@#*!?'=%()".contains(c)
}
