//! A salara between an Asterisk that tells of calls and a CRM that does what a test wants.
//!
//! The n-th event of call c is a Newexten with the application n: complete and in order means that
//! each call's applications are 0, 1, 2, …

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::crm::{Answer, Crm, Request};
use crate::support::daemon::{Salara, is_emulated};
use crate::support::events_ami::{EventsAmi, newexten};
use crate::support::rest;

/// What takes milliseconds may take so long on a busy machine, retries included.
pub const SOON: Duration = Duration::from_secs(20);
/// A client that waits longer than this was kept waiting by the CRM, not by the machine.
const BLOCKED: Duration = Duration::from_millis(500);

/// All of it.
pub struct Office {
    /// Ends before salara does.
    _client: RestClient,
    pub salara: Salara,
    pub crm: Crm,
    ami: EventsAmi,
    taken: Taken,
}

/// What the CRM said yes to, in its order.
type Taken = Arc<Mutex<Vec<Request>>>;

impl Office {
    /// With a CRM that answers as `answer` says: the requests are counted from 0, and `None` means
    /// that the CRM takes the event.
    pub fn open(
        answer: impl Fn(usize, &Request) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self::open_with(|crm| crm.url("/event"), "", answer)
    }

    /// The same with another address, and more in salara.conf.
    pub fn open_with(
        url: impl FnOnce(&Crm) -> String,
        conf: &str,
        answer: impl Fn(usize, &Request) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let taken = Taken::default();
        let crm = Crm::start({
            let (taken, count) = (Arc::clone(&taken), AtomicUsize::new(0));
            move |request| {
                let number = count.fetch_add(1, Ordering::Relaxed);
                answer(number, request).unwrap_or_else(|| {
                    taken.lock().unwrap().push(request.clone());
                    Answer::json("{}")
                })
            }
        });
        let ami = EventsAmi::start();
        let salara = Salara::start(&format!(
            "[general]\ncurlopt_timeout=1\n[event]\nverbose=1\nnewexten=3\n[url]\n\
             rest_server=127.0.0.1:0\ndest_url_event={}\n[ami]\nport={}\nsecret=x\n{conf}",
            url(&crm),
            ami.port()
        ));
        salara.wait_connected();
        Self {
            _client: RestClient::start(&salara),
            salara,
            crm,
            ami,
            taken,
        }
    }

    /// Tells of these events, call by call in turn.
    pub fn tell(&self, calls: usize, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            let events: String = (0..calls).map(|call| newexten(call, number)).collect();
            self.ami.tell(&events);
        }
    }

    /// Tells of these events of one call.
    pub fn tell_call(&self, call: usize, numbers: impl IntoIterator<Item = usize>) {
        let events = numbers.into_iter().map(|number| newexten(call, number));
        self.ami.tell(&events.collect::<String>());
    }

    /// Waits until so many different events were taken, and tells what each call's were.
    pub fn wait_taken(&self, count: usize, within: Duration) -> BTreeMap<String, Vec<String>> {
        let deadline = Instant::now() + within;
        loop {
            let calls = self.taken();
            let taken: usize = calls.values().map(Vec::len).sum();
            if taken >= count || Instant::now() > deadline {
                return calls;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until salara knows that the CRM has taken all: it may know it of the last one later.
    pub fn wait_idle(&self) {
        let deadline = Instant::now() + SOON;
        let told = || self.salara.verb(&["show", "events"]).1;
        while !told().contains("waiting: 0\n") {
            assert!(Instant::now() < deadline, "{}", told());
        }
    }

    /// Waits for all events of these calls and checks that they came in order.
    pub fn assert_all(self, calls: usize, numbers: usize) -> Self {
        let wanted: Vec<String> = (0..numbers).map(|number| number.to_string()).collect();
        self.assert_taken(calls, &wanted)
    }

    /// The same for events of these numbers.
    pub fn assert_taken(self, calls: usize, wanted: &[String]) -> Self {
        let taken = self.wait_taken(calls * wanted.len(), SOON);
        let wanted: BTreeMap<String, Vec<String>> = (0..calls)
            .map(|call| (call.to_string(), wanted.to_vec()))
            .collect();
        assert_eq!(taken, wanted);
        self
    }

    /// How many log lines say this.
    pub fn said(&self, text: &str) -> usize {
        let log = self.salara.log();
        log.iter().filter(|line| line.contains(text)).count()
    }

    fn taken(&self) -> BTreeMap<String, Vec<String>> {
        let mut seen: HashMap<String, String> = HashMap::new();
        let mut calls: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for request in self.taken.lock().unwrap().iter() {
            let id = request.header("webhook-id").to_owned();
            assert!(!id.is_empty() && !id.contains('.'), "{id}");
            if let Some(body) = seen.get(&id) {
                assert_eq!(*body, request.body, "one id, two events");
                continue;
            }
            seen.insert(id, request.body.clone());
            let json: serde_json::Value = serde_json::from_str(&request.body).unwrap();
            let text = |key: &str| json[key].as_str().unwrap().to_owned();
            calls.entry(text("caller")).or_default().push(text("app"));
        }
        let bodies: HashSet<&String> = seen.values().collect();
        assert_eq!(bodies.len(), seen.len(), "one event, two ids");
        calls
    }
}

/// Asks salara something every few milliseconds, and minds in the end if it was kept waiting.
struct RestClient {
    over: Arc<AtomicBool>,
    asking: Option<JoinHandle<Duration>>,
}

impl RestClient {
    fn start(salara: &Salara) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (done, addr) = (Arc::clone(&over), salara.addr());
        let asking = thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let asked = Instant::now();
                assert_eq!(rest::post(addr, r#"{"exten":"8003"}"#).status, 200);
                worst = worst.max(asked.elapsed());
                thread::sleep(Duration::from_millis(20));
            }
            worst
        });
        Self {
            over,
            asking: Some(asking),
        }
    }
}

impl Drop for RestClient {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let worst = self.asking.take().unwrap().join();
        if !thread::panicking() {
            let worst = worst.expect("a client was not answered");
            println!("REST: slowest answer {worst:?}");
            // An emulated processor is slow by itself.
            let blocked = if is_emulated() { BLOCKED * 10 } else { BLOCKED };
            assert!(worst < blocked, "{worst:?}");
        }
    }
}
