//! What a CRM says about a caller.
//!
//! This file owns the reading of its JSON. It must not know what is done with it.
//!
//! The surprising fact: an answer without an extension may still say who calls, and that is passed on
//! to wherever the call goes.

use serde_json::{Map, Value};

use crate::agi::{is_harmless, is_variable, may_be_told};
use crate::value::Number;

/// The longest extension, in characters.
const MAX_EXTENSION: usize = 80;
/// So many bytes of a caller's name are shown: Asterisk's own limit.
const MAX_CALLER_NAME: usize = 79;
/// More variables than these are not set.
const MAX_VARIABLES: usize = 32;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Where the call goes; an error says what is wrong with it.
    pub extension: Result<Number, String>,
    /// In which context that is.
    pub context: Option<Number>,
    /// What the operator's phone shows of the caller.
    pub caller_name: Option<Box<str>>,
    /// What the dialplan is to know.
    pub variables: Vec<Variable>,
    /// What was left out, and why.
    pub remarks: Vec<String>,
}

/// A channel variable to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: Box<str>,
    /// Its value.
    pub value: Box<str>,
}

impl Answer {
    /// Reads a body. `key_word` names the field with the extension.
    pub fn read(body: &[u8], key_word: &str) -> Self {
        let mut answer = Self::without("not a JSON object");
        if let Ok(Value::Object(fields)) = serde_json::from_slice(body) {
            answer.extension = extension(&fields, key_word);
            answer.options(&fields);
        }
        answer
    }

    fn without(why: &str) -> Self {
        Self {
            extension: Err(why.to_owned()),
            context: None,
            caller_name: None,
            variables: Vec::new(),
            remarks: Vec::new(),
        }
    }

    fn options(&mut self, fields: &Map<String, Value>) {
        match fields.get("context").map(plain) {
            None => {}
            Some(text) => match text.as_deref().map(Number::new) {
                Some(Ok(context)) => self.context = Some(context),
                // In another context the same extension is somebody else.
                _ => self.extension = Err("context is not the name of one".to_owned()),
            },
        }
        match fields.get("callerid_name").map(plain) {
            None => {}
            Some(Some(name)) => {
                self.caller_name = Some(shown(&name)).filter(|name| !name.is_empty());
            }
            Some(None) => self.remark("callerid_name"),
        }
        match fields.get("variables") {
            None => {}
            Some(Value::Object(variables)) => {
                for (name, value) in variables {
                    match plain(value) {
                        Some(value)
                            if is_variable(name)
                                && may_be_told(&value)
                                && self.variables.len() < MAX_VARIABLES =>
                        {
                            let name = name.as_str().into();
                            self.variables.push(Variable { name, value });
                        }
                        _ => self.remark(name),
                    }
                }
            }
            Some(_) => self.remark("variables"),
        }
    }

    fn remark(&mut self, what: &str) {
        // A hostile answer is not to fill the log.
        if self.remarks.len() < 3 {
            self.remarks
                .push(format!("{what:.80?} of the CRM's answer was not set"));
        }
    }
}

fn extension(fields: &Map<String, Value>, key_word: &str) -> Result<Number, String> {
    let value = fields
        .get(key_word)
        .ok_or_else(|| format!("no {key_word}"))?;
    let text: Box<str> = match value {
        Value::String(text) => text.as_str().into(),
        Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string().into(),
        _ => return Err(format!("{key_word} is neither a string nor an integer")),
    };
    if text.chars().count() > MAX_EXTENSION {
        return Err(format!(
            "{key_word} is longer than {MAX_EXTENSION} characters"
        ));
    }
    Number::new(&text).map_err(|bad| format!("{key_word} {bad}"))
}

/// A name as a display has room for it. Companies like `&` and `,`, which the dialplan would misread:
/// they are left out.
fn shown(name: &str) -> Box<str> {
    let mut shown = String::new();
    for word in name.split(|c| c == ' ' || !is_harmless(c)) {
        if !shown.is_empty() && !word.is_empty() {
            shown.push(' ');
        }
        shown.push_str(word);
    }
    while shown.len() > MAX_CALLER_NAME {
        shown.pop();
    }
    shown.into()
}

/// A value as text, if it is one thing.
fn plain(value: &Value) -> Option<Box<str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string().into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
