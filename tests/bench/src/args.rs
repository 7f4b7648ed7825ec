//! The command line.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// What to do, and how.
#[derive(Clone, Debug)]
pub(crate) struct Args {
    pub(crate) part: Part,
    /// The shipped binary.
    pub(crate) salara: PathBuf,
    pub(crate) ami: Ami,
    /// The extension asked for; None is one that the chosen AMI knows as idle.
    pub(crate) exten: Option<String>,
    /// Only such REST cases: `new 8`, `keep`; empty is all.
    pub(crate) only: String,
    /// How many rounds, and how long each of REST and the decoder; None is each part's own.
    pub(crate) rounds: Option<u32>,
    pub(crate) seconds: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    Decode,
    Rest,
    Events,
    Callers,
    /// The server that does nothing, as a process of its own.
    DoNothing,
}

/// What salara is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ami {
    /// A real one.
    Asterisk,
    /// A thread that says what a real one says.
    Fake,
}

impl Args {
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self {
            part: Part::All,
            salara: root().join("target/release/salara"),
            ami: Ami::Asterisk,
            exten: None,
            only: String::new(),
            rounds: None,
            seconds: None,
        };
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg}: value missing"));
            match arg.as_str() {
                "all" => parsed.part = Part::All,
                "decode" => parsed.part = Part::Decode,
                "rest" => parsed.part = Part::Rest,
                "events" => parsed.part = Part::Events,
                "callers" => parsed.part = Part::Callers,
                "do-nothing" => parsed.part = Part::DoNothing,
                "--ami" => {
                    parsed.ami = match value()?.as_str() {
                        "asterisk" => Ami::Asterisk,
                        "fake" => Ami::Fake,
                        other => return Err(format!("--ami: {other:?} is not asterisk or fake")),
                    }
                }
                "--exten" => parsed.exten = Some(value()?),
                "--only" => parsed.only = value()?,
                "--rounds" => parsed.rounds = Some(number(&arg, &value()?, 1..=50)?),
                "--seconds" => {
                    let seconds = number(&arg, &value()?, 0.1..=10.0)?;
                    parsed.seconds = Some(Duration::from_secs_f64(seconds));
                }
                path if path.contains('/') => parsed.salara = path.into(),
                _ => return Err(format!("{arg:?} is not understood")),
            }
        }
        Ok(parsed)
    }
}

/// The top of the checkout, if cargo runs us; else the working directory is taken for it.
pub(crate) fn root() -> PathBuf {
    match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(here) => Path::new(&here).join("../.."),
        None => PathBuf::from("."),
    }
}

fn number<T: FromStr + PartialOrd + std::fmt::Debug>(
    key: &str,
    text: &str,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, String> {
    match text.parse() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => Err(format!("{key}: {text:?} is not in {range:?}")),
    }
}
