//! A CRM that does not take what it is sent.

use super::*;

fn half_to_whole(wait: Duration, step: Duration) -> bool {
    step / 2 <= wait && wait <= step
}

#[test]
fn what_may_pass_is_tried_again_ever_more_seldom_up_to_a_minute() {
    for status in [408, 425, 429, 500, 502, 503, 599] {
        let mut now = start();
        let mut queue = queue(4);
        queue.push(post("a", "a1"), now);
        for step in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let wait;
            (now, wait) = attempt(&mut queue, &answered(status), now);
            assert!(
                half_to_whole(wait, step * SECOND),
                "{status} {step} {wait:?}"
            );
        }
        assert_eq!(queue.len(), 1);
        assert_eq!(notes(&mut queue), []);
    }
}

#[test]
fn a_crm_that_does_not_answer_rests_ever_longer_and_is_told_once() {
    let mut now = start();
    let mut queue = queue(4);
    queue.push(post("a", "a1"), now);
    for step in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        let wait;
        (now, wait) = attempt(&mut queue, &failed(), now);
        assert!(half_to_whole(wait, step * SECOND), "{step} {wait:?}");
    }
    let why = "no route".to_owned();
    assert_eq!(notes(&mut queue), [Note::Resting { why: why.clone() }]);
    let delivery = only(&mut queue);
    queue.handle_outcome(delivery.id, &answered(200), now);
    assert_eq!(notes(&mut queue), [Note::Back { waiting: 0 }]);
    // Then it all begins anew.
    queue.push(post("a", "a2"), now);
    let (_, wait) = attempt(&mut queue, &failed(), now);
    assert!(half_to_whole(wait, SECOND), "{wait:?}");
    assert_eq!(notes(&mut queue), [Note::Resting { why }]);
}

#[test]
fn while_the_crm_rests_nothing_is_tried_and_then_one_post_alone() {
    let now = start();
    let mut queue = queue(4);
    for call in ["a", "b", "c", "d", "e", "f"] {
        queue.push(post(call, call), now);
    }
    let first = deliveries(&mut queue);
    assert_eq!(first.len(), 4);
    for delivery in &first {
        queue.handle_outcome(delivery.id, &failed(), now);
        assert!(deliveries(&mut queue).is_empty());
    }
    assert_eq!(notes(&mut queue).len(), 1, "that is one failure");
    queue.handle_timeout(now);
    let later = queue.poll_timeout().unwrap();
    assert!(later > now);
    queue.push(post("g", "g"), now);
    assert!(deliveries(&mut queue).is_empty());
    while matches!(queue.gate, Gate::Resting { .. }) {
        assert!(deliveries(&mut queue).is_empty());
        wake(&mut queue);
    }
    let probe = only(&mut queue);
    queue.handle_outcome(probe.id, &answered(200), later);
    assert_eq!(notes(&mut queue), [Note::Back { waiting: 6 }]);
    queue.handle_timeout(later + SECOND);
    assert_eq!(deliveries(&mut queue).len(), 4);
}

#[test]
fn a_post_that_never_gets_an_answer_does_not_hold_up_other_calls() {
    let mut now = start();
    let mut queue = queue(2);
    queue.push(post("poison", "poison"), now);
    for n in 0..20 {
        queue.push(post(&n.to_string(), "good"), now);
    }
    let until = now + 120 * SECOND;
    let mut tries = 0;
    while queue.len() > 1 {
        assert!(now < until, "{} wait still", queue.len());
        let some = deliveries(&mut queue);
        // The good ones are answered while the other still hangs.
        for delivery in some.iter().filter(|delivery| &*delivery.body == "good") {
            queue.handle_outcome(delivery.id, &answered(200), now);
        }
        for delivery in some.iter().filter(|delivery| &*delivery.body == "poison") {
            queue.handle_outcome(delivery.id, &failed(), now);
            tries += 1;
        }
        queue.handle_timeout(now);
        if queue.ready.is_empty() || matches!(queue.gate, Gate::Resting { .. }) {
            now = wake(&mut queue);
        }
    }
    assert!(tries < 10, "{tries}");
}

#[test]
fn retry_after_is_obeyed_within_an_hour_and_never_makes_it_hurry() {
    for status in [429, 503] {
        for (wanted, least, most) in [
            (0, 0, 1),
            (120, 120, 120),
            (3600, 3600, 3600),
            (86_400, 3600, 3600),
        ] {
            let now = start();
            let mut queue = queue(4);
            queue.push(post("a", "a1"), now);
            queue.push(post("b", "b1"), now);
            let first = deliveries(&mut queue);
            let outcome = come_back_after(status, wanted * SECOND);
            queue.handle_outcome(first[0].id, &outcome, now);
            // What was on its way already does not cut the rest short.
            queue.handle_outcome(first[1].id, &answered(200), now);
            queue.push(post("c", "c1"), now);
            queue.handle_timeout(now);
            assert!(deliveries(&mut queue).is_empty(), "{status} {wanted}");
            let mut later = now;
            while matches!(queue.gate, Gate::Resting { .. }) {
                later = wake(&mut queue);
            }
            let wait = later - now;
            assert!(wait >= least * SECOND, "{status} {wanted} {wait:?}");
            assert!(wait <= most * SECOND, "{status} {wanted} {wait:?}");
            assert!(wait >= SECOND / 2, "{status} {wanted} {wait:?}");
            let probe = only(&mut queue);
            queue.handle_outcome(probe.id, &answered(200), later);
            assert_eq!(deliveries(&mut queue).len(), 1);
            assert_eq!(notes(&mut queue).len(), 2, "resting, and back");
        }
    }
}

#[test]
fn the_longest_rest_asked_for_counts() {
    let now = start();
    let mut queue = queue(4);
    for call in ["a", "b", "c"] {
        queue.push(post(call, call), now);
    }
    let first = deliveries(&mut queue);
    queue.handle_outcome(first[0].id, &failed(), now);
    for (delivery, wanted) in first[1..].iter().zip([120, 60]) {
        let outcome = come_back_after(429, wanted * SECOND);
        queue.handle_outcome(delivery.id, &outcome, now);
    }
    let mut later = now;
    while matches!(queue.gate, Gate::Resting { .. }) {
        queue.handle_timeout(later);
        later = queue.poll_timeout().unwrap_or(later);
    }
    assert_eq!(later, now + 120 * SECOND);
    assert_eq!(notes(&mut queue).len(), 1);
}

#[test]
fn a_late_answer_ends_a_rest_that_nobody_asked_for() {
    let now = start();
    let mut queue = queue(2);
    for call in ["a", "b", "c"] {
        queue.push(post(call, call), now);
    }
    let first = deliveries(&mut queue);
    queue.handle_outcome(first[0].id, &failed(), now);
    queue.handle_outcome(first[1].id, &answered(200), now);
    assert_eq!(&*only(&mut queue).body, "c");
    let told = notes(&mut queue);
    assert!(
        matches!(told[..], [Note::Resting { .. }, Note::Back { waiting: 2 }]),
        "{told:?}"
    );
}

#[test]
fn what_the_crm_refuses_is_told_once_and_not_tried_again() {
    for status in [301, 302, 400, 401, 403, 404, 409, 413, 422, 499, 600, 100] {
        let now = start();
        let mut queue = queue(4);
        queue.push(post("a", "a1"), now);
        queue.push(post("a", "a2"), now);
        let first = only(&mut queue);
        let outcome = Outcome::Answered {
            status,
            retry_after: Some(HOUR),
            said: "no such thing".into(),
        };
        queue.handle_outcome(first.id, &outcome, now);
        let refused = Note::Refused {
            said: format!("{status} \"no such thing\""),
            call: "a".into(),
            body: "a1".into(),
        };
        assert_eq!(notes(&mut queue), [refused], "{status}");
        assert_eq!(&*only(&mut queue).body, "a2", "{status}");
        assert_eq!((queue.len(), queue.dropped()), (1, 0), "{status}");
    }
}

#[test]
fn after_410_nothing_is_sent_any_more() {
    for is_resting in [false, true] {
        let mut now = start();
        let mut queue = queue(2);
        for body in ["a1", "a2", "b1", "c1"] {
            queue.push(post(&body[..1], body), now);
        }
        if is_resting {
            let all = deliveries(&mut queue);
            all.iter()
                .for_each(|delivery| queue.handle_outcome(delivery.id, &failed(), now));
            queue.poll_note();
            while queue.gate != Gate::Probing {
                now = wake(&mut queue);
            }
        }
        let some = deliveries(&mut queue);
        queue.handle_outcome(some[0].id, &answered(410), now);
        assert_eq!(notes(&mut queue), [Note::Gone { lost: 4 }]);
        assert_eq!((queue.len(), queue.bytes), (0, 0));
        assert_eq!(queue.dropped(), 4, "none of them is lost untold");
        if let Some(late) = some.get(1) {
            queue.handle_outcome(late.id, &answered(200), now);
        }
        queue.push(post("d", "d1"), now);
        queue.handle_timeout(now + HOUR);
        assert!(deliveries(&mut queue).is_empty());
        assert_eq!(queue.poll_timeout(), None);
        assert_eq!((queue.len(), queue.dropped()), (0, 5));
    }
}

#[test]
fn after_410_and_a_reload_posts_go_out_again() {
    let now = start();
    let mut queue = queue(2);
    queue.push(post("a", "a1"), now);
    queue.push(post("b", "b1"), now);
    let lost = deliveries(&mut queue);
    queue.handle_outcome(lost[0].id, &answered(410), now);
    queue.push(post("a", "a2"), now);
    assert_eq!(notes(&mut queue), [Note::Gone { lost: 2 }]);
    queue.reopen();
    queue.push(post("a", "a3"), now);
    assert_eq!(&*only(&mut queue).body, "a3");
    // What comes back late is about what was given up with the rest.
    queue.handle_outcome(lost[1].id, &answered(410), now);
    queue.push(post("b", "b2"), now);
    assert_eq!(&*only(&mut queue).body, "b2");
    assert_eq!(queue.dropped(), 3);
}

#[test]
fn a_reload_ends_a_rest_and_one_post_finds_out() {
    let now = start();
    let mut queue = queue(2);
    for body in ["a1", "b1", "c1"] {
        queue.push(post(&body[..1], body), now);
    }
    let first = queue.poll_delivery().unwrap();
    queue.handle_outcome(first.id, &come_back_after(503, HOUR), now);
    assert!(queue.poll_delivery().is_none());
    queue.reopen();
    assert_eq!(&*only(&mut queue).body, "b1");
}

#[test]
fn a_post_is_given_up_after_its_time_and_the_next_of_its_call_gets_its_turn() {
    for outcome in [failed(), answered(500)] {
        let begin = start();
        let mut now = begin;
        let mut queue = Queue::new(Instance::new(1, 2), 4, 10 * SECOND, 7);
        queue.push(post("a", "a1"), now);
        queue.push(post("a", "a2"), now + 9 * SECOND);
        let mut tries = 0;
        let given_up = loop {
            if let Some(delivery) = queue.poll_delivery() {
                assert_eq!(&*delivery.body, "a1", "{outcome}");
                queue.handle_outcome(delivery.id, &outcome, now);
                tries += 1;
            }
            now = wake(&mut queue);
            let told = notes(&mut queue);
            if let Some(Note::GivenUp { body, .. }) = told.last() {
                break body.clone();
            }
        };
        assert_eq!(&*given_up, "a1");
        assert!(tries >= 3, "{outcome}: {tries}");
        assert!(
            now >= begin + 10 * SECOND && now <= begin + 30 * SECOND,
            "{outcome}"
        );
        while matches!(queue.gate, Gate::Resting { .. }) {
            now = wake(&mut queue);
        }
        let next = only(&mut queue);
        assert_eq!(&*next.body, "a2");
        queue.handle_outcome(next.id, &answered(200), now);
        assert!(queue.is_empty());
        assert_eq!(queue.dropped(), 0);
    }
}

#[test]
fn with_nothing_to_wait_for_no_timeout_is_wanted() {
    let now = start();
    let mut queue = queue(2);
    assert_eq!(queue.poll_timeout(), None);
    queue.push(post("a", "a1"), now);
    assert_eq!(queue.poll_timeout(), None);
    let delivery = only(&mut queue);
    assert_eq!(queue.poll_timeout(), None);
    queue.handle_outcome(delivery.id, &answered(200), now);
    assert_eq!(queue.poll_timeout(), None);
    queue.handle_timeout(now + HOUR);
    assert_eq!(queue.poll_timeout(), None);
}
