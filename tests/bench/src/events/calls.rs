//! Calls as Asterisk tells of them, and what the CRM must get.

use std::collections::{HashMap, VecDeque};

use super::sink::Arrival;

/// What calls execute, in this order; each its own, so that a post tells its place.
const APPLICATIONS: [&str; 8] = [
    "Ringing",
    "Answer",
    "Set",
    "Playback",
    "Wait",
    "Queue",
    "Dial",
    "VoiceMail",
];

/// An event: what AMI says and what is to be posted.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    call: u32,
    pub(crate) wire: String,
    pub(crate) body: String,
}

/// The events of that call: Newchannel, so many Newexten (8 at most), Hangup.
pub(crate) fn call(number: u32, extens: usize) -> Vec<Event> {
    let step = |(at, application): (usize, &&str)| {
        let more = format!("Extension: 0000\r\nApplication: {application}\r\nAppData: \r\n");
        event(number, "Newexten", at + 1, &more, Some(application))
    };
    let mut events = vec![event(number, "Newchannel", 0, "", None)];
    events.extend(APPLICATIONS.iter().take(extens).enumerate().map(step));
    let cause = "Cause: 16\r\nCause-txt: Normal Clearing\r\n";
    events.push(event(number, "Hangup", extens, cause, None));
    events
}

/// The events of many calls, of which `group` run at a time, all at the same pace.
pub(crate) fn calls(
    numbers: std::ops::Range<u32>,
    extens: usize,
    group: usize,
) -> impl Iterator<Item = Event> {
    let numbers: Vec<u32> = numbers.collect();
    let groups: Vec<Vec<u32>> = numbers.chunks(group).map(<[u32]>::to_vec).collect();
    groups.into_iter().flat_map(move |group| {
        let calls = group.into_iter().map(|number| call(number, extens));
        let mut calls: Vec<_> = calls.map(Vec::into_iter).collect();
        let mut events = Vec::new();
        for _ in 0..extens + 2 {
            events.extend(calls.iter_mut().filter_map(Iterator::next));
        }
        events
    })
}

fn event(call: u32, name: &str, line: usize, more: &str, application: Option<&str>) -> Event {
    let class = if application.is_some() {
        "dialplan,all"
    } else {
        "call,all"
    };
    let (state, word, told, exten) = match name {
        "Newchannel" => (0, "Down", "DOWN", "s"),
        _ => (6, "Up", "UP", "0000"),
    };
    let channel = channel(call);
    let priority = line.max(1);
    let wire = format!(
        "Event: {name}\r\nPrivilege: {class}\r\nChannel: {channel}\r\nChannelState: {state}\r\n\
         ChannelStateDesc: {word}\r\nCallerIDNum: 8003\r\nCallerIDName: 8003\r\n\
         ConnectedLineNum: <unknown>\r\nConnectedLineName: <unknown>\r\nLanguage: en\r\n\
         AccountCode: \r\nContext: alnik\r\nExten: {exten}\r\nPriority: {priority}\r\n\
         Uniqueid: 1795376528.{call}\r\nLinkedid: 1795376528.{call}\r\n{more}\r\n"
    );
    let application = application.map_or_else(String::new, |name| format!(",\"app\":\"{name}\""));
    let body = format!(
        "{{\"event\":\"{name}\",\"chan\":\"{channel}\",\"caller\":\"8003\",\
         \"exten\":\"{exten}\",\"state\":\"{told}\"{application}}}"
    );
    Event { call, wire, body }
}

fn channel(call: u32) -> String {
    format!("PJSIP/8003-{call:08x}")
}

/// Whether the CRM got these events and no others, those of a call in their order or, `in_one_line`,
/// all of them. Gives for each arrival which event it was.
pub(crate) fn check(
    events: &[Event],
    arrivals: &[Arrival],
    in_one_line: bool,
) -> Result<Vec<usize>, String> {
    let mut lines: HashMap<u32, VecDeque<usize>> = HashMap::new();
    for (at, event) in events.iter().enumerate() {
        lines.entry(event.call).or_default().push_back(at);
    }
    let mut order = Vec::with_capacity(events.len());
    for arrival in arrivals {
        let got = String::from_utf8_lossy(&arrival.body);
        let line = call_of(&got).and_then(|call| lines.get_mut(&call));
        let Some(next) = line.and_then(VecDeque::pop_front) else {
            return Err(format!("the CRM got {got}, which was not awaited"));
        };
        match events.get(next) {
            Some(event) if event.body == got => {}
            other => {
                let awaited = other.map(|event| &event.body);
                return Err(format!("the CRM got {got} instead of {awaited:?}"));
            }
        }
        if in_one_line && next != order.len() {
            return Err(format!("the CRM got {got} out of its order"));
        }
        order.push(next);
    }
    if order.len() != events.len() {
        let (got, sent) = (order.len(), events.len());
        return Err(format!("the CRM got {got} events of {sent}"));
    }
    Ok(order)
}

/// The number of the call a post is about.
fn call_of(body: &str) -> Option<u32> {
    let (_, behind) = body.split_once("\"chan\":\"PJSIP/8003-")?;
    u32::from_str_radix(behind.get(..8)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn arrivals(events: &[Event]) -> Vec<Arrival> {
        let at = Instant::now();
        let body = |event: &Event| event.body.clone().into_bytes();
        events
            .iter()
            .map(|event| Arrival {
                at,
                body: body(event),
            })
            .collect()
    }

    #[test]
    fn calls_of_a_group_take_turns() {
        let events: Vec<Event> = calls(7..12, 4, 2).collect();
        assert_eq!(events.len(), 30);
        let numbers: Vec<u32> = events.iter().map(|event| event.call).take(13).collect();
        assert_eq!(numbers, [7, 8, 7, 8, 7, 8, 7, 8, 7, 8, 7, 8, 9]);
        assert_eq!(
            events[2].body,
            "{\"event\":\"Newexten\",\"chan\":\"PJSIP/8003-00000007\",\"caller\":\"8003\",\
             \"exten\":\"0000\",\"state\":\"UP\",\"app\":\"Ringing\"}"
        );
        assert!(events[11].wire.starts_with("Event: Hangup\r\n"));
    }

    #[test]
    fn loss_doubles_and_disorder_are_found() {
        let events: Vec<Event> = calls(0..2, 1, 2).collect();
        let order = check(&events, &arrivals(&events), true);
        assert_eq!(order, Ok(vec![0, 1, 2, 3, 4, 5]));
        let mut other = arrivals(&events);
        other.swap(0, 1);
        assert_eq!(check(&events, &other, false), Ok(vec![1, 0, 2, 3, 4, 5]));
        assert!(check(&events, &other, true).is_err());
        other.swap(0, 3);
        assert!(check(&events, &other, false).is_err());
        let mut doubled = events.clone();
        doubled.push(events[5].clone());
        assert!(check(&events, &arrivals(&doubled), false).is_err());
        assert!(check(&events, &arrivals(&events[..5]), false).is_err());
    }
}
