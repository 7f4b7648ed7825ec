//! What is set up: calls and messages.
//!
//! This file owns the step from an operator's state to the action, and how a call ends. It must not
//! know how a request came or an answer travels.
//!
//! The surprising fact: the operator's hint names the device that rings. Only where it names none
//! is one made up from the extension and a technology.

use std::time::{Duration, Instant};

use super::hint::Device;
use super::hints::Known;
use super::{ConnId, Decision, Engine, Job, Output};
use crate::ami::Message;
use crate::ami::action::{Action, Originate};
use crate::ami::event::OriginateResponse;
use crate::ami::instance::Ask;
use crate::api::Reply;
use crate::config::Tech;
use crate::value::{Body, Name, Number, Sender};

/// Calls whose end has not been told. The oldest is forgotten beyond that.
const MAX_CALLS: usize = 1_000;
/// How long after its ringing time the end of a call is still waited for.
const CALL_GRACE: Duration = Duration::from_secs(60);

/// A call that has been handed to Asterisk.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) device: Box<str>,
    pub(super) forget_at: Instant,
}

impl Engine {
    pub(super) fn call(
        &mut self,
        conn: ConnId,
        operator: Number,
        phone: Number,
        head: Message<'_>,
        now: Instant,
    ) {
        let known = Known::read(head);
        if !self.is_good(&known, "call", operator.as_str()) {
            return self.reply(conn, known.reply());
        }
        let hint = head.text("Hint");
        let device: Box<str> = match Device::of_hint(&hint, self.preferred()) {
            Some(device) => format!("{}/{}", device.tech, device.rest).into(),
            None => format!("{}/{}", self.tech(), operator.as_str()).into(),
        };
        let Ok(context) = Name::new(&self.config.general.default_context) else {
            return self.reply(conn, Reply::error(503, "default_context is of no use"));
        };
        let ask = self.jobs.begin(Job::Originate);
        let uniqueid: Box<str> = self.instance.action_id(ask).into();
        let timeout = self.config.event.timeout_makecall;
        if self.calls.len() >= MAX_CALLS {
            let oldest = self.calls.keys().min().copied();
            oldest.and_then(|oldest| self.calls.remove(&oldest));
        }
        let forget_at = now + timeout + CALL_GRACE;
        self.calls.insert(
            ask,
            Call {
                device: device.clone(),
                forget_at,
            },
        );
        self.channels
            .originated(&uniqueid, operator.as_str(), phone.as_str(), timeout, now);
        let originate = Originate {
            channel: device.clone(),
            channel_id: uniqueid.clone(),
            context,
            extension: phone.clone(),
            caller_id: operator,
            timeout,
        };
        self.outputs
            .push_back(Output::Act(ask, Action::Originate(originate)));
        let mut reply = known.reply();
        reply.facts.push(("Salara-ActionID", uniqueid.to_string()));
        reply.facts.push(("Salara-Channel", device.to_string()));
        reply.facts.push(("Salara-Uniqueid", uniqueid.to_string()));
        self.reply(conn, reply);
        self.note(Decision::Calling {
            device,
            phone,
            uniqueid,
        });
    }

    pub(super) fn message(
        &mut self,
        conn: ConnId,
        operator: &Name,
        from: Sender,
        body: Body,
        head: Message<'_>,
    ) {
        let known = Known::read(head);
        if !self.is_good(&known, "message", operator.as_str()) {
            return self.reply(conn, known.reply());
        }
        let hint = head.text("Hint");
        let device = Device::of_hint(&hint, self.preferred());
        // Only the two SIP stacks take messages; another device's extension is asked of the stack.
        let to: Box<str> = match device {
            Some(device) if device.tech.eq_ignore_ascii_case("PJSIP") => {
                format!("pjsip:{}", device.name()).into()
            }
            Some(device) if device.tech.eq_ignore_ascii_case("SIP") => {
                format!("sip:{}", device.name()).into()
            }
            _ if self.tech() == "SIP" => format!("sip:{}", operator.as_str()).into(),
            _ => format!("pjsip:{}", operator.as_str()).into(),
        };
        let ask = self.jobs.begin(Job::Send { to: to.clone() });
        self.outputs
            .push_back(Output::Act(ask, Action::MessageSend { to, from, body }));
        let mut reply = known.reply();
        reply
            .facts
            .push(("Salara-ActionID", self.instance.action_id(ask)));
        self.reply(conn, reply);
    }

    fn is_good(&mut self, known: &Known, what: &'static str, operator: &str) -> bool {
        let good = self.config.url.good_status.contains(known.state);
        if !good {
            let (operator, state) = (operator.into(), known.text.clone());
            self.note(Decision::NotGood {
                what,
                operator,
                state,
            });
        }
        good
    }

    pub(super) fn call_ended(&mut self, response: OriginateResponse) {
        let Some(ask) = self.instance.ask(response.action_id.as_bytes()) else {
            return;
        };
        if response.answered {
            let Some(_) = self.calls.remove(&ask) else {
                return;
            };
            let OriginateResponse {
                channel, uniqueid, ..
            } = response;
            return self.note(Decision::Answered { channel, uniqueid });
        }
        self.call_failed(ask, reason(response.reason));
    }

    /// The link is gone: how the calls under way end will not be told.
    pub(super) fn forget_calls(&mut self) {
        let mut calls: Vec<(Ask, Call)> = self.calls.drain().collect();
        calls.sort_by_key(|(ask, _)| *ask);
        for (ask, call) in calls {
            let uniqueid = self.instance.action_id(ask).into();
            self.note(Decision::Unknown {
                device: call.device,
                uniqueid,
            });
        }
    }

    /// Calls whose end was never told; those that never got a channel will get none.
    pub(super) fn forget_old_calls(&mut self, now: Instant) {
        let (instance, channels) = (&self.instance, &mut self.channels);
        self.calls.retain(|ask, call| {
            let is_awaited = call.forget_at > now;
            if !is_awaited {
                channels.failed(&instance.action_id(*ask));
            }
            is_awaited
        });
    }

    pub(super) fn call_failed(&mut self, ask: Ask, why: &str) {
        let Some(call) = self.calls.remove(&ask) else {
            return;
        };
        let uniqueid: Box<str> = self.instance.action_id(ask).into();
        self.channels.failed(&uniqueid);
        self.note(Decision::Failed {
            device: call.device,
            uniqueid,
            why: why.into(),
        });
    }

    /// The technology the configuration insists on.
    pub(super) fn preferred(&self) -> Option<&str> {
        match &self.config.general.tech {
            Tech::Auto => None,
            Tech::Named(tech) => Some(tech),
        }
    }

    /// The technology of a device no hint names.
    fn tech(&self) -> &str {
        match (self.preferred(), &self.link) {
            (Some(tech), _) => tech,
            (None, Some(facts)) if facts.chan_sip && !facts.pjsip => "SIP",
            (None, _) => "PJSIP",
        }
    }
}

/// A failed `Originate` in words; the numbers are `AST_CONTROL_*` of `frame.h`.
fn reason(reason: i32) -> &'static str {
    match reason {
        1 => "hung up",
        3 => "no answer",
        5 => "busy",
        8 => "congestion",
        _ => "no device took it: refused, not registered, or unknown",
    }
}
