//! salara.conf as written: lines, sections, routes and comments.
//!
//! Every quirk of the old module's syntax lives here and nowhere else. This file must not know what
//! any key means.
//!
//! The surprising fact: sections are decoration. Only `[route]` changes how a line is read, only
//! the first one counts, and it ends at the next line that begins with `[`.

#![deny(clippy::arithmetic_side_effects)]

/// The old module skipped shorter lines everywhere: `1:2` is a route, `:5` is nothing.
const SHORTEST_LINE: usize = 3;

/// A line that says something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line<'a> {
    /// Counted from one.
    pub(super) number: usize,
    /// The section it stands in, empty before the first one.
    pub(super) section: &'a str,
    /// The line without the blanks around it, comments included.
    pub(super) raw: &'a str,
    /// What it says.
    pub(super) says: Says<'a>,
}

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Says<'a> {
    /// `[section]`, of which nothing more is to be said.
    Section,
    /// A `[route]` after the first.
    SecondRoute,
    /// `[section` without its bracket.
    OpenSection,
    /// `key=value`.
    Setting {
        /// Left of the first `=`.
        key: &'a str,
        /// Right of it.
        value: &'a str,
    },
    /// `caller:called` in the first `[route]`.
    Route {
        /// Left of the first `:`.
        caller: &'a str,
        /// Right of it.
        called: &'a str,
    },
    /// `caller:called` in a later `[route]`.
    LateRoute,
    /// `#...`: a comment here, but not to the old module.
    Hash,
    /// None of these.
    Stray,
}

/// The lines of a text that say something.
pub(super) fn lines(text: &str) -> Lines<'_> {
    // Some editors put a byte order mark before the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Lines {
        rest: text.lines().enumerate(),
        section: "",
        routes: Routes::NotYet,
    }
}

/// See [`lines`].
pub(super) struct Lines<'a> {
    rest: std::iter::Enumerate<std::str::Lines<'a>>,
    section: &'a str,
    routes: Routes,
}

#[derive(Clone, Copy, PartialEq)]
enum Routes {
    NotYet,
    Here,
    Over,
    Again,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        loop {
            let (index, line) = self.rest.next()?;
            // Leading blanks misled the old module, trailing ones (and the CR of CRLF) got into
            // its values. Nobody meant either.
            let raw = line.trim();
            if let Some(says) = self.says(raw) {
                return Some(Line {
                    number: index.saturating_add(1),
                    section: self.section,
                    raw,
                    says,
                });
            }
        }
    }
}

impl<'a> Lines<'a> {
    fn says(&mut self, raw: &'a str) -> Option<Says<'a>> {
        if raw.chars().count() < SHORTEST_LINE {
            return None;
        }
        if let Some(rest) = raw.strip_prefix('[') {
            return Some(self.section(rest));
        }
        match raw.chars().next()? {
            ';' | '/' => None,
            '#' => Some(Says::Hash),
            _ => Some(self.entry(without_comment(raw))),
        }
    }

    fn section(&mut self, rest: &'a str) -> Says<'a> {
        let (name, closed) = match rest.split_once(']') {
            Some((name, _)) => (name, true),
            None => (without_comment(rest), false),
        };
        self.section = name.trim();
        let route = self.section.eq_ignore_ascii_case("route");
        self.routes = match (self.routes, route) {
            (Routes::NotYet, false) => Routes::NotYet,
            (Routes::NotYet, true) => Routes::Here,
            (Routes::Here | Routes::Over | Routes::Again, false) => Routes::Over,
            (Routes::Here | Routes::Over | Routes::Again, true) => Routes::Again,
        };
        match (self.routes, closed) {
            (_, false) => Says::OpenSection,
            (Routes::Again, true) => Says::SecondRoute,
            (Routes::NotYet | Routes::Here | Routes::Over, true) => Says::Section,
        }
    }

    fn entry(&self, text: &'a str) -> Says<'a> {
        let setting = text.split_once('=');
        if matches!(self.routes, Routes::Here | Routes::Again)
            && let Some((caller, called)) = text.split_once(':')
            // `rest_server=127.0.0.1:5058` is a setting also below `[route]`.
            && setting.is_none_or(|(key, _)| key.len() > caller.len())
        {
            if self.routes == Routes::Again {
                return Says::LateRoute;
            }
            return Says::Route {
                caller: caller.trim(),
                called: called.trim(),
            };
        }
        match setting {
            Some((key, value)) => Says::Setting {
                key: key.trim(),
                value: value.trim(),
            },
            None => Says::Stray,
        }
    }
}

/// Cuts a comment that begins with `;` after white space. Without white space it may be part of a
/// value: `http://crm/;jsessionid=1`.
fn without_comment(text: &str) -> &str {
    let mut blank = false;
    for (at, c) in text.char_indices() {
        if c == ';' && blank {
            return text.get(..at).unwrap_or(text).trim_end();
        }
        blank = c.is_whitespace();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, &str, Says<'_>)> {
        lines(text)
            .map(|line| (line.number, line.section, line.says))
            .collect()
    }

    fn setting<'a>(key: &'a str, value: &'a str) -> Says<'a> {
        Says::Setting { key, value }
    }

    fn route<'a>(caller: &'a str, called: &'a str) -> Says<'a> {
        Says::Route { caller, called }
    }

    #[test]
    fn a_setting_in_all_its_spellings() {
        for text in [
            "default=710",
            "default=710\r",
            "  default=710",
            "default = 710",
            "\tdefault\t=\t710  ",
            "default=710 ; queue",
            "default=710\t;queue",
            "\u{feff}default=710",
        ] {
            assert_eq!(read(text), [(1, "", setting("default", "710"))], "{text:?}");
        }
    }

    #[test]
    fn a_semicolon_inside_a_value_stays() {
        for value in ["http://x/;a", "http://x/?a=1;b=2", "710;queue", ";"] {
            assert_eq!(read(&format!("key={value}"))[0].2, setting("key", value));
        }
        assert_eq!(read("key= ;nothing")[0].2, setting("key", ""));
    }

    #[test]
    fn comments_and_short_lines_say_nothing() {
        assert_eq!(read(";default=1\n/default=2\n  ;x=1\n\n \na=\n[]\n"), []);
        assert_eq!(read("#default=3"), [(1, "", Says::Hash)]);
        assert_eq!(read("hello"), [(1, "", Says::Stray)]);
        assert_eq!(read("a=1"), [(1, "", setting("a", "1"))]);
    }

    #[test]
    fn routes_are_read_in_the_first_route_section_only() {
        let text = "1:2\n[route]\n1:2\n:5\n8003 : 0000 ; night\n[x]\n3:4\n[ROUTE]\n5:6\na=b:c\n";
        assert_eq!(
            read(text),
            [
                (1, "", Says::Stray),
                (2, "route", Says::Section),
                (3, "route", route("1", "2")),
                (5, "route", route("8003", "0000")),
                (6, "x", Says::Section),
                (7, "x", Says::Stray),
                (8, "ROUTE", Says::SecondRoute),
                (9, "ROUTE", Says::LateRoute),
                (10, "ROUTE", setting("a", "b:c")),
            ]
        );
    }

    #[test]
    fn a_setting_below_route_is_still_one() {
        let text = "[route]\nrest_server=127.0.0.1:5058\n8003:a=b\nverbose=1";
        let says: Vec<_> = lines(text).skip(1).map(|line| line.says).collect();
        assert_eq!(
            says,
            [
                setting("rest_server", "127.0.0.1:5058"),
                route("8003", "a=b"),
                setting("verbose", "1")
            ]
        );
    }

    #[test]
    fn a_section_without_its_bracket_is_noticed() {
        assert_eq!(read("[general ; x"), [(1, "general", Says::OpenSection)]);
        assert_eq!(read("[ami] ; x"), [(1, "ami", Says::Section)]);
    }

    #[test]
    fn the_raw_line_is_kept() {
        let line = lines("  default=710 ; x\r\n").next().unwrap();
        assert_eq!(line.raw, "default=710 ; x");
    }
}
