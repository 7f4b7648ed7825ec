//! Incoming calls beside a real Asterisk: where the CRM sends them, what phones and trunk see of it,
//! and where a caller ends when something is wrong.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test owns its threads and clocks"
)]

#[macro_use]
mod support;

#[path = "incoming/answers.rs"]
mod answers;
#[path = "incoming/scene.rs"]
mod scene;
#[path = "incoming/told.rs"]
mod told;
#[path = "incoming/trouble.rs"]
mod trouble;
#[path = "incoming/ways.rs"]
mod ways;
