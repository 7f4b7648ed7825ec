//! An Asterisk that only tells: it lets salara in, says yes to everything, and sends the events a
//! test wants.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// An AMI server that runs until it is dropped.
#[derive(Debug)]
pub struct EventsAmi {
    addr: SocketAddr,
    links: Arc<Mutex<Links>>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Links {
    open: Vec<TcpStream>,
    over: bool,
}

impl EventsAmi {
    /// Starts one on a port of its own.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let links = Arc::new(Mutex::new(Links::default()));
        let accepting = thread::spawn({
            let links = Arc::clone(&links);
            move || accept(&listener, &links)
        });
        Self {
            addr,
            links,
            accepting: Some(accepting),
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Tells whoever is logged in. Who is not there any more is forgotten.
    pub fn tell(&self, events: &str) {
        let told = |mut link: &TcpStream| link.write_all(events.as_bytes()).is_ok();
        lock(&self.links).open.retain(told);
    }
}

impl Drop for EventsAmi {
    fn drop(&mut self) {
        lock(&self.links).over = true;
        let _ = TcpStream::connect(self.addr);
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}

/// The Newexten of a call whose application is a number: with `newexten=3` the CRM gets it as it is.
pub fn newexten(call: usize, number: usize) -> String {
    format!(
        "Event: Newexten\r\nPrivilege: dialplan,all\r\nChannel: SIP/{call}-{call:08x}\r\n\
         ChannelState: 6\r\nCallerIDNum: {call}\r\nContext: alnik\r\nExten: 710\r\n\
         Uniqueid: 1.{call}\r\nLinkedid: 1.{call}\r\nApplication: {number}\r\nAppData: \r\n\r\n"
    )
}

fn accept(listener: &TcpListener, links: &Arc<Mutex<Links>>) {
    let mut threads = Vec::new();
    for stream in listener.incoming() {
        if lock(links).over {
            break;
        }
        let (Ok(stream), links) = (stream, Arc::clone(links)) else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        threads.push(thread::spawn(move || serve(&stream, &links)));
    }
    for link in &lock(links).open {
        let _ = link.shutdown(Shutdown::Both);
    }
    for thread in threads {
        let _ = thread.join();
    }
}

fn serve(mut stream: &TcpStream, links: &Mutex<Links>) {
    let _ = stream.write_all(b"Asterisk Call Manager/11.0.0\r\n");
    let mut action: Vec<(String, String)> = Vec::new();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if let Some((key, value)) = line.split_once(": ") {
            action.push((key.to_owned(), value.to_owned()));
        } else if line.is_empty() {
            // Answers and events share the link, and must not cut into each other.
            let mut links = lock(links);
            if stream.write_all(answer(&action).as_bytes()).is_err() {
                return;
            }
            if value(&action, "Action") == "Login" {
                links.open.push(stream.try_clone().unwrap());
            }
            action.clear();
        }
    }
}

fn answer(action: &[(String, String)]) -> String {
    let id = value(action, "ActionID");
    let yes = format!("Response: Success\r\nActionID: {id}\r\n");
    match value(action, "Action") {
        "Challenge" => format!("{yes}Challenge: 1\r\n\r\n"),
        "Login" => format!(
            "{yes}Message: Authentication accepted\r\n\r\nEvent: FullyBooted\r\n\
             Privilege: system,all\r\nStatus: Fully Booted\r\n\r\n"
        ),
        "CoreSettings" => format!("{yes}AMIversion: 11.0.0\r\nAsteriskVersion: 22.0.0\r\n\r\n"),
        "CoreShowChannels" => format!(
            "{yes}EventList: start\r\n\r\nEvent: CoreShowChannelsComplete\r\nActionID: {id}\r\n\
             EventList: Complete\r\nListItems: 0\r\n\r\n"
        ),
        "ExtensionState" => format!("{yes}Hint: SIP/8003\r\nStatus: 0\r\nStatusText: Idle\r\n\r\n"),
        "Status" => {
            // Slow enough for a test to do something before it is answered.
            thread::sleep(Duration::from_millis(500));
            format!("Response: Error\r\nActionID: {id}\r\nMessage: No such channel\r\n\r\n")
        }
        _ => format!("{yes}\r\n"),
    }
}

fn value<'a>(action: &'a [(String, String)], key: &str) -> &'a str {
    let found = action.iter().find(|(name, _)| name == key);
    found.map_or("", |(_, value)| value)
}

fn lock(links: &Mutex<Links>) -> MutexGuard<'_, Links> {
    links.lock().unwrap()
}
