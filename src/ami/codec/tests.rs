use super::*;

/// What a decoder made of a stream, as text.
fn decode(chunks: &[&[u8]]) -> Vec<String> {
    let mut decoder = Decoder::new();
    let mut seen = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        loop {
            match decoder.next() {
                Ok(None) => break,
                Ok(Some(Item::Banner(version))) => {
                    seen.push(format!("banner {}", String::from_utf8_lossy(version)));
                }
                Ok(Some(Item::Message(message))) => {
                    let headers: Vec<String> = message
                        .iter()
                        .map(|(key, value)| {
                            let (key, value) =
                                (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
                            format!("{key}={value:?}")
                        })
                        .collect();
                    seen.push(headers.join(" "));
                }
                Err(error @ DecodeError::NotAmi(_)) => {
                    seen.push(error.to_string());
                    return seen;
                }
                Err(error) => seen.push(error.to_string()),
            }
        }
    }
    seen
}

/// Decodes whole, byte by byte and cut once at every offset; all must agree.
#[track_caller]
fn same_in_any_segmentation(bytes: &[u8]) -> Vec<String> {
    let whole = decode(&[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode(&single), whole, "byte by byte");
    for cut in 0..bytes.len() {
        let (head, tail) = bytes.split_at(cut);
        assert_eq!(decode(&[head, tail]), whole, "cut at {cut}");
    }
    whole
}

#[test]
fn a_stream_becomes_its_messages() {
    let seen = same_in_any_segmentation(
        b"Asterisk Call Manager/11.0.0\r\n\
          Response: Success\r\nActionID: a-1\r\nMessage: Authentication accepted\r\n\r\n\
          Event: FullyBooted\r\nStatus: Fully Booted\r\n\r\n",
    );
    assert_eq!(
        seen,
        [
            "banner 11.0.0",
            r#"Response="Success" ActionID="a-1" Message="Authentication accepted""#,
            r#"Event="FullyBooted" Status="Fully Booted""#,
        ]
    );
}

#[test]
fn headers_are_taken_as_they_come() {
    let seen = same_in_any_segmentation(
        b"Asterisk Call Manager/1.0\n\
          Event: X\r\nNoBlank:v\r\nEmpty:\r\nEmpty2: \r\nTwo:  v\r\nUri: sip:a@b:5060\r\n\
          Variable: a=1\r\nVariable: b=2\r\nno colon\r\n\xff\xd0: \xd0\r\n\r\n",
    );
    assert_eq!(
        seen.get(1).map(String::as_str),
        Some(
            "Event=\"X\" NoBlank=\"v\" Empty=\"\" Empty2=\"\" Two=\" v\" Uri=\"sip:a@b:5060\" \
             Variable=\"a=1\" Variable=\"b=2\" =\"no colon\" \u{fffd}\u{fffd}=\"\u{fffd}\""
        )
    );
}

#[test]
fn a_bare_line_feed_in_a_value_is_the_value_s() {
    let seen = same_in_any_segmentation(
        b"Asterisk Call Manager/11.0.0\r\n\
          Response: Error\r\nMessage: Unable to retrieve endpoint 4711\n\r\n\r\n\
          Response: Success\r\n\r\n",
    );
    assert_eq!(
        seen.get(1..).unwrap_or_default(),
        [
            r#"Response="Error" Message="Unable to retrieve endpoint 4711\n""#,
            r#"Response="Success""#
        ]
    );
}

#[test]
fn an_old_command_s_raw_lines_become_output() {
    let seen = same_in_any_segmentation(
        b"Asterisk Call Manager/1.1\r\n\
          Response: Follows\r\nPrivilege: Command\r\nActionID: c-1\r\n\
          Channel: not a header\n\n   indented\nActionID: in the text\n--END COMMAND--\r\n\r\n\
          Response: Follows\r\nPrivilege: Command\r\nlast--END COMMAND--\r\n\r\n\
          Event: A\r\n\r\n",
    );
    assert_eq!(
        seen.get(1..).unwrap_or_default(),
        [
            "Response=\"Follows\" Privilege=\"Command\" ActionID=\"c-1\" \
             Output=\"Channel: not a header\" Output=\"\" Output=\"   indented\" \
             Output=\"ActionID: in the text\"",
            r#"Response="Follows" Privilege="Command" Output="last""#,
            r#"Event="A""#,
        ]
    );
}

#[test]
fn the_new_command_s_output_repeats_its_header() {
    let seen = same_in_any_segmentation(
        b"Asterisk Call Manager/5.0.4\r\n\
          Response: Success\r\nMessage: Command output follows\r\nOutput: a: b\r\nOutput: \r\n\
          Output:   c\r\n\r\n",
    );
    assert_eq!(
        seen.get(1).map(String::as_str),
        Some(
            r#"Response="Success" Message="Command output follows" Output="a: b" Output="" Output="  c""#
        )
    );
}

#[test]
fn stray_line_ends_are_no_messages() {
    let seen = same_in_any_segmentation(
        b"Asterisk Call Manager/5.0.4\r\n\r\n\r\nEvent: A\r\n\r\n\r\n\r\nEvent: B\r\n\r\n",
    );
    assert_eq!(seen, ["banner 5.0.4", r#"Event="A""#, r#"Event="B""#]);
}

#[test]
fn a_stranger_is_told_from_a_manager() {
    assert_eq!(
        same_in_any_segmentation(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        [r#"met "SSH-2.0-OpenSSH_9.2p1" where "Asterisk Call Manager/…" was wanted"#]
    );
    assert_eq!(
        decode(&[&[b'x'; 300]]),
        [r#"met "256 bytes without a line end" where "Asterisk Call Manager/…" was wanted"#]
    );
    // Also when its end has come with it.
    for (dots, banner) in [
        (232, format!("banner 1{}", ".".repeat(232))),
        (
            233,
            r#"met "256 bytes without a line end" where "Asterisk Call Manager/…" was wanted"#
                .into(),
        ),
    ] {
        let line = format!("Asterisk Call Manager/1{}\r\n", ".".repeat(dots));
        assert_eq!(same_in_any_segmentation(line.as_bytes()), [banner]);
    }
    assert_eq!(
        decode(&[b"Asterisk Call Manager Proxy/1.22\r\n"]),
        ["banner 1.22"]
    );
}

#[test]
fn what_breaks_a_limit_is_skipped_and_the_stream_goes_on() {
    let many: String = (0..300).map(|n| format!("Variable: {n}\r\n")).collect();
    let long = format!("V: {}\r\n", "x".repeat(70_000));
    let wide: String = (0..200)
        .map(|_| format!("V: {}\r\n", "y".repeat(400)))
        .collect();
    let output: String = (0..2_100).map(|n| format!("line {n}\n")).collect();
    for body in [
        format!("Event: Big\r\n{many}\r\n"),
        format!("Event: Big\r\n{long}\r\n"),
        format!("Event: Big\r\n{wide}\r\n"),
        format!("Event: Big\r\n{long}{long}{long}\r\n"),
        format!("Response: Follows\r\n\r\n\r\n{output}--END COMMAND--\r\n\r\n"),
    ] {
        let bytes = format!("Asterisk Call Manager/1.1\r\n{body}Event: A\r\n\r\n");
        let wanted = [
            "banner 1.1",
            "a message of more than 64 KiB or 256 headers was skipped",
            r#"Event="A""#,
        ];
        assert_eq!(decode(&[bytes.as_bytes()]), wanted);
        assert_eq!(
            decode(&bytes.as_bytes().chunks(1).collect::<Vec<_>>()),
            wanted
        );
        assert_eq!(
            decode(&bytes.as_bytes().chunks(1021).collect::<Vec<_>>()),
            wanted
        );
    }
}

#[test]
fn a_long_answer_to_a_command_is_more_lines_than_headers() {
    let old: String = (0..2_000).map(|n| format!("line {n}\n")).collect();
    let new: String = (0..2_000)
        .map(|n| format!("Output: line {n}\r\n"))
        .collect();
    for body in [
        format!("Response: Follows\r\n{old}--END COMMAND--\r\n\r\n"),
        format!("Response: Success\r\n{new}\r\n"),
    ] {
        let bytes = format!("Asterisk Call Manager/1.1\r\n{body}Event: A\r\n\r\n");
        let items = decode(&[bytes.as_bytes()]);
        assert_eq!(items.len(), 3);
        assert!(items[1].contains("line 1999"), "{}", items[1].len());
    }
}

#[test]
fn an_endless_message_costs_bounded_memory() {
    let mut decoder = Decoder::new();
    decoder.push(b"Asterisk Call Manager/1.1\r\nEvent: A\r\nV: ");
    for _ in 0..1_000 {
        decoder.push(&[b'x'; 16 * 1024]);
        while let Ok(Some(_)) | Err(_) = decoder.next() {}
    }
    assert!(
        decoder.buffer.capacity() < 512 * 1024,
        "{}",
        decoder.buffer.capacity()
    );
    decoder.push(b"\r\n\r\nEvent: B\r\n\r\n");
    assert!(matches!(decoder.next(), Ok(Some(Item::Message(message))) if message.is("Event", "B")));
}

#[test]
fn a_response_header_does_not_make_an_event_a_response() {
    let mut decoder = Decoder::new();
    decoder.push(
        b"Asterisk Call Manager/11.0.0\r\nEvent: OriginateResponse\r\nResponse: Failure\r\n\r\n",
    );
    assert!(matches!(decoder.next(), Ok(Some(Item::Banner(b"11.0.0")))));
    let Ok(Some(Item::Message(message))) = decoder.next() else {
        panic!("no message")
    };
    assert_eq!(message.event(), Some(b"OriginateResponse".as_slice()));
    assert_eq!(
        message.to_owned().message().get("response"),
        Some(b"Failure".as_slice())
    );
}
