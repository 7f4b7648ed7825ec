//! The old module's console, beside ours: each command that was typed, and each fact it printed.

use std::time::Duration;

use super::*;
use crate::VERSION;
use crate::ami::session::Facts;
use crate::api::Reply;
use crate::channel::Channels;

/// What was printed for each command.
fn recording() -> Vec<(String, String)> {
    let root = env!("CARGO_MANIFEST_DIR");
    let lines = fs::read_to_string(format!("{root}/tests/golden/conf-cli/cli.jsonl")).unwrap();
    let pairs = lines.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        let out = text("out");
        // The Asterisk of the recording had no network card to name itself by.
        let out = out.strip_prefix(
            "No ethernet interface found for seeding global EID. You will have to set it manually.\n",
        );
        (text("cmd"), out.unwrap().to_owned())
    });
    pairs.collect()
}

fn config() -> Config {
    let root = env!("CARGO_MANIFEST_DIR");
    let file = fs::read_to_string(format!("{root}/tests/golden/conf-cli/salara.conf")).unwrap();
    Config::parse(&file).config
}

/// What we print for a question whose answer needs no Asterisk, or for the one Asterisk gave.
fn ours(line: &str, reply: Option<Reply>) -> String {
    let words: Vec<String> = line.split(' ').skip(1).map(str::to_owned).collect();
    let verb = match Verb::parse(&words) {
        Ok(verb) => verb,
        Err(why) => return why,
    };
    let config = config();
    let facts = Facts {
        asterisk_version: Some("16.28.0~dfsg-0+deb11u4".into()),
        ..Facts::default()
    };
    let sheet = match (verb, reply) {
        (Verb::ShowInfo, _) => info(&Info {
            config: &config,
            file: "salara.conf",
            rest: "127.0.0.1:5058",
            agi: None,
            asterisk: Some(&facts),
            link: "connected",
            started: 1_795_376_803,
            uptime: Duration::from_secs(3).as_secs(),
            pid: 1,
        }),
        (Verb::ShowRoute, _) => routes(&config.routes),
        (Verb::ShowChanRecords, _) => chan_records(&Channels::new(config.event)),
        (Verb::Ask(request), Some(reply)) => status(&request, &reply),
        (verb, _) => panic!("{verb:?} is not answered here"),
    };
    sheet.print(false).text
}

#[test]
fn show_info_prints_every_line_the_module_did() {
    let recorded = recording();
    let (command, theirs) = recorded
        .iter()
        .find(|(command, _)| command == "salara show info")
        .unwrap();
    let ours = ours(command, None);
    let mut lines = ours.lines();
    for line in theirs.lines() {
        // Two facts differ by what they are: our version, and a clock without a time zone.
        let wanted = line.replace(
            "module version: 3.6.2",
            &format!("module version: {VERSION}"),
        );
        let wanted = if line.contains("started:") {
            wanted + " UTC"
        } else {
            wanted
        };
        assert!(
            lines.any(|line| line == wanted),
            "{wanted:?} is not there, or not in its place:\n{ours}"
        );
    }
}

#[test]
fn tables_and_states_are_printed_as_the_module_did() {
    let state = |result, text: &'static str| Some(Reply::state(result, text));
    for (command, theirs) in recording() {
        let reply = match command.as_str() {
            "salara show route" => None,
            "salara get status extension 8003" => state(0, "Idle"),
            "salara get status extension 9999" => state(-1, "Unknown"),
            "salara get status channel SIP/x" => state(-1, "Channel not present"),
            _ => continue,
        };
        let ours = ours(&command, reply);
        // The table was shown a second time with a route more: reactor's affair.
        assert!(
            theirs.starts_with(&ours),
            "{command}: {ours:?}, not {theirs:?}"
        );
    }
}

#[test]
fn what_was_no_command_then_is_none_now() {
    let mut met = 0;
    for (command, theirs) in recording() {
        if let Some(said) = theirs
            .strip_suffix('\n')
            .and_then(|text| text.split_once(" (type "))
        {
            let ours = ours(&command, None);
            assert!(ours.starts_with(said.0), "{command}: {ours}");
            met += 1;
        }
    }
    assert_eq!(met, 4);
}

#[test]
fn every_command_of_the_module_is_understood() {
    let recorded = recording();
    let (_, help) = &recorded[0];
    for line in help.lines() {
        // `salara show {info|conf|route|chan_records} -- Show …`
        let usage = line.split(" -- ").next().unwrap().trim();
        let start = usage.split('{').next().unwrap().trim();
        let ours = start.strip_prefix("salara ").unwrap();
        let last = ours.rsplit(' ').next().unwrap();
        let known = USAGE.lines().any(|line| {
            line.starts_with(ours) || line.starts_with("get status") && line.contains(last)
        });
        assert!(known, "{usage}");
        let choices = usage
            .split_once('{')
            .map(|(_, rest)| rest.trim_end_matches('}'));
        for choice in choices.into_iter().flat_map(|choices| choices.split('|')) {
            let line = words(&format!("{ours} {choice}"));
            assert!(Verb::parse(&line).is_ok(), "{line:?}");
        }
    }
    for (command, theirs) in &recorded {
        if let Some(line) = command.strip_prefix("salara ")
            && !theirs.starts_with("No such command")
        {
            assert!(Verb::parse(&words(line)).is_ok(), "{line}");
        }
    }
}
