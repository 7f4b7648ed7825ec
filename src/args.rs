//! The command line.
//!
//! This file owns the words salara understands there. It must not know what is done about them.

use std::ffi::OsString;
use std::path::PathBuf;

/// What is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Run in the foreground.
    Run {
        /// The configuration.
        file: PathBuf,
    },
    /// Say what is wrong with the configuration.
    Check {
        /// The configuration.
        file: PathBuf,
    },
    Help,
    Version,
}

/// Reads the arguments behind the program's name.
pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut words = words;
    let mut file = crate::default_file();
    let mut check = false;
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("-h" | "--help") => return Ok(Command::Help),
            Some("-V" | "--version") => return Ok(Command::Version),
            Some("-t" | "--check") => check = true,
            Some(option @ ("-c" | "--config")) => match words.next() {
                Some(path) => file = path.into(),
                None => return Err(format!("{option}: a file is wanted behind it")),
            },
            _ => {
                return Err(format!(
                    "{:?}: not an argument salara knows",
                    word.to_string_lossy()
                ));
            }
        }
    }
    Ok(if check {
        Command::Check { file }
    } else {
        Command::Run { file }
    })
}

/// The answer to `--help`.
pub(crate) const HELP: &str = "\
salara - a bridge between an Asterisk PBX and the web

Usage: salara [-c FILE]           run in the foreground
       salara [-c FILE] --check   say what is wrong with FILE, and exit

Options:
  -c, --config FILE   the configuration [/etc/asterisk/salara.conf];
                      a missing one is written with safe values
  -t, --check         read FILE only; exit 2 if salara would not start with it
  -h, --help          this text
  -V, --version       the version

REST on rest_server (127.0.0.1:5058): curl -d BODY localhost:5058, BODY being
  {\"operator\":\"8003\",\"phone\":\"0000\"}                call: 8003 rings, then 0000
  {\"operator\":\"8003\",\"phone\":\"8002\",\"msg\":\"hi\"}   message from 8002 to 8003
  {\"exten\":\"8003\"}                                  state of an extension
  {\"peer\":\"8003\"}                                   state of a peer
  {\"chan\":\"PJSIP/8003-00000020\"}                    state of a channel

SIGTERM and SIGINT end it within three seconds: replies that are owed are sent,
events posted or kept. SIGUSR1 opens the log's file anew.
Exit: 0 ended, 1 failed, 2 wrong arguments or configuration.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Command, String> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn arguments_are_read() {
        let file = PathBuf::from("/etc/asterisk/salara.conf");
        assert_eq!(read(&[]), Ok(Command::Run { file: file.clone() }));
        assert_eq!(read(&["--check"]), Ok(Command::Check { file }));
        let file = PathBuf::from("x.conf");
        assert_eq!(
            read(&["-c", "x.conf"]),
            Ok(Command::Run { file: file.clone() })
        );
        assert_eq!(
            read(&["-t", "--config", "x.conf"]),
            Ok(Command::Check { file })
        );
        assert_eq!(read(&["-c", "x.conf", "-V"]), Ok(Command::Version));
        assert_eq!(read(&["-h"]), Ok(Command::Help));
        assert_eq!(read(&["-c"]), Err("-c: a file is wanted behind it".into()));
        assert_eq!(
            read(&["start"]),
            Err("\"start\": not an argument salara knows".into())
        );
    }

    #[test]
    fn help_fits_a_terminal() {
        for line in HELP.lines() {
            assert!(line.len() <= 80, "{line}");
        }
    }
}
