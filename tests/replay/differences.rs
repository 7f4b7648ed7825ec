//! What salara posts otherwise than the original module did, on purpose: SPEC §11.

use crate::play::Ids;

/// A recording that salara does not repeat to the letter.
#[derive(Debug)]
pub struct Difference {
    pub scenario: &'static str,
    /// Only where Asterisk gives the channel the id it is asked for.
    pub ids: Option<Ids>,
    pub why: &'static str,
    /// In order: `-` what the CRM got and does not get, `+` what it gets and did not. What stands
    /// between them is the same.
    pub lines: &'static [&'static str],
}

/// A recording of a call that salara sends elsewhere than the module did.
#[derive(Debug)]
pub struct Decided {
    pub scenario: &'static str,
    pub theirs: Option<&'static str>,
    pub ours: Option<&'static str>,
    /// SPEC §11.
    #[expect(dead_code, reason = "said to whoever reads this, and in a failure")]
    pub why: &'static str,
}

const LONG: &str = "an answer over 80 characters falls to the rules; the module died of it";
const DEFAULT: &str = "`default` is used; the module took 1234";

pub const DECISIONS: &[Decided] = &[
    Decided {
        scenario: "crash-crm-answer-1100",
        theirs: None,
        ours: Some("0000"),
        why: LONG,
    },
    Decided {
        scenario: "crash-crm-answer-5000",
        theirs: None,
        ours: Some("0000"),
        why: LONG,
    },
    Decided {
        scenario: "incoming-crm-down-noroute",
        theirs: None,
        ours: Some("710"),
        why: DEFAULT,
    },
    Decided {
        scenario: "incoming-crm-down-noroute-1234hint",
        theirs: Some("1234"),
        ours: Some("710"),
        why: DEFAULT,
    },
];

const CRM_DOWN: &str = "each event once, lost when the CRM is down";

/// All there are. An entry that is not needed fails the test, as one that is missing does.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        scenario: "crash-unload-in-call",
        ids: None,
        why: "the queue is lost at stop; the module was unloaded during the call, and nothing of \
              the recording stops salara",
        lines: &[
            r#"+{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"0000","state":"UP","app":"Hangup"}"#,
            r#"+{"event":"Hangup","chan":"SIP/8003-00000000","caller":"8003","exten":"0000","state":"UP"}"#,
        ],
    },
    Difference {
        scenario: "events-crm-down",
        ids: None,
        why: CRM_DOWN,
        lines: &[
            r#"+{"event":"Newchannel","chan":"SIP/8003-00000000","caller":"8003","exten":"s","state":"DOWN"}"#,
            r#"+{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"0000","state":"UP","app":"Answer"}"#,
            r#"+{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"0000","state":"UP","app":"Playback"}"#,
            r#"+{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"0000","state":"UP","app":"Wait"}"#,
            r#"+{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"0000","state":"UP","app":"Hangup"}"#,
            r#"+{"event":"Hangup","chan":"SIP/8003-00000000","caller":"8003","exten":"0000","state":"UP"}"#,
        ],
    },
    Difference {
        scenario: "events-https-url-plain-server",
        ids: None,
        why: CRM_DOWN,
        lines: &[
            r#"+{"event":"Newchannel","chan":"SIP/8003-00000000","caller":"8003","exten":"000","state":"DOWN"}"#,
            r#"+{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"000","state":"UP","app":"Answer"}"#,
            r#"+{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"000","state":"UP","app":"Wait"}"#,
            r#"+{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"000","state":"UP","app":"Hangup"}"#,
            r#"+{"event":"Hangup","chan":"SIP/8003-00000000","caller":"8003","exten":"000","state":"UP"}"#,
        ],
    },
    Difference {
        scenario: "incoming-crm-down",
        ids: None,
        why: CRM_DOWN,
        lines: &[
            r#"+{"event":"Newchannel","chan":"SIP/8003-00000001","caller":"8003","exten":"0000","state":"DOWN"}"#,
            r#"+{"event":"Newexten","chan":"SIP/8003-00000001","caller":"8003","exten":"0000","state":"UP","app":"Playback"}"#,
            r#"+{"event":"Newexten","chan":"SIP/8003-00000001","caller":"8003","exten":"0000","state":"UP","app":"Wait"}"#,
            r#"+{"event":"Hangup","chan":"SIP/8003-00000001","caller":"8003","exten":"0000","state":"UP"}"#,
        ],
    },
    Difference {
        scenario: "incoming-crm-down-noroute-1234hint",
        ids: None,
        why: CRM_DOWN,
        lines: &[
            r#"+{"event":"Newchannel","chan":"SIP/2222-00000001","caller":"2222","exten":"1234","state":"DOWN"}"#,
            r#"+{"event":"Newexten","chan":"SIP/2222-00000001","caller":"2222","exten":"1234","state":"UP","app":"Wait"}"#,
            r#"+{"event":"Hangup","chan":"SIP/2222-00000001","caller":"2222","exten":"1234","state":"UP"}"#,
        ],
    },
    Difference {
        scenario: "makecall-injection",
        ids: None,
        why: "CR/LF in a value: refused with 400, so the call is not ours",
        lines: &[
            r#"-{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"000","state":"UP","app":"Wait"}"#,
            r#"-{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"000","state":"UP","app":"Hangup"}"#,
        ],
    },
    Difference {
        scenario: "makecall-no-callerid-mode1",
        ids: Some(Ids::Ours),
        why: "without callerid= in sip.conf a call set up over REST is recognised by ChannelId",
        lines: &[
            r#"+{"event":"Newchannel","chan":"SIP/8003-00000000","caller":"8003","exten":"000","state":"DOWN"}"#,
            r#"+{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"000","state":"UP","app":"Answer"}"#,
            r#"+{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"000","state":"UP","app":"Wait"}"#,
            r#"+{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"000","state":"UP","app":"Hangup"}"#,
            r#"+{"event":"Hangup","chan":"SIP/8003-00000000","caller":"8003","exten":"000","state":"UP"}"#,
        ],
    },
    Difference {
        scenario: "makecall-no-callerid-mode2",
        ids: Some(Ids::Ours),
        why: "without callerid= in sip.conf a call set up over REST is recognised by ChannelId",
        lines: &[
            r#"-{"event":"Newchannel","chan":"SIP/8003-00000000","caller":"<unknown>","exten":"s","state":"DOWN"}"#,
            r#"+{"event":"Newchannel","chan":"SIP/8003-00000000","caller":"8003","exten":"s","state":"DOWN"}"#,
            r#"+{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"000","state":"UP","app":"Answer"}"#,
            r#"+{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"000","state":"UP","app":"Wait"}"#,
            r#"+{"event":"Newexten","chan":"SIP/8003-00000000","caller":"8003","exten":"000","state":"UP","app":"Hangup"}"#,
        ],
    },
    Difference {
        scenario: "queue-direct-mode3",
        ids: None,
        why: "agentcon=3 works",
        lines: &[
            r#"+{"event":"AgentConnect","chan":"SIP/8003-00000000","caller":"8003","queue":"710","state":"UP","agent":"2222"}"#,
        ],
    },
    Difference {
        scenario: "queue-transfer-mode3",
        ids: None,
        why: "agentcon=3 works",
        lines: &[
            r#"+{"event":"AgentConnect","chan":"SIP/8003-00000001","caller":"8003","queue":"710","state":"UP","agent":"2222"}"#,
        ],
    },
    Difference {
        scenario: "queue711-transfer-mode1",
        ids: None,
        why: "agent is the number, as documented",
        lines: &[
            r#"-{"event":"AgentConnect","chan":"SIP/8003-00000001","caller":"8003","queue":"711","state":"UP","agent":"2222-00000002"}"#,
            r#"+{"event":"AgentConnect","chan":"SIP/8003-00000001","caller":"8003","queue":"711","state":"UP","agent":"2222"}"#,
        ],
    },
    Difference {
        scenario: "queue711-transfer-mode3",
        ids: None,
        why: "agentcon=3 works",
        lines: &[
            r#"+{"event":"AgentConnect","chan":"SIP/8003-00000001","caller":"8003","queue":"711","state":"UP","agent":"2222"}"#,
        ],
    },
    Difference {
        scenario: "simultaneous-incoming-race",
        ids: None,
        why: "agent is the number, as documented",
        lines: &[
            r#"-{"event":"AgentConnect","chan":"SIP/1111-00000009","caller":"1111","queue":"711","state":"UP","agent":"2222-0000000a"}"#,
            r#"+{"event":"AgentConnect","chan":"SIP/1111-00000009","caller":"1111","queue":"711","state":"UP","agent":"2222"}"#,
        ],
    },
];
