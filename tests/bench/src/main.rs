//! What salara costs, measured beside something else in the same run.
//!
//! ```text
//! salara-bench [all|decode|rest|events|callers] [PATH/TO/SALARA] [--ami asterisk|fake]
//!              [--exten NUMBER] [--only CASE] [--rounds N] [--seconds S]
//! ```
//!
//! `decode`: the AMI decoder beside the crate asterisk-rs-ami, over a recorded stream. `rest`:
//! status questions to the salara binary beside a server that does nothing. `events`: call events
//! through the salara binary to a CRM beside a client that only posts. `callers`: what an incoming
//! caller waits for the way, beside a dialplan that asks the CRM itself. Rounds alternate, so that
//! whatever else the machine does meets both sides; raw lines first, then a summary that begins
//! with the ratios of the medians. Anything but the expected answer or event fails the run.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark reads clocks and starts threads"
)]

use std::process::ExitCode;

mod args;
mod callers;
mod capture;
mod decode;
mod events;
mod machine;
mod rest;
mod stats;
mod support;

use args::{Args, Part};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let args = Args::parse(std::env::args().skip(1))?;
    let mut summary = Vec::new();
    if matches!(args.part, Part::DoNothing) {
        return rest::do_nothing::serve().map_err(|error| format!("do-nothing: {error}"));
    }
    if matches!(args.part, Part::All | Part::Decode) {
        summary.extend(decode::run(&args)?);
    }
    if matches!(args.part, Part::All | Part::Rest) {
        summary.extend(rest::run(&args)?);
    }
    if matches!(args.part, Part::All | Part::Events) {
        summary.extend(events::run(&args)?);
    }
    if matches!(args.part, Part::All | Part::Callers) {
        summary.extend(callers::run(&args)?);
    }
    println!("\nsummary");
    for line in summary.iter().chain(&machine::describe(&args)) {
        println!("{line}");
    }
    Ok(())
}
