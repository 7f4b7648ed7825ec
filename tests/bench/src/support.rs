//! The real Asterisk, the phones and the CRM of salara's own tests.

#![allow(dead_code, reason = "the tests use more of it")]
#![allow(unreachable_pub, reason = "it is written as a module of a test")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "it stops a test that cannot go on"
)]

#[path = "../../support/ami.rs"]
pub mod ami;
#[path = "../../support/asterisk.rs"]
pub mod asterisk;
#[path = "../../support/crm.rs"]
pub mod crm;
#[path = "../../support/dialog.rs"]
pub mod dialog;
#[path = "../../support/line.rs"]
pub mod line;
#[path = "../../support/phone.rs"]
pub mod phone;
#[path = "../../support/ports.rs"]
pub mod ports;
#[path = "../../support/sip.rs"]
pub mod sip;
