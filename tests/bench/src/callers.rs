//! How long an incoming caller waits for the way: from INVITE to 302, on a real Asterisk.
//!
//! Extension 5000 asks salara, which asks a CRM that answers at once; 5003 asks the same CRM by
//! Asterisk's own CURL() and goes the same steps without salara: field of the answer, state of the
//! extension, Transfer. Calls alternate one by one. Each must be redirected to the right extension.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::rest::process::Server;
use crate::stats::percentile;
use crate::support::asterisk::{Asterisk, Version, available};
use crate::support::crm::{Answer, Crm};
use crate::support::phone::{Behaviour, Call, Phone, Stage};

/// Calls of each way in a round; ten rounds make a thousand.
const CALLS: u32 = 100;
const ROUNDS: u32 = 10;
/// Between two calls all comes to rest.
const PAUSE: Duration = Duration::from_millis(2);

/// Where the CRM sends everybody: idle without a phone.
const TARGET: &str = "0000";

/// Who decides.
struct Way {
    name: &'static str,
    extension: &'static str,
    /// ns, of all rounds.
    times: Vec<u32>,
}

/// Measures and prints; gives back the lines of the summary.
pub(crate) fn run(args: &Args) -> Result<Vec<String>, String> {
    // The lab's 16 has no CURL(): of what libcurl wants, it lacks most.
    available(Version::V22)?;
    let ways = measure_all(args).map_err(|why| format!("callers: {why}"))?;
    let [salara, curl] = &ways;
    let ratio = |share| salara.all(share) / curl.all(share);
    let (half, most) = (ratio(0.5), ratio(0.99));
    let mut lines = vec![
        "callers, ratio         p50     p99   (salara / Asterisk's CURL() and Transfer)".to_owned(),
        format!("  wait for the way   {half:5.2} {most:7.2}"),
        "callers, from INVITE to 302, an instant CRM".to_owned(),
    ];
    for way in &ways {
        let (half, most, count) = (way.all(0.5), way.all(0.99), way.times.len());
        lines.push(format!(
            "  {:19} {}  {count} calls",
            way.name,
            line(half, most)
        ));
    }
    Ok(lines)
}

fn measure_all(args: &Args) -> Result<[Way; 2], String> {
    let asterisk = Asterisk::start(Version::V22);
    let crm = Crm::start(|_| Answer::json(format!(r#"{{"{KEY_WORD}":"{TARGET}"}}"#)));
    prepare(&asterisk, &crm);
    let settings = format!(
        "[general]\ndefault_context=alnik\n[url]\ndest_url={}?phone=\nagi_server=127.0.0.1:{}\n",
        crm.url("/phone"),
        asterisk.agi_port(),
    );
    let secret = asterisk.secret("salara");
    let salara = Server::salara(&args.salara, asterisk.ami_addr(), &secret, &settings)?;
    let mut ways = [Way::new("salara", "5000"), Way::new("CURL()", "5003")];
    let rounds = args.rounds.unwrap_or(ROUNDS);
    // The first round is not counted: everybody loads, connects, and finds out.
    for round in 0..=rounds {
        let trunk = (asterisk.trunk_port(), asterisk.sip_addr());
        let measured = measure(trunk, &mut ways, round);
        measured.map_err(|why| format!("{why}; salara said {:?}", salara.said()))?;
    }
    let asked = crm.requests().len();
    let calls = 2 * CALLS * (rounds + 1);
    if asked != calls as usize {
        return Err(format!("the CRM was asked {asked} times for {calls} calls"));
    }
    if let Some((memory, peak)) = salara.memory() {
        let calls = calls / 2;
        println!("callers salara: VmRSS {memory} KiB, VmHWM {peak} KiB after {calls} calls");
    }
    Ok(ways)
}

/// What the dialplan of 5003 wants.
fn prepare(asterisk: &Asterisk, crm: &Crm) {
    for module in ["res_curl", "func_curl", "func_json", "func_extstate"] {
        asterisk.cli(&format!("module load {module}.so"));
    }
    let url = crm.url("/phone");
    let set = [
        ("Action", "Setvar"),
        ("Variable", "CRM"),
        ("Value", url.as_str()),
    ];
    asterisk.ami().action(&set);
}

/// A round, of which number 0 is not counted. A phone of its own, whose list of calls is short.
fn measure(
    (port, server): (u16, SocketAddr),
    ways: &mut [Way; 2],
    round: u32,
) -> Result<(), String> {
    let trunk = Phone::start_at(port, server, "trunk", Behaviour::ANSWER);
    let mut times: [Vec<u32>; 2] = Default::default();
    for number in 0..CALLS {
        for (way, times) in ways.iter().zip(times.iter_mut()) {
            let caller = format!("8701{:07}", round * CALLS + number);
            let call = trunk.call_as(&caller, way.extension);
            times.push(waited(&call).map_err(|why| format!("{}: {why}", way.name))?);
            std::thread::sleep(PAUSE);
        }
    }
    if round == 0 {
        return Ok(());
    }
    for (way, mut times) in ways.iter_mut().zip(times) {
        times.sort_unstable();
        let (half, most) = (micros(&times, 0.5), micros(&times, 0.99));
        println!("callers round {round} {:8} {}", way.name, line(half, most));
        way.times.extend(times);
    }
    Ok(())
}

/// ns from the INVITE to the 302.
fn waited(call: &Call) -> Result<u32, String> {
    if !call.wait(Stage::Ended, PATIENCE) {
        return Err("the call does not end".to_owned());
    }
    let target = call.redirected_to().unwrap_or_default();
    if call.code() != Some(302) || !target.contains(TARGET) {
        return Err(format!(
            "{:?}, to {target:?}, is no way to {TARGET}",
            call.code()
        ));
    }
    let stages = call.stages();
    let at = |wanted| {
        stages
            .iter()
            .find(|(stage, _)| *stage == wanted)
            .map(|(_, at)| *at)
    };
    let time = |from: Instant, to: Instant| u32::try_from((to - from).as_nanos());
    match (at(Stage::Calling), at(Stage::Ended)) {
        (Some(from), Some(to)) => time(from, to).map_err(|error| error.to_string()),
        _ => Err(format!("{stages:?}")),
    }
}

impl Way {
    fn new(name: &'static str, extension: &'static str) -> Self {
        Self {
            name,
            extension,
            times: Vec::new(),
        }
    }

    /// µs, over the calls of all rounds.
    fn all(&self, share: f64) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        micros(&times, share)
    }
}

fn micros(sorted: &[u32], share: f64) -> f64 {
    f64::from(percentile(sorted, share)) / 1e3
}

fn line(half: f64, most: f64) -> String {
    format!("p50 {half:7.0} µs  p99 {most:7.0} µs")
}

const KEY_WORD: &str = "personal_manager_internal_phone";
/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(20);
