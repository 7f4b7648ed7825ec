//! https: who is trusted, and what is said when nobody is.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use rustls::crypto::ring::cipher_suite::*;

use crate::office::Office;
use crate::support::daemon::{is_emulated, run, scratch_dir};
use crate::tls_front::{Authority, Identity, TlsFront};

const HERE: &str = "127.0.0.1";
const NOW: (i32, i32) = (2020, 2120);

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(scratch_dir())
    }

    /// Writes a file there.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        fs::write(&file, text).unwrap();
        file
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An office whose CRM shows this, and which trusts that.
fn office(identity: &Identity, trusted: &str) -> (Office, TlsFront, Scratch) {
    let scratch = Scratch::new();
    let ca = scratch.file("crm-ca.pem", trusted);
    let conf = format!("[security]\ntls_verify=1\ncrm_ca={}\n", ca.display());
    let (office, front) = behind(identity, &conf);
    (office, front, scratch)
}

fn behind(identity: &Identity, conf: &str) -> (Office, TlsFront) {
    let mut front = None;
    let office = Office::open_with(
        |crm| {
            front
                .insert(TlsFront::start(identity, crm.addr()))
                .url("/event")
        },
        conf,
        |_, _| None,
    );
    (office, front.unwrap())
}

/// With this certificate nothing is sent, and this is said.
fn is_refused(identity: &Identity, trusted: &str, said: &str) {
    let (office, _front, _scratch) = office(identity, trusted);
    office.tell(1, 0..2);
    let line = office.salara.wait_log("the CRM does not take events: ");
    assert!(line.contains(said), "{line}");
    assert!(line.ends_with("; trying on"), "{line}");
    assert!(office.crm.requests().is_empty(), "something was sent");
}

#[test]
fn a_private_authority_vouches_for_the_crm() {
    let authority = Authority::new("ours");
    let (office, front, _scratch) = office(&authority.issue(HERE, NOW), authority.pem());
    office.tell(4, 0..25);
    let office = office.assert_all(4, 25);
    assert_eq!(office.said("certificate"), 0, "{:?}", office.salara.log());
    // There a handshake may take longer than a post may: it is then tried on a new connection.
    let few = is_emulated() || front.connections() <= 4;
    assert!(few, "{}", front.connections());
}

#[test]
fn each_cipher_and_kind_of_key_is_spoken_but_chacha20() {
    let authority = Authority::new("ours");
    let scratch = Scratch::new();
    let ca = scratch.file("crm-ca.pem", authority.pem());
    let conf = format!("[security]\ntls_verify=1\ncrm_ca={}\n", ca.display());
    let open = |suite, key| {
        let identity = authority.issue_for(key, HERE, NOW);
        let mut front = None;
        let office = Office::open_with(
            |crm| {
                let started = TlsFront::speaking(&[suite], &identity, crm.addr());
                front.insert(started).url("/event")
            },
            &conf,
            |_, _| None,
        );
        office.tell(1, 0..1);
        (office, front)
    };
    let new = |kind| KeyPair::generate_for(kind).unwrap();
    let rsa = || KeyPair::from_pem(include_str!("rsa.pem")).unwrap();
    for (suite, key) in [
        (TLS13_AES_256_GCM_SHA384, rsa()),
        (TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, rsa()),
        (TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, rsa()),
        (TLS13_AES_256_GCM_SHA384, new(&PKCS_ECDSA_P384_SHA384)),
        (TLS13_AES_128_GCM_SHA256, new(&PKCS_ED25519)),
        (
            TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            new(&PKCS_ECDSA_P256_SHA256),
        ),
        (
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            new(&PKCS_ECDSA_P384_SHA384),
        ),
    ] {
        open(suite, key).0.assert_all(1, 1);
    }
    for suite in [
        TLS13_CHACHA20_POLY1305_SHA256,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ] {
        let (office, _front) = open(suite, new(&PKCS_ECDSA_P256_SHA256));
        let line = office.salara.wait_log("the CRM does not take events: ");
        let said = "it and salara have no TLS in common: it must know 1.2 or 1.3, with AES-GCM";
        assert!(line.contains(said), "{line}");
    }
}

#[test]
fn a_certificate_may_vouch_for_itself() {
    let identity = Identity::self_signed(HERE, false);
    let (office, _front, _scratch) = office(&identity, &identity.pem());
    office.tell(1, 0..3);
    office.assert_all(1, 3);
    let identity = Identity::self_signed(HERE, true);
    is_refused(
        &identity,
        &identity.pem(),
        "its certificate is an authority's own: make it one for a server (CA:FALSE)",
    );
}

#[test]
fn without_tls_verify_anyone_is_the_crm_and_that_is_said() {
    let identity = Authority::new("ours").issue("another.example", (2001, 2002));
    let (office, _front) = behind(&identity, "");
    office.tell(2, 0..3);
    let office = office.assert_all(2, 3);
    let warned = "the CRM's certificate is not checked, as the old module did: set tls_verify=1";
    assert_eq!(office.said(warned), 1);
}

#[test]
fn a_stranger_is_refused() {
    let ours = Authority::new("ours");
    is_refused(
        &Authority::new("theirs").issue(HERE, NOW),
        ours.pem(),
        "its certificate is from no one this machine trusts: set crm_ca to its authority's",
    );
    is_refused(
        &Authority::new("ours").issue(HERE, NOW),
        ours.pem(),
        "its certificate is not signed by the authority of that name this machine trusts: is \
         crm_ca the present one?",
    );
}

#[test]
fn an_expired_certificate_is_refused() {
    let authority = Authority::new("ours");
    let identity = authority.issue(HERE, (2020, 2021));
    let said = "its certificate ended on 2021-01-01: renew it, or set this machine's clock, which \
                says 20";
    is_refused(&identity, authority.pem(), said);
}

#[test]
fn a_certificate_of_the_future_makes_the_clock_suspect() {
    let authority = Authority::new("ours");
    let identity = authority.issue(HERE, (2119, 2120));
    let said = "its certificate begins on 2119-01-01: set this machine's clock, which says 20";
    is_refused(&identity, authority.pem(), said);
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new("ours");
    let identity = authority.issue("crm.example", NOW);
    let said = "its certificate is for another name than dest_url_event has";
    is_refused(&identity, authority.pem(), said);
}

#[test]
fn http_where_https_was_meant_is_told_and_the_other_way_round() {
    // As a web server answers what is no HTTP to it.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/event", plain.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in plain.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let office = Office::open_with(|_| url, "[security]\ntls_verify=1\n", |_, _| None);
    office.tell(1, 0..1);
    let line = office.salara.wait_log("the CRM does not take events: ");
    let said = "it does not speak TLS there: is the port of dest_url_event right, or is http:// \
                meant?";
    assert!(line.contains(said), "{line}");

    let identity = Authority::new("ours").issue(HERE, NOW);
    let mut front = None;
    let office = Office::open_with(
        |crm| {
            let front = front.insert(TlsFront::start(&identity, crm.addr()));
            front.url("/event").replace("https:", "http:")
        },
        "",
        |_, _| None,
    );
    office.tell(1, 0..1);
    let line = office.salara.wait_log("the CRM does not take events: ");
    assert!(line.contains("what it answers is not HTTP"), "{line}");
    assert!(line.contains("or is https:// meant?"), "{line}");
}

#[test]
fn a_crm_ca_that_is_none_is_refused_at_start() {
    let scratch = Scratch::new();
    let empty = scratch.file("empty.pem", "no certificate\n");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let broken = scratch.file("broken.pem", broken);
    for (ca, said) in [
        (scratch.0.join("none.pem"), "No such file or directory"),
        (scratch.0.clone(), "Is a directory"),
        (empty, "holds no certificate in PEM"),
        (broken, "certificate 1 cannot be used"),
    ] {
        let text = format!(
            "[ami]\nsecret=x\n[security]\ntls_verify=1\ncrm_ca={}\n",
            ca.display()
        );
        let conf = scratch.file("salara.conf", &text);
        let name = conf.to_str().unwrap();
        for args in [["-c", name, "--check"].as_slice(), &["-c", name]] {
            let (code, _, err) = run(args);
            assert_eq!(code, Some(2), "{err}");
            let line = format!("{name}:5: crm_ca: {}: {said}", ca.display());
            assert!(err.contains(&line), "{line}\n{err}");
        }
    }
}
