//! What stands for [`trust`](self) in a build without TLS (`--no-default-features`).
//!
//! It must look like the other from outside. The surprising fact: it has nothing to do; a URL that
//! wants TLS is refused at the start.

use std::path::Path;

use ureq::Error;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

use super::client::Endpoint;

/// Whether `https` can be posted to.
pub const AVAILABLE: bool = false;

/// No certificate is of use.
pub fn check(_: &Path) -> Result<(), String> {
    Err("this salara is built without TLS".to_owned())
}

/// Nothing is secured.
pub(super) fn secure(agent: ConfigBuilder<AgentScope>, _: &Endpoint) -> ConfigBuilder<AgentScope> {
    agent
}

/// No error is about TLS.
pub(super) fn explain(_: &Error) -> Option<String> {
    None
}
