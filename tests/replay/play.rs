//! Plays a recording into salara, cut as one likes.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use salara::ami::codec::{Decoder, Item};
use salara::ami::event::Event;
use salara::channel::{Channels, Post};
use salara::config::Config;

use crate::recording::{Act, Call, Clock, Incoming, Recording};

/// Whether Asterisk gives a channel the id it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// As since version 12: the operator's channel has the id that salara chose.
    Ours,
    /// As before: it has the recorded one, and the banner is an old one.
    Theirs,
}

/// In what pieces the bytes arrive.
#[derive(Clone, Copy, Debug)]
pub enum Cuts {
    AsRecorded,
    /// All there is until salara does something.
    Joined,
    Bytes,
    Random(u64),
}

/// What takes the events.
pub trait World {
    fn up(&mut self, version: &str);
    /// Sets a call up; the id it chose for the channel, if it did.
    fn call(&mut self, call: &Call, now: Instant) -> Option<String>;
    /// The dialplan hands a call over.
    fn incoming(&mut self, call: &Incoming, now: Instant);
    fn event(&mut self, event: Event, now: Instant) -> Option<Post>;
    fn timeout(&mut self, now: Instant);
    fn next_timeout(&self) -> Option<Instant>;
}

/// Plays the whole recording, and then lets time pass until nothing is waited for.
pub fn play(recording: &Recording, world: &mut impl World, ids: Ids, cuts: Cuts) -> Vec<Post> {
    let start = Instant::now();
    let first = recording.pieces[0].at.min(first_act(recording));
    let at = |clock: Clock| start + (clock - first);
    let mut player = Player {
        world,
        decoder: Decoder::new(),
        renamed: HashMap::new(),
        posts: Vec::new(),
    };
    let mut pieces = recording.pieces.as_slice();
    for (when, act) in &recording.acts {
        let count = pieces.partition_point(|piece| piece.at <= *when);
        let (before, after) = pieces.split_at(count);
        pieces = after;
        for (clock, bytes) in cut(before, cuts) {
            player.feed(&bytes, ids, at(clock));
        }
        player.act(act, ids, at(*when));
    }
    let mut now = at(recording.pieces.last().unwrap().at);
    for (clock, bytes) in cut(pieces, cuts) {
        player.feed(&bytes, ids, at(clock));
    }
    while let Some(next) = player.world.next_timeout() {
        assert!(next > now, "{}: a timeout that has passed", recording.name);
        now = next;
        player.world.timeout(now);
    }
    player.posts
}

fn first_act(recording: &Recording) -> Clock {
    let first = recording.acts.first();
    first.map_or(Clock::MAX, |(at, _)| *at)
}

struct Player<'a, W> {
    world: &'a mut W,
    decoder: Decoder,
    /// The recorded ids of the operators' channels, and what they would be had salara asked.
    renamed: HashMap<String, String>,
    posts: Vec<Post>,
}

impl<W: World> Player<'_, W> {
    fn act(&mut self, act: &Act, ids: Ids, now: Instant) {
        match act {
            Act::Call(call) => {
                let id = self.world.call(call, now);
                if let (Ids::Ours, Some(leg), Some(id)) = (ids, &call.leg, id) {
                    self.renamed.insert(leg.clone(), id);
                }
            }
            Act::Incoming(call) => self.world.incoming(call, now),
        }
    }

    fn feed(&mut self, bytes: &Chunk, ids: Ids, now: Instant) {
        if self.world.next_timeout().is_some_and(|next| next <= now) {
            self.world.timeout(now);
        }
        let mut text = Vec::new();
        for line in &bytes.lines {
            text.extend(self.rewritten(line, ids));
        }
        let mut rest = text.as_slice();
        let mut sizes = bytes.sizes.clone();
        while !rest.is_empty() {
            let size = sizes.next().clamp(1, rest.len());
            let (piece, later) = rest.split_at(size);
            rest = later;
            self.decoder.push(piece);
            while let Some(item) = self.decoder.next().unwrap() {
                match item {
                    Item::Banner(version) => {
                        self.world.up(&String::from_utf8_lossy(version));
                    }
                    Item::Message(message) => {
                        let event = Event::parse(message);
                        let post = event.and_then(|event| self.world.event(event, now));
                        self.posts.extend(post);
                    }
                }
            }
        }
    }

    fn rewritten(&self, line: &[u8], ids: Ids) -> Vec<u8> {
        let text = String::from_utf8_lossy(line);
        if ids == Ids::Theirs && text.starts_with("Asterisk Call Manager/") {
            return b"Asterisk Call Manager/1.1\r\n".to_vec();
        }
        let value = text.split_once(": ").map(|(_, value)| value.trim_end());
        match value.and_then(|value| Some((value, self.renamed.get(value)?))) {
            Some((value, id)) => text.replace(value, id).into_bytes(),
            None => line.to_vec(),
        }
    }
}

/// Lines, and the sizes of the pieces they arrive in.
struct Chunk {
    lines: Vec<Vec<u8>>,
    sizes: Sizes,
}

/// Piece sizes without end.
#[derive(Clone)]
enum Sizes {
    Fixed(usize),
    Random(u64),
}

impl Sizes {
    fn next(&mut self) -> usize {
        match self {
            Self::Fixed(size) => *size,
            Self::Random(state) => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                // Mostly within a line, sometimes over several messages.
                let span = if *state & 0x300 == 0 { 2_000 } else { 40 };
                usize::try_from((*state >> 20) % span).unwrap() + 1
            }
        }
    }
}

fn cut(pieces: &[crate::recording::Piece], cuts: Cuts) -> Vec<(Clock, Chunk)> {
    let lines = |bytes: &[u8]| -> Vec<Vec<u8>> {
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        lines.map(<[u8]>::to_vec).collect()
    };
    let joined = |sizes: Sizes| match pieces.last() {
        Some(last) => vec![(
            last.at,
            Chunk {
                lines: pieces
                    .iter()
                    .flat_map(|piece| lines(&piece.bytes))
                    .collect(),
                sizes,
            },
        )],
        None => Vec::new(),
    };
    let each = |size: usize| {
        let chunk = |piece: &crate::recording::Piece| Chunk {
            lines: lines(&piece.bytes),
            sizes: Sizes::Fixed(size),
        };
        pieces
            .iter()
            .map(|piece| (piece.at, chunk(piece)))
            .collect()
    };
    match cuts {
        Cuts::AsRecorded => each(usize::MAX),
        Cuts::Bytes => each(1),
        Cuts::Joined => joined(Sizes::Fixed(usize::MAX)),
        Cuts::Random(seed) => joined(Sizes::Random(seed | 1)),
    }
}

/// The records alone.
pub struct Bare {
    pub channels: Channels,
    timeout: Duration,
    config: Rc<Config>,
    calls: u32,
}

impl Bare {
    pub fn new(config: &Config) -> Self {
        Self {
            channels: Channels::new(config.event.clone()),
            timeout: config.event.timeout_makecall,
            config: Rc::new(config.clone()),
            calls: 0,
        }
    }
}

impl World for Bare {
    fn up(&mut self, version: &str) {
        self.channels.handle_up(version);
    }

    fn call(&mut self, call: &Call, now: Instant) -> Option<String> {
        if !self.config.url.good_status.contains(call.state) {
            return None;
        }
        self.calls += 1;
        let id = format!("salara-replay-{}", self.calls);
        let (operator, phone) = (&call.operator, &call.phone);
        self.channels
            .originated(&id, operator, phone, self.timeout, now);
        if call.leg.is_none() {
            self.channels.failed(&id);
        }
        Some(id)
    }

    fn incoming(&mut self, call: &Incoming, now: Instant) {
        if let Some(target) = &call.sent_to {
            self.channels.transferred(&call.caller, target, now);
        }
    }

    fn event(&mut self, event: Event, now: Instant) -> Option<Post> {
        self.channels.handle_event(&event, now)
    }

    fn timeout(&mut self, now: Instant) {
        self.channels.handle_timeout(now);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.channels.poll_timeout()
    }
}
