//! AMI decoding: salara's decoder beside asterisk-rs-ami's, over the same bytes in the same pieces.
//!
//! Three ways for salara: `lent`, as the daemon uses it (headers lent from the decoder's buffer);
//! `owned`, each message copied out; `strings`, each header two `String`s, which is what the other
//! crate makes. The other crate is driven by its own codec alone: no runtime, no socket, no event
//! type made of the message, all of which would only cost it more.

use std::hint::black_box;
use std::time::{Duration, Instant};

use asterisk_rs_ami::AmiCodec;
use salara::ami::codec::{Decoder, Item};
use salara::ami::{Message, OwnedMessage};
use tokio_util::bytes::BytesMut;
use tokio_util::codec::Decoder as _;

use crate::args::{Args, root};
use crate::capture;
use crate::stats::median;

/// What a read of a socket gives at most.
const PIECE: usize = 16 * 1024;
const ROUNDS: u32 = 5;
const ROUND: Duration = Duration::from_millis(800);

#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    /// Decodes all the bytes once and counts the messages.
    pass: fn(&[u8]) -> Result<usize, String>,
}

const WAYS: [Way; 4] = [
    Way {
        name: "salara lent",
        pass: lent,
    },
    Way {
        name: "salara owned",
        pass: owned,
    },
    Way {
        name: "salara strings",
        pass: strings,
    },
    Way {
        name: "asterisk-rs-ami",
        pass: other,
    },
];

/// Measures and prints; gives back the lines of the summary.
pub(crate) fn run(args: &Args) -> Result<Vec<String>, String> {
    let bytes = capture::server_bytes(&root().join("tests/captures/bulk.txt.xz"))?;
    let expected = capture::count_messages(&bytes);
    println!(
        "decode: {} bytes, {expected} messages, pieces of {PIECE}",
        bytes.len()
    );
    for way in WAYS {
        let found = (way.pass)(&bytes)?;
        println!("decode count  {:16} {found}", way.name);
        if found != expected {
            return Err(format!(
                "{} found {found} messages, not {expected}",
                way.name
            ));
        }
    }

    let round = args.seconds.unwrap_or(ROUND);
    let rounds = args.rounds.unwrap_or(ROUNDS);
    let mut rates = WAYS.map(|_| Vec::new());
    for number in 1..=rounds {
        for (way, rates) in WAYS.iter().zip(&mut rates) {
            let passes = measure(*way, &bytes, round)?;
            let megabytes = passes * bytes.len() as f64 / 1e6;
            let messages = passes * expected as f64;
            println!(
                "decode round {number} {:16} {megabytes:8.1} MB/s {messages:10.0} messages/s",
                way.name
            );
            rates.push(megabytes);
        }
    }

    let medians = rates.map(median);
    let Some((base, ours)) = medians.split_last() else {
        return Ok(Vec::new());
    };
    let mut summary = vec!["decode, ratio salara / asterisk-rs-ami".to_owned()];
    summary.extend(WAYS.iter().zip(ours).map(|(way, rate)| {
        format!(
            "  {:16} {:6.2}",
            way.name.trim_start_matches("salara "),
            rate / base
        )
    }));
    summary.push(format!("decode, MB/s, medians of {rounds} rounds"));
    summary.extend(
        WAYS.iter()
            .zip(medians)
            .map(|(way, rate)| format!("  {:16} {rate:8.1}", way.name)),
    );
    Ok(summary)
}

/// Passes per second.
fn measure(way: Way, bytes: &[u8], round: Duration) -> Result<f64, String> {
    let started = Instant::now();
    let mut passes = 0_u32;
    loop {
        black_box((way.pass)(black_box(bytes))?);
        passes += 1;
        let taken = started.elapsed();
        if taken >= round {
            return Ok(f64::from(passes) / taken.as_secs_f64());
        }
    }
}

fn lent(bytes: &[u8]) -> Result<usize, String> {
    salara(bytes, |message| {
        black_box(message);
    })
}

fn owned(bytes: &[u8]) -> Result<usize, String> {
    salara(bytes, |message| {
        black_box::<OwnedMessage>(message.to_owned());
    })
}

fn strings(bytes: &[u8]) -> Result<usize, String> {
    salara(bytes, |message| {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let headers = message.iter().map(|(key, value)| (text(key), text(value)));
        black_box(headers.collect::<Vec<(String, String)>>());
    })
}

fn salara(bytes: &[u8], mut each: impl FnMut(Message<'_>)) -> Result<usize, String> {
    let mut decoder = Decoder::new();
    let mut count = 0;
    for piece in bytes.chunks(PIECE) {
        decoder.push(piece);
        while let Some(item) = decoder.next().map_err(|error| error.to_string())? {
            if let Item::Message(message) = item {
                each(message);
                count += 1;
            }
        }
    }
    Ok(count)
}

fn other(bytes: &[u8]) -> Result<usize, String> {
    let mut codec = AmiCodec::new();
    let mut buffer = BytesMut::with_capacity(4 * PIECE);
    let mut count = 0;
    for piece in bytes.chunks(PIECE) {
        buffer.extend_from_slice(piece);
        while let Some(message) = codec
            .decode(&mut buffer)
            .map_err(|error| error.to_string())?
        {
            black_box(message);
            count += 1;
        }
    }
    Ok(count)
}
