//! The parts of an `http://` URL.
//!
//! It must not know connections. The surprising fact: what stands in a URL goes into a request's head
//! as it is, so one with a blank or a line end in it is none.

/// Where to connect, and what to ask for there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// A name or an address, this without brackets.
    pub(super) host: &'a str,
    pub(super) port: u16,
    /// `Host`.
    pub(super) authority: &'a str,
    /// With the query, without what is behind `#`.
    pub(super) path: String,
}

impl<'a> Place<'a> {
    /// Takes a URL apart; none if it is none, or of another scheme.
    pub(super) fn new(url: &'a str) -> Option<Self> {
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let (scheme, rest) = url.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let rest = rest.split('#').next()?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            // The last colon of an IPv6 address is no port's.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, 80),
        };
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = inner.unwrap_or(host);
        let slash = if path.starts_with('/') { "" } else { "/" };
        (!host.is_empty()).then(|| Self {
            host,
            port,
            authority,
            path: format!("{slash}{path}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_a_port_and_a_path() {
        for (url, host, port, authority, path) in [
            ("http://crm", "crm", 80, "crm", "/"),
            ("HTTP://crm:3000/", "crm", 3000, "crm:3000", "/"),
            ("http://crm/a/b?c=/d", "crm", 80, "crm", "/a/b?c=/d"),
            ("http://crm?phone=", "crm", 80, "crm", "/?phone="),
            ("http://crm/a#b?c", "crm", 80, "crm", "/a"),
            ("http://[::1]:81/a", "::1", 81, "[::1]:81", "/a"),
            ("http://[::1]/a", "::1", 80, "[::1]", "/a"),
            ("http://10.0.0.1:82", "10.0.0.1", 82, "10.0.0.1:82", "/"),
        ] {
            let path = path.to_owned();
            let wanted = Place {
                host,
                port,
                authority,
                path,
            };
            assert_eq!(Place::new(url), Some(wanted), "{url}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for url in [
            "",
            "crm",
            "crm/a",
            "https://crm/",
            "ftp://crm/",
            "http://",
            "http:///a",
            "http://:80/",
            "http://crm:/",
            "http://crm:x/",
            "http://crm:99999/",
            "http://crm/a b",
            "http://crm/a\r\nX: y",
            "http://crm/\u{e4}",
        ] {
            assert_eq!(Place::new(url), None, "{url:?}");
        }
    }
}
