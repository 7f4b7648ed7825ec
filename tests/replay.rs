//! What Asterisk said to the original module, said to salara: the CRM gets what it got then.
//!
//! Every recording below `tests/golden` with something Asterisk said is played at its own
//! configuration, and each post must be the recorded one, to the byte and in the recorded order
//! over all calls. What differs on purpose stands in `replay/differences.rs`, line by line.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test owns its clocks: the recorded time counts from now"
)]

use std::collections::HashMap;
use std::thread;

use salara::channel::Post;

#[path = "replay/differences.rs"]
mod differences;
#[path = "replay/lookup.rs"]
mod lookup;
#[path = "replay/play.rs"]
mod play;
#[path = "replay/recording.rs"]
mod recording;
mod support;
#[path = "replay/whole.rs"]
mod whole;

use differences::{DECISIONS, DIFFERENCES};
use play::{Bare, Cuts, Ids, play};
use recording::{Act, Recording, scenarios};
use whole::Whole;

/// The folders that hold nothing to play, by the beginning of their names, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("conf-", "a configuration is loaded; no call, no event"),
    ("crash-chan-", "a question about a channel; no call"),
    ("crash-context-", "a question about an extension; no call"),
    ("crash-exten-", "a question about an extension; no call"),
    ("crash-form-msg-", "a message; no call"),
    ("crash-msg-", "a message; no call"),
    ("crash-peer-", "a question about a peer; no call"),
    (
        "crash-percent-",
        "the module dies, or refuses; no call comes about",
    ),
    (
        "crash-phone-",
        "the module dies, or refuses; no call comes about",
    ),
    ("rest-custom-keys", "questions and refusals; no call"),
    ("rest-http", "questions and refusals; no call"),
    ("rest-idle-connections", "connections that ask nothing"),
    ("rest-json", "questions and refusals; no call"),
    ("rest-no-keys-section", "questions and refusals; no call"),
];

/// Recordings that are played, and folders left out.
const PLAYED: usize = 83;
const NOT_PLAYED: usize = 43;

#[test]
fn no_recording_is_forgotten() {
    let (played, left_out) = scenarios();
    assert_eq!((played.len(), left_out.len()), (PLAYED, NOT_PLAYED));
    for name in &left_out {
        let reasons = LEFT_OUT.iter().filter(|(begin, _)| name.starts_with(begin));
        assert_eq!(reasons.count(), 1, "{name}: played, or left out for what?");
    }
    for (begin, why) in LEFT_OUT {
        assert!(
            left_out.iter().any(|name| name.starts_with(begin)),
            "{begin}: {why}"
        );
    }
    for difference in DIFFERENCES {
        let name = difference.scenario;
        assert!(played.iter().any(|other| other == name), "{difference:?}");
    }
    for decision in DECISIONS {
        let name = decision.scenario;
        assert!(played.iter().any(|other| other == name), "{decision:?}");
    }
    let recordings: Vec<Recording> = played.iter().map(|name| Recording::read(name)).collect();
    let posts: usize = recordings.iter().map(|r| r.posts.len()).sum();
    let transfers: usize = recordings.iter().map(Recording::transfers).sum();
    let calls = recordings.iter().flat_map(Recording::calls);
    let (legs, failed): (Vec<_>, Vec<_>) = calls.partition(|call| call.leg.is_some());
    assert_eq!((posts, transfers), (378, 45));
    assert_eq!((legs.len(), failed.len()), (43, 5));
}

#[test]
fn the_crm_gets_what_it_got_from_the_module() {
    for_each(|recording| as_recorded(recording, Ids::Ours));
}

#[test]
fn the_crm_gets_it_also_from_an_asterisk_that_gives_no_ids() {
    for_each(|recording| as_recorded(recording, Ids::Theirs));
}

#[test]
fn it_does_not_matter_in_what_pieces_the_bytes_arrive() {
    for_each(|recording| {
        for ids in [Ids::Ours, Ids::Theirs] {
            let whole = posts(recording, ids, Cuts::AsRecorded);
            let cuts = [Cuts::Joined, Cuts::Bytes];
            for cuts in cuts.into_iter().chain((1..=4).map(Cuts::Random)) {
                let name = &recording.name;
                assert_eq!(
                    posts(recording, ids, cuts),
                    whole,
                    "{name} {ids:?} {cuts:?}"
                );
            }
        }
    });
}

/// The engine sets the calls up itself: it is asked over REST, asks for the operator's state, and
/// hands the call over. And it decides about incoming calls itself: it asks the CRM, whose recorded
/// answer it gets, and asks for the state of the place.
#[test]
fn the_whole_engine_decides_and_posts_the_same() {
    for_each(|recording| {
        for ids in [Ids::Ours, Ids::Theirs] {
            let mut whole = Whole::new(recording);
            let engine = play(recording, &mut whole, ids, Cuts::AsRecorded);
            let bare = posts(&decided(recording, &whole), ids, Cuts::AsRecorded);
            // The channel's id, and so the call's, is the engine's own.
            assert_eq!(bodies(&engine), bodies(&bare), "{} {ids:?}", recording.name);
        }
    });
    let calls = scenarios().0.into_iter().map(|name| {
        let recording = Recording::read(&name);
        recording.incoming().count()
    });
    assert_eq!(calls.sum::<usize>(), 50);
}

/// The recording with salara's decisions, which are the module's but for those listed.
fn decided(recording: &Recording, whole: &Whole<'_>) -> Recording {
    let name = &recording.name;
    let mut ours = Recording::read(name);
    let mut decisions = whole.decided.iter();
    for (_, act) in &mut ours.acts {
        let Act::Incoming(call) = act else { continue };
        let (to, words) = decisions.next().unwrap();
        match DECISIONS.iter().find(|decision| decision.scenario == name) {
            Some(decision) => {
                let theirs = (call.sent_to.as_deref(), to.as_deref());
                assert_eq!(theirs, (decision.theirs, decision.ours), "{name}: {words}");
            }
            None => assert_eq!(*to, call.sent_to, "{name}: {words}"),
        }
        call.sent_to.clone_from(to);
    }
    assert!(decisions.next().is_none(), "{name}");
    ours
}

fn for_each(test: fn(&Recording)) {
    let names = scenarios().0;
    // The folders are in order of their names, and so like ones are apart.
    thread::scope(|scope| {
        for part in 0..2 {
            let names = names.iter().skip(part).step_by(2);
            scope.spawn(move || names.for_each(|name| test(&Recording::read(name))));
        }
    });
}

fn as_recorded(recording: &Recording, ids: Ids) {
    let name = &recording.name;
    let ours = posts(recording, ids, Cuts::AsRecorded);
    let mut differences = DIFFERENCES.iter().filter(|difference| {
        difference.scenario == name && difference.ids.is_none_or(|only| only == ids)
    });
    let (lines, why) = differences
        .next()
        .map_or((&[][..], "the same"), |found| (found.lines, found.why));
    assert!(differences.next().is_none(), "{name}: two entries");
    let about = format!("{name}: {why}");
    assert_posts(&about, &bodies(&ours), &recording.posts, lines);
    assert_one_call_each(name, &ours);
}

/// Ours are the recorded posts, but for these lines; all of the lines are needed.
fn assert_posts(about: &str, ours: &[&str], recorded: &[String], lines: &[&str]) {
    let (mut expected, mut recorded) = (Vec::new(), recorded.iter().map(String::as_str).peekable());
    let mut lines = lines.iter().peekable();
    // Each line has its place: before the first post of ours or of theirs that it is not.
    for post in ours {
        while let Some(line) = lines.peek()
            && let Some(lost) = line.strip_prefix('-')
            && recorded.next_if_eq(&lost).is_some()
        {
            lines.next();
        }
        if recorded.peek() == Some(post) {
            expected.extend(recorded.next());
        } else if let Some(line) = lines.next_if(|line| line.strip_prefix('+') == Some(post)) {
            expected.extend(line.strip_prefix('+'));
        } else {
            break;
        }
    }
    while let Some(line) = lines.peek()
        && let Some(lost) = line.strip_prefix('-')
        && recorded.next_if_eq(&lost).is_some()
    {
        lines.next();
    }
    expected.extend(recorded);
    assert_eq!(ours, expected, "{about}");
    let unused: Vec<_> = lines.collect();
    assert!(unused.is_empty(), "{about}: not needed: {unused:?}");
}

/// The posts of a channel are of one call, so that nothing may overtake within it.
fn assert_one_call_each(name: &str, posts: &[Post]) {
    let mut calls: HashMap<String, &str> = HashMap::new();
    for post in posts {
        let body: serde_json::Value = serde_json::from_str(&post.body).unwrap();
        let channel = body["chan"].as_str().unwrap().to_owned();
        let call = calls.entry(channel).or_insert(&post.call);
        assert_eq!(*call, &*post.call, "{name}: {post:?}");
    }
}

/// What the records post. None of them outlives the recording.
fn posts(recording: &Recording, ids: Ids, cuts: Cuts) -> Vec<Post> {
    let mut bare = Bare::new(&recording.config);
    let posts = play(recording, &mut bare, ids, cuts);
    let left: Vec<_> = bare.channels.records().collect();
    assert!(left.is_empty(), "{}: {left:?}", recording.name);
    posts
}

fn bodies(posts: &[Post]) -> Vec<&str> {
    posts.iter().map(|post| &*post.body).collect()
}
