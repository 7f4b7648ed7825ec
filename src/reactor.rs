//! The one loop: it owns every socket, every thread's handle, and the clock.
//!
//! It carries bytes between sockets and machines, and outputs between machines. It must not know
//! what any message means.
//!
//! The surprising fact: order is everything here. After each thing fed to a machine all outputs are
//! drained before the next is fed, so no machine is ever entered twice. And an event may be about a
//! connection that an earlier one of its batch has ended: a token names a generation too.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, debug, info, log, warn};
use mio::{Events, Poll, Token, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook_mio::v1_0::Signals;

use crate::access::Access;
use crate::account;
use crate::ami::instance::Instance;
use crate::ami::session::Session;
use crate::api::{self, Reply};
use crate::config::Config;
use crate::engine::{self, Engine};
use crate::http;
use crate::logging;

mod asterisk;
mod calls;
mod clients;
mod connection;
mod control;
mod direct;
mod doors;
mod holder;
mod link;
mod posts;
mod reload;
mod rewrite;
mod shelf;
mod slots;
mod socket_file;
mod sockets;
mod supervisor;
mod trouble;
mod wanted;

use asterisk::Attempt;
use calls::Calls;
use clients::Clients;
use connection::{Connection, Kind, Wish};
use control::Control;
use doors::Doors;
use link::Link;
use posts::Posts;
use supervisor::Supervisor;
use wanted::{event_mask, event_names};

pub use trouble::RunError;

const AMI: Token = Token(0);
const WAKER: Token = Token(1);
const SIGNALS: Token = Token(2);

/// How long the end waits for replies that are owed and for posts that are on their way. What is
/// left goes to disk, and all of it takes no more than three seconds.
const STOP: Duration = Duration::from_millis(2500);
/// One buffer serves all reads: a machine copies what it keeps.
const BUFFER: usize = 16 * 1024;
/// Events taken from the kernel at a time.
const EVENTS: usize = 128;

/// What the loop needs to know beside the configuration.
#[derive(Debug)]
pub struct Setup {
    /// salara.conf as meant.
    pub config: Config,
    /// Where it was read; manager.conf is looked for beside it.
    pub path: PathBuf,
    /// This run's name.
    pub instance: Instance,
    /// Feeds the jitter of waits.
    pub seed: u64,
    /// Where verbs are taken, if it matters.
    pub socket: Option<PathBuf>,
    /// Reads the file again.
    pub read: Reader,
}

/// Reads a salara.conf: what it means and what is to be said about it, or why it cannot be used.
pub type Reader = fn(&Path) -> Result<(Config, Vec<String>), String>;

/// Runs until a signal ends it.
pub fn run(setup: Setup) -> Result<(), RunError> {
    Reactor::new(setup)?.run()
}

/// Where the link would connect to and as whom, in words; an error says what is missing.
pub fn account(config: &Config, path: &Path) -> Result<String, String> {
    let target = account::target(&config.ami, path)?;
    Ok(format!(
        "{}:{} as {}",
        target.host, target.port, target.credentials.user
    ))
}

struct Reactor {
    config: Rc<Config>,
    path: PathBuf,
    read: Reader,
    poll: Poll,
    signals: Signals,
    link: Link,
    session: Session,
    control: Control,
    doors: Doors,
    clients: Clients,
    /// Where REST requests come in, if they do.
    bound: Option<SocketAddr>,
    access: Access,
    engine: Engine,
    posts: Posts,
    supervisor: Supervisor,
    calls: Calls,
    /// The connect under way.
    attempt: Option<Attempt>,
    /// When the end does not wait any longer for what is owed.
    stop_at: Option<Instant>,
    stop_asked: bool,
    reload_asked: bool,
}

impl Reactor {
    fn new(setup: Setup) -> Result<Self, RunError> {
        let system = |what| move |error| RunError::System(what, error);
        let poll = Poll::new().map_err(system("poll"))?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(system("waker"))?);
        let mut signals =
            Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1]).map_err(system("signals"))?;
        let registry = poll.registry();
        registry
            .register(&mut signals, SIGNALS, mio::Interest::READABLE)
            .map_err(system("signals"))?;
        let config = Rc::new(setup.config);
        #[expect(clippy::disallowed_methods, reason = "the loop owns the clock")]
        let now = Instant::now();
        let (mut doors, mut clients) = (Doors::default(), Clients::new());
        let (control, listener) =
            Control::listen(setup.socket.as_deref(), Arc::clone(&waker), now)?;
        if let Some(listener) = listener {
            let greet = reload::greeting(Kind::Control, &config);
            let listener = Box::new(listener);
            doors
                .open(Kind::Control, listener, greet, registry, &mut clients, now)
                .map_err(system("control socket"))?;
        }
        let instance = setup.instance.clone();
        let posts = Posts::new(&config, instance, setup.seed, Arc::clone(&waker), now)
            .map_err(|in_use| RunError::SpoolInUse(in_use.0))?;
        let mask = event_mask(&config);
        debug!(target: "ami", "events wanted: {mask}");
        let mut reactor = Self {
            session: Session::new(setup.instance.clone(), &mask, setup.seed, now)
                .with_filter(&event_names(&config)),
            engine: Engine::new(Rc::clone(&config), setup.instance.clone()),
            access: Access::new(&config.security, config.url.rest_server),
            bound: None,
            posts,
            control,
            supervisor: Supervisor::new(now),
            calls: Calls::new(&config, Arc::clone(&waker)),
            link: Link::new(AMI, waker),
            config: Rc::clone(&config),
            path: setup.path,
            read: setup.read,
            poll,
            signals,
            doors,
            clients,
            attempt: None,
            stop_at: None,
            stop_asked: false,
            reload_asked: false,
        };
        let listening = reactor
            .listen(&config, now)
            .and_then(|()| reactor.listen_for_calls(&config, now));
        listening.map(|()| {
            reactor.control.announce();
            reactor
        })
    }

    fn run(mut self) -> Result<(), RunError> {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = vec![0; BUFFER];
        let mut timeout = Some(Duration::ZERO);
        self.supervisor.ready();
        while !self.has_stopped() {
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(RunError::System("poll", error)),
            }
            #[expect(clippy::disallowed_methods, reason = "the only reading of the clock")]
            let now = Instant::now();
            for event in &events {
                self.note_readiness(event);
            }
            self.turn(&mut buffer, now);
            timeout = self.timeout(now);
        }
        #[expect(clippy::disallowed_methods, reason = "the loop owns the clock")]
        let now = Instant::now();
        self.engine.handle_end();
        self.drain(now);
        self.posts.stop(now);
        logging::finish(now);
        info!(target: "salara", "stopped");
        Ok(())
    }

    fn note_readiness(&mut self, event: &mio::event::Event) {
        let readable = event.is_readable() || event.is_error();
        match event.token() {
            AMI => self.link.ready(
                readable || event.is_read_closed(),
                event.is_writable() || event.is_error(),
            ),
            // The link asks its resolver, and the posts their workers, in any turn.
            WAKER => {}
            SIGNALS => {
                for signal in self.signals.pending() {
                    if signal == SIGHUP {
                        self.reload_asked = true;
                        continue;
                    }
                    if signal == SIGUSR1 {
                        logging::reopen_or_say();
                        continue;
                    }
                    info!(target: "salara", "signal {signal}: stopping");
                    self.stop_asked = true;
                }
            }
            token => {
                if let Some(kind) = Kind::of(token) {
                    self.doors.ready(kind);
                } else if let Some(id) = slots::conn_id(token) {
                    self.clients.ready(id, readable, event.is_read_closed());
                }
            }
        }
    }

    /// The end comes when no client is owed a reply and no post is on its way, or both for too long.
    fn has_stopped(&self) -> bool {
        #[expect(clippy::disallowed_methods, reason = "only on the way out")]
        let late = || self.stop_at.is_some_and(|at| at <= Instant::now());
        self.stop_at.is_some() && (self.clients.is_empty() && self.posts.are_idle() || late())
    }

    fn turn(&mut self, buffer: &mut [u8], now: Instant) {
        if self.stop_asked && self.stop_at.is_none() {
            self.stop_at = Some(now + STOP);
            self.control.stop();
            self.doors.close_all(&mut self.clients, now);
            // Who has waited at a door has perhaps said already what for.
            self.clients.read(buffer, now);
            self.serve(now);
            self.clients.close_soon();
            self.supervisor.stopping();
            self.engine.handle_stop(now);
            self.drain(now);
        }
        if std::mem::take(&mut self.reload_asked) && self.stop_at.is_none() {
            self.reload(now);
        }
        self.supervisor.handle_timeout(now);
        self.session.handle_timeout(now);
        self.engine.handle_timeout(now);
        self.clients.handle_timeout(now);
        self.drain(now);
        self.connect_link(now);
        self.read_link(buffer, now);
        self.doors.accept(&mut self.clients, now);
        self.clients.read(buffer, now);
        while let Some((call, found)) = self.calls.poll_found(&self.engine) {
            self.engine.handle_found(call, found, now);
            self.drain(now);
        }
        self.serve(now);
        self.write_link(now);
        self.posts.turn(now);
        self.hear_control(now);
        self.clients.write(self.poll.registry(), now);
        logging::handle_timeout(now);
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        if self.doors.has_work() || self.clients.has_work() || self.link.is_readable() {
            return Some(Duration::ZERO);
        }
        [
            self.session.poll_timeout(),
            self.engine.poll_timeout(),
            self.doors.poll_timeout(),
            self.clients.poll_timeout(),
            self.posts.poll_timeout(),
            self.supervisor.poll_timeout(),
            self.stop_at,
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|at| at.saturating_duration_since(now))
    }

    /// Hands clients' requests on, one at a time.
    fn serve(&mut self, now: Instant) {
        while let Some((id, peer, wish)) = self.clients.poll_wish() {
            let request = match wish {
                Wish::Request(request) => request,
                Wish::Verb(verb) => {
                    self.command(id, verb, now);
                    continue;
                }
                Wish::Call(event) => {
                    self.engine.handle_agi(id, event, now);
                    self.drain(now);
                    continue;
                }
            };
            let token = request.authorization.as_ref().map(http::Bearer::as_str);
            let judged = self.access.client(peer, token).and_then(|()| {
                let request = api::parse(&request.target, &request.body, &self.config.keys)?;
                self.access.request(&request, now)?;
                Ok(request)
            });
            match judged {
                Ok(request) => {
                    debug!(target: "rest", "{peer}: {request:?}");
                    self.engine.handle_request(id, request, now);
                    self.drain(now);
                }
                Err(reply) => {
                    log_refusal(peer, &reply);
                    self.reply(id, &reply, now);
                }
            }
        }
    }

    fn hand_back(&mut self, id: engine::ConnId) {
        if let Some(Connection::Agi(session)) = self.clients.tell(id) {
            session.close();
        }
    }

    fn reply(&mut self, id: engine::ConnId, reply: &Reply, now: Instant) {
        match self.clients.tell(id) {
            Some(Connection::Rest(connection)) => connection.reply(&reply.to_response(), now),
            Some(Connection::Control(_) | Connection::Agi(_)) | None => {
                self.answered(id, reply, now)
            }
        }
    }

    /// Moves outputs between the machines until none is left.
    fn drain(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.engine.poll_output() {
                match output {
                    engine::Output::Act(ask, action) => self.session.ask(ask, &action, now),
                    engine::Output::Reply(id, reply) => self.reply(id, &reply, now),
                    engine::Output::Post(post) => self.posts.push(post, now),
                    engine::Output::LookUp(question) => self.calls.ask(question, &self.engine),
                    engine::Output::Tell(id, command) => {
                        if let Some(Connection::Agi(session)) = self.clients.tell(id) {
                            session.command(&command, now);
                        }
                    }
                    engine::Output::HandBack(id) => self.hand_back(id),
                    engine::Output::Note(decision) => log_decision(&decision),
                }
            } else if let Some(output) = self.session.poll_output() {
                self.follow_session(output, now);
            } else {
                return;
            }
        }
    }
}

fn log_refusal(peer: IpAddr, reply: &Reply) {
    let why = reply.error.as_deref().unwrap_or_default();
    debug!(target: "rest", "{peer}: {} {why}", reply.status);
    // A request that is not understood is its client's business; one that may not be is ours.
    if matches!(reply.status, 401 | 403 | 429) {
        warn!(target: "rest", "{peer}: refused: {why}");
    }
}

fn log_decision(decision: &engine::Decision) {
    use engine::Decision::{
        Answered, Calling, Denied, Ended, Failed, Incoming, NotGood, NotSent, Sent, Unknown,
    };
    let (target, level) = match decision {
        Calling { .. } | Answered { .. } | Failed { .. } | NotGood { .. } | Sent { .. } => {
            ("call", Level::Info)
        }
        Incoming {
            is_trouble: false, ..
        } => ("call", Level::Info),
        Incoming { .. } | NotSent { .. } | Ended { .. } | Unknown { .. } => ("call", Level::Warn),
        Denied { .. } => ("ami", Level::Error),
    };
    log!(target: target, level, "{decision}");
}
