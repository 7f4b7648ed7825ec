//! What clients of the original were told, and whether salara tells them the same: the recorded
//! requests, sent to salara beside a real Asterisk 16 whose phones are in the recorded states.
//!
//! Each request goes to three daemons with the recorded salara.conf: one as the module was, but
//! for HTTP around it, one that answers a live channel as documented, and one without HTTP around
//! its replies: that one must write the recorded bytes and close.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test owns its threads and clocks"
)]

#[path = "golden_rest/differences.rs"]
mod differences;
mod support;

use std::collections::VecDeque;
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use differences::*;
use support::ami::{Ami, Channel};
use support::asterisk::{self, Asterisk, Version};
use support::daemon::Salara;
use support::golden::{self, Exchange};
use support::phone::{Behaviour, Phone, Stage};
use support::rest::Client;

/// A phone, an Asterisk or salara is given so long for what takes milliseconds.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn rest_status() {
    let Some(asterisk) = asterisk_16() else {
        return;
    };
    let phone = |number, behaviour| Phone::registered(&asterisk, number, behaviour);
    let caller = phone("8001", Behaviour::ANSWER);
    let one_line = phone("8002", Behaviour::ANSWER);
    let callee = phone("8003", Behaviour::Ring);
    let other_caller = phone("1111", Behaviour::ANSWER);
    let mut ami = asterisk.ami();
    let mut replay = Replay::start(&asterisk, "rest-status", 52, NONE);
    replay.also_differs(Form::Documented, DOCUMENTED);
    replay.play_until("exten 8001 while it dials");

    let call = caller.call("8003");
    assert!(callee.incoming(SOON).is_some());
    replay.channels = wait_channels(&mut ami, &[("SIP/8001", "Ring"), ("SIP/8003", "Ringing")]);
    replay.settle("8001", IN_USE);
    replay.settle("8003", RINGING);
    replay.play_until("exten 8003 in a call");
    assert_eq!(callee.inbox(), [], "a message to a ringing phone");
    call.hang_up();
    wait_channels(&mut ami, &[]);

    let call = caller.call("8003");
    callee.incoming(SOON).expect("it rings").answer();
    assert!(call.wait(Stage::Answered, SOON));
    let other_call = other_caller.call("8002");
    assert!(other_call.wait(Stage::Answered, SOON));
    let up = ["SIP/8001", "SIP/8003", "SIP/1111", "SIP/8002"].map(|stem| (stem, "Up"));
    replay.channels = wait_channels(&mut ami, &up);
    replay.settle("8003", IN_USE);
    replay.settle("8002", BUSY);
    replay.play_until("chan SIP/8001-00000006 dialling in, not answered");
    call.hang_up();
    other_call.hang_up();
    wait_channels(&mut ami, &[]);

    let call = caller.call("7778");
    replay.channels = wait_channels(&mut ami, &[("SIP/8001", "Ring")]);
    replay.settle("8001", IN_USE);
    replay.play_until("chan Local/7778@alnik-00000000;2");
    call.hang_up();
    wait_channels(&mut ami, &[]);

    let originated = ami.action(&[
        ("Action", "Originate"),
        ("Channel", "Local/7778@alnik"),
        ("Application", "Wait"),
        ("Data", "5"),
        ("Async", "true"),
    ]);
    assert_eq!(originated.get("Response"), "Success", "{originated:?}");
    let both_ends = ["Down", "Ring"].map(|state| ("Local/7778@alnik", state));
    replay.channels = wait_channels(&mut ami, &both_ends);
    replay.play_until("exten 0000 with Custom device state BUSY");

    while let Some(next) = replay.next() {
        let state = next.name.rsplit(' ').next().unwrap().to_owned();
        let wanted = next.response.clone();
        if state == "UNKNOWN" {
            // Asterisk refuses it here: what was recorded is the state before it.
            asterisk.cli("devstate change Custom:0000 ONHOLD");
        }
        asterisk.cli(&format!("devstate change Custom:0000 {state}"));
        replay.settle("0000", &wanted);
        replay.play();
    }
    replay.finish();
    // Nobody was called or texted but by us: no state was good.
    let calls = [&caller, &one_line, &callee, &other_caller].map(|phone| phone.calls().len());
    assert_eq!(calls, [3, 1, 2, 1]);
    assert_eq!(callee.inbox(), []);
}

#[test]
fn rest_json() {
    replay_beside_idle_phones("rest-json", 45, REST_JSON, &[]);
}

#[test]
fn rest_http() {
    replay_beside_idle_phones("rest-http", 56, REST_HTTP, &[]);
}

#[test]
fn rest_custom_keys() {
    let each_sends_one = ["custom keys"; FORMS.len()];
    replay_beside_idle_phones("rest-custom-keys", 10, NONE, &each_sends_one);
}

#[test]
fn rest_no_keys_section() {
    replay_beside_idle_phones("rest-no-keys-section", 7, REST_NO_KEYS, &[]);
}

/// Plays a whole scenario, in which nobody is called and 8003 is sent these texts.
fn replay_beside_idle_phones(
    scenario: &'static str,
    count: usize,
    differences: &'static [Difference],
    texts: &[&str],
) {
    let Some(asterisk) = asterisk_16() else {
        return;
    };
    let registered = |number| Phone::registered(&asterisk, number, Behaviour::ANSWER);
    let [operator, other] = ["8003", "8002"].map(registered);
    let mut replay = Replay::start(&asterisk, scenario, count, differences);
    while replay.next().is_some() {
        replay.play();
    }
    replay.finish();
    let inbox = operator.wait_inbox(texts.len(), SOON);
    let inbox: Vec<&str> = inbox.iter().map(|text| text.body.as_str()).collect();
    assert_eq!(inbox, texts);
    let calls = [&operator, &other].map(|phone| phone.calls().len());
    assert_eq!(calls, [0, 0]);
}

fn asterisk_16() -> Option<Asterisk> {
    (!asterisk::missing(Version::V16)).then(|| Asterisk::start(Version::V16))
}

/// Waits until these channels are there and no others: the names before their numbers, and states.
fn wait_channels(ami: &mut Ami, wanted: &[(&str, &str)]) -> Vec<Channel> {
    let is_there = |channels: &[Channel], (stem, state): &(&str, &str)| {
        let is_meant = |channel: &Channel| stem_of(&channel.name) == *stem;
        channels
            .iter()
            .any(|channel| is_meant(channel) && channel.state == *state)
    };
    ami.wait_channels(SOON, |channels| {
        channels.len() == wanted.len() && wanted.iter().all(|one| is_there(channels, one))
    })
    .unwrap_or_else(|found| panic!("wanted {wanted:?}, found {found:?}"))
}

/// `SIP/8003` of `SIP/8003-00000001`.
fn stem_of(channel: &str) -> &str {
    channel.rsplit_once('-').map_or(channel, |(stem, _)| stem)
}

/// How a daemon answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// In HTTP, and otherwise as the module.
    Module,
    /// In HTTP, a live channel as documented.
    Documented,
    /// As the module: its bytes and the end of the stream.
    Bare,
}

/// With what each adds to the recorded salara.conf.
const FORMS: [(Form, &str); 3] = [
    (Form::Module, "[compat]\nchannel_reply=module\n"),
    (Form::Documented, ""),
    (Form::Bare, "[compat]\nchannel_reply=module\nbare_reply=1\n"),
];

/// A daemon, and the differences it has not shown yet.
struct Side {
    form: Form,
    salara: Salara,
    unmet: Vec<&'static Difference>,
}

/// A scenario on its way.
struct Replay {
    sides: Vec<Side>,
    to_play: VecDeque<Exchange>,
    /// The live channels that the recorded names stand for.
    channels: Vec<Channel>,
    wrong: Vec<String>,
}

impl Replay {
    fn start(
        asterisk: &Asterisk,
        scenario: &str,
        count: usize,
        differences: &'static [Difference],
    ) -> Self {
        let to_play = VecDeque::from(golden::exchanges(scenario));
        assert_eq!(to_play.len(), count, "exchanges of {scenario}");
        let recorded = golden::conf(scenario);
        let listener = "rest_server=127.0.0.1:5058\n";
        assert_eq!(recorded.matches(listener).count(), 1);
        let conf = recorded.replace(listener, "rest_server=127.0.0.1:0\n");
        // Events are not what is compared here, and nobody listens at the recorded address.
        let conf = conf.replace("dest_url_event=", "dest_url_event=\n;");
        let manager_conf = asterisk.etc().join("manager.conf");
        let ami = format!("[ami]\nmanager_conf={}\n", manager_conf.display());
        let side = |(form, compat)| {
            let salara = Salara::start(&format!("{conf}{ami}{compat}"));
            salara.wait_connected();
            let unmet = differences.iter().collect();
            Side {
                form,
                salara,
                unmet,
            }
        };
        Self {
            sides: FORMS.map(side).into(),
            to_play,
            channels: Vec::new(),
            wrong: Vec::new(),
        }
    }

    fn also_differs(&mut self, form: Form, differences: &'static [Difference]) {
        for side in &mut self.sides {
            if side.form == form {
                side.unmet.extend(differences);
            }
        }
    }

    fn next(&self) -> Option<&Exchange> {
        self.to_play.front()
    }

    /// Plays up to an exchange, and not that one.
    fn play_until(&mut self, name: &str) {
        while self.next().expect(name).name != name {
            self.play();
        }
    }

    fn play(&mut self) {
        let mut exchange = self.to_play.pop_front().expect("there is one more");
        exchange.request = self.with_live_channel(&exchange.request);
        let exchange = &exchange;
        let heard: Vec<_> = thread::scope(|scope| {
            let ask = |side: &Side| {
                let (form, addr) = (side.form, side.salara.addr());
                scope.spawn(move || answers(form, exchange, &converse(addr, exchange)))
            };
            let asking: Vec<_> = self.sides.iter().map(ask).collect();
            asking.into_iter().map(|ask| ask.join().unwrap()).collect()
        });
        for (side, ours) in self.sides.iter_mut().zip(heard) {
            if let Err(why) = side.judge(exchange, &ours) {
                let Exchange { name, response, .. } = exchange;
                let form = side.form;
                self.wrong.push(format!(
                    "{name:?}, {form:?}: recorded {response:?}, ours {ours:?}: {why}"
                ));
            }
        }
    }

    /// A recorded name is that of another run; what it named is known by its phone.
    fn with_live_channel(&self, request: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(request) else {
            return request.to_vec();
        };
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let json: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let recorded = json.get("chan").and_then(|chan| chan.as_str());
        let Some((recorded, (stem, number))) =
            recorded.and_then(|name| Some((name, name.rsplit_once('-')?)))
        else {
            return request.to_vec();
        };
        let half = |number: &str| number.split(';').nth(1).map(str::to_owned);
        let is_meant = |live: &&Channel| {
            let (live_stem, live_number) = live.name.rsplit_once('-').unwrap();
            live_stem.eq_ignore_ascii_case(stem) && half(live_number) == half(number)
        };
        let live = self.channels.iter().find(is_meant);
        let live = live.unwrap_or_else(|| panic!("nobody is {recorded}: {:?}", self.channels));
        let is_lower = recorded.starts_with("sip");
        let name = if is_lower {
            live.name.to_lowercase()
        } else {
            live.name.clone()
        };
        assert_eq!(name.len(), recorded.len(), "or Content-Length is wrong");
        text.replace(recorded, &name).into_bytes()
    }

    /// Waits until each daemon says this of an extension: a change takes a moment to get about.
    fn settle(&self, extension: &str, wanted: &str) {
        let body = format!(r#"{{"exten":"{extension}"}}"#);
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
        let question = Exchange {
            name: format!("{extension} is {wanted}"),
            request: format!("{head}{body}").into_bytes(),
            segments: Vec::new(),
            half_close: false,
            response: wanted.to_owned(),
        };
        let deadline = Instant::now() + SOON;
        for Side { form, salara, .. } in &self.sides {
            loop {
                let found = answers(*form, &question, &converse(salara.addr(), &question));
                if is_as_recorded(&question, *form, &found) {
                    break;
                }
                let name = &question.name;
                assert!(Instant::now() < deadline, "{name}, {form:?}: {found:?}");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// Fails if anything was wrong or left out.
    fn finish(self) {
        let Self {
            sides,
            to_play,
            wrong,
            ..
        } = self;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(to_play.len(), 0, "not played");
        for Side { form, unmet, .. } in &sides {
            assert!(unmet.is_empty(), "{form:?}: listed, and not met: {unmet:?}");
        }
    }
}

impl Side {
    fn judge(&mut self, exchange: &Exchange, ours: &[Answer]) -> Result<(), String> {
        let is_alike = is_as_recorded(exchange, self.form, ours);
        let listed = self.unmet.iter().position(|row| row.name == exchange.name);
        let Some(row) = listed.map(|at| self.unmet.swap_remove(at)) else {
            return is_alike.then_some(()).ok_or_else(|| "not listed".into());
        };
        let is_listed = match self.form {
            Form::Module | Form::Documented => {
                let listed = row.ours.iter().copied();
                listed.eq(ours.iter().map(|(status, body)| (*status, body.as_str())))
            }
            // One reply and no status.
            Form::Bare => {
                let listed = row.ours.first().map(|(_, body)| *body);
                ours.len() <= 1 && listed == ours.first().map(|(_, body)| body.as_str())
            }
        };
        match (is_alike, is_listed) {
            (false, true) => Ok(()),
            (true, _) => Err(format!("no difference any more: {row:?}")),
            (false, false) => Err(format!("listed as {row:?}")),
        }
    }
}

/// A status and a body.
type Answer = (u16, String);

/// Whether a client of the original is told the same. It reads one reply; where a body follows
/// that no length announces, HTTP makes another request of it, and that is refused.
fn is_as_recorded(exchange: &Exchange, form: Form, ours: &[Answer]) -> bool {
    let [(status, body), further @ ..] = ours else {
        return false;
    };
    let body_wanted = match exchange.response.as_str() {
        // The module's word for what it could not even take apart.
        "Error" => ERROR,
        other => other,
    };
    let is_refused = body_wanted == ERROR;
    // In HTTP, the reply to HEAD is a head.
    let is_head = form != Form::Bare && exchange.request.starts_with(b"HEAD ");
    let is_refusal = |(status, body): &Answer| (400..500).contains(status) && body == ERROR;
    let is_status_alike = if is_refused {
        (400..500).contains(status)
    } else {
        *status == 200
    };
    let is_body_alike = body == if is_head { "" } else { body_wanted };
    is_status_alike && is_body_alike && further.iter().all(is_refusal)
}

/// Sends a request as it was sent, waits for a first word or the end, and reads to the end.
fn converse(addr: SocketAddr, exchange: &Exchange) -> Vec<u8> {
    let mut client = Client::connect(addr);
    client.stream().set_nodelay(true).unwrap();
    let count = u32::try_from(exchange.segments.len()).unwrap().max(1);
    for (index, segment) in exchange.segments().enumerate() {
        if index > 0 {
            thread::sleep(Duration::from_millis(100) / count);
        }
        client.send(segment);
    }
    if exchange.half_close {
        client.stream().shutdown(Shutdown::Write).unwrap();
    }
    let said = client.stream().peek(&mut [0]);
    assert!(said.is_ok(), "{}: silence: {said:?}", exchange.name);
    // A connection that is kept alive for the next request would not end by itself.
    drop(client.stream().shutdown(Shutdown::Write));
    client.rest()
}

/// Takes apart what was received.
fn answers(form: Form, exchange: &Exchange, bytes: &[u8]) -> Vec<Answer> {
    let mut text = std::str::from_utf8(bytes).unwrap();
    let mut answers = Vec::new();
    if form == Form::Bare && !text.is_empty() {
        // Where there is no status, the body says it.
        let status = if text == ERROR { 400 } else { 200 };
        return vec![(status, text.to_owned())];
    }
    while !text.is_empty() {
        let (head, rest) = text.split_once("\r\n\r\n").expect(text);
        let header = |name: &str| {
            let value = |line| str::strip_prefix(line, name)?.strip_prefix(": ");
            head.split("\r\n").find_map(value)
        };
        let status = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|line| line.get(..3));
        let status: u16 = status.expect(head).parse().expect(head);
        assert_eq!(header("Content-Type"), Some("application/json"), "{head}");
        assert_eq!(header("Salara-Error").is_some(), status != 200, "{head}");
        let length: usize = header("Content-Length").expect(head).parse().expect(head);
        let is_head = exchange.request.starts_with(b"HEAD ");
        let (body, later) = rest.split_at(if is_head { 0 } else { length });
        answers.push((status, body.to_owned()));
        text = later;
    }
    answers
}
