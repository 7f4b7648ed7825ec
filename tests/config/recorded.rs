//! The files of `golden/conf-*` against what the old module said of them.
//!
//! Nothing recorded is copied by hand: the expected values are read from the text of the recorded
//! `salara show info` and `show route`. Where salara differs on purpose, [`DIFFERENT`] says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use salara::config::Config;

use super::{problems, read, tests};

type Facts = BTreeMap<String, String>;

/// A fact on which salara and the old module differ on purpose.
struct Different {
    scenario: &'static str,
    file: &'static str,
    /// The names of facts, as `show info` has them.
    facts: &'static [&'static str],
    instead: Instead,
    why: &'static str,
}

/// What salara makes of such a fact.
enum Instead {
    /// The same as of the file of this scenario.
    AsIn(&'static str),
    /// This text.
    Text(&'static str),
}

/// The file of a scenario, and which of its recorded `show info` belongs to it, from the end.
const RECORDED: &[(&str, &str, usize)] = &[
    ("conf-cli", "salara.conf", 0),
    ("conf-cli", "salara.conf.after", 0),
    ("conf-curlopt0", "salara.conf", 0),
    ("conf-curlopt5", "salara.conf", 0),
    ("conf-empty", "salara.conf", 0),
    ("conf-empty", "salara.conf.after", 0),
    ("conf-leading-blank", "salara.conf", 0),
    ("conf-missing", "salara.conf.written", 0),
    ("conf-no-general", "salara.conf", 0),
    ("conf-noport", "salara.conf", 0),
    ("conf-not-numbers", "salara.conf", 0),
    ("conf-reload", "salara.conf", 2),
    ("conf-reload", "salara.conf.second", 0),
    ("conf-spaces", "salara.conf", 0),
    ("conf-stock", "salara.conf", 0),
    ("conf-wrong-section", "salara.conf", 0),
];

/// The old module died at start with these; salara takes what is left out from the default.
const DEADLY: &[&str] = &["conf-hostname", "conf-port-only"];

/// With these files salara has something to say; with the others nothing.
const WARNED: &[(&str, &str)] = &[
    (
        "conf-curlopt0",
        "6: curlopt_timeout: \"0\" is not 1 to 5 seconds; 3 is kept\n",
    ),
    (
        "conf-not-numbers",
        "6: curlopt_timeout: \"x\" is not 1 to 5 seconds; 3 is kept\n\
         16: verbose: \"abc\" is not 0, 1, 2 or 3; taken as 0\n\
         17: timeout_makecall: \"x\" is not 0 to 2147483 seconds; taken as 0\n\
         18: watch_makecall: \"yes\" is not 0 or 1; taken as 0\n\
         19: hangup: \"x\" is not 0, 1 or 2; taken as 0\n\
         20: newchannel: \"\" is not 0, 1 or 2; taken as 0\n\
         21: newexten: \"2abc\" is not 0, 1, 2 or 3; taken as 2\n",
    ),
    (
        "conf-wrong-section",
        "4: \"my_dest_url\": no such key; the old module read this line as dest_url, salara does \
         not\n\
         5: \"xkey_word\": no such key; the old module read this line as key_word, salara does \
         not\n\
         8: # begins a comment, but the old module read this line as default\n",
    ),
];

const DIFFERENT: &[Different] = &[
    Different {
        scenario: "conf-leading-blank",
        file: "salara.conf",
        facts: &[LISTENS, URL, EVENT_URL, ROUTES, ROUTE_TABLE],
        instead: Instead::AsIn("conf-cli"),
        why: "blanks before [url] hid it, so that [route] went on and swallowed its lines",
    },
    Different {
        scenario: "conf-noport",
        file: "salara.conf",
        facts: &[LISTENS],
        instead: Instead::AsIn("conf-cli"),
        why: "the port that was left out is shown",
    },
    Different {
        scenario: "conf-spaces",
        file: "salara.conf",
        facts: &[
            DEFAULT, URL, EVENT_URL, VERBOSE, RING, WATCH, HANGUP, NEWCHANNEL, NEWEXTEN, AGENT,
            KEYS,
        ],
        instead: Instead::AsIn("conf-cli"),
        why: "blanks around = made the old module see no key at all",
    },
    Different {
        scenario: "conf-wrong-section",
        file: "salara.conf",
        facts: &[URL, KEY_WORD],
        instead: Instead::AsIn("conf-empty"),
        why: "a key is a whole word",
    },
    Different {
        scenario: "conf-wrong-section",
        file: "salara.conf",
        facts: &[DEFAULT],
        instead: Instead::Text("'555'"),
        why: "# begins a comment, so that an earlier line counts",
    },
    Different {
        scenario: "conf-cli",
        file: "salara.conf",
        facts: &[ROUTE_TABLE],
        instead: Instead::Text("8003:0000 8002:000 8001:00 8000:0"),
        why: "the recording shows the table after a route was added and saved",
    },
    Different {
        scenario: "conf-cli",
        file: "salara.conf.after",
        facts: &[ROUTES],
        instead: Instead::Text("5 records"),
        why: "the recording shows the number before a route was added and saved",
    },
    Different {
        scenario: "conf-reload",
        file: "salara.conf.second",
        facts: &[AGENT],
        instead: Instead::AsIn("conf-cli"),
        why: "the old module showed the words of newexten's level for agentcon",
    },
];

const DEFAULT: &str = "default routing dest";
const LISTENS: &str = "rest server listen on";
const URL: &str = "default url";
const EVENT_URL: &str = "default url_event";
const TIMEOUT: &str = "curl timeout";
const CONTEXT: &str = "default context";
const VERBOSE: &str = "events verbose level";
const RING: &str = "timeout makecall";
const WATCH: &str = "watch makecall";
const HANGUP: &str = "Hangup event";
const NEWCHANNEL: &str = "Newchannel event";
const NEWEXTEN: &str = "Newexten event";
const AGENT: &str = "AgentConnect event";
const ROUTES: &str = "routing table";
const KEY_WORD: &str = "key_word";
const KEYS: &str = "rest keys";
/// Not of `show info`: what `show route` lists.
const ROUTE_TABLE: &str = "show route";

const FACTS: [&str; 17] = [
    DEFAULT,
    LISTENS,
    URL,
    EVENT_URL,
    TIMEOUT,
    CONTEXT,
    VERBOSE,
    RING,
    WATCH,
    HANGUP,
    NEWCHANNEL,
    NEWEXTEN,
    AGENT,
    ROUTES,
    KEY_WORD,
    KEYS,
    ROUTE_TABLE,
];

#[test]
fn files_of_the_old_module_mean_what_they_meant() {
    for (scenario, file, from_end) in RECORDED {
        let parsed = read(&tests().join("golden").join(scenario).join(file));
        assert!(!parsed.has_errors(), "{scenario}/{file}");
        let ours = shown(&parsed.config);
        let mut wanted = recorded(scenario, *from_end);
        let here = |d: &&Different| (d.scenario, d.file) == (*scenario, *file);
        for different in DIFFERENT.iter().filter(here) {
            for fact in different.facts {
                let instead = match different.instead {
                    Instead::AsIn(other) => shown(&read_golden(other))[*fact].clone(),
                    Instead::Text(text) => text.into(),
                };
                let why = different.why;
                let recorded = wanted.insert((*fact).into(), instead.clone()).unwrap();
                assert_ne!(
                    recorded, instead,
                    "{scenario}: {fact}: not different: {why}"
                );
            }
        }
        for fact in FACTS {
            assert_eq!(ours[fact], wanted[fact], "{scenario}/{file}: {fact}");
        }
    }
}

#[test]
fn files_that_killed_the_old_module_load() {
    for scenario in DEADLY {
        let path = tests().join("golden").join(scenario);
        assert!(!path.join("cli.jsonl").exists(), "{scenario}: it lived");
        assert_eq!(
            shown(&read_golden(scenario)),
            shown(&read_golden("conf-cli"))
        );
    }
}

#[test]
fn only_odd_files_of_the_old_module_are_warned_of() {
    for (scenario, file, _) in RECORDED {
        let parsed = read(&tests().join("golden").join(scenario).join(file));
        let wanted = WARNED.iter().find(|(name, _)| name == scenario);
        let told = problems("", &parsed)
            .lines()
            .fold(String::new(), |told, line| {
                told + line.trim_start_matches(':') + "\n"
            });
        assert_eq!(
            told,
            wanted.map_or("", |(_, text)| text),
            "{scenario}/{file}"
        );
    }
}

#[test]
fn every_recorded_scenario_is_looked_at() {
    let entries = fs::read_dir(tests().join("golden")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = names.filter(|name| name.starts_with("conf-")).collect();
    let known = RECORDED
        .iter()
        .map(|(scenario, ..)| *scenario)
        .chain(DEADLY.iter().copied());
    assert_eq!(found, known.map(str::to_owned).collect());
    assert_eq!(found.len(), 15);
}

fn read_golden(scenario: &str) -> Config {
    read(&tests().join("golden").join(scenario).join("salara.conf")).config
}

/// The facts of a recorded `show info`, counted from the last, with the last `show route`.
fn recorded(scenario: &str, from_end: usize) -> Facts {
    let text = fs::read_to_string(tests().join("golden").join(scenario).join("cli.jsonl")).unwrap();
    let commands: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let outputs = |command: &str| -> Vec<&str> {
        let asked = commands.iter().filter(|line| line["cmd"] == command);
        asked.map(|line| line["out"].as_str().unwrap()).collect()
    };
    let info = outputs("salara show info");
    let info = info[info.len() - 1 - from_end];
    let route = outputs("salara show route");
    let route = route[route.len() - 1 - from_end];

    let mut facts = Facts::new();
    for line in info
        .lines()
        .filter_map(|line| line.trim().strip_prefix("-- "))
    {
        // Some names end with a colon, some with a blank before a quote or a number.
        let name = FACTS
            .iter()
            .filter(|name| line.starts_with(**name))
            .max_by_key(|n| n.len());
        if let Some(name) = name {
            facts.insert(
                (*name).into(),
                line[name.len()..].trim_matches([':', ' ']).into(),
            );
        }
    }
    let table = route
        .lines()
        .map(str::trim)
        .filter(|line| !line.contains(' ') && line.contains(':'));
    facts.insert(ROUTE_TABLE.into(), table.collect::<Vec<_>>().join(" "));
    assert_eq!(facts.len(), FACTS.len(), "{scenario}: {facts:?}");
    facts
}

/// The same facts of a configuration.
fn shown(config: &Config) -> Facts {
    let (general, event, keys) = (&config.general, &config.event, &config.keys);
    let call = |level: salara::config::CallLevel| format!("{} ({})", level.number(), level.words());
    let state =
        |level: salara::config::StateLevel| format!("{} ({})", level.number(), level.words());
    let routes = config
        .routes
        .iter()
        .map(|route| format!("{}:{}", route.caller, route.called));
    let names = [
        &*keys.operator,
        &*keys.phone,
        &*keys.msg,
        &*keys.extension.names()[0],
        &*keys.peer,
        &*keys.channel.names()[0],
        &*keys.context,
    ];
    [
        (DEFAULT, format!("'{}'", general.default)),
        (LISTENS, format!("'{}'", config.url.rest_server)),
        (URL, format!("'{}'", config.url.dest_url)),
        (EVENT_URL, format!("'{}'", config.url.dest_url_event)),
        (TIMEOUT, general.curlopt_timeout.as_secs().to_string()),
        (CONTEXT, general.default_context.to_string()),
        (
            VERBOSE,
            format!("{} ({})", event.verbose.number(), event.verbose.word()),
        ),
        (RING, event.timeout_makecall.as_secs().to_string()),
        (WATCH, u8::from(event.watch_makecall).to_string()),
        (HANGUP, call(event.hangup)),
        (NEWCHANNEL, call(event.newchannel)),
        (NEWEXTEN, state(event.newexten)),
        (AGENT, state(event.agentcon)),
        (ROUTES, format!("{} records", config.routes.len())),
        (KEY_WORD, format!("'{}'", keys.key_word)),
        (KEYS, names.map(|name| format!("'{name}'")).join(" ")),
        (ROUTE_TABLE, routes.collect::<Vec<_>>().join(" ")),
    ]
    .map(|(fact, value)| (fact.to_owned(), value))
    .into()
}
