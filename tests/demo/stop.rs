//! Whether somebody wants the demo to end: a signal, or nobody who reads what it prints.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Signals are noted from now on and do nothing else.
pub(crate) fn listen() -> io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, flag())?;
    }
    Ok(())
}

/// Whether the demo shall end.
pub(crate) fn asked() -> bool {
    flag().load(Ordering::Relaxed)
}

/// It shall.
pub(crate) fn ask() {
    flag().store(true, Ordering::Relaxed);
}

fn flag() -> Arc<AtomicBool> {
    Arc::clone(ASKED.get_or_init(Arc::default))
}
