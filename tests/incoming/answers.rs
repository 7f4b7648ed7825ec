//! What the CRM says and what comes of it: good places, places that are not good, and no answer that
//! makes sense. Whatever it says, the caller ends somewhere and nothing else happens.

use std::time::{Duration, Instant};

use serde_json::json;

use super::scene::{KEY_WORD, OUTSIDE, ROUTES, SOON, Scene, code_of, send_to, to};
use crate::support::asterisk::Asterisk;
use crate::support::crm::Answer;
use crate::support::phone::Stage;

on_both! {
    only_a_place_in_a_good_state_is_called
    an_answer_that_makes_no_sense_is_no_answer
    a_crm_may_take_its_time_and_no_longer
    an_answer_cannot_do_harm
}

fn only_a_place_in_a_good_state_is_called(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, &format!("{ROUTES}[url]\ngood_status=0\n"));
    let trunk = scene.trunk();
    let busy = scene.phone("8002");
    let in_call = busy.call("0000");
    assert!(in_call.wait(Stage::Answered, SOON));
    assert_eq!(scene.ami.wait_extension_state("8002", BUSY, SOON), Ok(()));
    for (place, why) in [
        ("8002", "8002 is Busy"),
        ("8009", "8009 is Unavailable"),
        ("1234", "1234 is Unknown"),
        ("9999", "9999 is Unknown"),
        ("SIP/8001", "'/'"),
    ] {
        scene.crm.answer_with(send_to(place));
        scene.ami.mark();
        let call = trunk.call_as(OUTSIDE, "5000");
        assert_eq!(code_of(&call), Some(302), "{place}");
        let reason = scene.told("TRANSFERRED", "0000");
        assert!(
            reason.starts_with("route: ") && reason.contains(why),
            "{reason}"
        );
    }
    in_call.hang_up();
    assert_eq!(scene.ami.wait_extension_state("8002", IDLE, SOON), Ok(()));

    // Nowhere to go: the place of [route] is not good either, or there is none and no default.
    for (before, conf) in [
        "[route]\n87012223344:8009\n",
        "[general]\ndefault=8009\n",
        "[general]\ndefault=9999\n",
    ]
    .into_iter()
    .enumerate()
    {
        scene.restart_with(&format!("[url]\ngood_status=0\n{conf}"));
        scene.ami.mark();
        let call = trunk.call_as(OUTSIDE, "5000");
        assert!(code_of(&call).is_some_and(|code| code >= 400));
        let reason = scene.told("NOTAVAILABLE", "");
        assert!(reason.contains("9999") || reason.contains('/'), "{reason}");
        scene.quiet();
        let went_on = scene.went_on(before + 1);
        assert!(
            went_on[before].starts_with("SUCCESS NOTAVAILABLE"),
            "{went_on:?}"
        );
        scene.salara.wait_log("NOTAVAILABLE, the dialplan goes on");
    }

    // A phone that is not there is good enough if the file says so; the caller hears that then.
    scene.restart_with(&format!("{ROUTES}[url]\ngood_status=4\n"));
    scene.crm.answer_with(send_to("8009"));
    trunk.follow_redirects(true);
    scene.ami.mark();
    let first = trunk.call_as(OUTSIDE, "5000");
    assert_eq!(code_of(&first), Some(302));
    scene.told("TRANSFERRED", "8009");
    let second = first.followed_by(SOON).expect("the trunk dials again");
    assert!(code_of(&second).is_some_and(|code| code >= 400));
    scene.quiet();
}

fn an_answer_that_makes_no_sense_is_no_answer(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, ROUTES);
    let trunk = scene.trunk();
    let _operator = scene.phone("8001");
    let field = |value: serde_json::Value| Answer::json(json!({ KEY_WORD: value }).to_string());
    let elsewhere = scene.crm.url("/elsewhere");
    let good = [
        (
            "500 and a good body",
            Answer::status(500, json!({KEY_WORD: "8001"}).to_string()),
        ),
        ("an integer", field(json!(8001))),
        ("in chunks", to("8001").in_chunks()),
        (
            "other fields",
            Answer::json(json!({"a": [1], KEY_WORD: "8001", "z": null}).to_string()),
        ),
        (
            "no content type",
            Answer::status(200, json!({KEY_WORD: "8001"}).to_string()),
        ),
    ];
    let bad = [
        (
            "404 and a page",
            Answer::status(404, "<html>Not found</html>"),
        ),
        ("500", Answer::status(500, "")),
        ("nothing", Answer::status(204, "")),
        ("not HTTP", Answer::raw("220 mail.example\r\n")),
        ("no answer", Answer::close()),
        ("a reset", Answer::reset()),
        (
            "half an answer",
            Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
        ),
        (
            "half an object",
            Answer::json("{\"personal_manager_internal_phone\":\"80"),
        ),
        ("an array", Answer::json("[\"8001\"]")),
        ("a word", Answer::json("\"8001\"")),
        ("no such field", Answer::json("{\"manager\":\"8001\"}")),
        ("an empty field", field(json!(""))),
        ("null", field(json!(null))),
        ("a fraction", field(json!(8001.5))),
        ("an array in it", field(json!(["8001"]))),
        ("an object in it", field(json!({"number": "8001"}))),
        ("81 digits", field(json!("8".repeat(81)))),
        ("5000 digits", field(json!("8".repeat(5000)))),
        (
            "a megabyte",
            Answer::json(json!({KEY_WORD: "8001", "x": "y".repeat(1 << 20)}).to_string()),
        ),
        (
            "a redirect",
            Answer::status(302, "").header("Location", &elsewhere),
        ),
    ];
    let good = good
        .into_iter()
        .map(|(name, answer)| (name, answer, "8001"));
    let bad = bad.into_iter().map(|(name, answer)| (name, answer, "0000"));
    for (name, answer, dest) in good.chain(bad) {
        scene.crm.answer_with(move |_| answer.clone());
        scene.ami.mark();
        let call = trunk.call_as(OUTSIDE, "5000");
        assert_eq!(code_of(&call), Some(302), "{name}");
        let reason = scene.told("TRANSFERRED", dest);
        let source = if dest == "0000" { "route: " } else { "crm" };
        assert!(reason.starts_with(source), "{name}: {reason}");
    }
    let elsewhere = |path: &str| path.starts_with("/elsewhere");
    assert!(
        !scene
            .crm
            .requests()
            .iter()
            .any(|request| elsewhere(&request.path))
    );
    scene
        .salara
        .wait_log("the CRM answered 500, and its answer was taken");

    scene.crm.go_down();
    scene.ami.mark();
    assert_eq!(code_of(&trunk.call_as(OUTSIDE, "5000")), Some(302));
    let reason = scene.told("TRANSFERRED", "0000");
    assert!(reason.contains("the CRM: "), "{reason}");
    scene.crm.come_up();
    scene.crm.answer_with(send_to("8001"));
    scene.ami.mark();
    assert_eq!(code_of(&trunk.call_as(OUTSIDE, "5000")), Some(302));
    scene.told("TRANSFERRED", "8001");
}

fn a_crm_may_take_its_time_and_no_longer(asterisk: Asterisk) {
    let mut scene = Scene::new(asterisk, &format!("{ROUTES}[general]\ncurlopt_timeout=3\n"));
    let trunk = scene.trunk();
    let _operator = scene.phone("8001");
    let slow = to("8001").after(Duration::from_secs(2));
    scene.crm.answer_with(move |_| slow.clone());
    scene.ami.mark();
    assert_eq!(code_of(&trunk.call_as(OUTSIDE, "5000")), Some(302));
    scene.told("TRANSFERRED", "8001");

    scene.restart_with(&format!("{ROUTES}[general]\ncurlopt_timeout=1\n"));
    for answer in [Answer::never(), to("8001").after(Duration::from_secs(5))] {
        scene.crm.answer_with(move |_| answer.clone());
        scene.ami.mark();
        let began = Instant::now();
        assert_eq!(code_of(&trunk.call_as(OUTSIDE, "5000")), Some(302));
        let took = began.elapsed();
        let reason = scene.told("TRANSFERRED", "0000");
        assert!(reason.contains("the CRM: "), "{reason}");
        // The promise: curlopt_timeout and a second.
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

fn an_answer_cannot_do_harm(asterisk: Asterisk) {
    let conf = format!("{ROUTES}[general]\ntransfer=goto\n");
    let mut scene = Scene::new(asterisk, &conf);
    let trunk = scene.trunk();
    let mark = scene.asterisk.dir().join("harm");
    let shell = format!("${{SHELL(touch {})}}", mark.display());
    let extensions = [
        "8001\n".to_owned(),
        "8001\r\nAction: Originate\r\nChannel: Local/000@alnik".to_owned(),
        "8001\"\nEXEC Playback beep\n\"".to_owned(),
        "8001&8003".to_owned(),
        "8001,1".to_owned(),
        "8001@evil.example".to_owned(),
        "8001 ".to_owned(),
        "800${EXTEN}".to_owned(),
        "8001\0".to_owned(),
        "800\u{661}".to_owned(),
        shell.clone(),
    ];
    for extension in extensions {
        let answer = to(&extension);
        scene.crm.answer_with(move |_| answer.clone());
        scene.ami.mark();
        let call = trunk.call_as(OUTSIDE, "5000");
        assert!(call.wait(Stage::Answered, SOON), "{extension:?}");
        let reason = scene.told("TRANSFERRED", "0000");
        assert!(reason.starts_with("route: "), "{extension:?}: {reason}");
        call.hang_up();
    }
    let line = "x\" \"y\nEXEC Hangup\n".to_owned();
    let answers = [
        json!({KEY_WORD: "0000", "callerid_name": shell, "context": "alnik\nEXEC Hangup",
            "variables": {"CRM_CLIENT": shell, "CRM_A": line, "SHELL(id)": "x", "CRM_B\nEXEC Hangup": "y"}}),
        json!({KEY_WORD: "0000", "callerid_name": line,
            "variables": {"CHANNEL(language)": "x", "GLOBAL(CRM)": "x", "SALARA_RESULT": "x",
                "CRM_CLIENT": "a\\\"b $[1+1] ${CALLERID(num)} \\"}}),
        json!({KEY_WORD: "0000", "callerid_name": ["x"], "context": {}, "variables": ["x"]}),
        json!({KEY_WORD: "0000", "callerid_name": "n".repeat(5000),
            "variables": {"CRM_X": "v".repeat(5000), format!("CRM_{}", "Y".repeat(500)): "v",
                "__SIPADDHEADER01": "X-Y: z"}}),
    ];
    for answer in answers {
        let said = answer.to_string();
        scene.crm.answer_with(move |_| Answer::json(said.clone()));
        scene.ami.mark();
        let call = trunk.call_as(OUTSIDE, "5000");
        assert!(call.wait(Stage::Answered, SOON), "{answer}");
        scene.told("TRANSFERRED", "0000");
        assert_eq!(scene.set("GLOBAL(CRM)"), [""; 0]);
        assert_eq!(scene.set("__SIPADDHEADER01"), [""; 0]);
        assert!(!scene.set("SALARA_RESULT").contains(&"x".to_owned()));
        for value in scene.set("CRM_CLIENT") {
            assert!(!value.contains('\n') && !value.contains("x=2"), "{value:?}");
        }
        call.hang_up();
    }
    scene.quiet();
    assert!(!mark.exists(), "a command was run");
    let applications: Vec<String> = scene
        .asterisk
        .log()
        .lines()
        .filter_map(|line| line.split("AGI Script Executing Application: (").nth(1))
        .map(str::to_owned)
        .collect();
    assert_eq!(applications, [""; 0], "with goto none is wanted");
}

const IDLE: i32 = 0;
const BUSY: i32 = 2;
