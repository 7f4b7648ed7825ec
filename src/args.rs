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
        /// Where verbs are taken, if it matters.
        socket: Option<PathBuf>,
    },
    /// Ask the salara that runs.
    Ask {
        /// Where it listens, if that was said.
        socket: Option<PathBuf>,
        /// What is asked.
        words: Vec<String>,
        /// The answer is for a script.
        json: bool,
    },
    /// Say what is wrong with the configuration.
    Check {
        /// The configuration.
        file: PathBuf,
    },
    /// Make the account in manager.conf.
    Setup {
        /// The configuration.
        file: PathBuf,
        /// Only say what would be done.
        is_dry: bool,
    },
    Help,
    Version,
}

/// Reads the arguments behind the program's name.
pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut words = words;
    let mut file = crate::default_file();
    let mut socket = None;
    let (mut check, mut json) = (false, false);
    let (mut setup, mut is_dry) = (false, false);
    // The last that says something about this run, not about the one that is asked.
    let mut of_a_run = None;
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("-h" | "--help") => return Ok(Command::Help),
            Some("-V" | "--version") => return Ok(Command::Version),
            Some("-t" | "--check") => (check, of_a_run) = (true, Some("--check")),
            Some("--json") => json = true,
            Some("setup") => setup = true,
            Some("--dry-run") if setup => is_dry = true,
            Some(option @ ("-c" | "--config" | "-s" | "--socket")) => match words.next() {
                Some(path) if option.ends_with('c') || option.ends_with('g') => {
                    (file, of_a_run) = (path.into(), Some("-c"));
                }
                Some(path) => socket = Some(path.into()),
                None => return Err(format!("{option}: a file is wanted behind it")),
            },
            Some(verb) if !verb.starts_with('-') => {
                if let Some(option) = of_a_run {
                    return Err(format!(
                        "{option}: of no use with {verb}, which asks the salara that runs"
                    ));
                }
                let rest = words.map(|word| word.to_string_lossy().into_owned());
                let mut words: Vec<String> = std::iter::once(verb.to_owned()).chain(rest).collect();
                // What is sent may end in anything.
                if verb != "send" && words.last().is_some_and(|last| last == "--json") {
                    words.pop();
                    json = true;
                }
                return Ok(Command::Ask {
                    socket,
                    words,
                    json,
                });
            }
            _ => {
                return Err(format!(
                    "{:?}: not an argument salara knows",
                    word.to_string_lossy()
                ));
            }
        }
    }
    Ok(if setup {
        Command::Setup { file, is_dry }
    } else if check {
        Command::Check { file }
    } else {
        Command::Run { file, socket }
    })
}

/// The answer to `--help`.
pub(crate) const HELP: &str = "\
salara - a bridge between an Asterisk PBX and the web

Usage: salara [-c FILE] [-s SOCKET]       run in the foreground
       salara [-c FILE] --check           say what is wrong with FILE, and exit
       salara [-c FILE] setup [--dry-run] make its account in manager.conf
       salara [-s SOCKET] [--json] VERB   ask the salara that runs

Options:
  -c, --config FILE   the configuration [/etc/asterisk/salara.conf];
                      a missing one is written with safe values
  -s, --socket FILE   where verbs are taken [/var/run/asterisk/salara.ctl or,
                      if that cannot be made, /var/run/salara/salara.ctl]
  --json              the answer is for a script; a failure too, on stderr
  -t, --check         read FILE only; exit 2 if salara would not start with it
  -h, --help          this text
  -V, --version       the version

REST on rest_server (127.0.0.1:5058): curl -d BODY localhost:5058, BODY being
  {\"operator\":\"8003\",\"phone\":\"0000\"}                call: 8003 rings, then 0000
  {\"operator\":\"8003\",\"phone\":\"8002\",\"msg\":\"hi\"}   message from 8002 to 8003
  {\"exten\":\"8003\"}                                  state of an extension
  {\"peer\":\"8003\"}                                   state of a peer
  {\"chan\":\"PJSIP/8003-00000020\"}                    state of a channel

Verbs:
  show info|conf|route|chan_records|events
  set verbose off|on|debug|dump           these three are written to FILE too
  set route CALLER CALLED
  del route CALLER
  del chan_record CHAN CALLER
  get status extension|peer|channel NAME
  send msg FROM TO TEXT
  send command COMMAND                    a command of Asterisk's console
  send post json|text BODY                to dest_url_event, once
  replay                                  failed events again
  test-event                              a sample of each event to the CRM
  reload                                  FILE anew, as SIGHUP does
  completion bash                         a script for the shell

SIGTERM and SIGINT end it within three seconds: replies that are owed are sent,
events posted or kept. SIGUSR1 opens the log's file anew.
Exit: 0 ended or done, 1 failed or refused, 2 wrong arguments or configuration,
3 not running.
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
        let run = |file: &PathBuf| Command::Run {
            file: file.clone(),
            socket: None,
        };
        assert_eq!(read(&[]), Ok(run(&file)));
        assert_eq!(read(&["--check"]), Ok(Command::Check { file }));
        let file = PathBuf::from("x.conf");
        assert_eq!(read(&["-c", "x.conf"]), Ok(run(&file)));
        assert_eq!(
            read(&["-t", "--config", "x.conf"]),
            Ok(Command::Check { file })
        );
        assert_eq!(read(&["-c", "x.conf", "-V"]), Ok(Command::Version));
        assert_eq!(read(&["-h"]), Ok(Command::Help));
        assert_eq!(read(&["-c"]), Err("-c: a file is wanted behind it".into()));
        assert_eq!(
            read(&["--start"]),
            Err("\"--start\": not an argument salara knows".into())
        );
        for (option, line) in [
            ("-c", ["-c", "x", "reload"]),
            ("--check", ["-t", "show", "info"]),
        ] {
            let verb = line
                .iter()
                .find(|word| **word == "reload" || **word == "show")
                .unwrap();
            let wanted =
                format!("{option}: of no use with {verb}, which asks the salara that runs");
            assert_eq!(read(&line), Err(wanted));
        }
    }

    #[test]
    fn a_verb_takes_the_rest_of_the_line() {
        for (line, socket, words, json) in [
            ("show info", None, "show info", false),
            (
                "-s a.ctl show info --json",
                Some("a.ctl"),
                "show info",
                true,
            ),
            (
                "--json --socket a.ctl reload",
                Some("a.ctl"),
                "reload",
                true,
            ),
            (
                "send post text -s --json",
                None,
                "send post text -s --json",
                false,
            ),
        ] {
            let wanted = Command::Ask {
                socket: socket.map(PathBuf::from),
                words: words.split(' ').map(str::to_owned).collect(),
                json,
            };
            let line: Vec<&str> = line.split(' ').collect();
            assert_eq!(read(&line), Ok(wanted), "{line:?}");
        }
        let file = crate::default_file();
        let socket = Some("a.ctl".into());
        assert_eq!(read(&["-s", "a.ctl"]), Ok(Command::Run { file, socket }));
    }

    #[test]
    fn setup_may_be_tried_first() {
        let file = PathBuf::from("x.conf");
        let setup = |is_dry| {
            Ok(Command::Setup {
                file: file.clone(),
                is_dry,
            })
        };
        assert_eq!(read(&["-c", "x.conf", "setup"]), setup(false));
        assert_eq!(read(&["setup", "--dry-run", "-c", "x.conf"]), setup(true));
        let alone = "\"--dry-run\": not an argument salara knows";
        assert_eq!(read(&["--dry-run"]), Err(alone.into()));
    }

    #[test]
    fn help_fits_a_terminal() {
        for line in HELP.lines() {
            assert!(line.len() <= 80, "{line}");
        }
    }
}
