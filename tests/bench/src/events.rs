//! Call events to the CRM: the salara binary, between an AMI and a CRM that are both played, beside
//! a client that only posts.
//!
//! `delay`: one event at a time, from before AMI writes it until the CRM has read its post; between
//! two there is a pause in which all come to rest. `rate`: events as fast as AMI takes them, from
//! the first written to the last post read. `calls`: a thousand in five seconds, which nothing can
//! be put beside; salara is started anew for it, so that its memory is that of these calls.

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::rest::fake_ami::FakeAmi;
use crate::rest::process::Server;
use crate::stats::{median, percentile};

mod calls;
mod plain;
mod sink;

use calls::Event;
use plain::Plain;
use sink::Sink;

const ROUNDS: u32 = 8;
/// Events timed one by one in a round.
const SAMPLES: u32 = 500;
const PAUSE: Duration = Duration::from_micros(500);
/// Calls at full speed in a round: how many, how many at a time, and their Newexten.
const FAST: u32 = 500;
const GROUP: usize = 50;
const FAST_EXTENS: usize = 8;
/// Posts that may wait. salara would keep twice as many before it dropped one.
const MOST_WAITING: usize = 8_000;
/// The calls of five seconds, and their Newexten.
const CALLS: u32 = 1_000;
const CALLS_LENGTH: Duration = Duration::from_secs(5);
const CALLS_EXTENS: usize = 4;
/// From one event of a call to its next.
const STEP: Duration = Duration::from_millis(20);

const ORIGINAL: &str = "aims: p50 <= 500 µs, >= 3000/s, lag <= 500 ms, VmRSS <= 6 MiB; \
                        the original module, as recorded: 1.3 ms, 318 to 426/s, 9.3 s";

/// What posts.
enum Way {
    Salara(Salara),
    Plain(Plain),
}

struct Salara {
    // It ends before what it is connected to.
    server: Server,
    ami: FakeAmi,
    parallel: usize,
}

/// One figure of each round.
#[derive(Default)]
struct Figures {
    /// µs.
    half: Vec<f64>,
    most: Vec<f64>,
    /// Posts a second.
    rate: Vec<f64>,
    /// µs of processor time for a post.
    cost: Vec<f64>,
}

/// The same of the thousand calls.
#[derive(Default)]
struct Burst {
    /// ms from the last event to the last post.
    lag: Vec<f64>,
    /// ms from an event to its post.
    half: Vec<f64>,
    most: Vec<f64>,
    /// KiB.
    memory: Vec<f64>,
    peak: Vec<f64>,
}

struct Bench {
    sink: Sink,
    /// The next call's number.
    next: u32,
}

/// Measures and prints; gives back the lines of the summary.
pub(crate) fn run(args: &Args) -> Result<Vec<String>, String> {
    let sink = Sink::start().map_err(|error| format!("CRM: {error}"))?;
    let mut bench = Bench { sink, next: 0 };
    let plain = Plain::connect(bench.sink.addr).map_err(|error| format!("plain: {error}"))?;
    let mut ways = [
        Way::Salara(Salara::start(&args.salara, 4, &bench.sink)?),
        Way::Salara(Salara::start(&args.salara, 1, &bench.sink)?),
        Way::Plain(plain),
    ]
    .map(|way| (way, Figures::default()));
    for (way, _) in &mut ways {
        bench.rate(way, 5).map_err(|why| way.failed(&why))?;
    }
    let rounds = args.rounds.unwrap_or(ROUNDS);
    for round in 1..=rounds {
        for (way, figures) in &mut ways {
            let measured = bench.delay(way);
            let (half, most) = measured.map_err(|why| way.failed(&why))?;
            let line = delay_line(half, most);
            println!("events round {round} delay {:19} {line}", way.name());
            figures.half.push(half);
            figures.most.push(most);
        }
        for (way, figures) in &mut ways {
            let measured = bench.rate(way, FAST);
            let (rate, cost) = measured.map_err(|why| way.failed(&why))?;
            let line = rate_line(rate, cost);
            println!("events round {round} rate  {:19} {line}", way.name());
            figures.rate.push(rate);
            figures.cost.push(cost);
        }
    }
    for (way, _) in &ways {
        way.report();
    }
    let connections = bench.sink.connections();
    println!("events: {connections} connections to the CRM, all events arrived, in order");

    let mut burst = Burst::default();
    for round in 1..=rounds.div_ceil(4) {
        let salara = Salara::start(&args.salara, 4, &bench.sink)?;
        let measured = bench.calls(&salara);
        let this = measured.map_err(|why| format!("salara: {why}: {:?}", salara.server.said()))?;
        println!(
            "events round {round} calls salara, parallel=4  {}",
            this.line()
        );
        burst.add(this);
    }
    Ok(summary(&ways, &burst, rounds))
}

fn summary(ways: &[(Way, Figures); 3], burst: &Burst, rounds: u32) -> Vec<String> {
    let head = "p50     p99     posts/s  processor";
    let mut lines = vec![format!(
        "events, ratio          {head}   (salara / a client that only posts)"
    )];
    let [salara @ .., (_, plain)] = ways;
    for (way, figures) in salara {
        let ratio = |of: fn(&Figures) -> &Vec<f64>| middle(of(figures)) / middle(of(plain));
        let (half, most) = (ratio(|f| &f.half), ratio(|f| &f.most));
        let (rate, cost) = (ratio(|f| &f.rate), ratio(|f| &f.cost));
        lines.push(format!(
            "  {:19} {half:5.2} {most:7.2} {rate:11.2} {cost:10.2}",
            way.name()
        ));
    }
    lines.push(format!(
        "events, medians of {rounds} rounds; processor: the poster's time for a post"
    ));
    for (way, figures) in ways {
        lines.push(format!(
            "  {:19} {}  {}",
            way.name(),
            delay_line(middle(&figures.half), middle(&figures.most)),
            rate_line(middle(&figures.rate), middle(&figures.cost)),
        ));
    }
    lines.push(format!(
        "  {CALLS} calls in {} s, {} events: {}",
        CALLS_LENGTH.as_secs(),
        CALLS as usize * (CALLS_EXTENS + 2),
        burst.line()
    ));
    lines.push(format!("  {ORIGINAL}"));
    lines
}

impl Bench {
    fn numbers(&mut self, count: u32) -> std::ops::Range<u32> {
        let first = self.next;
        self.next += count;
        first..self.next
    }

    /// p50 and p99 of the time from an event to its post, in µs.
    fn delay(&mut self, way: &mut Way) -> Result<(f64, f64), String> {
        let events: Vec<Event> = calls::calls(self.numbers(SAMPLES), 0, 1).collect();
        let mut times = Vec::new();
        for (at, event) in events.iter().enumerate() {
            let sent = Instant::now();
            way.tell(event)?;
            let taken = self.sink.wait(at + 1)? - sent;
            // A Hangup tells salara to forget the call, and is not timed.
            if at % 2 == 0 {
                times.push(nanoseconds(taken));
            } else {
                thread::sleep(PAUSE);
            }
        }
        calls::check(&events, &self.sink.take(), true)?;
        times.sort_unstable();
        let share = |share| f64::from(percentile(&times, share)) / 1e3;
        Ok((share(0.5), share(0.99)))
    }

    /// Posts a second, and what each costs in µs.
    fn rate(&mut self, way: &mut Way, calls: u32) -> Result<(f64, f64), String> {
        let numbers = self.numbers(calls);
        let events: Vec<Event> = calls::calls(numbers, FAST_EXTENS, GROUP).collect();
        let before = way.processor_time();
        let began = Instant::now();
        for (sent, event) in events.iter().enumerate() {
            if sent >= self.sink.count() + MOST_WAITING {
                self.sink.wait(sent + 1 - MOST_WAITING)?;
            }
            way.tell(event)?;
        }
        let taken = self.sink.wait(events.len())? - began;
        let cost = way.processor_time() - before;
        calls::check(&events, &self.sink.take(), way.is_in_one_line())?;
        let count = events.len() as f64;
        Ok((
            count / taken.as_secs_f64(),
            cost.as_secs_f64() * 1e6 / count,
        ))
    }

    /// A thousand calls in five seconds.
    fn calls(&mut self, salara: &Salara) -> Result<Burst, String> {
        let call_length = STEP * (CALLS_EXTENS as u32 + 1);
        let mut events = Vec::new();
        for (at, number) in self.numbers(CALLS).enumerate() {
            let start = (CALLS_LENGTH - call_length).mul_f64(at as f64 / f64::from(CALLS));
            let call = calls::call(number, CALLS_EXTENS).into_iter();
            let steps = call
                .zip(0..)
                .map(|(event, step)| (start + STEP * step, event));
            events.extend(steps);
        }
        events.sort_by_key(|(due, _)| *due);

        let began = Instant::now();
        let mut sent = Vec::new();
        for (due, event) in &events {
            thread::sleep(due.saturating_sub(began.elapsed()));
            sent.push(Instant::now());
            salara.tell(event)?;
        }
        let last_sent = Instant::now();
        let lag = self
            .sink
            .wait(events.len())?
            .saturating_duration_since(last_sent);
        let (memory, peak) = salara.server.memory().ok_or("its memory is not known")?;
        let events: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
        let arrivals = self.sink.take();
        let order = calls::check(&events, &arrivals, false)?;
        let times = arrivals.iter().zip(order);
        let mut times: Vec<u32> = times
            .filter_map(|(arrival, event)| Some(nanoseconds(arrival.at - *sent.get(event)?)))
            .collect();
        times.sort_unstable();
        let share = |share| f64::from(percentile(&times, share)) / 1e6;
        Ok(Burst {
            lag: vec![lag.as_secs_f64() * 1e3],
            half: vec![share(0.5)],
            most: vec![share(0.99)],
            memory: vec![f64::from(memory)],
            peak: vec![f64::from(peak)],
        })
    }
}

impl Way {
    fn name(&self) -> String {
        match self {
            Self::Salara(salara) => format!("salara, parallel={}", salara.parallel),
            Self::Plain(_) => "only posts".to_owned(),
        }
    }

    /// An event happens.
    fn tell(&mut self, event: &Event) -> Result<(), String> {
        match self {
            Self::Salara(salara) => salara.tell(event),
            Self::Plain(plain) => plain.post(&event.body).map_err(|error| error.to_string()),
        }
    }

    fn processor_time(&self) -> Duration {
        match self {
            Self::Salara(salara) => salara.server.processor_time(),
            Self::Plain(_) => plain::processor_time(),
        }
    }

    /// Whether all posts keep their order, not only those of a call.
    fn is_in_one_line(&self) -> bool {
        match self {
            Self::Salara(salara) => salara.parallel == 1,
            Self::Plain(_) => true,
        }
    }

    fn failed(&self, why: &str) -> String {
        let said = match self {
            Self::Salara(salara) => salara.server.said(),
            Self::Plain(_) => Vec::new(),
        };
        format!("events, {}: {why}; it said {said:?}", self.name())
    }

    fn report(&self) {
        if let Self::Salara(salara) = self {
            let name = self.name();
            for line in salara.server.said() {
                println!("{name} said: {line}");
            }
            if let Some((memory, peak)) = salara.server.memory() {
                println!("events {name}: VmRSS {memory} KiB, VmHWM {peak} KiB after all rounds");
            }
        }
    }
}

impl Salara {
    fn start(binary: &Path, parallel: usize, sink: &Sink) -> Result<Self, String> {
        let ami = FakeAmi::start().map_err(|error| format!("AMI: {error}"))?;
        let settings = format!(
            "[event]\nnewchannel=2\nnewexten=3\nhangup=2\n\
             [url]\ndest_url_event=http://{}/event\n[delivery]\nparallel={parallel}\n",
            sink.addr
        );
        let server = Server::salara(binary, ami.addr, "secret", &settings)?;
        Ok(Self {
            server,
            ami,
            parallel,
        })
    }

    fn tell(&self, event: &Event) -> Result<(), String> {
        let sent: io::Result<()> = self.ami.send(event.wire.as_bytes());
        sent.map_err(|error| format!("AMI: {error}"))
    }
}

impl Burst {
    fn add(&mut self, other: Self) {
        self.lag.extend(other.lag);
        self.half.extend(other.half);
        self.most.extend(other.most);
        self.memory.extend(other.memory);
        self.peak.extend(other.peak);
    }

    fn line(&self) -> String {
        let mib = |of: &Vec<f64>| middle(of) / 1024.0;
        format!(
            "lag {:.2} ms  p50 {:.2} ms  p99 {:.2} ms  VmRSS {:.2} MiB  VmHWM {:.2} MiB",
            middle(&self.lag),
            middle(&self.half),
            middle(&self.most),
            mib(&self.memory),
            mib(&self.peak),
        )
    }
}

fn delay_line(half: f64, most: f64) -> String {
    format!("p50 {half:7.1} µs  p99 {most:7.1} µs")
}

fn rate_line(rate: f64, cost: f64) -> String {
    format!("{rate:8.0}/s  processor {cost:5.1} µs")
}

fn middle(values: &[f64]) -> f64 {
    median(values.iter().copied())
}

fn nanoseconds(time: Duration) -> u32 {
    u32::try_from(time.as_nanos()).unwrap_or(u32::MAX)
}
