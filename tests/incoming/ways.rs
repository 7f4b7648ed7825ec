//! How a call gets where the CRM says: what the caller's phone and the operator's see on the wire.

use std::time::Duration;

use super::scene::{OUTSIDE, ROUTES, SOON, Scene, code_of, send_to};
use crate::support::ami::bridged;
use crate::support::asterisk::{Asterisk, Version};
use crate::support::phone::{OnRefer, Stage};

on_both! {
    before_the_answer_the_caller_is_redirected
    after_the_answer_the_caller_is_referred
    a_refused_transfer_gives_the_call_back
    the_same_channel_goes_on_there
    a_trunk_s_caller_is_looked_up_by_its_number
    nobody_asks_about_a_hidden_number
    a_number_is_asked_about_in_a_url_too
    whom_asterisk_has_called_is_not_sent_astray
}

fn before_the_answer_the_caller_is_redirected(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, ROUTES);
    let caller = scene.phone("8003");
    let operator = scene.phone("8001");
    caller.follow_redirects(true);
    scene.ami.mark();
    let first = caller.call("5000");
    assert_eq!(code_of(&first), Some(302));
    let contact = first.redirected_to().unwrap();
    // Back through this PBX, by the address the caller has used.
    assert_eq!(contact, format!("sip:8001@{}", scene.asterisk.sip_addr()));
    let second = first.followed_by(SOON).expect("the caller dials again");
    let rings = operator.incoming(SOON).expect("the operator's phone rings");
    assert_eq!(rings.number(), "8003");
    assert!(second.wait(Stage::Answered, SOON));
    let channels = scene
        .ami
        .wait_channels(SOON, |channels| bridged(channels, "8003", "8001"));
    assert!(channels.is_ok(), "{channels:?}");
    let reason = scene.told("TRANSFERRED", "8001");
    assert_eq!(reason, "crm");

    let requests = scene.crm.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let asked = &requests[0];
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        ("POST", "/phone")
    );
    assert_eq!(asked.body, r#"{"phone":"8003"}"#);
    assert_eq!(asked.header("Content-Type"), "application/json");
    second.hang_up();
    scene.quiet();
    scene.salara.wait_log(": 8003: transferred to 8001 (crm)");
    scene.went_on(0);
}

fn after_the_answer_the_caller_is_referred(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, ROUTES);
    let caller = scene.phone("8003");
    let operator = scene.phone("8001");
    caller.on_refer(OnRefer::Follow);
    scene.ami.mark();
    let first = caller.call("5001");
    let second = first.followed_by(SOON).expect("the caller dials again");
    let refer_to = first.referred_to().unwrap();
    let wanted = format!("sip:8001@{}", scene.asterisk.sip_addr());
    assert!(refer_to.starts_with(&wanted), "{refer_to}");
    assert!(operator.incoming(SOON).is_some());
    assert!(second.wait(Stage::Answered, SOON));
    assert!(
        first.wait(Stage::Ended, SOON),
        "the first call is over then"
    );
    scene.told("TRANSFERRED", "8001");
    second.hang_up();
    scene.quiet();
    scene.salara.wait_log(": 8003: transferred to 8001 (crm)");
    scene.went_on(0);
}

fn a_refused_transfer_gives_the_call_back(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, ROUTES);
    let caller = scene.phone("8003");
    let _operator = scene.phone("8001");
    for (count, on_refer) in [OnRefer::Decline, OnRefer::Notify(486)]
        .into_iter()
        .enumerate()
    {
        caller.on_refer(on_refer);
        scene.ami.mark();
        let call = caller.call("5001");
        assert!(call.wait(Stage::Answered, SOON));
        let reason = scene.told("FAILED", "");
        assert!(
            reason.contains("8001: Asterisk's Transfer says FAILURE"),
            "{reason}"
        );
        // Not in silence: the dialplan has the call, and here it hangs up.
        assert!(call.wait(Stage::Ended, SOON));
        scene.quiet();
        let went_on = scene.went_on(count + 1);
        assert!(went_on[count].starts_with("SUCCESS FAILED "), "{went_on:?}");
        let line = scene.salara.wait_log("FAILED, the dialplan goes on: ");
        assert!(line.contains(": 8003: "), "{line}");
    }
}

fn the_same_channel_goes_on_there(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, &format!("{ROUTES}[general]\ntransfer=goto\n"));
    let trunk = scene.trunk();
    let operator = scene.phone("8001");
    for extension in ["5000", "5001"] {
        scene.ami.mark();
        let call = trunk.call_as(OUTSIDE, extension);
        let rings = operator.incoming(SOON).expect("the operator's phone rings");
        assert_eq!(rings.number(), OUTSIDE);
        assert!(call.wait(Stage::Answered, SOON));
        let channels = scene
            .ami
            .wait_channels(SOON, |channels| bridged(channels, "trunk", "8001"));
        assert!(channels.is_ok(), "{channels:?}");
        scene.told("TRANSFERRED", "8001");
        assert_eq!((call.redirected_to(), call.referred_to()), (None, None));
        rings.hang_up();
        assert!(call.wait(Stage::Ended, SOON));
        scene.quiet();
    }
    assert_eq!(trunk.calls().len(), 2, "nobody dialled again");
    scene.went_on(0);

    // An extension that is idle and leads nowhere: 8011 has a hint and no phone, 8012 not even that.
    scene.crm.answer_with(send_to("8012"));
    scene.ami.mark();
    let call = trunk.call_as(OUTSIDE, "5000");
    assert!(call.wait(Stage::Answered, SOON), "0000 of [route]");
    scene.told("TRANSFERRED", "0000");
    call.hang_up();
    scene.quiet();
}

fn a_trunk_s_caller_is_looked_up_by_its_number(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, ROUTES);
    let trunk = scene.trunk();
    let operator = scene.phone("8001");
    trunk.follow_redirects(true);
    trunk.on_refer(OnRefer::Follow);
    for extension in ["5000", "5001"] {
        scene.ami.mark();
        scene.crm.forget();
        let first = trunk.call_as(OUTSIDE, extension);
        let second = first.followed_by(SOON).expect("the trunk dials again");
        let rings = operator.incoming(SOON).expect("the operator's phone rings");
        assert_eq!(rings.number(), OUTSIDE, "the operator sees who calls");
        assert!(second.wait(Stage::Answered, SOON));
        scene.told("TRANSFERRED", "8001");
        let requests = scene.crm.requests();
        assert_eq!(requests[0].body, format!(r#"{{"phone":"{OUTSIDE}"}}"#));
        second.hang_up();
        assert!(first.wait(Stage::Ended, SOON));
        scene.quiet();
    }
}

fn nobody_asks_about_a_hidden_number(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, "[general]\ndefault=000\n");
    let trunk = scene.trunk();
    for from in [
        "\"Anonymous\" <sip:anonymous@anonymous.invalid>",
        "<sip:127.0.0.1>",
    ] {
        scene.ami.mark();
        let call = trunk.call_from(from, "5000");
        assert_eq!(code_of(&call), Some(302), "{from}");
        let reason = scene.told("TRANSFERRED", "000");
        assert!(reason.contains("no number"), "{reason}");
    }
    assert_eq!(scene.asked(), 0, "{:?}", scene.crm.requests());
    assert!(scene.crm.wait_for(1, Duration::from_millis(100)).is_empty());
}

fn a_number_is_asked_about_in_a_url_too(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, ROUTES);
    let url = format!("[url]\ndest_url={}?phone=\n", scene.crm.url("/phone"));
    scene.restart_with(&format!("{ROUTES}{url}"));
    scene.crm.answer_with(send_to("0000"));
    let trunk = scene.trunk();
    for (caller, path) in [
        (OUTSIDE, "/phone?phone=87012223344"),
        ("+77012223344", "/phone?phone=%2B77012223344"),
    ] {
        scene.crm.forget();
        assert_eq!(code_of(&trunk.call_as(caller, "5000")), Some(302));
        let requests = scene.crm.requests();
        assert_eq!(
            (requests[0].method.as_str(), requests[0].path.as_str()),
            ("GET", path)
        );
        assert_eq!(requests[0].body, "");
    }
}

fn whom_asterisk_has_called_is_not_sent_astray(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, ROUTES);
    let operator = scene.phone("8003");
    let manager = scene.phone("8001");
    let call = r#"{"operator":"8003","phone":"5000"}"#;
    if scene.asterisk.version() == Version::V22 {
        // It has dialled no address, and that of its own would lead nowhere.
        scene.ami.mark();
        scene.salara.post(call);
        let rings = operator.incoming(SOON).expect("the operator's phone rings");
        assert!(rings.wait(Stage::Ended, SOON));
        let reason = scene.told("FAILED", "");
        assert!(reason.contains("address"), "{reason}");
        assert_eq!(rings.referred_to(), None);
        scene.went_on(1);
        scene.quiet();
    }
    scene.restart_with(&format!("{ROUTES}[general]\ntransfer=goto\n"));
    scene.ami.mark();
    scene.salara.post(call);
    let first = operator.incoming(SOON).expect("the operator's phone rings");
    let second = manager.incoming(SOON).expect("the manager's phone rings");
    assert!(second.wait(Stage::Answered, SOON));
    scene.told("TRANSFERRED", "8001");
    first.hang_up();
    scene.quiet();
}
