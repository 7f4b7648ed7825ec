//! Trouble at each step: the caller ends in the dialplan's next line or at a reachable extension,
//! never in silence.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::scene::{OUTSIDE, ROUTES, SOON, Scene, code_of, send_to, to};
use crate::support::asterisk::{Asterisk, Version};
use crate::support::crm::Answer;
use crate::support::daemon::Salara;
use crate::support::phone::{OnRefer, Stage};

on_both! {
    without_ami_the_dialplan_goes_on
    without_salara_the_dialplan_goes_on
    a_stranger_is_not_served
    a_caller_may_hang_up_at_any_step
    asterisk_may_restart_between_two_calls
}

fn without_ami_the_dialplan_goes_on(asterisk: Asterisk) {
    // Nobody ever listens there.
    let dead = asterisk.spare_port(9);
    let mut scene = Scene::new(asterisk, ROUTES);
    let trunk = scene.trunk();
    let conf = format!(
        "[url]\nrest_server=127.0.0.1:0\ndest_url={}\nagi_server=127.0.0.1:{}\n[event]\nverbose=1\n\
         [ami]\nport={dead}\nsecret=none\n{ROUTES}",
        scene.crm.url("/phone"),
        scene.asterisk.agi_port(),
    );
    scene.salara.stop();
    scene.salara = Salara::start(&conf);
    let call = trunk.call_as(OUTSIDE, "5000");
    assert!(code_of(&call).is_some_and(|code| code >= 400));
    let reason = scene.told("ERROR", "");
    assert!(reason.contains("AMI"), "{reason}");
    scene.quiet();
    let went_on = scene.went_on(1);
    assert!(went_on[0].starts_with("SUCCESS ERROR "), "{went_on:?}");
    scene.salara.wait_log("ERROR, the dialplan goes on: ");
}

fn without_salara_the_dialplan_goes_on(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, ROUTES);
    let trunk = scene.trunk();

    // It is told to stop while a caller waits for the CRM.
    scene.crm.answer_with(|_| Answer::never());
    scene.ami.mark();
    let call = trunk.call_as(OUTSIDE, "5000");
    assert_eq!(scene.crm.wait_for(1, SOON).len(), 1);
    scene.salara.stop();
    let reason = scene.told("ERROR", "");
    assert!(reason.contains("stopping"), "{reason}");
    assert!(code_of(&call).is_some_and(|code| code >= 400));

    // It is not there.
    let began = Instant::now();
    let call = trunk.call_as(OUTSIDE, "5000");
    assert!(code_of(&call).is_some_and(|code| code >= 400));
    // 4 ms, as a rule; a caller would not wait for a CRM's timeout.
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    scene.quiet();

    // It dies while a caller waits.
    scene.start_with(ROUTES);
    scene.crm.forget();
    let call = trunk.call_as(OUTSIDE, "5000");
    assert_eq!(scene.crm.wait_for(1, SOON).len(), 1);
    scene.salara.kill();
    assert!(code_of(&call).is_some_and(|code| code >= 400));
    scene.quiet();
    let went_on = scene.went_on(3);
    assert!(went_on[0].starts_with("SUCCESS ERROR "), "{went_on:?}");
    assert_eq!(went_on[1], "FAILURE   ()", "nothing is set");
    assert!(went_on[2].ends_with("   ()"), "nothing is set: {went_on:?}");
}

fn a_stranger_is_not_served(asterisk: Asterisk) {
    let conf = format!("{ROUTES}[security]\nagi_allow=10.11.12.13\n");
    let mut scene = Scene::new(asterisk, &conf);
    let trunk = scene.trunk();
    let call = trunk.call_as(OUTSIDE, "5000");
    assert!(code_of(&call).is_some_and(|code| code >= 400));
    scene.quiet();
    let went_on = scene.went_on(1);
    assert!(went_on[0].ends_with("   ()"), "nothing is set: {went_on:?}");
    assert_eq!(scene.asked(), 0);
    scene.salara.wait_log("agi_allow");

    // And with agi_server=off nobody is.
    scene.restart_with("[url]\nagi_server=off\n");
    let port = scene.asterisk.agi_port();
    let listener = TcpListener::bind(("127.0.0.1", port));
    assert!(listener.is_ok(), "the port is free");
}

fn a_caller_may_hang_up_at_any_step(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, ROUTES);
    let trunk = scene.trunk();
    let operator = scene.phone("8001");

    // While the CRM is asked, before (CANCEL) and after (BYE) the answer.
    for extension in ["5000", "5001"] {
        scene.crm.forget();
        let slow = to("8001").after(Duration::from_millis(400));
        scene.crm.answer_with(move |_| slow.clone());
        let (seen, _) = scene.salara.wait_log_after(0, "connected to Asterisk");
        let call = trunk.call_as(OUTSIDE, extension);
        assert_eq!(scene.crm.wait_for(1, SOON).len(), 1);
        assert!(extension == "5000" || call.wait(Stage::Answered, SOON));
        call.hang_up();
        assert!(call.wait(Stage::Ended, SOON));
        let (_, line) = scene.salara.wait_log_after(seen, "the caller hung up");
        assert!(line.contains(OUTSIDE), "{line}");
        scene.quiet();
    }

    // When it was told where to go, and does not go there.
    scene.crm.answer_with(send_to("8001"));
    scene.ami.mark();
    assert_eq!(code_of(&trunk.call_as(OUTSIDE, "5000")), Some(302));
    scene.told("TRANSFERRED", "8001");
    scene.quiet();

    // In the middle of the transfer: it has accepted it, and goes without a word of how it went.
    trunk.on_refer(OnRefer::Silence);
    scene.ami.mark();
    let call = trunk.call_as(OUTSIDE, "5001");
    assert!(trunk.wait_seen(SOON, |text| text.starts_with("REFER ")));
    call.hang_up();
    assert!(call.wait(Stage::Ended, SOON));
    if scene.asterisk.version() == Version::V16 {
        scene.quiet();
    } // Asterisk 22 keeps the channel for ever, as README says.

    // Callers that follow are served as if nothing had been.
    trunk.follow_redirects(true);
    let first = trunk.call_as(OUTSIDE, "5000");
    let second = first.followed_by(SOON).expect("the trunk dials again");
    assert!(second.wait(Stage::Answered, SOON));
    let rings = operator.incoming(SOON).expect("the operator's phone rings");
    assert_eq!(rings.number(), OUTSIDE);
    assert_eq!(operator.calls().len(), 1, "nobody else was put through");
}

fn asterisk_may_restart_between_two_calls(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, ROUTES);
    scene.crm.answer_with(send_to("000"));
    let trunk = scene.trunk();
    assert_eq!(code_of(&trunk.call_as(OUTSIDE, "5000")), Some(302));
    let (seen, _) = scene.salara.wait_log_after(0, "connected to Asterisk");
    scene.asterisk.restart();
    scene.salara.wait_log_after(seen, "connected to Asterisk");
    scene.ami = scene.asterisk.ami();
    assert_eq!(code_of(&trunk.call_as(OUTSIDE, "5000")), Some(302));
    scene.told("TRANSFERRED", "000");
}
