//! Incoming calls: the dialplan hands one over, and gets it back or never sees it again.
//!
//! This file owns the steps of a call from its AGI session's beginning to its end. It must not know
//! by which rules a place is chosen, nor how AGI is spelled.
//!
//! The surprising fact: the outcome is told to the dialplan before it is true. A transfer may end the
//! channel and the session with it, so `SALARA_RESULT` is set first, and corrected when Asterisk
//! could not transfer and the channel is still there.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::hints::{self, Known};
use super::redirect;
use super::{ConnId, Engine, Fate, Job, Output};
use crate::agi::{self, Answer, Command, Environment};
use crate::ami::Message;
use crate::ami::action::Action;
use crate::config::Transfer;
use crate::crm::{Found, Question};
use crate::route::{self, Here, Place, Search, State, Step};
use crate::value::Name;

mod end;

use end::refused;

/// What remains for Asterisk's answers when the CRM has used up its time.
const GRACE: Duration = Duration::from_secs(1);
/// Why nobody is decided about at the end.
const STOPPING: &str = "salara is stopping";
/// How much later than the CRM's client, which knows better why there is no answer, we give up.
const PATIENCE: Duration = Duration::from_millis(250);

/// A call that is being decided about.
#[derive(Debug)]
pub(super) struct Incoming {
    call: Environment,
    /// Whether it is to go on in its own channel, as the settings were when it came.
    is_goto: bool,
    /// Whether Asterisk has told the channel's end.
    is_over: bool,
    search: Search,
    stage: Stage,
    /// What is to be told, and what for. Asterisk takes one command at a time.
    commands: VecDeque<(Purpose, Command)>,
    told: Option<Purpose>,
    /// Where the caller has reached us.
    address: Option<Box<str>>,
    until: Option<Instant>,
    /// So long the caller waits at most.
    deadline: Instant,
}

#[derive(Debug)]
enum Stage {
    /// The CRM is asked.
    LookUp,
    /// Asterisk is asked for a state.
    Check,
    /// It goes there, when the last question is answered.
    Chosen(Place),
    /// It was told where to go.
    Going(Place),
    /// The dialplan goes on.
    Staying(Fate),
}

/// What a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// The address the caller has dialled.
    Uri,
    /// The domain of it, where there is no whole address.
    Domain,
    /// Whether the place is in the dialplan.
    Exists,
    /// To tell the dialplan.
    Tell,
    /// To go on elsewhere.
    Goto,
    /// To transfer.
    Transfer,
    /// What came of it.
    Status,
    /// To end the call that was transferred.
    HangUp,
}

impl Engine {
    /// Something happened in an AGI session.
    pub fn handle_agi(&mut self, conn: ConnId, event: agi::Event, now: Instant) {
        match event {
            agi::Event::Call(call) => self.incoming(conn, *call, now),
            agi::Event::Answer(answer) => self.agi_answered(conn, &answer, now),
            agi::Event::Gone(gone) => self.agi_gone(conn, gone),
        }
    }

    /// The CRM has answered, or will not.
    pub fn handle_found(&mut self, conn: ConnId, found: Found, now: Instant) {
        let Some(incoming) = self.incoming.get_mut(&conn) else {
            return;
        };
        if !matches!(incoming.stage, Stage::LookUp) {
            return;
        }
        let step = match found {
            Ok(said) => {
                let answer = route::Answer::read(&said.body, &self.config.keys.key_word);
                let context = &self.config.general.default_context;
                incoming.search.answered(said.status, answer, context)
            }
            Err(why) => incoming.search.unanswered(&why),
        };
        self.follow(conn, step, now);
    }

    /// How the log names the call of a session.
    pub fn name_of(&self, conn: ConnId) -> String {
        match self.incoming.get(&conn) {
            Some(Incoming { call, .. }) => format!("{} [{}]", call.channel, call.uniqueid),
            None => "a call that is over".to_owned(),
        }
    }

    /// salara ends: nobody is decided about any more.
    pub fn handle_stop(&mut self, now: Instant) {
        self.is_stopping = true;
        self.give_up(|_| true, STOPPING, now);
    }

    fn incoming(&mut self, conn: ConnId, call: Environment, now: Instant) {
        let general = &self.config.general;
        let is_goto = general.transfer == Transfer::Goto;
        let here = Here {
            extension: call.extension.clone(),
            context: is_goto.then(|| call.context.clone()),
        };
        let mut search = Search::new(&call.caller, here, &self.config.routes, general);
        let step = if self.is_stopping {
            Some(search.stateless(STOPPING))
        } else if call.caller.is_empty() {
            Some(search.not_asked("the caller has no number"))
        } else if self.config.url.dest_url.is_empty() {
            Some(search.not_asked("dest_url is empty"))
        } else {
            self.outputs.push_back(Output::LookUp(Question {
                call: conn,
                caller: call.caller.clone(),
                until: now + general.curlopt_timeout,
            }));
            None
        };
        let mut commands = VecDeque::new();
        if !is_goto && !self.is_stopping && redirect::is_pjsip(&call.tech) {
            let get = Command::Get("CHANNEL(pjsip,request_uri)".into());
            commands.push_back((Purpose::Uri, get));
        }
        let incoming = Incoming {
            call,
            is_goto,
            is_over: false,
            search,
            stage: Stage::LookUp,
            commands,
            told: None,
            address: None,
            until: Some(now + general.curlopt_timeout + PATIENCE),
            deadline: now + general.curlopt_timeout + GRACE,
        };
        self.incoming.insert(conn, incoming);
        match step {
            Some(step) => self.follow(conn, step, now),
            None => self.tell(conn, now),
        }
    }

    /// Does what the search says is next.
    fn follow(&mut self, conn: ConnId, step: Step, now: Instant) {
        let Some(incoming) = self.incoming.get_mut(&conn) else {
            return;
        };
        match step {
            Step::Check(place) => {
                incoming.until = Some(incoming.deadline);
                incoming.stage = Stage::Check;
                self.check(conn, &place, now);
            }
            Step::Go(place) => {
                if incoming.is_goto {
                    let (context, extension) = (&place.context, &place.extension);
                    let exists = format!(
                        "DIALPLAN_EXISTS({},{},1)",
                        context.as_str(),
                        extension.as_str()
                    );
                    let get = Command::Get(exists.into());
                    incoming.commands.push_back((Purpose::Exists, get));
                }
                incoming.stage = Stage::Chosen(place);
            }
            Step::Stay => self.stay(conn, Fate::NotAvailable),
            Step::Fail => self.stay(conn, Fate::Error),
        }
        self.tell(conn, now);
    }

    fn check(&mut self, conn: ConnId, place: &Place, now: Instant) {
        let name = |text: &str| Name::new(text).ok();
        let names = name(place.extension.as_str()).zip(name(place.context.as_str()));
        match names {
            Some((extension, context)) if self.link.is_some() => {
                let job = Job::Incoming {
                    conn,
                    key: hints::Key::new(&extension, Some(&context), ""),
                };
                self.act(job, Action::ExtensionState { extension, context });
            }
            _ => self.stateless(conn, "Asterisk's AMI is not reachable", now),
        }
    }

    /// A channel has ended. Its session's end may be read later than this, and what was answered
    /// before it, too.
    pub(super) fn channel_ended(&mut self, uniqueid: &str) {
        for incoming in self.incoming.values_mut() {
            incoming.is_over |= *incoming.call.uniqueid == *uniqueid;
        }
    }

    /// Asterisk has told the state of a place.
    pub(super) fn checked(
        &mut self,
        conn: ConnId,
        key: hints::Key,
        head: Message<'_>,
        now: Instant,
    ) {
        let known = Known::read(head);
        self.hints.insert(key, known.clone(), now);
        let Some(incoming) = self.incoming.get_mut(&conn) else {
            return;
        };
        if !matches!(incoming.stage, Stage::Check) {
            return;
        }
        let step = incoming.search.state(State {
            is_good: self.config.url.good_status.contains(known.state),
            text: &known.text,
        });
        self.follow(conn, step, now);
    }

    /// It has not.
    pub(super) fn stateless(&mut self, conn: ConnId, why: &str, now: Instant) {
        let Some(incoming) = self.incoming.get_mut(&conn) else {
            return;
        };
        if matches!(incoming.stage, Stage::Check) {
            let step = incoming.search.stateless(why);
            self.follow(conn, step, now);
        }
    }

    fn agi_answered(&mut self, conn: ConnId, answer: &Answer, now: Instant) {
        let Some(incoming) = self.incoming.get_mut(&conn) else {
            return;
        };
        let value = answer.value.as_deref().filter(|_| answer.is_good());
        match incoming.told.take() {
            Some(Purpose::Uri) => {
                incoming.address = value.and_then(redirect::address);
                let is_asked = !matches!(incoming.stage, Stage::Staying(_));
                if incoming.address.is_none() && is_asked {
                    let get = Command::Get("SIPDOMAIN".into());
                    incoming.commands.push_front((Purpose::Domain, get));
                }
            }
            Some(Purpose::Domain) => incoming.address = value.and_then(redirect::address),
            Some(Purpose::Exists) => {
                // An Asterisk without this function does not say.
                if let (Some("0"), Stage::Chosen(place)) = (value, &incoming.stage) {
                    incoming.search.missing(place);
                    self.stay(conn, Fate::NotAvailable);
                }
            }
            Some(Purpose::Tell | Purpose::HangUp) | None => {}
            Some(Purpose::Goto) if answer.is_done() => {}
            Some(Purpose::Goto) => {
                // The line's number was to be set last: the dialplan's next line is still the next.
                let call = &incoming.call;
                let back = [
                    (Purpose::Tell, Command::Context(call.context.clone())),
                    (Purpose::Tell, Command::Extension(call.extension.clone())),
                ];
                self.correct(conn, &refused("goto", answer));
                if let Some(incoming) = self.incoming.get_mut(&conn) {
                    incoming.commands.extend(back);
                }
            }
            Some(Purpose::Transfer) => {
                if answer.is_good() && answer.result == Some(-2) {
                    self.correct(conn, "Asterisk has no application Transfer");
                } else if answer.is_done() {
                    let get = Command::Get("TRANSFERSTATUS".into());
                    incoming.commands.push_back((Purpose::Status, get));
                } else {
                    self.correct(conn, &refused("Transfer", answer));
                }
            }
            Some(Purpose::Status) => match value {
                Some("SUCCESS") => {
                    // The caller has another call now. The dialplan's next line is for those whom
                    // we did not take: with this channel it would call a queue's agents for nobody.
                    let hang_up = (Purpose::HangUp, Command::HangUp);
                    incoming.commands.push_back(hang_up);
                }
                None | Some("") => {
                    self.correct(conn, "Asterisk does not say whether it was transferred");
                }
                Some(status) => self.correct(conn, &format!("Asterisk's Transfer says {status}")),
            },
        }
        self.tell(conn, now);
    }

    /// Tells the next command, or ends the session when there is none.
    fn tell(&mut self, conn: ConnId, now: Instant) {
        let Some(incoming) = self.incoming.get_mut(&conn) else {
            return;
        };
        if incoming.told.is_some() {
            return;
        }
        if incoming.commands.is_empty() {
            match &incoming.stage {
                Stage::LookUp | Stage::Check => return,
                Stage::Chosen(place) => {
                    let place = place.clone();
                    self.send_there(conn, place);
                    return self.tell(conn, now);
                }
                Stage::Going(_) | Stage::Staying(_) => return self.hand_back(conn, now),
            }
        }
        if let Some((purpose, command)) = incoming.commands.pop_front() {
            incoming.told = Some(purpose);
            if let (Purpose::Transfer, Stage::Going(place)) = (purpose, &incoming.stage) {
                let (caller, target) = (&incoming.call.caller, place.extension.as_str());
                // The caller may be back before Asterisk has said that it is gone.
                self.channels.transferred(caller, target, now);
            }
            self.outputs.push_back(Output::Tell(conn, command));
        }
    }

    /// The call goes to this place.
    fn send_there(&mut self, conn: ConnId, place: Place) {
        let Some(incoming) = self.incoming.get_mut(&conn) else {
            return;
        };
        let call = &incoming.call;
        let argument =
            redirect::argument(&call.tech, &place.extension, incoming.address.as_deref());
        let mut commands: Vec<(Purpose, Command)> = Vec::new();
        if incoming.is_goto {
            let (context, extension) = (place.context.as_str(), place.extension.as_str());
            commands.extend([
                (Purpose::Goto, Command::Context(context.into())),
                (Purpose::Goto, Command::Extension(extension.into())),
                (Purpose::Goto, Command::First),
            ]);
        } else if let Some(argument) = argument {
            let transfer = Command::Exec {
                application: "Transfer",
                argument,
            };
            // What came of an earlier one on this channel is not what comes of this one.
            let forget = Command::Set {
                name: "TRANSFERSTATUS".into(),
                value: "".into(),
            };
            commands.extend([(Purpose::Tell, forget), (Purpose::Transfer, transfer)]);
        } else {
            incoming
                .search
                .fail("the address the caller has dialled is not known");
            return self.stay(conn, Fate::Failed);
        }
        let reason = incoming.search.reason(Some(&place));
        incoming.report(Fate::Transferred, place.extension.as_str(), &reason);
        incoming.commands.extend(commands);
        incoming.stage = Stage::Going(place);
        incoming.until = None;
    }

    /// Calls whose time is over.
    pub(super) fn hurry_incoming(&mut self, now: Instant) {
        let late = |incoming: &Incoming| incoming.until.is_some_and(|until| until <= now);
        self.give_up(late, "", now);
    }

    pub(super) fn incoming_timeout(&self) -> Option<Instant> {
        self.incoming
            .values()
            .filter_map(|incoming| incoming.until)
            .min()
    }

    fn give_up(&mut self, which: impl Fn(&Incoming) -> bool, why: &str, now: Instant) {
        let all = self.incoming.iter();
        let calls: Vec<ConnId> = all
            .filter(|(_, incoming)| which(incoming))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in calls {
            let Some(incoming) = self.incoming.get_mut(&conn) else {
                continue;
            };
            let step = match &incoming.stage {
                Stage::LookUp if why.is_empty() => incoming.search.unanswered("no answer in time"),
                Stage::LookUp | Stage::Check | Stage::Chosen(_) => {
                    let why = if why.is_empty() {
                        "Asterisk does not answer in time"
                    } else {
                        why
                    };
                    incoming.search.stateless(why)
                }
                Stage::Going(_) | Stage::Staying(_) => continue,
            };
            self.follow(conn, step, now);
        }
    }
}
