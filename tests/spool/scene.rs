//! A salara that is killed and started again, between an Asterisk and a CRM that stay.
//!
//! Events are numbered over all calls and runs, and go to one call after the other. So what is lost,
//! repeated or out of order is seen in the numbers alone.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::crm::{Answer, Crm, Request};
use crate::support::daemon::{Salara, scratch_dir};
use crate::support::events_ami::{EventsAmi, newexten};

/// What takes milliseconds may take so long on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);
/// Calls whose events come in turn.
pub const CALLS: usize = 8;

/// All but the salara.
pub struct Scene {
    pub crm: Crm,
    pub ami: EventsAmi,
    /// What the CRM said yes to, in its order: numbers and webhook-ids.
    taken: Taken,
    pub spool: PathBuf,
    scratch: PathBuf,
    /// How many events were told so far.
    pub told: usize,
    /// Questions whose answers prove that all before them was read.
    asked: usize,
}

/// What the CRM says to an event.
pub enum Say {
    /// It takes it.
    Yes { after: Duration },
    /// It does not.
    No(Answer),
}

impl Say {
    pub const YES: Self = Self::Yes {
        after: Duration::ZERO,
    };
}

type Taken = Arc<Mutex<Vec<(usize, String)>>>;

impl Scene {
    /// With a CRM that is down.
    pub fn new() -> Self {
        let scratch = scratch_dir();
        let mut crm = Crm::start(|_| Answer::json("{}"));
        crm.go_down();
        let scene = Self {
            crm,
            ami: EventsAmi::start(),
            taken: Taken::default(),
            spool: scratch.join("spool"),
            scratch,
            told: 0,
            asked: 0,
        };
        scene.answer(|_| Say::YES);
        scene
    }

    /// The CRM does otherwise from now on.
    pub fn answer(&self, answer: impl Fn(&Request) -> Say + Send + Sync + 'static) {
        let taken = Arc::clone(&self.taken);
        self.crm.answer_with(move |request| match answer(request) {
            Say::Yes { after } => {
                let id = request.header("webhook-id").to_owned();
                taken.lock().unwrap().push((number(&request.body), id));
                Answer::json("{}").after(after)
            }
            Say::No(answer) => answer,
        });
    }

    /// A salara.conf with a spool; `more` belongs to `[delivery]`.
    pub fn conf(&self, more: &str) -> String {
        format!(
            "{}spool_dir={}\n{more}",
            self.conf_in_memory(),
            self.spool.display()
        )
    }

    pub fn conf_in_memory(&self) -> String {
        format!(
            "[general]\ncurlopt_timeout=1\n[event]\nverbose=1\nnewexten=3\n[url]\n\
             rest_server=127.0.0.1:0\ndest_url_event={}\n[ami]\nport={}\nsecret=x\n[delivery]\n",
            self.crm.url("/event"),
            self.ami.port(),
        )
    }

    /// Starts a salara that has a spool, and waits for its link.
    pub fn start(&self) -> Salara {
        let salara = Salara::start(&self.conf(""));
        salara.wait_connected();
        salara
    }

    /// Tells so many more events.
    pub fn tell(&mut self, count: usize) {
        let events: String = (self.told..self.told + count)
            .map(|number| newexten(number % CALLS, number))
            .collect();
        self.told += count;
        self.ami.tell(&events);
    }

    /// Whether salara has read all that was told: its answer to a question came behind that.
    pub fn has_read(&mut self, addr: SocketAddr) -> bool {
        self.asked += 1;
        let json = format!(r#"{{"extension":"n{}"}}"#, self.asked);
        ask(addr, &json).is_some_and(|answer| answer.contains("Idle"))
    }

    /// Tells so many more events and waits until salara has read them.
    pub fn tell_and_wait(&mut self, count: usize, salara: &Salara) {
        self.tell(count);
        assert!(self.has_read(salara.addr()));
    }

    /// Numbers and webhook-ids of what the CRM took, in its order.
    pub fn taken(&self) -> Vec<(usize, String)> {
        self.taken.lock().unwrap().clone()
    }

    /// Waits until the CRM has taken all of these numbers; on failure those that are missing.
    pub fn wait_taken(
        &self,
        wanted: impl IntoIterator<Item = usize>,
        within: Duration,
    ) -> Result<(), Vec<usize>> {
        let deadline = Instant::now() + within;
        let mut missing: Vec<usize> = wanted.into_iter().collect();
        let mut seen = 0;
        loop {
            let taken = self.taken.lock().unwrap();
            let new: std::collections::HashSet<usize> =
                taken.iter().skip(seen).map(|(number, _)| *number).collect();
            seen = taken.len();
            drop(taken);
            missing.retain(|number| !new.contains(number));
            if missing.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(missing);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Of each call, the events came in order, repeated ones aside; what was repeated had its old
    /// webhook-id, and no other event had it.
    #[track_caller]
    pub fn assert_in_order(&self) {
        let mut last: BTreeMap<usize, usize> = BTreeMap::new();
        let mut ids: HashMap<usize, String> = HashMap::new();
        let mut owners: HashMap<String, usize> = HashMap::new();
        for (number, id) in self.taken() {
            assert_eq!(*owners.entry(id.clone()).or_insert(number), number, "{id}");
            if let Some(first) = ids.get(&number) {
                assert_eq!(*first, id, "event {number} came with two ids");
                continue;
            }
            ids.insert(number, id);
            if let Some(before) = last.insert(number % CALLS, number) {
                assert!(before < number, "{number} of its call came after {before}");
            }
        }
    }

    /// The spool's files.
    pub fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.spool) else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// What they take.
    pub fn bytes(&self) -> u64 {
        let size = |file: &PathBuf| fs::metadata(file).map_or(0, |metadata| metadata.len());
        self.files().iter().map(size).sum()
    }

    /// Waits until there is none.
    #[track_caller]
    pub fn wait_empty(&self) {
        self.wait_files(<[PathBuf]>::is_empty);
    }

    /// Waits until there is one.
    #[track_caller]
    pub fn wait_not_empty(&self) {
        self.wait_files(|files| !files.is_empty());
    }

    #[track_caller]
    fn wait_files(&self, wanted: impl Fn(&[PathBuf]) -> bool) {
        let deadline = Instant::now() + SOON;
        while !wanted(&self.files()) {
            assert!(Instant::now() < deadline, "{:?}", self.files());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A place below which everything goes with the scene.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.scratch));
    }
}

/// The number of an event.
pub fn number(body: &str) -> usize {
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    json["app"].as_str().unwrap().parse().unwrap()
}

/// Asks a salara that may die over it.
fn ask(addr: SocketAddr, json: &str) -> Option<String> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let length = json.len();
    let head = "POST / HTTP/1.1\r\nHost: salara\r\nConnection: close\r\n";
    let request = format!("{head}Content-Length: {length}\r\n\r\n{json}");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
