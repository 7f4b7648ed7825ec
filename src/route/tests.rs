use super::*;
use crate::config::Config;

const KEY: &str = "personal_manager_internal_phone";

fn search_at(here: Here, caller: &str, routes: &str, default: &str) -> Search {
    let mut config = Config::parse(&format!("[route]\n{routes}")).config;
    config.general.default = default.into();
    Search::new(caller, here, &config.routes, &config.general)
}

fn search(caller: &str, routes: &str, default: &str) -> Search {
    let here = Here {
        extension: "5000".into(),
        context: None,
    };
    search_at(here, caller, routes, default)
}

fn answer(search: &mut Search, status: u16, body: &str) -> Step {
    search.answered(status, Answer::read(body.as_bytes(), KEY), "alnik")
}

fn says(value: &str) -> String {
    format!(r#"{{"{KEY}":{value}}}"#)
}

/// Where a step leads, in a word.
fn word(step: &Step) -> String {
    match step {
        Step::Check(place) => format!("check {}", place.extension.as_str()),
        Step::Go(place) => format!("go {}", place.extension.as_str()),
        Step::Stay => "stay".to_owned(),
        Step::Fail => "fail".to_owned(),
    }
}

fn good(search: &mut Search) -> Step {
    search.state(State {
        is_good: true,
        text: "Idle",
    })
}

fn bad(search: &mut Search) -> Step {
    search.state(State {
        is_good: false,
        text: "Busy",
    })
}

fn reason(search: &Search, step: &Step) -> String {
    match step {
        Step::Go(place) => search.reason(Some(place)),
        _ => search.reason(None),
    }
}

#[test]
fn a_usable_answer_is_taken_whatever_else_is_in_it() {
    for (body, wanted) in [
        (says(r#""8003""#), "8003"),
        (says("8003"), "8003"),
        (says("0"), "0"),
        (says("18446744073709551615"), "18446744073709551615"),
        (says(r#""+7(701)""#).replace(['(', ')'], ""), "+7701"),
        (
            format!(r#"  {{"a":[1,{{}}],"{KEY}":"*98#","b":null}} "#),
            "*98#",
        ),
        (says(&format!("{:?}", "8".repeat(79))), &"8".repeat(79)),
    ] {
        let mut search = search("7701", "7701:0000", "000");
        let step = answer(&mut search, 200, &body);
        assert_eq!(word(&step), format!("check {wanted}"), "{body}");
        let step = good(&mut search);
        assert_eq!(word(&step), format!("go {wanted}"));
        assert_eq!(reason(&search, &step), "crm");
        assert!(!search.is_trouble() && search.remarks().is_empty());
    }
}

#[test]
fn anything_else_falls_to_the_route_or_else_to_the_default() {
    let long = format!("{:?}", "8".repeat(81));
    let most = format!("{:?}", "8".repeat(80));
    for (body, why) in [
        (String::new(), "not a JSON object"),
        ("8003".to_owned(), "not a JSON object"),
        ("[]".to_owned(), "not a JSON object"),
        ("<html>".to_owned(), "not a JSON object"),
        (says(r#""8003""#) + "x", "not a JSON object"),
        ("\u{feff}{}".to_owned(), "not a JSON object"),
        ("{}".to_owned(), "no KEY"),
        (says(r#""""#), "KEY is empty"),
        (says("null"), "KEY is neither a string nor an integer"),
        (says("true"), "KEY is neither a string nor an integer"),
        (says("8003.0"), "KEY is neither a string nor an integer"),
        (says("[8003]"), "KEY is neither a string nor an integer"),
        (says(&long), "KEY is longer than 80 characters"),
        (says(&most), "KEY is 80 bytes long; at most 79 fit"),
        (
            says(r#""8003\r\nX: y""#),
            r"KEY holds the control character '\r'",
        ),
        (
            says(r#""sip:8003@host""#),
            "KEY holds ':'; only letters, digits and *#+._-@ can be dialled",
        ),
        (
            says(r#""8003&PJSIP/x""#),
            "KEY holds '&'; only letters, digits and *#+._-@ can be dialled",
        ),
        (
            says(r#""${X}""#),
            "KEY holds '$'; only letters, digits and *#+._-@ can be dialled",
        ),
    ] {
        let why = why.replace("KEY", KEY);
        for (caller, wanted, source) in [("8003", "0000", "route"), ("2222", "710", "default")] {
            let mut search = search(caller, "8003:0000\n8003:1", "710");
            let step = answer(&mut search, 200, &body);
            assert_eq!(word(&step), format!("check {wanted}"), "{body}");
            let step = good(&mut search);
            assert_eq!(word(&step), format!("go {wanted}"), "{body}");
            let reason = reason(&search, &step);
            assert_eq!(reason, format!("{source}: the CRM's answer: {why}"));
            assert!(search.is_trouble());
        }
    }
}

#[test]
fn no_answer_and_no_question_fall_back_too() {
    let mut down = search("8003", "8003:0000", "710");
    let step = down.unanswered("connection refused");
    assert_eq!(word(&step), "check 0000");
    let step = good(&mut down);
    assert_eq!(reason(&down, &step), "route: the CRM: connection refused");
    assert!(down.is_trouble());
    let mut anonymous = search("", "8003:0000", "710");
    let step = anonymous.not_asked("the caller has no number");
    assert_eq!(word(&step), "check 710");
    let step = good(&mut anonymous);
    assert_eq!(
        reason(&anonymous, &step),
        "default: the caller has no number"
    );
    assert!(!anonymous.is_trouble());
}

#[test]
fn the_status_of_an_answer_is_only_remarked_upon() {
    for status in [302, 404, 500] {
        let mut search = search("8003", "", "710");
        let step = answer(&mut search, status, &says("8002"));
        assert_eq!(word(&step), "check 8002");
        let remark = format!("the CRM answered {status}, and its answer was taken");
        assert_eq!(search.remarks(), [remark]);
        assert!(search.is_trouble());
    }
    let mut search = search("8003", "", "710");
    answer(&mut search, 404, "<html>");
    let step = good(&mut search);
    assert_eq!(
        reason(&search, &step),
        "default: the CRM's answer (404): not a JSON object"
    );
}

#[test]
fn a_place_that_may_not_be_disturbed_gives_way_once() {
    // The CRM's is busy, the route's is free.
    let mut first = search("8003", "8003:0000", "710");
    answer(&mut first, 200, &says("8500"));
    assert_eq!(word(&bad(&mut first)), "check 0000");
    let step = good(&mut first);
    assert_eq!(word(&step), "go 0000");
    assert_eq!(reason(&first, &step), "route: 8500 is Busy");
    assert!(!first.is_trouble(), "a busy phone is no trouble");
    // Both are busy: the default is not tried, for the caller has a route.
    let mut second = search("8003", "8003:0000", "710");
    answer(&mut second, 200, &says("8500"));
    bad(&mut second);
    let step = bad(&mut second);
    assert_eq!(word(&step), "stay");
    assert_eq!(reason(&second, &step), "8500 is Busy; route 0000 is Busy");
    // The way back was already taken.
    let mut third = search("2222", "8003:0000", "710");
    third.unanswered("down");
    let step = bad(&mut third);
    assert_eq!(word(&step), "stay");
    assert_eq!(reason(&third, &step), "the CRM: down; default 710 is Busy");
    // The same place is not asked about twice.
    let mut fourth = search("8003", "8003:8500", "710");
    answer(&mut fourth, 200, &says("8500"));
    assert_eq!(word(&bad(&mut fourth)), "stay");
}

#[test]
fn a_state_that_cannot_be_had_ends_the_search() {
    let mut search = search("8003", "8003:0000", "710");
    answer(&mut search, 200, &says("8500"));
    let step = search.stateless("no link");
    assert_eq!(
        (word(&step).as_str(), reason(&search, &step).as_str()),
        ("fail", "no link")
    );
    assert!(search.is_trouble());
    // An answer to a question that nobody asked.
    assert_eq!(word(&good(&mut search)), "fail");
}

#[test]
fn a_way_back_must_be_dialable() {
    for (routes, default, why) in [
        ("8003:SIP/1", "710", r#"route "SIP/1" holds '/'"#),
        ("", "a b", r#"default "a b" holds ' '"#),
        ("", "", r#"default "" is empty"#),
    ] {
        let mut search = search("8003", routes, default);
        let step = search.not_asked("asked nobody");
        assert_eq!(word(&step), "stay");
        let reason = reason(&search, &step);
        assert!(
            reason.starts_with(&format!("asked nobody; {why}")),
            "{reason}"
        );
    }
}

#[test]
fn a_call_is_not_sent_to_where_it_is() {
    let mut same = search("8003", "", "710");
    let step = answer(&mut same, 200, &says("5000"));
    assert_eq!(word(&step), "stay");
    assert_eq!(reason(&same, &step), "5000 is where the call is already");
    for (context, wanted) in [("alnik", "stay"), ("from-trunk", "check 5000")] {
        let here = Here {
            extension: "5000".into(),
            context: Some(context.into()),
        };
        let mut search = search_at(here, "8003", "", "710");
        assert_eq!(word(&answer(&mut search, 200, &says("5000"))), wanted);
    }
}

#[test]
fn what_else_the_crm_says_is_taken_if_it_is_harmless() {
    let body = format!(
        r#"{{"{KEY}":"8003","context":"sales","callerid_name":"Иван (VIP)",
        "variables":{{"CRM_CLIENT":"77","CRM_LEVEL":3,"__CRM_VIP":true}}}}"#
    );
    let mut full = search("7701", "", "710");
    let step = answer(&mut full, 200, &body);
    let Step::Check(place) = &step else {
        panic!("{step:?}")
    };
    assert_eq!(place.context.as_str(), "sales");
    assert_eq!(full.caller_name(), Some("Иван (VIP)"));
    let set: Vec<String> = full
        .variables()
        .iter()
        .map(|variable| format!("{}={}", variable.name, variable.value))
        .collect();
    assert_eq!(set, ["CRM_CLIENT=77", "CRM_LEVEL=3", "__CRM_VIP=true"]);
    // The way back is in the default context, and what is known of the caller stays known.
    let Step::Check(place) = bad(&mut full) else {
        panic!()
    };
    assert_eq!(place.context.as_str(), "alnik");
    assert_eq!(full.variables().len(), 3);
    // What is not harmless is left out, and told of.
    let body = format!(
        r#"{{"{KEY}":"8003","callerid_name":["a"],"variables":{{"CRM_A(b)":"1","CRM_B":"${{C}}","CRM_C":[],
        "SALARA_RESULT":"x","CRM_D":"d","CRM_E":null}}}}"#
    );
    let mut partly = search("7701", "", "710");
    assert_eq!(word(&answer(&mut partly, 200, &body)), "check 8003");
    assert_eq!(partly.caller_name(), None);
    assert_eq!(partly.variables().len(), 1);
    assert_eq!(
        partly.remarks(),
        [
            "\"callerid_name\" of the CRM's answer was not set",
            "\"CRM_A(b)\" of the CRM's answer was not set",
            "\"CRM_B\" of the CRM's answer was not set",
        ]
    );
    assert!(partly.is_trouble());
    // Of a name what can be shown is shown.
    for (name, shown) in [
        (r"Smith \u0026 Sons, \u0022Ltd\u0022\n", "Smith Sons Ltd"),
        (r"${SHELL(id)}", "SHELL(id)"),
        (r"Ж;Ж", "Ж Ж"),
        (&"Ж".repeat(50), &*"Ж".repeat(39)),
        (r"\u0026", ""),
    ] {
        let body = format!(r#"{{"{KEY}":"8003","callerid_name":"{name}"}}"#);
        let mut named = search("7701", "", "710");
        answer(&mut named, 200, &body);
        assert_eq!(named.caller_name().unwrap_or_default(), shown);
        assert!(!named.is_trouble());
    }
    // In another context the extension would be somebody else.
    let body = format!(r#"{{"{KEY}":"8003","context":"a b"}}"#);
    let mut lost = search("7701", "", "710");
    assert_eq!(word(&answer(&mut lost, 200, &body)), "check 710");
    // Without an extension, the caller is known all the same.
    let mut nowhere = search("7701", "", "710");
    answer(&mut nowhere, 200, r#"{"variables":{"CRM_CLIENT":"77"}}"#);
    assert_eq!(nowhere.variables().len(), 1);
}
