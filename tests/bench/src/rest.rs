//! REST status questions: the salara binary beside a server that does nothing.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::args::{Ami, Args};
use crate::stats::{median, percentile};
use crate::support::asterisk::{Asterisk, Version, available};

pub(crate) mod do_nothing;
pub(crate) mod fake_ami;
pub(crate) mod http;
mod load;
pub(crate) mod process;

use do_nothing::Replies;
use fake_ami::FakeAmi;
use load::{Mode, Question};
use process::Server;

const ROUNDS: u32 = 10;
const ROUND: Duration = Duration::from_millis(500);
const CLIENTS: [usize; 3] = [1, 8, 64];
const MODES: [(Mode, &str); 2] = [(Mode::New, "new"), (Mode::Keep, "keep")];

/// One figure of each round, for both servers.
#[derive(Default)]
struct Sides {
    salara: Figures,
    nothing: Figures,
}

#[derive(Default)]
struct Figures {
    /// Requests a second.
    rate: Vec<f64>,
    /// µs.
    half: Vec<f64>,
    most: Vec<f64>,
    /// µs of processor time for a request.
    cost: Vec<f64>,
}

/// Measures and prints; gives back the lines of the summary.
pub(crate) fn run(args: &Args) -> Result<Vec<String>, String> {
    let asterisk = AnyAmi::start(args.ami)?;
    let exten = args
        .exten
        .as_deref()
        .unwrap_or_else(|| asterisk.idle_extension());
    let question = Question {
        body: format!("{{\"exten\":\"{exten}\"}}"),
        answer: r#"{"result":0,"text":"Idle"}"#,
    };
    let rounds = args.rounds.unwrap_or(ROUNDS);
    let salara = Server::salara(&args.salara, asterisk.addr(), &asterisk.secret(), "")?;
    let replies = Replies {
        keep: first_reply(salara.addr, Mode::Keep, &question)?,
        close: first_reply(salara.addr, Mode::New, &question)?,
    };
    let nothing = Server::do_nothing(&replies)?;
    println!("rest: {}, Asterisk: {}", question.body, asterisk.name());
    println!("rest reply: {:?}", String::from_utf8_lossy(&replies.keep));

    let round = args.seconds.unwrap_or(ROUND);
    let mut summary = Vec::new();
    let mut table = Vec::new();
    for (mode, mode_name) in MODES {
        for clients in CLIENTS {
            if !format!("{mode_name} {clients}").starts_with(&args.only) {
                continue;
            }
            let mut sides = Sides::default();
            let name = format!("{mode_name:4} {clients:2} clients");
            for number in 1..=rounds {
                let of = [
                    (&salara, "salara", &mut sides.salara),
                    (&nothing, "do-nothing", &mut sides.nothing),
                ];
                for (server, server_name, figures) in of {
                    let line = figures
                        .measure(server, mode, clients, &question, round)
                        .map_err(|error| format!("{server_name}, {name}: {error}"))?;
                    println!("rest round {number} {name}  {server_name:10} {line}");
                }
            }
            let Sides { salara, nothing } = &sides;
            let ratio =
                |figure: fn(&Figures) -> &Vec<f64>| salara.median(figure) / nothing.median(figure);
            let (rate, cost) = (ratio(|f| &f.rate), ratio(|f| &f.cost));
            let (half, most) = (ratio(|f| &f.half), ratio(|f| &f.most));
            summary.push(format!(
                "  {name}  {rate:10.2} {half:7.2} {most:7.2} {cost:10.2}"
            ));
            table.push(format!("  {name}  salara     {}", salara.line()));
            table.push(format!("  {name}  do-nothing {}", nothing.line()));
        }
    }
    for line in salara.said() {
        println!("salara said: {line}");
    }
    let head = "requests/s     p50     p99  processor";
    summary.insert(
        0,
        format!("rest, ratio        {head}   (salara / do-nothing)"),
    );
    summary.push(format!(
        "rest, medians of {rounds} rounds; processor: the server's time for a request"
    ));
    summary.extend(table);
    summary.push(format!("Asterisk: {}", asterisk.name()));
    Ok(summary)
}

impl Figures {
    /// Runs a round and gives back its line.
    fn measure(
        &mut self,
        server: &Server,
        mode: Mode,
        clients: usize,
        question: &Question,
        length: Duration,
    ) -> Result<String, String> {
        let before = server.processor_time();
        let round = load::run(server.addr, mode, clients, question, length)
            .map_err(|error| error.to_string())?;
        let cost = server.processor_time() - before;
        if let Some(error) = &round.error {
            return Err(format!("{} errors, the first: {error}", round.errors));
        }
        let this = Self {
            rate: vec![round.rate()],
            half: vec![f64::from(percentile(&round.times, 0.5)) / 1e3],
            most: vec![f64::from(percentile(&round.times, 0.99)) / 1e3],
            cost: vec![cost.as_secs_f64() * 1e6 / round.times.len().max(1) as f64],
        };
        let line = this.line();
        self.rate.extend(this.rate);
        self.half.extend(this.half);
        self.most.extend(this.most);
        self.cost.extend(this.cost);
        Ok(line)
    }

    fn median(&self, figure: impl Fn(&Self) -> &Vec<f64>) -> f64 {
        median(figure(self).iter().copied())
    }

    fn line(&self) -> String {
        let [rate, half, most, cost] = [
            self.median(|f| &f.rate),
            self.median(|f| &f.half),
            self.median(|f| &f.most),
            self.median(|f| &f.cost),
        ];
        format!("{rate:8.0}/s  p50 {half:7.1} µs  p99 {most:7.1} µs  processor {cost:5.1} µs")
    }
}

/// A right answer, as soon as there is one: salara may listen before Asterisk lets it in.
fn first_reply(server: SocketAddr, mode: Mode, question: &Question) -> Result<Vec<u8>, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let round = load::run(server, mode, 1, question, Duration::ZERO)
            .map_err(|error| error.to_string())?;
        match round.error {
            None => return Ok(round.reply),
            Some(error) if Instant::now() >= deadline => return Err(error),
            Some(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// A real Asterisk or one that is played.
enum AnyAmi {
    Real(Box<Asterisk>),
    Fake(FakeAmi),
}

impl AnyAmi {
    fn start(ami: Ami) -> Result<Self, String> {
        match ami {
            Ami::Asterisk => {
                available(Version::V22)?;
                Ok(Self::Real(Box::new(Asterisk::start(Version::V22))))
            }
            Ami::Fake => FakeAmi::start()
                .map(Self::Fake)
                .map_err(|error| error.to_string()),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Real(_) => "22, a real one",
            Self::Fake(_) => "a thread that plays one",
        }
    }

    fn addr(&self) -> SocketAddr {
        match self {
            Self::Real(asterisk) => asterisk.ami_addr(),
            Self::Fake(fake) => fake.addr,
        }
    }

    fn secret(&self) -> String {
        match self {
            Self::Real(asterisk) => asterisk.secret("salara"),
            Self::Fake(_) => "secret".to_owned(),
        }
    }

    /// One whose state is Idle without a phone.
    fn idle_extension(&self) -> &'static str {
        match self {
            Self::Real(_) => "0000",
            Self::Fake(_) => "8003",
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(15);
