//! Asterisk's configuration syntax, as far as manager.conf needs it: sections, templates,
//! comments and includes.
//!
//! It must not know what any setting means. Files are read through [`ManagerFiles`], so that this
//! file opens none.
//!
//! The surprising fact: `;--` begins a comment of many lines, but `;---` is an ordinary one; and an
//! included file goes on in the section in which the `#include` stands.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::glob;

/// Asterisk's own limit for includes in includes.
const MAX_DEPTH: usize = 10;

/// Two files that include each other twice would be read a thousand times within that depth.
const MAX_FILES: usize = 256;

/// The files beside manager.conf.
pub trait ManagerFiles {
    /// The text of a file; bytes that are not UTF-8 may be replaced.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// What a directory holds, in any order.
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>>;
}

/// A section as it stands after templates were copied into it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Section {
    pub(super) name: Box<str>,
    /// Marked `(!)`: there only to be copied.
    pub(super) template: bool,
    /// Settings in their order, keys as written.
    pub(super) settings: Vec<(Box<str>, Box<str>)>,
}

/// All sections of a file and its includes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sections {
    pub(super) list: Vec<Section>,
    /// What could not be followed.
    pub(super) notes: Vec<String>,
    /// What is included, patterns as they stand.
    pub(super) includes: Vec<PathBuf>,
}

impl Sections {
    /// Reads a file and all it includes. Only a `start` that cannot be read is an error: Asterisk
    /// may see more than salara does, so the rest is a note.
    pub(super) fn read(files: &dyn ManagerFiles, start: &Path) -> io::Result<Self> {
        let text = files.read(start)?;
        let directory = start.parent().unwrap_or_else(|| Path::new(""));
        let mut reader = Reader {
            files,
            directory,
            sections: Self::default(),
            current: None,
            opened: 1,
        };
        reader.text(&text, start, 1);
        Ok(reader.sections)
    }

    /// The last value of a key in all sections of this name. Neither cares for capitals: Asterisk
    /// does not.
    pub(super) fn last(&self, section: &str, key: &str) -> Option<&str> {
        let named = |list: &&Section| !list.template && list.name.eq_ignore_ascii_case(section);
        let mut settings = self
            .list
            .iter()
            .filter(named)
            .flat_map(|section| &section.settings);
        settings
            .rfind(|(k, _)| k.eq_ignore_ascii_case(key))
            .map(|(_, value)| &**value)
    }
}

struct Reader<'a> {
    files: &'a dyn ManagerFiles,
    directory: &'a Path,
    sections: Sections,
    /// Where the next setting goes: an index into the list.
    current: Option<usize>,
    opened: usize,
}

impl Reader<'_> {
    fn text(&mut self, text: &str, path: &Path, depth: usize) {
        let mut comments = 0;
        for line in text.strip_prefix('\u{feff}').unwrap_or(text).lines() {
            let line = uncomment(line, &mut comments);
            let line = line.trim();
            if let Some(rest) = line.strip_prefix('[') {
                self.section(rest);
            } else if let Some(directive) = line.strip_prefix('#') {
                self.directive(directive, path, depth);
            } else if let Some((key, value)) = line.split_once('=') {
                let value = value.strip_prefix('>').unwrap_or(value).trim();
                self.setting(key.trim(), value);
            }
        }
    }

    fn setting(&mut self, key: &str, value: &str) {
        // Without a section Asterisk refuses the file; here it simply means nothing.
        let Some(section) = self
            .current
            .and_then(|index| self.sections.list.get_mut(index))
        else {
            return;
        };
        let Some(key) = key.strip_suffix('+') else {
            section.settings.push((key.into(), value.into()));
            return;
        };
        // `key += value` goes on where the template's value ends.
        let key = key.trim_end();
        let before = section
            .settings
            .iter()
            .rfind(|(k, _)| k.eq_ignore_ascii_case(key));
        let whole = before.map(|(_, before)| format!("{before}{value}"));
        section
            .settings
            .push((key.into(), whole.map_or_else(|| value.into(), Into::into)));
    }

    fn section(&mut self, rest: &str) {
        let (name, options) = rest.split_once(']').unwrap_or((rest, ""));
        let (name, options) = (name.trim(), options.trim());
        let options = options
            .strip_prefix('(')
            .and_then(|options| options.strip_suffix(')'));
        let options = options.unwrap_or_default().split(',').map(str::trim);
        let mut added = false;
        let mut section = Section {
            name: name.into(),
            template: false,
            settings: Vec::new(),
        };
        for option in options.filter(|option| !option.is_empty()) {
            match option {
                "!" => section.template = true,
                "+" => added = true,
                template => match self.find(template) {
                    Some(index) => {
                        let from = self.sections.list.get(index);
                        section
                            .settings
                            .extend(from.iter().flat_map(|s| s.settings.clone()));
                    }
                    None => self.note(format!(
                        "[{name}] is made from [{template}], which is not there"
                    )),
                },
            }
        }
        let existing = if added { self.find(name) } else { None };
        if let Some(index) = existing {
            if let Some(old) = self.sections.list.get_mut(index) {
                old.settings.append(&mut section.settings);
            }
            self.current = Some(index);
            return;
        }
        self.sections.list.push(section);
        self.current = self.sections.list.len().checked_sub(1);
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.sections
            .list
            .iter()
            .rposition(|section| section.name.eq_ignore_ascii_case(name))
    }

    fn directive(&mut self, directive: &str, path: &Path, depth: usize) {
        let (word, rest) = directive
            .split_once(|c: char| c.is_whitespace())
            .unwrap_or((directive, ""));
        let name = rest.trim().trim_matches(['"', '<', '>']).trim();
        match word.to_ascii_lowercase().as_str() {
            "include" => self.include(name, path, depth, true),
            "tryinclude" => self.include(name, path, depth, false),
            "exec" => self.note(format!("{}: #exec is not followed", path.display())),
            _ => {}
        }
    }

    fn include(&mut self, name: &str, path: &Path, depth: usize, must_exist: bool) {
        if name.is_empty() {
            return;
        }
        if depth >= MAX_DEPTH {
            return self.note(format!("{}: too many includes in includes", path.display()));
        }
        // An absolute name replaces the directory.
        let target = self.directory.join(name);
        self.sections.includes.push(target.clone());
        let found = match self.resolve(&target) {
            Ok(found) => found,
            Err(text) => return self.note(format!("{}: {text}", target.display())),
        };
        for file in found {
            if self.opened >= MAX_FILES {
                return self.note(format!("{}: too many files are included", path.display()));
            }
            self.opened = self.opened.saturating_add(1);
            match self.files.read(&file) {
                Ok(text) => {
                    let here = self.current;
                    self.text(&text, &file, depth.saturating_add(1));
                    self.current = here;
                }
                Err(error) if !must_exist && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.note(format!("{}: {}", file.display(), reason(error.kind())));
                }
            }
        }
    }

    /// The files that an include's name stands for.
    fn resolve(&self, target: &Path) -> Result<Vec<PathBuf>, String> {
        let pattern = target
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let directory = target.parent().unwrap_or_else(|| Path::new(""));
        let in_directory =
            |part: Component<'_>| part.as_os_str().to_str().is_some_and(glob::is_pattern);
        if directory.components().any(in_directory) {
            return Err("patterns are followed in the last part of a path only".into());
        }
        if !glob::is_pattern(pattern) {
            return Ok(vec![target.to_owned()]);
        }
        let entries = match self.files.list(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(reason(error.kind())),
        };
        let names = entries
            .iter()
            .filter_map(|entry| entry.file_name()?.to_str());
        let mut names: Vec<&str> = names.filter(|name| glob::fits(pattern, name)).collect();
        names.sort_unstable();
        Ok(names.into_iter().map(|name| directory.join(name)).collect())
    }

    fn note(&mut self, text: String) {
        self.sections.notes.push(text);
    }
}

/// Why a file was not read, in words.
pub(super) fn reason(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::PermissionDenied => "salara may not read it".into(),
        kind => format!("cannot be read ({kind})"),
    }
}

/// A line without its comments. `open` counts the `;--` that wait for their `--;`; `\;` is a
/// semicolon that begins no comment.
fn uncomment(line: &str, open: &mut usize) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once(';') {
        if *open == 0 {
            kept.push_str(before);
        }
        rest = after;
        if let Some(escaped) = before.strip_suffix('\\') {
            if *open == 0 {
                kept.truncate(
                    kept.len()
                        .saturating_sub(before.len().saturating_sub(escaped.len())),
                );
                kept.push(';');
            }
        } else if after.starts_with("--") && !after.starts_with("---") {
            *open = open.saturating_add(1);
            rest = after.get(2..).unwrap_or_default();
        } else if *open > 0 && before.ends_with("--") {
            *open = open.saturating_sub(1);
        } else if *open == 0 {
            return kept;
        }
    }
    if *open == 0 {
        kept.push_str(rest);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_cut_as_asterisk_cuts_them() {
        for (text, wanted) in [
            ("secret = x ; y", "secret = x "),
            ("secret = a\\;b ; c", "secret = a;b "),
            (";---- rule ----;secret", ""),
            ("a;-- x --;b", "ab"),
            ("a;-- ;-- x --; --;b", "ab"),
            ("a;--\nb\n; c\n--;d", "a\n\n\nd"),
            ("a --; b", "a --"),
        ] {
            let mut open = 0;
            let lines: Vec<String> = text
                .lines()
                .map(|line| uncomment(line, &mut open))
                .collect();
            assert_eq!(lines.join("\n"), wanted, "{text:?}");
            assert_eq!(open, 0, "{text:?}");
        }
    }
}
