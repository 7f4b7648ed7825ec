//! salara, the library: everything but arguments, exit codes and the log's set-up.
//!
//! Byte streams become typed inputs, one pure [`engine`] turns inputs into typed outputs, and one
//! [`reactor`] owns every socket, every thread's handle and the clock.
//!
//! ```text
//!            bytes           messages              facts
//! AMI  sock ─────► ami::codec ──────► ami::session ────────┐
//! REST sock ─────► http ──► access ─► api ─────────────────┤►  engine  (channel, route)
//! AGI  sock ─────► agi ────────────────────────── Event ───┤      │
//! ctl  sock ─────► control ────────────────────── Verb ────┤      │
//! CRM threads ───► crm::lookup ────────────────── Found ───┘      │ Output
//! CRM threads ───► crm::worker ─────► crm::queue                  │
//!                                        ▲                        │
//! AMI  sock ◄──────────────────────── ami::session ◄── Act ┐◄─────┤
//! REST sock ◄───── http ◄──────────── api ◄───────── Reply ┤      │
//! AGI  sock ◄───── agi ◄───────────────────────── Tell ────┤      │
//! ctl  sock ◄───── control ◄───────────────────── Sheet ───┤      │
//! CRM threads ◄─── crm::lookup ◄───────────────── LookUp ──┘      │
//! CRM threads ◄─── crm::worker ◄───── crm::queue ◄───────── Post ─┘
//! disk ◄─────────► crm::spool ◄─────► crm::backlog
//!      ▲
//!      └── reactor: mio, the clock, threads, read and write      config: read, passed in
//! ```
//!
//! - Pure: all but `reactor`, `account`, `client`, `file`, `logging`, `main`, and in `crm` the
//!   threads (`worker` and `lookup`, with `client`, `hosts`, `agent` and `trust` or, without TLS,
//!   `plain`) and the files (`spool`). They know no sockets, files, threads or clocks; time is an
//!   argument. A test keeps them so.
//! - Every machine obeys one contract: `handle_*` feeds it, `poll_*` outputs are drained to `None`
//!   after each feeding, `poll_timeout` says when `handle_timeout` is wanted, `outgoing` and `sent`
//!   move its bytes. A machine never blocks, never panics, and refuses what it cannot use.
//! - Arrows run one way: a module may use those above it in the list below; nothing uses `reactor`.

/// What it calls itself.
#[cfg(feature = "tls")]
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What it calls itself.
#[cfg(not(feature = "tls"))]
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (without TLS)");

pub mod backoff;

pub mod file;

pub mod value;

pub mod config;

pub mod ami;

pub mod http;

pub mod agi;

pub mod route;

pub mod api;

pub mod access;

pub mod channel;

pub mod crm;

pub mod engine;

pub mod control;

pub mod client;

pub mod logging;

pub mod account;

pub mod reactor;
