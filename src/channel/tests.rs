use super::*;
use crate::config::Config;

const RING_TIME: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

/// At these levels: newchannel, newexten, hangup, agentcon.
fn channels(levels: [usize; 4]) -> Channels {
    let mut settings = Config::default().event;
    settings.watch_makecall = true;
    settings.newchannel = CallLevel::ALL[levels[0]];
    settings.newexten = StateLevel::ALL[levels[1]];
    settings.hangup = CallLevel::ALL[levels[2]];
    settings.agentcon = StateLevel::ALL[levels[3]];
    Channels::new(settings)
}

fn snapshot(id: &str, extension: &str, state: i32) -> Snapshot {
    Snapshot {
        name: "SIP/8003-00000001".into(),
        uniqueid: id.into(),
        linkedid: "call".into(),
        caller: "8003".into(),
        extension: extension.into(),
        state,
    }
}

fn of(caller: &str, snapshot: Snapshot) -> Snapshot {
    Snapshot {
        caller: caller.into(),
        ..snapshot
    }
}

fn newexten(channel: Snapshot, application: &str) -> Event {
    Event::Newexten {
        channel,
        application: application.into(),
    }
}

fn agent_connect(channel: Snapshot, state: i32) -> Event {
    Event::AgentConnect {
        channel,
        member: "Local/2222@alnik-00000000;1".into(),
        queue: "710".into(),
        state,
    }
}

/// What the CRM gets.
fn told(channels: &mut Channels, event: &Event, now: Instant) -> Option<String> {
    let post = channels.handle_event(event, now);
    post.map(|post| post.body.into())
}

#[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
fn start() -> Instant {
    Instant::now()
}

/// What the levels 0 to 3 post of an event of a call of ours, and of one nobody asked for.
#[track_caller]
fn assert_levels(event: &Event, ours: &[Option<&str>], other: &[Option<&str>]) {
    let now = start();
    for (level, (of_ours, of_other)) in ours.iter().zip(other).enumerate() {
        let kind = match event {
            Event::Newchannel(_) => 0,
            Event::Newexten { .. } => 1,
            Event::Hangup(_) => 2,
            _ => 3,
        };
        let mut levels = [0; 4];
        levels[kind] = level;
        let mut tracking = channels(levels);
        tracking.originated("id", "8003", "0000", RING_TIME, now);
        let got = told(&mut tracking, event, now);
        assert_eq!(got.as_deref(), *of_ours, "ours at level {level}");
        let mut bare = channels(levels);
        let got = told(&mut bare, event, now);
        assert_eq!(got.as_deref(), *of_other, "another at level {level}");
    }
}

#[test]
fn levels_of_newchannel() {
    let said = r#"{"event":"Newchannel","chan":"SIP/8003-00000001","caller":"8003","exten":"s","state":"DOWN"}"#;
    let asked = r#"{"event":"Newchannel","chan":"SIP/8003-00000001","caller":"8003","exten":"0000","state":"DOWN"}"#;
    assert_levels(
        &Event::Newchannel(snapshot("id", "s", 0)),
        &[None, Some(asked), Some(said)],
        &[None, None, Some(said)],
    );
}

#[test]
fn levels_of_newexten() {
    let ringing = r#"{"event":"Newexten","chan":"SIP/8003-00000001","caller":"8003","exten":"5000","state":"RING","app":"Answer"}"#;
    assert_levels(
        &newexten(snapshot("id", "5000", 4), "Answer"),
        &[None, None, Some(ringing), Some(ringing)],
        &[None, None, None, Some(ringing)],
    );
    let up = r#"{"event":"Newexten","chan":"SIP/8003-00000001","caller":"8003","exten":"5000","state":"UP"}"#;
    assert_levels(
        &newexten(snapshot("id", "5000", 6), ""),
        &[None, Some(up), Some(up), Some(up)],
        &[None, None, None, Some(up)],
    );
    let said = r#"{"event":"Newexten","chan":"SIP/8003-00000001","caller":"8003","exten":"s","state":"UP","app":"Wait"}"#;
    let asked = r#"{"event":"Newexten","chan":"SIP/8003-00000001","caller":"8003","exten":"0000","state":"UP","app":"Wait"}"#;
    assert_levels(
        &newexten(snapshot("id", "s", 6), "Wait"),
        &[None, Some(asked), Some(asked), Some(said)],
        &[None, None, None, Some(said)],
    );
}

#[test]
fn levels_of_hangup() {
    let said =
        r#"{"event":"Hangup","chan":"SIP/8003-00000001","caller":"8003","exten":"s","state":"UP"}"#;
    let nowhere =
        r#"{"event":"Hangup","chan":"SIP/8003-00000001","caller":"8003","exten":"","state":"UP"}"#;
    let asked = r#"{"event":"Hangup","chan":"SIP/8003-00000001","caller":"8003","exten":"0000","state":"UP"}"#;
    let there = r#"{"event":"Hangup","chan":"SIP/8003-00000001","caller":"8003","exten":"710","state":"UP"}"#;
    for (extension, ours, other) in [
        ("s", asked, said),
        ("", asked, nowhere),
        ("710", there, there),
    ] {
        assert_levels(
            &Event::Hangup(snapshot("id", extension, 6)),
            &[None, Some(ours), Some(other)],
            &[None, None, Some(other)],
        );
    }
}

#[test]
fn levels_of_agent_connect() {
    let up = r#"{"event":"AgentConnect","chan":"SIP/8003-00000001","caller":"8003","queue":"710","state":"UP","agent":"2222"}"#;
    let ringing = r#"{"event":"AgentConnect","chan":"SIP/8003-00000001","caller":"8003","queue":"710","state":"RINGING","agent":"2222"}"#;
    assert_levels(
        &agent_connect(snapshot("id", "s", 6), 6),
        &[None, Some(up), Some(up), Some(up)],
        &[None, None, None, Some(up)],
    );
    assert_levels(
        &agent_connect(snapshot("id", "710", 6), 5),
        &[None, None, Some(ringing), Some(ringing)],
        &[None, None, None, Some(ringing)],
    );
}

#[test]
fn an_event_that_lacks_something_is_not_sent() {
    let now = start();
    let mut channels = channels([2, 3, 2, 3]);
    let nameless = |extension: &str| Snapshot {
        name: "".into(),
        ..snapshot("1.1", extension, 6)
    };
    for event in [
        Event::Newchannel(snapshot("1.1", "", 0)),
        Event::Newchannel(of("", snapshot("1.1", "s", 0))),
        Event::Newchannel(nameless("s")),
        newexten(snapshot("1.1", "", 6), "AppDial2"),
        newexten(of("", snapshot("1.1", "5000", 6)), "Wait"),
        newexten(nameless("5000"), "Wait"),
        agent_connect(of("", snapshot("1.1", "710", 6)), 6),
        agent_connect(nameless("710"), 6),
        Event::AgentConnect {
            channel: snapshot("1.1", "710", 6),
            member: "SIP/2222-00000002".into(),
            queue: "".into(),
            state: 6,
        },
        Event::Hangup(of("", snapshot("1.1", "5000", 6))),
        Event::Hangup(nameless("5000")),
        Event::Hangup(snapshot("", "5000", 6)),
        Event::FullyBooted,
        Event::Reload,
    ] {
        assert_eq!(channels.handle_event(&event, now), None, "{event:?}");
    }
}

#[test]
fn what_runs_nowhere_is_not_sent_though_the_record_knows_where() {
    let now = start();
    let mut channels = channels([1, 2, 1, 2]);
    channels.originated("id", "8003", "0000", RING_TIME, now);
    let event = newexten(snapshot("id", "", 0), "AppDial2");
    assert_eq!(channels.handle_event(&event, now), None);
}

#[test]
fn a_post_keeps_with_its_call() {
    let now = start();
    let mut channels = channels([2, 0, 0, 0]);
    let mut channel = snapshot("1.7", "s", 0);
    let post = channels.handle_event(&Event::Newchannel(channel.clone()), now);
    assert_eq!(&*post.unwrap().call, "call");
    // Before Asterisk 12 nothing says which call a channel belongs to.
    channel.linkedid = "".into();
    channel.uniqueid = "1.8".into();
    let post = channels.handle_event(&Event::Newchannel(channel), now);
    assert_eq!(&*post.unwrap().call, "1.8");
}

#[test]
fn odd_characters_stay_within_the_json() {
    let now = start();
    let mut channels = channels([2, 0, 0, 0]);
    let channel = of("a\"b\\c\u{1}", snapshot("1.1", "s", 17));
    assert_eq!(
        told(&mut channels, &Event::Newchannel(channel), now).unwrap(),
        r#"{"event":"Newchannel","chan":"SIP/8003-00000001","caller":"a\"b\\c\u0001","exten":"s","state":"UNKNOWN"}"#
    );
}

#[test]
fn an_unknown_caller_is_the_operator_on_a_call_of_ours_and_nobody_elsewhere() {
    let now = start();
    let named = r#"{"event":"Newchannel","chan":"SIP/8003-00000001","caller":"8003","exten":"s","state":"DOWN"}"#;
    for unknown in ["<unknown>", "unknown", ""] {
        let mut channels = channels([2, 3, 2, 3]);
        channels.originated("id", "8003", "0000", RING_TIME, now);
        let ours = of(unknown, snapshot("id", "s", 0));
        let got = told(&mut channels, &Event::Newchannel(ours), now);
        assert_eq!(got.as_deref(), Some(named), "{unknown:?}");
    }
    let mut channels = channels([2, 3, 2, 3]);
    let other = of("<unknown>", snapshot("1.1", "5000", 0));
    assert_eq!(
        told(&mut channels, &Event::Newchannel(other), now).unwrap(),
        r#"{"event":"Newchannel","chan":"SIP/8003-00000001","caller":"<unknown>","exten":"5000","state":"DOWN"}"#
    );
    // A caller who was handed over is who Asterisk says, also when it says nobody.
    channels.transferred("<unknown>", "8002", now);
    let back = of("<unknown>", snapshot("1.2", "8002", 0));
    assert!(told(&mut channels, &Event::Newchannel(back), now).is_some());
    channels.transferred("8003", "8002", now);
    let back = snapshot("1.3", "8002", 0);
    assert!(told(&mut channels, &Event::Newchannel(back.clone()), now).is_some());
    assert_eq!(
        told(&mut channels, &Event::Hangup(of("<unknown>", back)), now).unwrap(),
        r#"{"event":"Hangup","chan":"SIP/8003-00000001","caller":"<unknown>","exten":"8002","state":"DOWN"}"#
    );
}

#[test]
fn a_hidden_number_comes_back_under_any_of_its_names() {
    let now = start();
    for unknown in ["<unknown>", "unknown", "", "anonymous", "Anonymous"] {
        let mut channels = channels([0; 4]);
        channels.transferred("", "8002", now);
        let other = of("8003", snapshot("1.0", "8002", 0));
        drop(told(&mut channels, &Event::Newchannel(other), now));
        assert!(channels.is_empty(), "{unknown:?}");
        let back = of(unknown, snapshot("1.2", "8002", 0));
        drop(told(&mut channels, &Event::Newchannel(back), now));
        let tracked: Vec<&str> = channels.records().map(|(id, _)| id).collect();
        assert_eq!(tracked, ["1.2"], "{unknown:?}");
    }
}

#[test]
fn calls_of_ours_are_tracked_only_when_they_are_to_be() {
    let now = start();
    for version in ["5.0.4", "1.1"] {
        let mut settings = Config::default().event;
        settings.newchannel = CallLevel::Tracked;
        let mut channels = Channels::new(settings);
        channels.handle_up(version);
        channels.originated("id", "8003", "0000", RING_TIME, now);
        let event = Event::Newchannel(snapshot("id", "s", 0));
        assert_eq!(channels.handle_event(&event, now), None, "{version}");
        assert_eq!(channels.poll_timeout(), None, "{version}");
        assert!(channels.is_empty(), "{version}");
    }
}

mod binding;
mod leaks;

#[test]
fn the_number_in_a_channel_s_name() {
    for (channel, number) in [
        ("PJSIP/2222-0000000a", "2222"),
        ("SIP/2222-00000002", "2222"),
        ("SIP/2222-0000ABCD", "2222"),
        ("Local/2222@alnik-00000000;1", "2222"),
        ("Local/my-dead@alnik-00000000;2", "my-dead"),
        ("SIP/my-dead-00000001", "my-dead"),
        ("SIP/deadbeef", "deadbeef"),
        ("SIP/2222", "2222"),
        ("SIP/2222-1", "2222-1"),
        ("SIP/2222-0000000g", "2222-0000000g"),
        ("SIP/trunk/2222-00000001", "trunk/2222"),
        ("2222", "2222"),
        ("", ""),
    ] {
        assert_eq!(number_of(channel), number, "{channel}");
    }
}

#[test]
fn a_channel_that_joins_another_call_stays_in_its_own_line() {
    let now = start();
    let mut channels = channels([2, 3, 2, 0]);
    let moved = |channel: Snapshot| Snapshot {
        linkedid: "other call".into(),
        ..channel
    };
    let lines: Vec<Box<str>> = [
        Event::Newchannel(snapshot("1.1", "5000", 0)),
        newexten(snapshot("1.1", "5000", 6), "Dial"),
        newexten(moved(snapshot("1.1", "5000", 6)), "Bridge"),
        Event::Hangup(moved(snapshot("1.1", "5000", 6))),
        Event::Newchannel(moved(snapshot("1.1", "5000", 0))),
    ]
    .iter()
    .map(|event| channels.handle_event(event, now).unwrap().call)
    .collect();
    let lines: Vec<&str> = lines.iter().map(|line| &**line).collect();
    // After its end the id is another's.
    assert_eq!(lines, ["call", "call", "call", "call", "other call"]);
}
