//! The parts of an `http://` or `https://` URL.
//!
//! It must not know what is asked there. The surprising fact: what stands in a URL goes into a
//! request's head as it is, so one with a blank or a line end in it is none.

/// Where to connect, and what to ask for there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebAddress<'a> {
    /// Whether it is `https://`.
    pub is_https: bool,
    /// What stands before `@`.
    pub user: Option<&'a str>,
    /// A name or an address, this without brackets.
    pub host: &'a str,
    /// As given, or the scheme's own.
    pub port: u16,
    /// Host and port as given.
    pub authority: &'a str,
    /// With the query, without what is behind `#`. It may be empty, or begin with `?`.
    pub path: &'a str,
}

impl<'a> WebAddress<'a> {
    /// Takes a URL apart, or says why it is none.
    pub fn new(url: &'a str) -> Result<Self, &'static str> {
        if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("it holds a blank");
        }
        if url.contains(['<', '>', '`']) {
            return Err("it holds <, > or `");
        }
        let (scheme, rest) = url.split_once("://").ok_or("it names no scheme")?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return Err("http:// or https:// is wanted");
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        let (host, port) = match authority.rsplit_once(':') {
            // The last colon of an IPv6 address is no port's.
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (authority, ""),
        };
        let port = match port {
            "" if is_https => 443,
            "" => 80,
            // Numbers are read with a sign otherwise.
            _ if !port.bytes().all(|byte| byte.is_ascii_digit()) => return Err("its port is none"),
            _ => port.parse().map_err(|_| "its port is none")?,
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(['[', ']', ':']) {
            return Err("an IPv6 address wants brackets around it");
        }
        let host = bare.unwrap_or(host);
        if host.is_empty() {
            return Err("it names no host");
        }
        Ok(Self {
            is_https,
            user,
            host,
            port,
            authority,
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_a_port_and_a_path() {
        for (url, host, port, authority, path) in [
            ("http://crm", "crm", 80, "crm", ""),
            ("HTTP://crm:3000/", "crm", 3000, "crm:3000", "/"),
            ("http://crm/a/b?c=/d", "crm", 80, "crm", "/a/b?c=/d"),
            ("http://crm?phone=", "crm", 80, "crm", "?phone="),
            ("http://crm/a#b?c", "crm", 80, "crm", "/a"),
            ("https://[::1]:81/a", "::1", 81, "[::1]:81", "/a"),
            ("https://[::1]/a", "::1", 443, "[::1]", "/a"),
            ("http://crm:/", "crm", 80, "crm:", "/"),
            (
                "http://a:b@c@10.0.0.1:82",
                "10.0.0.1",
                82,
                "10.0.0.1:82",
                "",
            ),
            ("http://crm/\u{e4}{\"|^}", "crm", 80, "crm", "/\u{e4}{\"|^}"),
        ] {
            let found = WebAddress::new(url).unwrap();
            let parts = (found.host, found.port, found.authority, found.path);
            assert_eq!(parts, (host, port, authority, path), "{url}");
            assert_eq!(found.is_https, url.starts_with("https"), "{url}");
            assert_eq!(found.user, url.contains('@').then_some("a:b@c"), "{url}");
        }
    }

    #[test]
    fn what_is_none_is_refused_in_words() {
        for (url, why) in [
            ("", "it names no scheme"),
            ("crm/a", "it names no scheme"),
            ("ftp://crm/", "http:// or https:// is wanted"),
            ("http://", "it names no host"),
            ("http:///a", "it names no host"),
            ("http://:80/", "it names no host"),
            ("http://[]/", "it names no host"),
            ("http://crm:x/", "its port is none"),
            ("http://crm:+80/", "its port is none"),
            ("http://crm:99999/", "its port is none"),
            ("http://::1/", "an IPv6 address wants brackets around it"),
            ("http://[::1/", "an IPv6 address wants brackets around it"),
            ("http://crm/a b", "it holds a blank"),
            ("http://crm/a\r\nX: y", "it holds a blank"),
            ("http://crm/a\u{7f}", "it holds a blank"),
            ("http://crm/<a>", "it holds <, > or `"),
        ] {
            assert_eq!(WebAddress::new(url), Err(why), "{url:?}");
        }
    }
}
