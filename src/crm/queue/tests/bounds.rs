//! How much waits.

use super::*;

#[test]
fn beyond_the_count_the_oldest_goes_and_is_counted_aloud() {
    let now = start();
    let mut queue = queue(2);
    for n in 0..MAX_POSTS {
        queue.push(post(&n.to_string(), "x"), now);
    }
    assert_eq!(queue.len(), MAX_POSTS);
    assert_eq!(queue.dropped(), 0);
    let on_their_way = deliveries(&mut queue);
    for n in 0..5 {
        queue.push(post("new", &format!("new{n}")), now);
    }
    assert_eq!(queue.len(), MAX_POSTS);
    assert_eq!(queue.dropped(), 5);
    let counts = [1, 2, 4].map(|count| Note::Dropped { count });
    assert_eq!(notes(&mut queue), counts);
    // What is on its way is not called back; the oldest behind it went.
    assert!(queue.items.contains_key(&on_their_way[0].id));
    assert_eq!(on_their_way[1].id, PostId(2));
    let waiting: Vec<PostId> = queue.ready.iter().copied().take(2).collect();
    assert_eq!(waiting, [PostId(8), PostId(9)]);
    assert_eq!(
        queue.bytes,
        MAX_POSTS - 5 + 5 * "new0".len(),
        "the bytes of those that went are free"
    );
}

#[test]
fn beyond_the_bytes_as_many_of_the_oldest_go_as_must() {
    let now = start();
    let mut queue = queue(4);
    let quarter = "q".repeat(MAX_BYTES / 4);
    for call in ["a", "b", "c", "d"] {
        queue.push(post(call, &quarter), now);
    }
    assert_eq!(
        (queue.len(), queue.bytes),
        (4, MAX_BYTES),
        "it fits exactly"
    );
    queue.push(post("e", &"h".repeat(MAX_BYTES / 4 + 1)), now);
    assert_eq!(queue.len(), 3);
    assert_eq!(queue.dropped(), 2);
    assert_eq!(queue.bytes, MAX_BYTES / 4 * 3 + 1);
    let calls: Vec<&str> = queue.items.values().map(|item| &*item.call).collect();
    assert_eq!(calls, ["c", "d", "e"]);
}

#[test]
fn what_never_fits_takes_no_other_with_it() {
    let now = start();
    let mut queue = queue(4);
    queue.push(post("a", "a1"), now);
    queue.push(post("b", &"h".repeat(MAX_BYTES + 1)), now);
    assert_eq!((queue.len(), queue.dropped()), (1, 1));
    assert_eq!(notes(&mut queue), [Note::Dropped { count: 1 }]);
    assert_eq!(&*only(&mut queue).body, "a1");
}

#[test]
fn when_all_are_on_their_way_the_new_one_goes() {
    let now = start();
    let mut queue = queue(2);
    let half = "h".repeat(MAX_BYTES / 2);
    queue.push(post("a", &half), now);
    queue.push(post("b", &half), now);
    let on_their_way = deliveries(&mut queue);
    queue.push(post("c", "c1"), now);
    assert_eq!((queue.len(), queue.dropped()), (2, 1));
    queue.handle_outcome(on_their_way[0].id, &answered(200), now);
    queue.push(post("c", "c2"), now);
    assert_eq!(&*only(&mut queue).body, "c2");
}

#[test]
fn the_oldest_may_be_behind_one_that_is_on_its_way_or_wait_for_a_retry() {
    let now = start();
    let mut queue = queue(2);
    let third = "t".repeat(MAX_BYTES / 3);
    queue.push(post("a", "a1"), now);
    queue.push(post("a", &third), now);
    queue.push(post("b", &third), now);
    let on_their_way = deliveries(&mut queue);
    queue.handle_outcome(on_their_way[1].id, &answered(500), now);
    // First the second of `a` goes, whose first is on its way, then `b` out of its wait.
    queue.push(post("c", &third), now);
    queue.push(post("d", &third), now);
    assert_eq!(queue.dropped(), 1);
    queue.push(post("e", &third), now);
    assert_eq!(queue.dropped(), 2);
    assert_eq!(queue.poll_timeout(), None);
    assert_eq!(queue.len(), 4);
    queue.handle_outcome(on_their_way[0].id, &answered(200), now);
    let calls: Vec<&str> = queue.lines.keys().map(|call| &**call).collect();
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| ["c", "d", "e"].contains(call)));
}

#[test]
fn more_may_travel_from_now_on_but_lines_stay_what_they_are() {
    let now = start();
    let mut queue = queue(2);
    for call in ["a", "b", "c", "d"] {
        queue.push(post(call, call), now);
    }
    assert_eq!(deliveries(&mut queue).len(), 2);
    queue.configure(1, HOUR);
    assert_eq!(queue.parallel, 2);
    queue.configure(4, SECOND);
    let late = deliveries(&mut queue);
    assert_eq!(bodies(&late), ["c", "d"]);
    // What came before is tried for as long as it was promised.
    queue.push(post("e", "e"), now);
    assert_eq!(queue.items[&PostId(5)].until, now + SECOND);
    assert_eq!(queue.items[&PostId(1)].until, now + HOUR);
}
