//! What is remembered of hints, and for how long it is told.

use super::*;
use crate::ami::event::ExtensionStatus;

const ASK: &str = r#"{"exten":"8003"}"#;
const MOMENT: Duration = Duration::from_millis(999);

fn status(extension: &str, context: &str, status: i32) -> Event {
    Event::ExtensionStatus(ExtensionStatus {
        extension: extension.into(),
        context: context.into(),
        status,
    })
}

/// 8003 was asked for and is idle.
fn idle() -> Play {
    let mut play = Play::on(PJSIP, "");
    play.post(ASK);
    play.answers("states", "lab-2");
    assert_eq!(play.reply().1, Reply::state(0, "Idle"));
    play
}

#[track_caller]
fn is_told(play: &mut Play, state: i32, text: &'static str) {
    let conn = play.post(ASK);
    assert_eq!(play.reply(), (conn, Reply::state(state, text)));
    assert!(play.is_quiet());
}

#[track_caller]
fn is_asked(play: &mut Play) {
    play.post(ASK);
    assert!(play.replies.is_empty());
    let (ask, asked) = play.asked();
    assert_eq!(asked, "ExtensionState Exten=8003 Context=alnik");
    play.answer(ask, Ok(recorded("states", "lab-12")));
    assert_eq!(play.reply().1, Reply::state(8, "Ringing"));
}

#[test]
fn an_answer_is_told_again_for_a_second() {
    let mut play = idle();
    is_told(&mut play, 0, "Idle");
    play.now += MOMENT;
    is_told(&mut play, 0, "Idle");
    play.now += Duration::from_millis(1);
    is_asked(&mut play);
    is_told(&mut play, 8, "Ringing");
}

#[test]
fn a_change_is_told_at_once_and_for_a_second() {
    let mut play = idle();
    play.now += MOMENT;
    play.happens(status("8003", "alnik", 9));
    is_told(&mut play, 9, "InUse&Ringing");
    play.now += MOMENT;
    is_told(&mut play, 9, "InUse&Ringing");
    play.now += Duration::from_millis(1);
    is_asked(&mut play);
}

#[test]
fn a_change_as_asterisk_22_tells_it_is_taken_over() {
    let mut play = idle();
    let changes = recorded::events(
        "states",
        |event| matches!(event, Event::ExtensionStatus(status) if &*status.extension == "8003"),
    );
    for change in changes {
        let Event::ExtensionStatus(status) = &change else {
            panic!("{change:?}")
        };
        let text = state::hint_text(status.status);
        let wanted = Reply::state(status.status, text);
        play.happens(change);
        play.post(ASK);
        assert_eq!(play.reply().1, wanted);
    }
}

#[test]
fn a_change_of_another_hint_changes_nothing() {
    let mut play = idle();
    play.happens(status("8002", "alnik", 1));
    play.happens(status("8003", "other", 1));
    is_told(&mut play, 0, "Idle");
    // What nobody asked for is not remembered.
    play.post(r#"{"exten":"8002"}"#);
    play.answers("states", "lab-3");
    assert_eq!(play.reply().1, Reply::state(4, "Unavailable"));
}

#[test]
fn a_context_has_its_own_hints() {
    let mut play = idle();
    play.post(r#"{"exten":"8003","context":"nowhere"}"#);
    play.answers("states", "lab-6");
    assert_eq!(play.reply().1, Reply::state(-1, "Unknown"));
    is_told(&mut play, 0, "Idle");
    // The default context has its own name too.
    play.post(r#"{"exten":"8003","context":"alnik"}"#);
    assert_eq!(play.reply().1, Reply::state(0, "Idle"));
}

#[test]
fn a_reload_or_another_link_makes_asterisk_be_asked_again() {
    let mut reloaded = idle();
    reloaded.happens(Event::Reload);
    is_asked(&mut reloaded);
    is_told(&mut reloaded, 8, "Ringing");

    let mut gone = idle();
    gone.down();
    let conn = gone.post(ASK);
    let wanted = Reply::error(503, "Asterisk is not reachable");
    assert_eq!(gone.reply(), (conn, wanted));
    gone.up(PJSIP);
    is_asked(&mut gone);
}

#[test]
fn a_call_asks_afresh_whatever_is_remembered() {
    // The answer is needed for its hint, and a stale state would ring a busy phone.
    let mut play = idle();
    for request in [
        r#"{"operator":"8003","phone":"000"}"#,
        r#"{"operator":"8003","phone":"8002","msg":"hello"}"#,
    ] {
        play.post(request);
        assert!(play.replies.is_empty());
        let (_, asked) = play.asked();
        assert_eq!(asked, "ExtensionState Exten=8003 Context=alnik");
    }
}

#[test]
fn neither_an_error_nor_silence_is_remembered_as_a_state() {
    let mut play = Play::on(PJSIP, "");
    for answer in [Err(ActionError::Timeout), Ok(recorded("denied", "lab-2"))] {
        play.post(ASK);
        let (ask, _) = play.asked();
        play.answer(ask, answer);
        assert_eq!(play.reply().1.status, 503);
    }
    is_asked(&mut play);
}
