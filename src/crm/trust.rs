//! Which certificates vouch for the CRM, and what to do when none does.
//!
//! This file owns the reading of certificates and the words for TLS that fails. It must not know
//! what is posted.
//!
//! The surprising fact: a box without a clock battery boots in 1970, when no certificate is valid
//! yet. So an error about time says both times.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Once};

use log::warn;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, RootCertStore};
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

use super::client::Endpoint;

mod provider;

/// Where systems keep the certificates they trust.
const SYSTEM: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

/// Whether a file has certificates to check the CRM's against; else what is wrong with it.
pub fn check(file: &Path) -> Result<(), String> {
    let certificates = read(file)?;
    let mut store = RootCertStore::empty();
    for (place, certificate) in certificates.iter().enumerate() {
        store
            .add(certificate.der().to_vec().into())
            .map_err(|why| {
                let (file, place) = (file.display(), place + 1);
                format!("{file}: certificate {place} cannot be used: {why}")
            })?;
    }
    Ok(())
}

/// Gives an agent the means to post to `https`.
pub(super) fn secure(
    agent: ConfigBuilder<AgentScope>,
    endpoint: &Endpoint,
) -> ConfigBuilder<AgentScope> {
    static PROVIDER: Once = Once::new();
    // It can only be installed once, and only we do.
    PROVIDER.call_once(|| drop(provider::provider().install_default()));
    let Endpoint { verify, ca, .. } = endpoint;
    let roots = if endpoint.target.is_https() && *verify {
        roots(ca.as_deref())
    } else {
        Vec::new()
    };
    let tls = TlsConfig::builder()
        .disable_verification(!verify)
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .build();
    agent.tls_config(tls)
}

/// The certificates the CRM's is checked against: the system's and these.
fn roots(more: Option<&Path>) -> Vec<Certificate<'static>> {
    let system = SYSTEM.iter().map(Path::new).find(|path| path.exists());
    let mut roots = Vec::new();
    for file in system.into_iter().chain(more) {
        match read(file) {
            Ok(certificates) => roots.extend(certificates),
            Err(why) => warn!(target: "crm", "{why}"),
        }
    }
    if roots.is_empty() {
        warn!(
            target: "crm",
            "no trusted certificates on this machine: install ca-certificates or set crm_ca"
        );
    }
    roots
}

fn read(file: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let pem = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let certificates: Vec<_> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            Ok(_) | Err(_) => None,
        })
        .collect();
    if certificates.is_empty() {
        let file = file.display();
        return Err(format!(
            "{file}: holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
        ));
    }
    Ok(certificates)
}

/// What went wrong with TLS, if that was it, and, where it is known, what to do about it.
pub(super) fn explain(error: &ureq::Error) -> Option<String> {
    match error {
        ureq::Error::Rustls(error) => Some(explain_tls(error)),
        // A handshake that fails comes as an error of the stream.
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref().map(explain_tls),
        _ => None,
    }
}

fn explain_tls(error: &Error) -> String {
    let advice = match error {
        Error::InvalidCertificate(why) => return explain_certificate(why),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not speak TLS there: is the port of dest_url_event right, or is http:// meant?"
        }
        Error::AlertReceived(
            AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure,
        )
        | Error::PeerIncompatible(_) => {
            "it and salara have no TLS in common: it must know 1.2 or 1.3, with AES-GCM"
        }
        _ => "TLS failed",
    };
    format!("{advice} ({error})")
}

fn explain_certificate(why: &CertificateError) -> String {
    let advice = match why {
        CertificateError::ExpiredContext { time, not_after } => {
            let (now, end) = (date(*time), date(*not_after));
            return format!(
                "its certificate ended on {end}: renew it, or set this machine's clock, which \
                 says {now}"
            );
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let (now, begin) = (date(*time), date(*not_before));
            return format!(
                "its certificate begins on {begin}: set this machine's clock, which says {now}"
            );
        }
        CertificateError::UnknownIssuer => {
            "its certificate is from no one this machine trusts: set crm_ca to its authority's"
        }
        CertificateError::BadSignature => {
            "its certificate is not signed by the authority of that name this machine trusts: is \
             crm_ca the present one?"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name than dest_url_event has"
        }
        // The one case the library has no name for; its text has.
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is an authority's own: make it one for a server (CA:FALSE)"
        }
        _ => "its certificate is not good",
    };
    format!("{advice} ({why})")
}

/// The day, as `2026-11-23`.
fn date(time: UnixTime) -> String {
    // Years that begin in March have their odd day at their end; an era is 400 of them.
    let days = time.as_secs() / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_day_is_named_as_the_calendar_has_it() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_798_761_599, "2026-12-31"),
            (4_107_542_400, "2100-03-01"),
        ] {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            assert_eq!(date(time), day);
        }
    }
}
