//! The ciphers salara speaks.
//!
//! This file owns the list. It must not know certificates or files.
//!
//! The surprising fact: what is not named here is not in the binary. The library's own list would
//! bring 62 KB more: ChaCha20, QUIC's use of it, a third curve and a server's signing keys. Every
//! server of TLS 1.3 must know AES-128-GCM, and none of 1.2 is without it.

use std::sync::Arc;

use ring::rand::{self, SystemRandom};
use rustls::crypto::ring::{cipher_suite, kx_group};
use rustls::crypto::{
    CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use rustls::{Error, SignatureScheme};
use webpki::ring as signed_by;

/// ring's, and no more of it than a client without a certificate needs.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ],
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1],
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Random,
        key_provider: &NoKeys,
    }
}

/// What certificates are signed with; and, the best first, handshakes. TLS 1.2 leaves the curve
/// open, so there each of a scheme's is tried.
const SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        signed_by::ECDSA_P256_SHA256,
        signed_by::ECDSA_P256_SHA384,
        signed_by::ECDSA_P384_SHA256,
        signed_by::ECDSA_P384_SHA384,
        signed_by::ED25519,
        signed_by::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        signed_by::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        signed_by::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        signed_by::RSA_PKCS1_2048_8192_SHA256,
        signed_by::RSA_PKCS1_2048_8192_SHA384,
        signed_by::RSA_PKCS1_2048_8192_SHA512,
        signed_by::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
        signed_by::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
        signed_by::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    ],
    mapping: &[
        (
            SignatureScheme::ECDSA_NISTP384_SHA384,
            &[signed_by::ECDSA_P384_SHA384, signed_by::ECDSA_P256_SHA384],
        ),
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            &[signed_by::ECDSA_P256_SHA256, signed_by::ECDSA_P384_SHA256],
        ),
        (SignatureScheme::ED25519, &[signed_by::ED25519]),
        (
            SignatureScheme::RSA_PSS_SHA512,
            &[signed_by::RSA_PSS_2048_8192_SHA512_LEGACY_KEY],
        ),
        (
            SignatureScheme::RSA_PSS_SHA384,
            &[signed_by::RSA_PSS_2048_8192_SHA384_LEGACY_KEY],
        ),
        (
            SignatureScheme::RSA_PSS_SHA256,
            &[signed_by::RSA_PSS_2048_8192_SHA256_LEGACY_KEY],
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA512,
            &[signed_by::RSA_PKCS1_2048_8192_SHA512],
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA384,
            &[signed_by::RSA_PKCS1_2048_8192_SHA384],
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA256,
            &[signed_by::RSA_PKCS1_2048_8192_SHA256],
        ),
    ],
};

/// The system's randomness.
#[derive(Debug)]
struct Random;

impl SecureRandom for Random {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        let filled = rand::SecureRandom::fill(&SystemRandom::new(), bytes);
        filled.map_err(|_| GetRandomFailed)
    }
}

/// salara shows no certificate.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("salara has no private keys".to_owned()))
    }
}
