//! File names with `*`, `?` and `[...]`, as `#include` lines have them.
//!
//! It must not list directories. The surprising fact: a name that begins with a dot is matched
//! only by a pattern that does too, so that an editor's left-overs are not included.

/// Whether a name is a pattern at all.
pub(super) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// Whether a file name fits a pattern.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    matches(&pattern, &name)
}

/// Goes back only to the last `*`: an earlier one need not be tried again, so that no pattern
/// takes longer than its length times that of the name.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    let mut retry: Option<(&[char], &[char])> = None;
    loop {
        if let Some((&'*', rest)) = pattern.split_first() {
            retry = Some((rest, name));
            pattern = rest;
            continue;
        }
        if let Some((&c, name_rest)) = name.split_first() {
            if let Some(rest) = one(pattern, c) {
                (pattern, name) = (rest, name_rest);
                continue;
            }
        } else if pattern.is_empty() {
            return true;
        }
        let Some((after_star, from)) = retry else {
            return false;
        };
        let Some((_, from)) = from.split_first() else {
            return false;
        };
        retry = Some((after_star, from));
        (pattern, name) = (after_star, from);
    }
}

/// What is left of the pattern when its first element fits this character.
fn one(pattern: &[char], c: char) -> Option<&[char]> {
    match pattern.split_first()? {
        ('?', rest) => Some(rest),
        ('[', rest) => match set(rest) {
            Some((set, rest)) => set_has(set, c).then_some(rest),
            None => (c == '[').then_some(rest),
        },
        (literal, rest) => (*literal == c).then_some(rest),
    }
}

/// Splits `a-z]rest`; a `]` that comes first belongs to the set.
fn set(rest: &[char]) -> Option<(&[char], &[char])> {
    let skip = match rest {
        ['!' | '^', ']', ..] => 2,
        ['!' | '^', ..] | [']', ..] => 1,
        _ => 0,
    };
    let end = rest
        .iter()
        .skip(skip)
        .position(|c| *c == ']')?
        .saturating_add(skip);
    Some((rest.get(..end)?, rest.get(end.saturating_add(1)..)?))
}

fn set_has(set: &[char], c: char) -> bool {
    let (negated, mut set) = match set {
        ['!' | '^', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    loop {
        match set {
            [low, '-', high, rest @ ..] => {
                found |= (*low..=*high).contains(&c);
                set = rest;
            }
            [single, rest @ ..] => {
                found |= *single == c;
                set = rest;
            }
            [] => return found != negated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_a_shell_has_them() {
        for (pattern, name, wanted) in [
            ("*.conf", "salara.conf", true),
            ("*.conf", ".hidden.conf", false),
            (".*.conf", ".hidden.conf", true),
            ("*.conf", "salara.conf~", false),
            ("*", "x", true),
            ("**", "", true),
            ("a*b*c", "aXbXbYc", true),
            ("a*b*c", "aXcXb", false),
            ("m?nager", "manager", true),
            ("m?nager", "mnager", false),
            ("[0-9]x", "7x", true),
            ("[!0-9]x", "7x", false),
            ("[^0-9]x", "ax", true),
            ("[]]x", "]x", true),
            ("[a-]x", "-x", true),
            ("[ab", "[ab", true),
            ("[ab", "aab", false),
            ("", "", true),
            ("", "a", false),
            ("ж*", "жук", true),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = "a*".repeat(50) + "b";
        assert!(!fits(&pattern, &"a".repeat(2_000)));
    }
}
