//! `make demo`: salara between a real Asterisk, two phones, a trunk and a CRM, on this machine alone.
//!
//! It shows a few requests and what comes of them, then goes on until Ctrl-C so that one can try.
//! `--once`, or `DEMO_ONCE` in the environment, leaves the second part out.

#![allow(
    clippy::disallowed_methods,
    reason = "as a test, it owns its threads and clocks"
)]

#[path = "../support/mod.rs"]
mod support;

mod daemon;
mod out;
mod stop;
mod watch;

use std::any::Any;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use daemon::{Daemon, Files};
use support::ami::{Channel, bridged};
use support::asterisk::{self, Asterisk, Version};
use support::crm::{Answer, Crm, Request};
use support::phone::{Behaviour, Phone, Stage};
use support::rest;
use watch::Watch;

/// Why the demo does not go on.
enum Trouble {
    /// Somebody wants it to end.
    Stopped,
    /// A step failed, for this reason.
    Failed(String),
}

type Outcome = Result<(), Trouble>;

fn main() -> ExitCode {
    let once = match env::args().nth(1).as_deref() {
        None => env::var_os("DEMO_ONCE").is_some_and(|value| value != "0"),
        Some("--once") => true,
        Some(_) => {
            out::plain("Usage: demo [--once]\n");
            return ExitCode::from(2);
        }
    };
    if let Err(why) = stop::listen() {
        out::failed(&format!("no signals: {why}"));
        return ExitCode::FAILURE;
    }
    panic::set_hook(Box::new(at_panic));
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| demo(once)))
        .unwrap_or_else(|panic| Err(Trouble::Failed(words(panic.as_ref()))));
    match outcome {
        Ok(()) => {
            out::note("Everything it started has ended.");
            ExitCode::SUCCESS
        }
        Err(_) if stop::asked() => {
            out::plain("\n  Stopped before the end. Everything it started has ended.\n");
            ExitCode::from(STOPPED)
        }
        Err(Trouble::Stopped) => ExitCode::from(STOPPED),
        Err(Trouble::Failed(why)) => {
            out::failed(&why);
            ExitCode::FAILURE
        }
    }
}

/// The lab panics when it cannot go on. On the way out everything ends, and what it said is told.
/// A release build has no way out: watchers see the end of this process and end the others.
fn at_panic(panic: &PanicHookInfo<'_>) {
    let abort = cfg!(panic = "abort");
    if abort || thread::current().name() != Some("main") {
        out::failed(&words(panic.payload()));
    }
    if abort {
        process::exit(1);
    }
}

/// The words of a panic.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("for no reason that it would tell")
        .to_owned()
}

fn demo(once: bool) -> Outcome {
    out::plain(
        "salara between a real Asterisk, two phones, a trunk and a CRM, on this machine alone\n",
    );
    out::title("Start");
    let program = daemon::program()?;
    unpack()?;
    let before = Instant::now();
    let asterisk = Asterisk::start(Version::V22);
    let booted = before.elapsed().as_secs_f32();
    out::line("Asterisk", format_args!("started in {booted:.1} s"));
    go_on()?;

    let phone = |number| {
        let phone = Phone::registered(&asterisk, number, answers(None));
        out::line(&format!("phone {number}"), "registered");
        (number, phone)
    };
    let trunk = Phone::start_at(
        asterisk.trunk_port(),
        asterisk.sip_addr(),
        TRUNK,
        answers(None),
    );
    trunk.follow_redirects(true);
    let phones = Watch::start(vec![(TRUNK, trunk), phone("8003"), phone("8001")]);
    go_on()?;
    let crm = Crm::start(crm_desk);
    out::line("CRM", format_args!("listening on {}", crm.addr()));
    let salara = start_salara(&program, &asterisk, &crm)?;

    let mut scene = Scene {
        asterisk: &asterisk,
        phones: &phones,
        crm: &crm,
        salara,
    };
    let shown = scene.show().and_then(|()| match once {
        true => Ok(()),
        false => scene.wait(),
    });
    if let Err(Trouble::Failed(_)) = shown
        && !stop::asked()
    {
        out::title("The end of salara's log");
        out::plain(&scene.salara.log());
    }
    shown?;
    out::title("End");
    scene.salara.stop()?;
    out::line("salara", "ended on SIGTERM");
    drop((phones, crm, asterisk));
    Ok(())
}

/// Whether nobody wants the demo to end.
fn go_on() -> Outcome {
    match stop::asked() {
        true => Err(Trouble::Stopped),
        false => Ok(()),
    }
}

/// Gets Asterisk onto this machine, below the target folder, if it is not there.
fn unpack() -> Outcome {
    let tree = asterisk_tree();
    if !tree.join(".recipe").exists() {
        out::line("Asterisk", "is fetched and unpacked below target/;");
        out::line("", "this once, it takes half a minute");
        let before = Instant::now();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/unpack");
        let mut script = Command::new(script);
        // What it has to say is said by the lab, which asks again.
        script
            .args(["22".as_ref(), tree.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if daemon::run(&mut script)?.success() {
            let took = before.elapsed().as_secs();
            out::line("Asterisk", format_args!("unpacked in {took} s"));
        }
    }
    asterisk::available(Version::V22)
        .map_err(|why| Trouble::Failed(format!("there is no Asterisk 22: {why}")))
}

/// Where the lab has its Asterisk.
fn asterisk_tree() -> PathBuf {
    asterisk::tmp().with_file_name("lab").join("asterisk22")
}

/// On the port that salara has by default, if nobody else has it.
fn start_salara(program: &Path, asterisk: &Asterisk, crm: &Crm) -> Result<Daemon, Trouble> {
    for port in [PORT, asterisk.spare_port(0)] {
        if let Ok(salara) = Daemon::start(program, asterisk, crm, port)? {
            let (addr, link) = (salara.addr, salara.link());
            out::line("salara", format_args!("listening on {addr}"));
            out::line("salara", link);
            return Ok(salara);
        }
        out::line(
            "salara",
            format_args!("port {port} is taken, so another one:"),
        );
    }
    Err(Trouble::Failed("salara finds no free port".into()))
}

/// What the CRM says: everybody's manager is at 8003.
fn crm_desk(request: &Request) -> Answer {
    let Request {
        method, path, body, ..
    } = request;
    out::line("CRM", format!("<- {method} {path} {body}").trim_end());
    if path.starts_with("/event") {
        return Answer::json("{}");
    }
    let answer = format!(r#"{{"{}":"8003"}}"#, daemon::KEY_WORD);
    out::line("CRM", format_args!("-> {answer}"));
    Answer::json(answer)
}

/// How the phones behave: they ring for a moment, and one of them hangs up after a while.
fn answers(talk: Option<Duration>) -> Behaviour {
    let after = Duration::from_millis(800);
    match talk {
        None => Behaviour::Answer { after },
        Some(talk) => Behaviour::AnswerAndHangUp { after, talk },
    }
}

/// Everything that takes part.
struct Scene<'a> {
    asterisk: &'a Asterisk,
    phones: &'a Watch,
    crm: &'a Crm,
    salara: Daemon,
}

impl Scene<'_> {
    fn show(&mut self) -> Outcome {
        out::title("Who can be called?");
        self.ask(r#"{"exten":"8003"}"#, "Idle")?;
        self.ask(r#"{"peer":"8003"}"#, "Reachable")?;
        self.ask(r#"{"exten":"8009"}"#, "Unavailable")?;
        out::note("(8009 is in the dialplan, and its phone has never been seen)");

        out::title("Click-to-call: 8003's phone rings, and when it is answered, 8001's");
        self.ask(r#"{"operator":"8003","phone":"8001"}"#, "Idle")?;
        let channel = self.call()?;

        out::title("While they talk");
        self.ask(&format!(r#"{{"chan":"{channel}"}}"#), "Up (6)")?;
        self.ask(r#"{"exten":"8003"}"#, "InUse")?;

        out::title("8003 hangs up");
        self.phone("8003")?.hang_up();
        self.over()?;
        self.ask(&format!(r#"{{"chan":"{channel}"}}"#), "Channel not present")?;

        out::title("A message to 8003's display");
        let text = "Mrs Smith calls at three";
        let message = format!(r#"{{"operator":"8003","phone":"8001","msg":"{text}"}}"#);
        self.ask(&message, "Idle")?;
        let inbox = self.phone("8003")?.wait_inbox(1, SOON);
        self.phones.catch_up();
        if inbox.first().is_none_or(|got| got.body != text) {
            return Err(Trouble::Failed(format!("the phone got {inbox:?}")));
        }

        self.client_calls()?;

        out::title("The CRM");
        // Of the call that was set up, and of the client's.
        let hung_up = |request: &&Request| request.body.contains(r#""event":"Hangup""#);
        let requests = self.crm.wait_until(EVENTS, |requests| {
            requests.iter().filter(hung_up).count() == 2
        });
        match requests.len() {
            0 => out::note("got no requests"),
            1 => out::note("got the one request above"),
            count => out::note(&format!("got {count} requests, see above")),
        }
        go_on()
    }

    /// A client calls from outside, and is put through to who the CRM says.
    fn client_calls(&self) -> Outcome {
        out::title("A client calls: 5000 asks the CRM, and the call lands on the manager's phone");
        let first = self.phone(TRUNK)?.call_as(CLIENT, "5000");
        self.phones.catch_up();
        let second = first.followed_by(SOON);
        let failed = |what: &str| Trouble::Failed(format!("{what}: {:?}", first.stages()));
        let second = second.ok_or_else(|| failed("the trunk was not sent anywhere"))?;
        let rings = self.phone("8003")?.incoming(SOON);
        let answered =
            rings.is_some_and(|call| call.number() == CLIENT) && second.wait(Stage::Answered, SOON);
        self.phones.catch_up();
        if !answered {
            return Err(failed("the client does not get to 8003"));
        }
        let log = self.salara.log();
        let decided = log
            .lines()
            .find_map(|line| line.split("call: ").nth(1).filter(|it| it.contains(CLIENT)));
        out::line(
            "salara",
            decided.ok_or_else(|| failed("salara does not tell"))?,
        );
        go_on()?;
        second.hang_up();
        self.over()
    }

    /// Waits until nobody talks.
    fn over(&self) -> Outcome {
        let mut ami = self.asterisk.ami();
        ami.wait_channels(SOON, <[Channel]>::is_empty)
            .map_err(|left| Trouble::Failed(format!("Asterisk still has {left:?}")))?;
        ami.wait_extension_state("8003", IDLE, SOON)
            .map_err(|state| Trouble::Failed(format!("8003 is in state {state}")))?;
        if !self.phones.wait_silence(SOON) {
            return Err(Trouble::Failed(
                "a phone does not know that its call is over".into(),
            ));
        }
        self.phones.catch_up();
        out::line("Asterisk", "no channels");
        Ok(())
    }

    /// Waits until both phones have answered and Asterisk has put them through to each other;
    /// returns the channel of 8003.
    fn call(&self) -> Result<String, Trouble> {
        for number in ["8003", "8001"] {
            let call = self.phone(number)?.incoming(SOON);
            let answered = call.is_some_and(|call| call.wait(Stage::Answered, SOON));
            if !answered {
                return Err(Trouble::Failed(format!("{number} was not called")));
            }
            go_on()?;
        }
        let channels = self
            .asterisk
            .ami()
            .wait_channels(SOON, |channels| bridged(channels, "8003", "8001"))
            .map_err(|there| Trouble::Failed(format!("no bridge: {there:?}")))?;
        self.phones.catch_up();
        for channel in &channels {
            let Channel {
                name,
                state,
                bridge,
                ..
            } = channel;
            let bridge = bridge.split('-').next().unwrap_or_default();
            out::line(
                "Asterisk",
                format_args!("{name} {state}, in bridge {bridge}"),
            );
        }
        let own = channels.iter().find(|channel| channel.is_of("8003"));
        own.map(|channel| channel.name.clone())
            .ok_or_else(|| Trouble::Failed("8003 has no channel".into()))
    }

    /// Waits until somebody wants the demo to end.
    fn wait(&mut self) -> Outcome {
        self.phone("8001")?.set_behaviour(answers(Some(TALK)));
        out::plain(&self.advice());
        while !stop::asked() {
            self.still_there()?;
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn advice(&self) -> String {
        let Files { conf, log } = Files::of(self.asterisk);
        let curl = |what: &str, json: &str| format!("  # {what}\n  {}\n", self.curl(json));
        let program = asterisk_tree().join("bin/asterisk");
        let program = if program.exists() {
            program
        } else {
            "asterisk".into()
        };
        let requests = [
            curl(
                "8003 answers, then 8001, who hangs up after ten seconds",
                r#"{"operator":"8003","phone":"8001"}"#,
            ),
            curl(
                "8003 answers and hears a beep of Asterisk's",
                r#"{"operator":"8003","phone":"0000"}"#,
            ),
            curl(
                "8009's phone is not there: no call comes of it",
                r#"{"operator":"8009","phone":"8001"}"#,
            ),
            curl(
                "a message",
                r#"{"operator":"8001","phone":"8003","msg":"hello"}"#,
            ),
            curl("the state of an extension", r#"{"exten":"8001"}"#),
            curl("and of a phone", r#"{"peer":"8001"}"#),
        ];
        format!(
            "\n{}\n{}\n  salara.conf   {}\n  salara's log  {}\n  Asterisk's    {}\n  \
             its console   {} -C {} -rx 'core show channels'\n\n  \
             What phones and CRM see is printed below. Ctrl-C ends it all.\n\n",
            out::bold("Your turn"),
            requests.concat(),
            short(&conf),
            short(&log),
            short(&self.asterisk.dir().join("log/full")),
            short(&program),
            // Asterisk takes a relative path for another one.
            self.asterisk.etc().join("asterisk.conf").display(),
        )
    }

    /// Sends what curl sends, until the reply's text is `wanted`: a state takes a moment to get
    /// about. Prints it as if it had been typed once.
    fn ask(&mut self, json: &str, wanted: &str) -> Outcome {
        go_on()?;
        out::command(&self.curl(json));
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n\
             Content-Length: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n{json}",
            self.salara.addr,
            json.len()
        );
        // A call or a message is not to be made twice.
        let deadline = match json.contains("operator") {
            true => Instant::now(),
            false => Instant::now() + SOON,
        };
        loop {
            self.still_there()?;
            let reply = rest::exchange(self.salara.addr, request.as_bytes());
            let done = reply.status == 200 && reply.body.contains(&format!(r#""text":"{wanted}""#));
            if done || Instant::now() >= deadline {
                out::reply(&reply.body);
                return match done {
                    true => Ok(()),
                    false => Err(Trouble::Failed(format!(
                        "{wanted:?} was expected, and the status is {} {}",
                        reply.status,
                        reply.header("Salara-Error")
                    ))),
                };
            }
            go_on()?;
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether salara is.
    fn still_there(&mut self) -> Outcome {
        match self.salara.ended() {
            None => Ok(()),
            Some(status) => Err(Trouble::Failed(format!("salara ended: {status}"))),
        }
    }

    fn curl(&self, json: &str) -> String {
        format!("curl -d '{json}' {}", self.salara.addr)
    }

    fn phone(&self, number: &str) -> Result<&Phone, Trouble> {
        let missing = || Trouble::Failed(format!("there is no phone {number}"));
        self.phones.phone(number).ok_or_else(missing)
    }
}

/// A path as somebody would type it here.
fn short(path: &Path) -> String {
    let here = env::current_dir().unwrap_or_default();
    let path = path.strip_prefix(here).unwrap_or(path);
    path.display().to_string()
}

/// Through it come calls from outside, and this is who calls.
const TRUNK: &str = "trunk";
const CLIENT: &str = "87012223344";
/// The state of an extension whose phone has nothing to do.
const IDLE: i32 = 0;
/// Where salara listens when its file does not say.
const PORT: u16 = 5058;
/// How long 8001 talks when the user has a call made.
const TALK: Duration = Duration::from_secs(10);
/// What takes milliseconds may take so long on a busy machine.
const SOON: Duration = Duration::from_secs(10);
/// How long the CRM waits for an event.
const EVENTS: Duration = Duration::from_secs(2);
/// The exit code when it was ended before it had shown everything.
const STOPPED: u8 = 130;
