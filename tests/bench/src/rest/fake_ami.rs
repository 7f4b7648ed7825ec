//! A thread that says what an Asterisk 22 says to salara, where every extension is idle. Events are
//! sent by whoever holds it.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Serves one session after the other until it is dropped; salara must have ended by then.
pub(crate) struct FakeAmi {
    pub(crate) addr: SocketAddr,
    over: Arc<AtomicBool>,
    wire: Arc<Wire>,
    thread: Option<JoinHandle<()>>,
}

impl FakeAmi {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let over = Arc::new(AtomicBool::new(false));
        let wire = Arc::new(Wire::default());
        let thread = thread::Builder::new().name("ami".into()).spawn({
            let (over, wire) = (Arc::clone(&over), Arc::clone(&wire));
            move || {
                for stream in listener.incoming() {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    // A session that breaks off is salara's to notice.
                    drop(stream.and_then(|stream| session(stream, &wire)));
                }
            }
        })?;
        Ok(Self {
            addr,
            over,
            wire,
            thread: Some(thread),
        })
    }

    /// Sends an event, whole, to who is connected.
    pub(crate) fn send(&self, event: &[u8]) -> io::Result<()> {
        self.wire.write(event)
    }
}

impl Drop for FakeAmi {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Only a connection ends the wait for one.
        drop(TcpStream::connect(self.addr));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The way to who is connected: answers and events each go out in one piece.
#[derive(Default)]
struct Wire(Mutex<Option<TcpStream>>);

impl Wire {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = self.0.lock().map_err(|_| io::ErrorKind::BrokenPipe)?;
        let stream = stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        stream.write_all(bytes)
    }

    fn put(&self, stream: Option<TcpStream>) {
        if let Ok(mut place) = self.0.lock() {
            *place = stream;
        }
    }
}

fn session(stream: TcpStream, wire: &Wire) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    wire.put(Some(stream.try_clone()?));
    let ended = converse(stream, wire);
    wire.put(None);
    ended
}

fn converse(stream: TcpStream, wire: &Wire) -> io::Result<()> {
    wire.write(b"Asterisk Call Manager/11.0.0\r\n")?;
    let mut lines = BufReader::new(stream).lines();
    let mut action = HashMap::new();
    while let Some(line) = lines.next().transpose()? {
        if let Some((key, value)) = line.split_once(": ") {
            action.insert(key.to_ascii_lowercase(), value.to_owned());
        } else if line.is_empty() && !action.is_empty() {
            wire.write(answer(&action).as_bytes())?;
            action.clear();
        }
    }
    Ok(())
}

fn answer(action: &HashMap<String, String>) -> String {
    let value = |key| action.get(key).map_or("", String::as_str);
    let (response, lines, behind) = match value("action") {
        "Challenge" => ("Success", "Challenge: 123\r\n".to_owned(), ""),
        "Login" => (
            "Success",
            "Message: Authentication accepted\r\n".to_owned(),
            BOOTED,
        ),
        "CoreSettings" => ("Success", SETTINGS.to_owned(), ""),
        "ListCommands" => ("Success", COMMANDS.to_owned(), ""),
        "Filter" => ("Success", "Message: Filter added\r\n".to_owned(), ""),
        "Ping" => (
            "Success",
            "Ping: Pong\r\nTimestamp: 1.000000\r\n".to_owned(),
            "",
        ),
        "ExtensionState" => {
            let (exten, context) = (value("exten"), value("context"));
            let lines = format!(
                "Message: Extension Status\r\nExten: {exten}\r\nContext: {context}\r\n\
                 Hint: PJSIP/{exten}\r\nStatus: 0\r\nStatusText: Idle\r\n"
            );
            ("Success", lines, "")
        }
        _ => (
            "Error",
            "Message: Invalid/unknown command\r\n".to_owned(),
            "",
        ),
    };
    let id = value("actionid");
    format!("Response: {response}\r\nActionID: {id}\r\n{lines}\r\n{behind}")
}

const BOOTED: &str = "Event: FullyBooted\r\nPrivilege: system,all\r\nUptime: 9\r\n\
                      LastReload: 9\r\nStatus: Fully Booted\r\n\r\n";
const SETTINGS: &str = "AMIversion: 11.0.0\r\nAsteriskVersion: 22.0.0\r\nSystemName: \r\n";
const COMMANDS: &str = "CoreSettings: Show PBX core settings.  (Priv: system,reporting,all)\r\n\
    ExtensionState: Check Extension Status.  (Priv: call,reporting,all)\r\n\
    Filter: Dynamically add filters for the current manager session.  (Priv: system,all)\r\n\
    ListCommands: List available manager commands.  (Priv: <none>)\r\n\
    MessageSend: Send an out of call message to an endpoint.  (Priv: message,all)\r\n\
    Originate: Originate a call.  (Priv: originate,all)\r\n\
    PJSIPShowEndpoint: Detail listing of an endpoint and its objects.  (Priv: system,all)\r\n\
    Ping: Keepalive command.  (Priv: <none>)\r\n\
    Status: List channel status.  (Priv: system,call,reporting,all)\r\n";

/// How long who is connected may read nothing.
const PATIENCE: Duration = Duration::from_secs(10);
