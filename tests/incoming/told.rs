//! What comes after the transfer: a queue that takes over, events of the call that was sent on, and
//! what the CRM has to say beside the extension.

use std::time::Duration;

use serde_json::json;

use super::scene::{KEY_WORD, OUTSIDE, ROUTES, SOON, Scene, code_of, send_to};
use crate::support::asterisk::Asterisk;
use crate::support::crm::Answer;
use crate::support::phone::{OnRefer, Stage};

on_both! {
    a_queue_takes_whom_salara_does_not
    a_redialled_call_is_tracked
    a_hidden_number_is_tracked_when_it_dials_again
    a_call_that_goes_on_is_tracked
    a_queue_s_agent_is_told_of_a_transferred_call
    what_the_crm_says_of_the_caller_is_shown
}

const LEVELS: &str = "[event]\nhangup=1\nnewchannel=1\nnewexten=1\nagentcon=1\n";

/// salara.conf for events of tracked calls.
fn tracked(scene: &Scene, more: &str) -> String {
    let url = scene.crm.url("/event");
    format!("{ROUTES}{LEVELS}[url]\ndest_url_event={url}\n{more}")
}

/// What the CRM was told until the hangup of that caller's call, without the channel's name.
fn events(scene: &Scene) -> Vec<String> {
    let requests = scene.crm.wait_until(SOON, |requests| {
        requests
            .iter()
            .any(|request| request.body.contains(r#""event":"Hangup""#))
    });
    let events = requests.iter().filter(|request| request.path == "/event");
    events
        .map(|request| {
            let json: serde_json::Value = serde_json::from_str(&request.body).unwrap();
            request.body.replace(json["chan"].as_str().unwrap(), "CHAN")
        })
        .collect()
}

fn a_queue_takes_whom_salara_does_not(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, "[general]\ndefault=9999\n[url]\ngood_status=0\n");
    let trunk = scene.trunk();
    let agent = scene.phone("2222");
    let _operator = scene.phone("8001");

    scene.crm.answer_with(send_to("8009"));
    scene.ami.mark();
    let call = trunk.call_as(OUTSIDE, "5002");
    let rings = agent.incoming(SOON).expect("the agent's phone rings");
    assert_eq!(rings.number(), OUTSIDE);
    assert!(rings.wait(Stage::Answered, SOON));
    let reason = scene.told("NOTAVAILABLE", "");
    assert!(reason.contains("8009 is Unavailable"), "{reason}");
    call.hang_up();
    scene.quiet();

    // Whom it does take, the queue must not get as well: no phone is to ring for nobody.
    scene.crm.answer_with(send_to("8001"));
    assert_eq!(code_of(&trunk.call_as(OUTSIDE, "5002")), Some(302));
    scene.quiet();
    let again = agent.incoming(Duration::ZERO).map(|call| call.number());
    assert_eq!(again, None);
    assert_eq!(scene.asterisk.log().matches("] Queue(").count(), 1);
}

fn a_redialled_call_is_tracked(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, "");
    let conf = tracked(&scene, "");
    scene.restart_with(&conf);
    let trunk = scene.trunk();
    let _operator = scene.phone("8001");
    trunk.follow_redirects(true);
    trunk.on_refer(OnRefer::Follow);
    // chan_pjsip knows the state when it tells of the channel, chan_sip a moment later.
    let state = if scene.asterisk.tech() == "SIP" {
        "DOWN"
    } else {
        "RING"
    };
    for extension in ["5000", "5001"] {
        scene.crm.forget();
        let first = trunk.call_as(OUTSIDE, extension);
        let second = first.followed_by(SOON).expect("the trunk dials again");
        assert!(second.wait(Stage::Answered, SOON));
        assert!(first.wait(Stage::Ended, SOON));
        second.hang_up();
        let newchannel = format!(
            r#"{{"event":"Newchannel","chan":"CHAN","caller":"{OUTSIDE}","exten":"8001","state":"{state}"}}"#
        );
        let hangup = format!(
            r#"{{"event":"Hangup","chan":"CHAN","caller":"{OUTSIDE}","exten":"8001","state":"UP"}}"#
        );
        assert_eq!(events(&scene), [newchannel, hangup]);
        scene.quiet();
    }
}

fn a_hidden_number_is_tracked_when_it_dials_again(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, "");
    let conf = tracked(&scene, "[general]\ndefault=8001\n");
    scene.restart_with(&conf);
    let trunk = scene.trunk();
    let _operator = scene.phone("8001");
    trunk.follow_redirects(true);
    for from in [
        "\"Anonymous\" <sip:anonymous@anonymous.invalid>",
        "<sip:127.0.0.1>",
    ] {
        scene.crm.forget();
        let first = trunk.call_from(from, "5000");
        let second = first.followed_by(SOON).expect("the trunk dials again");
        assert!(second.wait(Stage::Answered, SOON));
        second.hang_up();
        let told = events(&scene);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains(r#""event":"Newchannel""#), "{told:?}");
        assert!(told[1].contains(r#""exten":"8001""#), "{told:?}");
        scene.quiet();
    }
}

fn a_call_that_goes_on_is_tracked(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, "");
    let conf = tracked(&scene, "[general]\ntransfer=goto\n");
    scene.restart_with(&conf);
    scene.crm.answer_with(send_to("000"));
    let trunk = scene.trunk();
    let call = trunk.call_as(OUTSIDE, "5000");
    assert!(call.wait(Stage::Ended, SOON));
    let newexten = |app: &str| {
        format!(
            r#"{{"event":"Newexten","chan":"CHAN","caller":"{OUTSIDE}","exten":"000","state":"UP","app":"{app}"}}"#
        )
    };
    let hangup = format!(
        r#"{{"event":"Hangup","chan":"CHAN","caller":"{OUTSIDE}","exten":"000","state":"UP"}}"#
    );
    // The channel is older than the decision: there is no Newchannel of it.
    let told = events(&scene);
    assert_eq!(told, [newexten("Wait"), newexten("Hangup"), hangup]);
}

fn a_queue_s_agent_is_told_of_a_transferred_call(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, "");
    let conf = tracked(&scene, "");
    scene.restart_with(&conf);
    scene.crm.answer_with(send_to("710"));
    let trunk = scene.trunk();
    let agent = scene.phone("2222");
    trunk.follow_redirects(true);
    let first = trunk.call_as(OUTSIDE, "5000");
    let second = first.followed_by(SOON).expect("the trunk dials again");
    let rings = agent.incoming(SOON).expect("the agent's phone rings");
    assert!(rings.wait(Stage::Answered, SOON));
    let agent_connect = |body: &str| body.contains("AgentConnect");
    scene.crm.wait_until(SOON, |requests| {
        requests.iter().any(|request| agent_connect(&request.body))
    });
    second.hang_up();
    let told = events(&scene);
    let wanted = format!(
        r#"{{"event":"AgentConnect","chan":"CHAN","caller":"{OUTSIDE}","queue":"710","state":"UP","agent":"2222"}}"#
    );
    assert!(told.contains(&wanted), "{told:?}");
    assert!(told[0].contains(r#""event":"Newchannel""#), "{told:?}");
    assert!(
        told.last().unwrap().contains(r#""exten":"710""#),
        "{told:?}"
    );
}

fn what_the_crm_says_of_the_caller_is_shown(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, &format!("{ROUTES}[general]\ntransfer=goto\n"));
    let trunk = scene.trunk();
    let operator = scene.phone("8003");
    let answer = json!({
        KEY_WORD: "8003",
        "context": "vip",
        "callerid_name": "Смит & \"Sons\",\n Ltd ${EXTEN}",
        "variables": {"CRM_CLIENT": "No. 17 (gold)", "__CRM_DEAL": 4711},
    });
    let said = answer.to_string();
    scene.crm.answer_with(move |_| Answer::json(said.clone()));
    scene.ami.mark();
    let call = trunk.call_as(OUTSIDE, "5000");
    let rings = operator.incoming(SOON).expect("the operator's phone rings");
    assert_eq!(rings.number(), OUTSIDE);
    assert_eq!(
        rings.name(),
        "Смит Sons Ltd EXTEN",
        "what could be syntax is left out"
    );
    assert_eq!(scene.set("CRM_CLIENT"), ["No. 17 (gold)"]);
    assert_eq!(scene.set("__CRM_DEAL")[0], "4711");
    scene.told("TRANSFERRED", "8003");
    let vip = "vip: No. 17 (gold) 4711 from 5000";
    assert!(
        scene.asterisk.log().contains(vip),
        "{}",
        scene.asterisk.log()
    );
    call.hang_up();
    scene.quiet();

    // Who is not taken keeps them for the dialplan's next line.
    let said = json!({KEY_WORD: "9999", "variables": {"CRM_CLIENT": "17"}}).to_string();
    scene.restart_with("[general]\ndefault=9999\n");
    scene.crm.answer_with(move |_| Answer::json(said.clone()));
    let call = trunk.call_as(OUTSIDE, "5000");
    assert!(code_of(&call).is_some_and(|code| code >= 400));
    scene.quiet();
    let went_on = scene.went_on(1);
    assert!(
        went_on[0].starts_with("SUCCESS NOTAVAILABLE"),
        "{went_on:?}"
    );
    assert!(went_on[0].ends_with(" 17"), "{went_on:?}");
}
