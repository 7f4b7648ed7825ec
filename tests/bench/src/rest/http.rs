//! As much of HTTP as both ends of the benchmark need: where a message ends.

/// A whole message: `body..end` is its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) body: usize,
    pub(crate) end: usize,
    /// The sender will not, or the receiver shall not, use the connection again.
    pub(crate) close: bool,
}

/// The message at the beginning of `bytes`; None until it is whole. One without Content-Length has
/// no body.
pub(crate) fn whole(bytes: &[u8]) -> Option<Whole> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let body = head + 4;
    let mut length = 0;
    let mut close = false;
    for line in bytes.get(..head)?.split(|byte| *byte == b'\n') {
        if let Some(value) = header(line, b"content-length:") {
            length = std::str::from_utf8(value).ok()?.parse().ok()?;
        } else if let Some(value) = header(line, b"connection:") {
            close = value.eq_ignore_ascii_case(b"close");
        }
    }
    let end = body.checked_add(length)?;
    (bytes.len() >= end).then_some(Whole { body, end, close })
}

fn header<'a>(line: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let (name, value) = line.split_at_checked(key.len())?;
    name.eq_ignore_ascii_case(key).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_whole_with_its_last_byte() {
        let bytes = b"POST / HTTP/1.1\r\nCONTENT-length: 3\r\nConnection: Close\r\n\r\nabcGET";
        for cut in 0..bytes.len() - 3 {
            assert_eq!(whole(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(
            whole(bytes),
            Some(Whole {
                body: 57,
                end: 60,
                close: true
            })
        );
        let bare = b"GET / HTTP/1.1\r\n\r\n";
        assert_eq!(
            whole(bare),
            Some(Whole {
                body: 18,
                end: 18,
                close: false
            })
        );
    }
}
