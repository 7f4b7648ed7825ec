use super::*;

mod bounds;
mod failed;
mod order;
mod random;
mod trouble;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
fn start() -> Instant {
    Instant::now()
}

fn queue(parallel: usize) -> Queue {
    Queue::new(Instance::new(1, 2), parallel, HOUR, 7)
}

fn post(call: &str, body: &str) -> Post {
    Post {
        call: call.into(),
        body: body.into(),
    }
}

fn answered(status: u16) -> Outcome {
    Outcome::Answered {
        status,
        retry_after: None,
        said: "".into(),
    }
}

fn come_back_after(status: u16, wait: Duration) -> Outcome {
    Outcome::Answered {
        status,
        retry_after: Some(wait),
        said: "".into(),
    }
}

fn failed() -> Outcome {
    Outcome::Failed("no route".into())
}

/// All posts that may be made now.
fn deliveries(queue: &mut Queue) -> Vec<Delivery> {
    std::iter::from_fn(|| queue.poll_delivery()).collect()
}

fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| &*delivery.body).collect()
}

/// The one post that may be made now.
#[track_caller]
fn only(queue: &mut Queue) -> Delivery {
    let mut all = deliveries(queue);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn notes(queue: &mut Queue) -> Vec<Note> {
    std::iter::from_fn(|| queue.poll_note()).collect()
}

/// Lets the clock go to where the queue wants it, and says where that is.
#[track_caller]
fn wake(queue: &mut Queue) -> Instant {
    let now = queue.poll_timeout().unwrap();
    queue.handle_timeout(now);
    let next = queue.poll_timeout();
    assert!(next.is_none_or(|next| next > now), "wakes for nothing");
    now
}

/// One attempt at `now` that ends like this, then the clock goes on until there is another to make;
/// how long that took.
#[track_caller]
fn attempt(queue: &mut Queue, outcome: &Outcome, now: Instant) -> (Instant, Duration) {
    let delivery = only(queue);
    queue.handle_outcome(delivery.id, outcome, now);
    queue.handle_timeout(now);
    let mut later = now;
    while queue.gate != Gate::Open && queue.gate != Gate::Probing || queue.ready.is_empty() {
        later = wake(queue);
    }
    (later, later - now)
}
