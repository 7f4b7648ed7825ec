//! The log: what gets in, how a line looks, and that it harms nobody.
//!
//! This file owns the one logger of the program. simplelog writes the lines (time, level, target);
//! where they go is the business of `sink`, what comes too often that of `repeats`. It must not know
//! what is told.
//!
//! The surprising fact: who reads the log may stop reading, and the log must not make the loop wait
//! for him. Nothing here blocks: a line that finds no room is lost, and the number of those is told
//! as soon as there is room again.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use log::{Level, LevelFilter, Log, Metadata, Record, error};
use simplelog::{ConfigBuilder, WriteLogger};

use crate::config::{LogTo, Verbosity};

mod repeats;
mod sink;

use repeats::Repeats;
use sink::{Sink, Style};

/// Our own lines only: libraries log bytes, and among them what must not be seen.
const TARGETS: [&str; 5] = ["ami", "rest", "crm", "call", "control"];
/// What was read and written, whole.
const WIRE: &str = "wire";

static LOGGER: Logger = Logger {
    dumps: AtomicBool::new(false),
    state: Mutex::new(None),
};

struct Logger {
    /// Whether [`WIRE`] is wanted.
    dumps: AtomicBool,
    state: Mutex<Option<State>>,
}

struct State {
    to: LogTo,
    sink: Sink,
    format: Box<WriteLogger<Line>>,
    line: Line,
    repeats: Repeats,
}

/// The line simplelog is writing.
#[derive(Clone, Default)]
struct Line(Arc<Mutex<Vec<u8>>>);

/// Begins to log. An error says why the log cannot go there.
pub fn start(to: &LogTo, verbose: Verbosity) -> Result<(), String> {
    let sink = Sink::open(to)?;
    let line = Line::default();
    *LOGGER.state() = Some(State {
        to: to.clone(),
        format: formatter(sink.style(), line.clone()),
        sink,
        line,
        repeats: Repeats::default(),
    });
    set_verbosity(verbose);
    // It fails when it has been done, by an earlier call.
    drop(log::set_logger(&LOGGER));
    Ok(())
}

/// Whether the log could go there. Nothing is made: the file is to be its who runs, not who asks.
pub fn check(to: &LogTo) -> Result<(), String> {
    sink::check(to)
}

/// Changes how much is logged.
pub fn set_verbosity(verbose: Verbosity) {
    let dumps = verbose == Verbosity::Dump;
    LOGGER.dumps.store(dumps, Ordering::Relaxed);
    log::set_max_level(match verbose {
        Verbosity::Off => LevelFilter::Warn,
        Verbosity::On => LevelFilter::Info,
        Verbosity::Debug | Verbosity::Dump => LevelFilter::Debug,
    });
}

/// Has the log go elsewhere, or to the same place anew: a file that was renamed is left to whoever
/// did it. When that fails it goes on where it was.
pub fn reopen(to: Option<&LogTo>) -> Result<(), String> {
    let mut guard = LOGGER.state();
    let Some(state) = guard.as_mut() else {
        return Ok(());
    };
    let to = to.unwrap_or(&state.to).clone();
    let mut sink = Sink::open(&to)?;
    // What is missing in the old place is told in the new one.
    sink.lost = state.sink.lost;
    std::mem::swap(&mut sink.why, &mut state.sink.why);
    state.format = formatter(sink.style(), state.line.clone());
    (state.to, state.sink) = (to, sink);
    Ok(())
}

/// Does as [`reopen`] for who has nobody to tell of an error but the log.
pub fn reopen_or_say() {
    if let Err(why) = reopen(None) {
        error!("the log goes on where it was: {why}");
    }
}

/// Writes what had to wait: what found no room, and how many lines were left out.
pub fn handle_timeout(now: Instant) {
    if let Some(state) = LOGGER.state().as_mut() {
        state.tell_repeats(now);
        state.make_room();
    }
}

/// The end: what was left out is told at once.
pub fn finish(now: Instant) {
    handle_timeout(now + repeats::SPAN);
}

impl Logger {
    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        metadata.level() <= log::max_level()
            && (is_own(target)
                || TARGETS.contains(&target)
                || (target == WIRE && self.dumps.load(Ordering::Relaxed)))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if let Some(state) = self.state().as_mut() {
            #[expect(clippy::disallowed_methods, reason = "threads log too, at any time")]
            let now = Instant::now();
            state.tell_repeats(now);
            // What a peer can cause, it can cause a thousand times; what we say of ourselves not.
            let is_limited = record.level() <= Level::Warn && !is_own(record.target());
            if !is_limited || state.repeats.admits(record, now) {
                state.write(record.level(), record.target(), *record.args());
            }
        }
    }

    fn flush(&self) {}
}

fn is_own(target: &str) -> bool {
    target.starts_with("salara")
}

impl State {
    fn write(&mut self, level: Level, target: &str, text: Arguments<'_>) {
        if !self.make_room() || !self.say(level, target, text) {
            self.sink.lost = self.sink.lost.saturating_add(1);
        }
    }

    /// Tells what was lost, if anything; false when there is still no room.
    fn make_room(&mut self) -> bool {
        let count = self.sink.lost;
        if !self.sink.flush() {
            return false;
        }
        if count == 0 {
            return true;
        }
        let why = self.sink.why.clone();
        let text = format_args!("{count} lines of the log are missing here: {why}");
        let is_told = self.say(Level::Warn, "salara", text);
        if is_told {
            self.sink.lost = 0;
        }
        is_told
    }

    fn tell_repeats(&mut self, now: Instant) {
        while let Some(unsaid) = self.repeats.poll_unsaid(now) {
            let (count, like) = (unsaid.count, &unsaid.like);
            let text = format_args!("{count} more like this within a minute: {like}");
            self.write(unsaid.level, &unsaid.target, text);
        }
    }

    /// Its control characters become blanks: a value from the wire must neither begin a line of its
    /// own nor steer a terminal.
    fn say(&mut self, level: Level, target: &str, text: Arguments<'_>) -> bool {
        self.line.bytes().clear();
        let mut record = Record::builder();
        self.format
            .log(&record.level(level).target(target).args(text).build());
        let mut line = self.line.bytes();
        line.pop();
        for byte in line.iter_mut().filter(|byte| byte.is_ascii_control()) {
            *byte = b' ';
        }
        line.push(b'\n');
        self.sink.put(level, &line)
    }
}

impl Line {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn formatter(style: Style, line: Line) -> Box<WriteLogger<Line>> {
    let mut config = ConfigBuilder::new();
    config
        .set_thread_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Error);
    match style {
        Style::Plain => config.set_time_format_rfc3339(),
        // Its reader knows the time, and the level by the number in front.
        Style::Journal => config
            .set_time_level(LevelFilter::Off)
            .set_max_level(LevelFilter::Off),
        Style::Syslog => config
            .set_time_format_rfc2822()
            .set_max_level(LevelFilter::Off),
    };
    WriteLogger::new(LevelFilter::Debug, config.build(), line)
}
