//! What failed, and is tried again when someone wants it.

use super::*;

#[test]
fn what_was_refused_or_given_up_is_kept_and_goes_out_again_by_its_name() {
    let mut now = start();
    let mut queue = queue(2);
    queue.push(post("a", "a1"), now);
    queue.push(post("a", "a2"), now);
    let refused = only(&mut queue);
    queue.handle_outcome(refused.id, &answered(400), now);
    while !queue.is_empty() {
        let trying = deliveries(&mut queue);
        for delivery in trying {
            queue.handle_outcome(delivery.id, &answered(500), now);
        }
        now += Duration::from_secs(60);
        queue.handle_timeout(now);
    }
    let failed: Vec<_> = queue.failed().collect();
    let late = "tried for as long as retry_for allows";
    assert_eq!(failed, [("400", "a1"), (late, "a2")]);
    assert_eq!(queue.standing(now).failed, 2);

    for accepted in queue.take_failed(now) {
        queue.enter(accepted);
    }
    let again = only(&mut queue);
    assert_eq!((&*again.body, again.webhook_id), ("a1", refused.webhook_id));
    queue.handle_outcome(again.id, &answered(200), now);
    let again = only(&mut queue);
    assert_eq!(&*again.body, "a2");
    queue.handle_outcome(again.id, &answered(200), now);
    assert_eq!((queue.len(), queue.failed().count()), (0, 0));
}

#[test]
fn no_more_than_the_latest_failures_are_kept() {
    let now = start();
    let mut queue = queue(2);
    let mut fail = |count: usize, size: usize| {
        for n in 0..count {
            queue.push(post("a", &format!("{n:size$}")), now);
            let delivery = only(&mut queue);
            queue.handle_outcome(delivery.id, &answered(400), now);
        }
        let oldest = queue.failed().next().unwrap().1.trim().to_owned();
        (queue.failed().count(), oldest)
    };
    assert_eq!(fail(300, 8), (256, "44".to_owned()));
    assert_eq!(fail(10, 20_000), (6, "4".to_owned()));
}

#[test]
fn the_oldest_that_waits_and_the_endpoint_s_rest_are_told() {
    let now = start();
    let mut queue = queue(2);
    assert_eq!(queue.standing(now).endpoint, "taking events");
    queue.push(post("a", "a1"), now);
    let delivery = only(&mut queue);
    queue.handle_outcome(delivery.id, &failed(), now + SECOND);
    queue.push(post("b", "b1"), now + SECOND);
    let standing = queue.standing(now + SECOND);
    assert_eq!(standing.waiting, 2);
    assert_eq!(standing.oldest, Some(SECOND));
    assert_eq!(standing.endpoint, "resting");
    assert!(standing.tried_in.is_some_and(|left| left <= SECOND));
}
