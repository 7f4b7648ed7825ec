//! Which channel becomes whose.

use super::*;

const OF_8003: &str = r#"{"event":"Newchannel","chan":"SIP/8003-00000001","caller":"8003","exten":"0000","state":"DOWN"}"#;

#[test]
fn a_call_of_ours_is_known_by_its_id_whoever_asterisk_says_is_on_it() {
    let now = start();
    let mut channels = channels([1, 0, 1, 0]);
    channels.handle_up("5.0.4");
    channels.originated("id", "8003", "0000", RING_TIME, now);
    // The same caller at `s`, but another's: a Dial to this phone, say.
    let other = Event::Newchannel(snapshot("1.1", "s", 0));
    assert_eq!(told(&mut channels, &other, now), None);
    let ours = Event::Newchannel(of("<unknown>", snapshot("id", "s", 0)));
    assert_eq!(told(&mut channels, &ours, now).as_deref(), Some(OF_8003));
}

#[test]
fn a_channel_that_ami_tells_after_its_decision_is_not_new() {
    let now = start();
    let mut channels = channels([1, 0, 1, 0]);
    channels.handle_up("5.0.4");
    channels.continued("1.1", "SIP/8003-00000001", "8003", "000", now);
    let late = Event::Newchannel(snapshot("1.1", "5000", 0));
    assert_eq!(told(&mut channels, &late, now), None);
    let end = Event::Hangup(snapshot("1.1", "000", 6));
    assert!(told(&mut channels, &end, now).is_some());
}

#[test]
fn without_ids_the_first_with_the_caller_at_the_start_is_ours() {
    let now = start();
    let mut channels = channels([1, 0, 1, 0]);
    channels.handle_up("1.1");
    channels.originated("id", "8003", "0000", RING_TIME, now);
    for other in [
        snapshot("1.1", "5000", 0),
        snapshot("1.2", "0000", 0),
        of("8001", snapshot("1.3", "s", 0)),
        of("<unknown>", snapshot("1.4", "s", 0)),
        // Its wish is not a name it could have.
        of("8001", snapshot("id", "s", 0)),
    ] {
        let event = Event::Newchannel(other);
        assert_eq!(told(&mut channels, &event, now), None, "{event:?}");
    }
    let ours = Event::Newchannel(snapshot("1.5", "s", 0));
    assert_eq!(told(&mut channels, &ours, now).as_deref(), Some(OF_8003));
    let next = Event::Newchannel(snapshot("1.6", "s", 0));
    assert_eq!(told(&mut channels, &next, now), None, "it is bound once");
    let (id, record) = channels.records().next().unwrap();
    assert_eq!(id, "1.5");
    assert!(record.is_ours);
    assert_eq!(&*record.channel, "SIP/8003-00000001");
}

#[test]
fn without_ids_two_calls_of_an_operator_are_bound_in_their_order() {
    let now = start();
    let mut channels = channels([1, 0, 1, 0]);
    channels.handle_up("1.3");
    channels.originated("a", "8003", "000", RING_TIME, now);
    channels.originated("b", "8003", "0000", RING_TIME, now);
    for (id, extension) in [("1.1", "000"), ("1.2", "0000")] {
        let event = Event::Newchannel(snapshot(id, "s", 0));
        let body = told(&mut channels, &event, now).unwrap();
        assert!(
            body.contains(&format!(r#""exten":"{extension}""#)),
            "{body}"
        );
    }
}

#[test]
fn only_an_interface_below_2_gives_no_ids() {
    let now = start();
    for (version, has_ids) in [
        ("1.1", false),
        ("1.3", false),
        ("2.0.0", true),
        ("5.0.4", true),
        ("11.0.0", true),
        ("", true),
        ("new", true),
    ] {
        let mut channels = channels([1, 0, 0, 0]);
        channels.handle_up(version);
        channels.originated("id", "8003", "0000", RING_TIME, now);
        assert_eq!(channels.records().count() == 1, has_ids, "{version:?}");
    }
}

#[test]
fn a_caller_handed_over_is_the_next_with_his_number_at_the_target() {
    let now = start();
    let mut channels = channels([1, 2, 1, 0]);
    // His first channel, at 5000, is not told of: it was not tracked when it began.
    let first = snapshot("1.0", "5000", 4);
    channels.transferred("8003", "0000", now);
    assert_eq!(
        told(&mut channels, &newexten(first.clone(), "NoOp"), now),
        None
    );
    assert_eq!(told(&mut channels, &Event::Hangup(first), now), None);
    for other in [
        snapshot("1.1", "s", 0),
        snapshot("1.2", "8002", 0),
        of("8001", snapshot("1.3", "0000", 0)),
    ] {
        let event = Event::Newchannel(other);
        assert_eq!(told(&mut channels, &event, now), None, "{event:?}");
    }
    let back = Event::Newchannel(snapshot("1.4", "0000", 0));
    assert_eq!(told(&mut channels, &back, now).as_deref(), Some(OF_8003));
    let (id, record) = channels.records().next().unwrap();
    assert_eq!(id, "1.4");
    assert!(!record.is_ours);
    let again = Event::Newchannel(snapshot("1.5", "0000", 0));
    assert_eq!(told(&mut channels, &again, now), None, "he is back already");
}

#[test]
fn a_caller_handed_over_twice_is_bound_twice() {
    let now = start();
    let mut channels = channels([1, 0, 0, 0]);
    channels.transferred("8003", "0000", now);
    channels.transferred("8003", "0000", now + SECOND);
    for id in ["1.1", "1.2"] {
        let event = Event::Newchannel(snapshot(id, "0000", 0));
        assert!(told(&mut channels, &event, now + SECOND).is_some(), "{id}");
    }
}

#[test]
fn a_name_that_is_used_again_is_another_channel() {
    let now = start();
    let mut channels = channels([1, 2, 1, 2]);
    channels.originated("id", "8003", "0000", RING_TIME, now);
    let name = snapshot("id", "s", 0);
    assert!(told(&mut channels, &Event::Newchannel(name), now).is_some());
    // After a restart of Asterisk the serials begin anew.
    let again = |extension: &str| snapshot("2.0", extension, 6);
    for event in [
        Event::Newchannel(again("s")),
        newexten(again("0000"), "Wait"),
        agent_connect(again("710"), 6),
        Event::Hangup(again("0000")),
    ] {
        assert_eq!(told(&mut channels, &event, now), None, "{event:?}");
    }
    let end = Event::Hangup(snapshot("id", "0000", 6));
    assert!(told(&mut channels, &end, now).is_some());
    assert_eq!(told(&mut channels, &end, now), None, "it ends once");
}
