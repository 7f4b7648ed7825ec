//! Where an incoming call goes: the CRM's extension, the caller's of `[route]`, or the default.
//!
//! This file owns the order in which they are tried and the words for why. It must not know who asks
//! the CRM or Asterisk, nor how a call gets there.
//!
//! The surprising fact: there is one way back, not two. A caller with an entry in `[route]` never gets
//! to `default`, even when that entry's phone is busy: the dialplan's next line is the better place.

use std::fmt;

use crate::config::{General, Route};
use crate::value::Number;

mod answer;

pub use answer::{Answer, Variable};

/// Looking for the place of one call. Feed it what was heard; it says what to ask next.
#[derive(Clone, Debug)]
pub struct Search {
    here: Here,
    /// The one whose state is asked for.
    tried: Option<Place>,
    fallback: Result<Place, String>,
    /// What was against the places tried before.
    story: String,
    /// What a person should look at, though the call was decided about.
    remarks: Vec<String>,
    is_trouble: bool,
    caller_name: Option<Box<str>>,
    variables: Vec<Variable>,
}

/// Where the call is now: to be sent there again would never end.
#[derive(Clone, Debug)]
pub struct Here {
    /// The extension.
    pub extension: Box<str>,
    /// Its context; none when an extension of that name leads here from anywhere.
    pub context: Option<Box<str>>,
}

/// A place a call may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The extension.
    pub extension: Number,
    /// Its context.
    pub context: Number,
    source: Source,
}

/// Who named a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Crm,
    Route,
    Default,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask for the state of this place.
    Check(Place),
    /// The call goes here.
    Go(Place),
    /// There is no place for it: the dialplan goes on.
    Stay,
    /// It cannot be known whether there is: the dialplan goes on.
    Fail,
}

/// The state of a place.
#[derive(Clone, Copy, Debug)]
pub struct State<'a> {
    /// Whether a call may go there.
    pub is_good: bool,
    /// Asterisk's word for it.
    pub text: &'a str,
}

impl Search {
    /// A call of this caller, before anybody was asked.
    pub fn new(caller: &str, here: Here, routes: &[Route], general: &General) -> Self {
        let (source, called) = match routes.iter().find(|route| *route.caller == *caller) {
            Some(route) => (Source::Route, &*route.called),
            None => (Source::Default, &*general.default),
        };
        let default_context = &*general.default_context;
        Self {
            here,
            tried: None,
            fallback: Place::new(source, called, default_context),
            story: String::new(),
            remarks: Vec::new(),
            is_trouble: false,
            caller_name: None,
            variables: Vec::new(),
        }
    }

    /// The CRM was not asked, and why not.
    pub fn not_asked(&mut self, why: &str) -> Step {
        self.reject(why);
        self.fall_back()
    }

    /// The CRM gave no answer.
    pub fn unanswered(&mut self, why: &str) -> Step {
        self.fail(&format!("the CRM: {why}"));
        self.fall_back()
    }

    /// The CRM answered.
    pub fn answered(&mut self, status: u16, answer: Answer, default_context: &str) -> Step {
        let Answer {
            extension,
            context,
            caller_name,
            variables,
            remarks,
        } = answer;
        self.is_trouble |= !remarks.is_empty();
        self.remarks.extend(remarks);
        self.caller_name = caller_name;
        self.variables = variables;
        let context = context.as_ref().map_or(default_context, Number::as_str);
        let place = extension.and_then(|number| Place::new(Source::Crm, number.as_str(), context));
        match place {
            Ok(place) => {
                if !(200..300).contains(&status) {
                    self.is_trouble = true;
                    self.remarks.push(format!(
                        "the CRM answered {status}, and its answer was taken"
                    ));
                }
                self.check(place)
            }
            Err(why) => {
                let status = match status {
                    200..300 => String::new(),
                    _ => format!(" ({status})"),
                };
                self.fail(&format!("the CRM's answer{status}: {why}"));
                self.fall_back()
            }
        }
    }

    /// Asterisk told the state of the place.
    pub fn state(&mut self, state: State<'_>) -> Step {
        let Some(place) = self.tried.take() else {
            return Step::Fail;
        };
        if state.is_good {
            return Step::Go(place);
        }
        let (name, text) = (place.extension.as_str(), state.text);
        let why = match place.source {
            Source::Crm => format!("{name} is {text}"),
            source => format!("{source} {name} is {text}"),
        };
        self.reject(&why);
        let is_same = |other: &Place| {
            (&other.extension, &other.context) == (&place.extension, &place.context)
        };
        if place.source != Source::Crm || self.fallback.as_ref().is_ok_and(is_same) {
            return Step::Stay;
        }
        self.fall_back()
    }

    /// Asterisk did not tell it.
    pub fn stateless(&mut self, why: &str) -> Step {
        self.tried = None;
        self.fail(why);
        Step::Fail
    }

    /// The place is not one, after all.
    pub fn missing(&mut self, place: &Place) {
        let (context, name) = (place.context.as_str(), place.extension.as_str());
        self.fail(&format!("there is no extension {name} in {context}"));
    }

    /// Asterisk could not send the call to the place.
    pub fn fail(&mut self, why: &str) {
        self.is_trouble = true;
        self.reject(why);
    }

    /// Why it was decided as it was. `went` is the place the call went to.
    pub fn reason(&self, went: Option<&Place>) -> String {
        match went {
            Some(place) if self.story.is_empty() => place.source.to_string(),
            Some(place) => format!("{}: {}", place.source, self.story),
            None => self.story.clone(),
        }
    }

    /// What a person should look at beside that.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Whether something is not as it should be.
    pub fn is_trouble(&self) -> bool {
        self.is_trouble
    }

    /// What the CRM calls the caller.
    pub fn caller_name(&self) -> Option<&str> {
        self.caller_name.as_deref()
    }

    /// What the CRM wants the dialplan to know.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn fall_back(&mut self) -> Step {
        match self.fallback.clone() {
            Ok(place) => self.check(place),
            Err(why) => {
                self.reject(&why);
                Step::Stay
            }
        }
    }

    fn check(&mut self, place: Place) -> Step {
        let leads_here = *place.extension.as_str() == *self.here.extension
            && self
                .here
                .context
                .as_deref()
                .is_none_or(|context| context == place.context.as_str());
        if leads_here {
            let name = place.extension.as_str();
            self.reject(&format!("{name} is where the call is already"));
            return Step::Stay;
        }
        self.tried = Some(place.clone());
        Step::Check(place)
    }

    fn reject(&mut self, why: &str) {
        if !self.story.is_empty() {
            self.story.push_str("; ");
        }
        self.story.push_str(why);
    }
}

impl Place {
    fn new(source: Source, extension: &str, context: &str) -> Result<Self, String> {
        let number =
            |text: &str| Number::new(text).map_err(|bad| format!("{source} {text:?} {bad}"));
        Ok(Self {
            extension: number(extension)?,
            context: number(context)?,
            source,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crm => "crm",
            Self::Route => "route",
            Self::Default => "default",
        })
    }
}

#[cfg(test)]
mod tests;
