//! What may travel beside what.

use super::*;

#[test]
fn calls_travel_side_by_side_and_each_in_its_order() {
    let now = start();
    let mut queue = queue(3);
    for body in ["a1", "a2", "b1", "c1", "d1", "b2"] {
        queue.push(post(&body[..1], body), now);
    }
    let first = deliveries(&mut queue);
    assert_eq!(bodies(&first), ["a1", "b1", "c1"], "three at a time");
    queue.handle_outcome(first[1].id, &answered(200), now);
    // Oldest first among those whose turn it is.
    let second = deliveries(&mut queue);
    assert_eq!(bodies(&second), ["d1"]);
    queue.handle_outcome(first[0].id, &answered(204), now);
    queue.handle_outcome(first[2].id, &answered(200), now);
    let third = deliveries(&mut queue);
    assert_eq!(bodies(&third), ["a2", "b2"]);
    for delivery in second.iter().chain(&third) {
        queue.handle_outcome(delivery.id, &answered(200), now);
    }
    assert!(queue.is_empty());
    assert!(queue.lines.is_empty());
    assert_eq!(notes(&mut queue), []);
}

#[test]
fn two_of_one_call_never_travel_at_once() {
    let now = start();
    let mut queue = queue(8);
    for n in 0..5 {
        queue.push(post("a", &n.to_string()), now);
    }
    for n in 0..5 {
        let delivery = only(&mut queue);
        assert_eq!(&*delivery.body, n.to_string());
        queue.handle_outcome(delivery.id, &answered(200), now);
    }
    assert!(queue.is_empty());
}

#[test]
fn a_post_that_waits_for_another_try_holds_up_its_call_and_no_other() {
    let now = start();
    let mut queue = queue(2);
    for body in ["a1", "a2", "b1", "b2"] {
        queue.push(post(&body[..1], body), now);
    }
    let first = deliveries(&mut queue);
    queue.handle_outcome(first[0].id, &answered(500), now);
    queue.handle_outcome(first[1].id, &answered(200), now);
    let b2 = only(&mut queue);
    assert_eq!(&*b2.body, "b2");
    queue.handle_outcome(b2.id, &answered(200), now);
    assert!(deliveries(&mut queue).is_empty());
    let later = wake(&mut queue);
    let again = only(&mut queue);
    assert_eq!(&*again.body, "a1");
    queue.handle_outcome(again.id, &answered(200), later);
    assert_eq!(&*only(&mut queue).body, "a2");
}

#[test]
fn one_at_a_time_keeps_the_order_over_all_calls_and_retries() {
    for outcome in [answered(500), come_back_after(429, SECOND), failed()] {
        let mut now = start();
        let mut queue = queue(1);
        let all = ["a1", "b1", "a2", "c1"];
        for body in all {
            queue.push(post(&body[..1], body), now);
        }
        for body in all {
            for _ in 0..3 {
                assert_eq!(queue.items.first_key_value().unwrap().1.body, body.into());
                (now, _) = attempt(&mut queue, &outcome, now);
            }
            let delivery = only(&mut queue);
            assert_eq!(&*delivery.body, body, "{outcome}");
            queue.handle_outcome(delivery.id, &answered(200), now);
        }
        assert!(queue.is_empty());
    }
}

#[test]
fn an_attempt_is_known_by_the_same_webhook_id_and_no_other_post_has_it() {
    let mut now = start();
    let mut queue = queue(1);
    queue.push(post("a", "same"), now);
    queue.push(post("a", "same"), now);
    let first = only(&mut queue);
    assert_eq!(&*first.webhook_id, "salara-1-2-e1");
    queue.handle_outcome(first.id, &failed(), now);
    for outcome in [failed(), answered(503), come_back_after(503, SECOND)] {
        while queue.ready.is_empty() || matches!(queue.gate, Gate::Resting { .. }) {
            now = wake(&mut queue);
        }
        let again = only(&mut queue);
        assert_eq!(again, first);
        queue.handle_outcome(again.id, &outcome, now);
    }
    while queue.ready.is_empty() || matches!(queue.gate, Gate::Resting { .. }) {
        now = wake(&mut queue);
    }
    let last = only(&mut queue);
    queue.handle_outcome(last.id, &answered(200), now);
    assert_eq!(&*only(&mut queue).webhook_id, "salara-1-2-e2");
}

#[test]
fn an_outcome_that_comes_twice_or_for_nobody_counts_for_nothing() {
    let now = start();
    let mut queue = queue(4);
    queue.push(post("a", "a1"), now);
    queue.push(post("a", "a2"), now);
    let first = only(&mut queue);
    queue.handle_outcome(PostId(99), &answered(200), now);
    queue.handle_outcome(PostId(2), &answered(200), now);
    assert_eq!(queue.len(), 2);
    queue.handle_outcome(first.id, &answered(200), now);
    queue.handle_outcome(first.id, &failed(), now);
    queue.handle_outcome(first.id, &answered(410), now);
    assert_eq!(&*only(&mut queue).body, "a2");
    assert_eq!(queue.len(), 1);
}
