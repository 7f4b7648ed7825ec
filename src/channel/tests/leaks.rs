//! Every record ends.

use super::*;

fn born(channels: &mut Channels, id: &str, now: Instant) {
    channels.handle_event(&Event::Newchannel(snapshot(id, "s", 0)), now);
}

fn is_empty(channels: &Channels) -> bool {
    channels.is_empty() && channels.poll_timeout().is_none()
}

#[test]
fn a_record_ends_with_its_channel_at_every_level() {
    let now = start();
    for version in ["5.0.4", "1.1"] {
        for level in [0, 1, 2] {
            let mut channels = channels([0, 0, level, 0]);
            channels.handle_up(version);
            channels.originated("id", "8003", "0000", RING_TIME, now);
            born(&mut channels, "id", now);
            assert!(!channels.is_empty(), "{version} {level}");
            let end = Event::Hangup(of("", snapshot("id", "", 6)));
            channels.handle_event(&end, now);
            assert!(is_empty(&channels), "{version} {level}");
        }
    }
}

#[test]
fn a_failed_call_without_a_channel_leaves_nothing() {
    let now = start();
    for version in ["5.0.4", "1.1"] {
        let mut channels = channels([1; 4]);
        channels.handle_up(version);
        channels.originated("id", "8009", "0000", RING_TIME, now);
        channels.originated("other", "8003", "0000", RING_TIME, now);
        channels.failed("id");
        channels.failed("never");
        let kept = channels.records.len() + channels.unbound.len();
        assert_eq!(kept, 1, "{version}: the other call is not over");
        channels.failed("other");
        assert!(is_empty(&channels), "{version}");
    }
}

#[test]
fn a_failed_call_with_a_channel_ends_with_it_whichever_is_told_first() {
    let now = start();
    let end = Event::Hangup(snapshot("id", "s", 5));
    for version in ["5.0.4", "1.1"] {
        for failure_first in [true, false] {
            let mut channels = channels([1; 4]);
            channels.handle_up(version);
            channels.originated("id", "8003", "0000", RING_TIME, now);
            born(&mut channels, "id", now);
            if failure_first {
                channels.failed("id");
            }
            assert!(told(&mut channels, &end, now).is_some(), "{version}");
            if !failure_first {
                channels.failed("id");
            }
            assert!(is_empty(&channels), "{version}");
        }
    }
}

#[test]
fn who_does_not_come_back_within_30_seconds_is_forgotten() {
    let now = start();
    let mut channels = channels([1; 4]);
    channels.transferred("8003", "0000", now);
    channels.transferred("8002", "0000", now + 9 * SECOND);
    assert_eq!(channels.poll_timeout(), Some(now + 30 * SECOND));
    channels.handle_timeout(now + 29 * SECOND);
    assert_eq!(channels.poll_timeout(), Some(now + 30 * SECOND));
    channels.handle_timeout(now + 30 * SECOND);
    assert_eq!(channels.poll_timeout(), Some(now + 39 * SECOND));
    let late = Event::Newchannel(snapshot("1.1", "0000", 0));
    assert_eq!(told(&mut channels, &late, now + 31 * SECOND), None);
    channels.handle_timeout(now + 39 * SECOND);
    assert!(is_empty(&channels));
}

#[test]
fn without_ids_a_call_is_waited_for_while_it_rings_and_then_30_seconds() {
    let now = start();
    let mut channels = channels([1; 4]);
    channels.handle_up("1.1");
    channels.originated("id", "8003", "0000", RING_TIME, now);
    assert_eq!(channels.poll_timeout(), Some(now + RING_TIME + 30 * SECOND));
    channels.handle_timeout(now + RING_TIME + 30 * SECOND);
    assert!(is_empty(&channels));
}

#[test]
fn what_asterisk_no_longer_lists_after_a_reconnect_is_over() {
    let now = start();
    let mut channels = channels([1; 4]);
    channels.handle_up("5.0.4");
    for id in ["alive", "over", "never-begun"] {
        channels.originated(id, "8003", "0000", RING_TIME, now);
    }
    born(&mut channels, "alive", now);
    born(&mut channels, "over", now);
    channels.handle_up("5.0.4");
    assert_eq!(channels.keep_only(|id| id == "alive"), 2);
    let left: Vec<&str> = channels.records().map(|(id, _)| id).collect();
    assert_eq!(left, ["alive"]);
    assert!(
        told(
            &mut channels,
            &Event::Hangup(snapshot("alive", "s", 6)),
            now
        )
        .is_some()
    );
    assert!(is_empty(&channels));
}

#[test]
fn a_call_set_up_while_asterisk_lists_its_channels_is_not_over() {
    let now = start();
    let mut channels = channels([1; 4]);
    channels.handle_up("5.0.4");
    channels.originated("old", "8003", "0000", RING_TIME, now);
    channels.handle_up("5.0.4");
    // The list was asked for before these came about, and does not name them.
    channels.originated("new", "8003", "0000", RING_TIME, now);
    channels.transferred("8001", "0000", now);
    let back = of("8001", snapshot("1.1", "0000", 0));
    channels.handle_event(&Event::Newchannel(back), now);
    assert_eq!(channels.keep_only(|_| false), 1);
    let mut left: Vec<&str> = channels.records().map(|(id, _)| id).collect();
    left.sort_unstable();
    assert_eq!(left, ["1.1", "new"]);
    channels.handle_up("5.0.4");
    assert_eq!(channels.keep_only(|_| false), 2);
}

#[test]
fn beyond_the_cap_the_oldest_record_makes_room() {
    let now = start();
    let mut channels = channels([1; 4]);
    for i in 0..=MAX_RECORDS {
        let at = now + Duration::from_millis(u64::try_from(i).unwrap());
        channels.originated(&i.to_string(), "8003", "0000", RING_TIME, at);
    }
    assert_eq!(channels.records().count(), MAX_RECORDS);
    assert!(channels.records().all(|(id, _)| id != "0"));
    // The same again is no more.
    channels.originated("1", "8003", "0000", RING_TIME, now);
    assert_eq!(channels.records().count(), MAX_RECORDS);
    assert!(channels.records().any(|(id, _)| id == "2"));
}

#[test]
fn beyond_the_cap_the_oldest_who_is_waited_for_makes_room() {
    let now = start();
    let mut channels = channels([1; 4]);
    channels.handle_up("1.1");
    for i in 0..=MAX_RECORDS {
        channels.transferred(&i.to_string(), "0000", now);
    }
    assert_eq!(channels.unbound.len(), MAX_RECORDS);
    assert_eq!(&*channels.unbound[0].caller, "1");
    channels.originated("id", "8003", "0000", RING_TIME, now);
    assert_eq!(channels.unbound.len(), MAX_RECORDS);
}
