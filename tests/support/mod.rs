//! What the test binaries share: a real Asterisk, phones, a CRM, and a second opinion on AMI.
//!
//! Nothing here uses salara's own code: a mistake must not be made twice and then agree with itself.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(unreachable_pub, reason = "a module of a test binary has no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that cannot go on must stop, and it owns its threads and clocks"
)]

/// The same test on both versions of Asterisk, each time on one of its own.
#[allow(unused_macros, reason = "each test binary uses its own part")]
macro_rules! on_both {
    ($($test:ident)*) => {
        mod v16 {
            $(#[test] fn $test() { crate::support::asterisk::on(crate::support::asterisk::Version::V16, super::$test); })*
        }
        mod v22 {
            $(#[test] fn $test() { crate::support::asterisk::on(crate::support::asterisk::Version::V22, super::$test); })*
        }
    };
}

pub mod ami;
pub mod asterisk;
pub mod crm;
pub mod daemon;
pub mod dialog;
pub mod events_ami;
pub mod golden;
pub mod line;
pub mod phone;
pub mod ports;
pub mod rest;
pub mod sip;
pub mod trace;
