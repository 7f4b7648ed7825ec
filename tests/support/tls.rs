//! TLS in front of a CRM, and the certificates for it: a thread per connection takes what comes
//! encrypted and passes it on in clear, and back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::ALL_CIPHER_SUITES;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedCipherSuite};

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a server shows.
pub struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    /// A new one, which nobody knows yet.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Its own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server's certificate for this name, of the years between these.
    pub fn issue(&self, name: &str, years: (i32, i32)) -> Identity {
        self.issue_for(KeyPair::generate().unwrap(), name, years)
    }

    /// The same for a key of another kind.
    pub fn issue_for(&self, key: KeyPair, name: &str, years: (i32, i32)) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate, key }
    }
}

impl Identity {
    /// A certificate that vouches for itself; an authority's by what it says, or not.
    pub fn self_signed(name: &str, is_authority: bool) -> Self {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, key }
    }

    /// The certificate.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }
}

/// A TLS server that runs until it is dropped.
#[derive(Debug)]
pub struct TlsFront {
    addr: SocketAddr,
    over: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    accepting: Option<JoinHandle<()>>,
}

impl TlsFront {
    /// Starts one in front of `behind`.
    pub fn start(identity: &Identity, behind: SocketAddr) -> Self {
        Self::speaking(ALL_CIPHER_SUITES, identity, behind)
    }

    /// Starts one that knows only these ciphers.
    pub fn speaking(
        suites: &[SupportedCipherSuite],
        identity: &Identity,
        behind: SocketAddr,
    ) -> Self {
        let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
        let provider = Arc::new(CryptoProvider {
            cipher_suites: suites.to_vec(),
            ..rustls::crypto::ring::default_provider()
        });
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (over, accepted) = (Arc::default(), Arc::default());
        let accepting = thread::spawn({
            let (over, accepted) = (Arc::clone(&over), Arc::clone(&accepted));
            move || accept(&listener, &config, behind, &over, &accepted)
        });
        Self {
            addr,
            over,
            accepted,
            accepting: Some(accepting),
        }
    }

    /// The URL of a path on it.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.addr)
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.addr);
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}

fn accept(
    listener: &TcpListener,
    config: &Arc<ServerConfig>,
    behind: SocketAddr,
    over: &Arc<AtomicBool>,
    accepted: &AtomicUsize,
) {
    let mut threads = Vec::new();
    for stream in listener.incoming() {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let Ok(stream) = stream else { continue };
        accepted.fetch_add(1, Ordering::Relaxed);
        let (config, over) = (Arc::clone(config), Arc::clone(over));
        threads.push(thread::spawn(move || {
            // However it ends, the client sees it and the test asks the client.
            let _ = carry(stream, config, behind, &over);
        }));
    }
    for thread in threads {
        let _ = thread.join();
    }
}

fn carry(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    behind: SocketAddr,
    over: &AtomicBool,
) -> io::Result<()> {
    let mut plain = TcpStream::connect(behind)?;
    // Each direction has its turn.
    stream.set_read_timeout(Some(TURN))?;
    plain.set_read_timeout(Some(TURN))?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut secret = StreamOwned::new(connection, stream);
    while !over.load(Ordering::Relaxed) {
        if pass(&mut secret, &mut plain)? || pass(&mut plain, &mut secret)? {
            break;
        }
    }
    Ok(())
}

/// Passes on what is there; true at the end.
fn pass(from: &mut impl Read, to: &mut impl Write) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    match from.read(&mut buffer) {
        Ok(0) => Ok(true),
        Ok(count) => {
            to.write_all(&buffer[..count])?;
            to.flush()?;
            Ok(false)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

const TURN: Duration = Duration::from_millis(2);
