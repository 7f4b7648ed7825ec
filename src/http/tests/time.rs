//! Deadlines, backpressure and what a connection costs while nothing happens.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

/// Lets time pass up to the next deadline, which must lie ahead.
fn wait(connection: &mut Connection, now: &mut Instant) {
    let until = connection.poll_timeout().expect("something to wait for");
    assert!(until > *now);
    connection.handle_timeout(until - Duration::from_millis(1));
    assert_eq!(
        connection.poll_timeout(),
        Some(until),
        "not before its time"
    );
    *now = until;
    connection.handle_timeout(until);
    assert_ne!(connection.poll_timeout(), Some(until), "never twice");
}

fn read_all(connection: &mut Connection, now: Instant) -> String {
    let output = String::from_utf8(connection.outgoing().to_vec()).unwrap();
    connection.sent(output.len(), now);
    output
}

/// A connection that has answered one request.
fn served(now: Instant) -> Connection {
    let mut connection = Connection::new(OPTIONS, now);
    connection.handle_bytes(REQUEST, now);
    assert!(connection.poll_request().is_some());
    connection.reply(&ok("x"), now);
    read_all(&mut connection, now);
    connection
}

#[test]
fn a_silent_client_is_dropped_without_a_word() {
    let t0 = start();
    let mut now = t0;
    let mut connection = Connection::new(OPTIONS, t0);
    wait(&mut connection, &mut now);
    assert_eq!(now - t0, 5 * SECOND);
    assert!(connection.is_finished());
    assert_eq!(connection.outgoing(), b"");
    assert_eq!(connection.poll_timeout(), None);
}

#[test]
fn a_slow_request_is_refused_five_seconds_after_its_first_byte() {
    for begun in [
        "G",
        "GET / HTTP/1.1\r\n",
        "P / HTTP/1.1\r\nContent-Length: 2\r\n\r\nx",
    ] {
        let t0 = start();
        let mut now = t0 + 4 * SECOND;
        let mut connection = Connection::new(OPTIONS, t0);
        let (first, rest) = begun.as_bytes().split_at(1);
        connection.handle_bytes(first, now);
        connection.handle_bytes(rest, now + 2 * SECOND);
        wait(&mut connection, &mut now);
        assert_eq!(now - t0, 9 * SECOND, "{begun:?}");
        assert_eq!(
            read_all(&mut connection, now),
            refusal("408 Request Timeout", "the request did not arrive in time")
        );
        assert!(connection.is_lingering());
    }
}

#[test]
fn blank_lines_alone_are_refused_at_first_and_forgiven_later() {
    let mut now = start();
    let mut connection = Connection::new(OPTIONS, now);
    connection.handle_bytes(b"\r\n\r\n", now);
    wait(&mut connection, &mut now);
    assert!(read_all(&mut connection, now).starts_with("HTTP/1.1 408 "));

    let mut connection = served(now);
    connection.handle_bytes(b"\r\n", now);
    wait(&mut connection, &mut now);
    assert_eq!(read_all(&mut connection, now), "");
    assert!(connection.is_finished());
}

#[test]
fn an_idle_connection_is_kept_for_a_while_and_costs_nothing() {
    let mut now = start();
    let t0 = now;
    let mut connection = served(now);
    assert!(connection.is_idle() && connection.wants_read());
    assert_eq!(
        (connection.input.capacity(), connection.output.capacity()),
        (0, 0)
    );
    assert!(
        size_of::<Connection>() <= 320,
        "{}",
        size_of::<Connection>()
    );
    wait(&mut connection, &mut now);
    assert_eq!(now - t0, 15 * SECOND);
    assert!(connection.is_finished());
}

#[test]
fn a_reply_that_got_lost_costs_no_place_for_ever() {
    let t0 = start();
    let mut connection = Connection::new(OPTIONS, t0);
    connection.handle_bytes(REQUEST, t0);
    assert_eq!(connection.poll_timeout(), Some(t0 + ANSWER_TIME));
    assert!(!connection.is_idle());
    connection.handle_timeout(t0 + ANSWER_TIME);
    assert!(connection.outgoing().starts_with(b"HTTP/1.1 503 "));
    connection.reply(&ok("late"), t0 + ANSWER_TIME);
    assert!(!connection.outgoing().ends_with(b"late"));
}

#[test]
fn a_client_that_does_not_read_is_dropped() {
    let mut now = start();
    let t0 = now;
    let mut connection = Connection::new(OPTIONS, now);
    connection.handle_bytes(REQUEST, now);
    connection.reply(&ok("x"), now);
    connection.sent(3, now + 4 * SECOND);
    assert!(!connection.is_idle());
    wait(&mut connection, &mut now);
    assert_eq!(now - t0, 5 * SECOND);
    assert!(connection.is_finished());
    assert_eq!(connection.outgoing(), b"");
    connection.reply(&ok("too late"), now);
    connection.handle_bytes(REQUEST, now);
    connection.handle_eof(now);
    assert_eq!(connection.outgoing(), b"");
    assert_eq!(connection.poll_request(), None);
}

#[test]
fn a_client_that_only_asks_is_held_back() {
    let t0 = start();
    let mut connection = Connection::new(OPTIONS, t0);
    let mut asked = 0;
    while connection.wants_read() {
        connection.handle_bytes(REQUEST, t0);
        asked += 1;
        assert!(asked < 10_000);
    }
    assert!(connection.input.len() < ENOUGH_INPUT + REQUEST.len());
    let mut answered = 0;
    while connection.poll_request().is_some() {
        connection.reply(&ok("x"), t0);
        answered += 1;
    }
    assert!(answered < asked && connection.outgoing().len() < ENOUGH_OUTPUT + 200);

    // Once it reads, the rest is answered, too.
    let mut output = 0;
    while !connection.outgoing().is_empty() {
        output += 1;
        connection.sent(1, t0);
        while connection.poll_request().is_some() {
            connection.reply(&ok("x"), t0);
            answered += 1;
        }
    }
    let one = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!((answered, output), (asked, asked * one.len()));
    assert!(connection.wants_read() && connection.is_idle());
}

#[test]
fn a_refused_client_may_finish_sending() {
    let t0 = start();
    let refused = || {
        let mut connection = Connection::new(OPTIONS, t0);
        connection.handle_bytes(b"P / HTTP/1.1\r\nContent-Length: 9999\r\n\r\n", t0);
        connection.handle_bytes(&[b'x'; 1000], t0);
        assert!(connection.wants_read() && !connection.is_lingering() && !connection.is_idle());
        assert!(read_all(&mut connection, t0).starts_with("HTTP/1.1 413 "));
        assert!(connection.wants_read() && connection.is_lingering() && connection.is_idle());
        connection
    };

    let mut gone = refused();
    gone.handle_bytes(&[b'x'; 8999], t0);
    assert!(!gone.is_finished());
    gone.handle_eof(t0);
    assert!(gone.is_finished());

    let mut endless = refused();
    endless.handle_bytes(&vec![b'x'; LINGER_BYTES - 1001], t0);
    assert!(!endless.is_finished());
    endless.handle_bytes(b"x", t0);
    assert!(endless.is_finished());

    let (mut silent, mut now) = (refused(), t0);
    wait(&mut silent, &mut now);
    assert_eq!(now - t0, SECOND);
    assert!(silent.is_finished());
}

#[test]
fn a_flood_before_the_reply_is_written_stops_the_reading() {
    let t0 = start();
    let mut connection = Connection::new(OPTIONS, t0);
    connection.handle_bytes(b"{", t0);
    connection.handle_bytes(&vec![b'x'; LINGER_BYTES], t0);
    assert!(!connection.wants_read() && !connection.is_finished());
    read_all(&mut connection, t0);
    assert!(connection.is_finished());
}

#[test]
fn a_connection_can_be_told_to_end() {
    let t0 = start();
    let mut idle = served(t0);
    idle.close_soon();
    assert!(idle.is_finished());

    let mut busy = Connection::new(OPTIONS, t0);
    busy.handle_bytes(b"GET / HT", t0);
    busy.close_soon();
    busy.handle_bytes(b"TP/1.1\r\n\r\n", t0);
    assert!(busy.poll_request().is_some());
    busy.reply(&ok("x"), t0);
    assert!(read_all(&mut busy, t0).contains("\r\nConnection: close\r\n"));
    assert!(busy.is_lingering());

    let mut unread = Connection::new(OPTIONS, t0);
    unread.handle_bytes(REQUEST, t0);
    unread.reply(&ok("x"), t0);
    unread.close_soon();
    assert!(!unread.is_finished());
    read_all(&mut unread, t0);
    assert!(unread.is_lingering());
}

#[test]
fn damaged_requests_end_alike_however_they_are_cut() {
    let whole: &[u8] = b"POST /1 HTTP/1.1\r\nContent-Length: 16\r\n\r\n{\"exten\":\"8003\"}\
        POST /2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nA: b\r\n\r\n\
        GET /3 HTTP/1.0\r\n\r\n";
    let mut random = Random(7);
    for round in 0..200 {
        let mut bytes = whole.to_vec();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes.insert(at, b"\r\n \t:;0"[random.below(7)]),
                _ => drop(bytes.remove(at)),
            }
        }
        see(&bytes, round % 2 == 0);
    }
}
