//! Patterns of file names, as Go's filepath.Glob reads them, over [`Files`].

use std::io;
use std::path::Path;

use super::Files;

/// A pattern that is not well formed, in Go's words.
pub(super) const BAD_PATTERN: &str = "syntax error in pattern";

/// A path in its shortest form: no empty and no `.` parts, `..` taken together with what is before it.
pub(super) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            _ => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, path) => format!("/{path}"),
        (false, path) if path.is_empty() => ".".to_owned(),
        (false, path) => path,
    }
}

/// A path below a directory, cleaned.
pub(super) fn join(dir: &str, name: &str) -> String {
    clean(&format!("{dir}/{name}"))
}

/// The directory of a path; `.` if it has none.
pub(super) fn parent(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((dir, _)) => clean(&format!("{dir}/")),
        None => ".".to_owned(),
    }
}

/// The paths that a pattern matches, in order.
pub(super) fn glob(pattern: &str, files: &dyn Files) -> Result<Vec<String>, &'static str> {
    if !well_formed(pattern) {
        return Err(BAD_PATTERN);
    }
    if !has_meta(pattern) {
        return Ok(if exists(pattern, files) { vec![pattern.to_owned()] } else { vec![] });
    }
    let (dir, name) = match pattern.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((dir, name)) => (dir, name),
        None => (".", pattern),
    };
    let dirs = if has_meta(dir) { glob(dir, files)? } else { vec![dir.to_owned()] };
    let mut found = Vec::new();
    for dir in dirs.iter().filter(|dir| files.is_dir(Path::new(dir))) {
        let mut names = files.list(Path::new(dir)).unwrap_or_default();
        names.sort();
        found.extend(names.iter().filter(|entry| matches(name, entry)).map(|entry| join(dir, entry)));
    }
    Ok(found)
}

fn exists(path: &str, files: &dyn Files) -> bool {
    let missing = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    let path = Path::new(path);
    files.is_dir(path) || files.read(path).map_or_else(|error| !missing.contains(&error.kind()), |_| true)
}

fn has_meta(pattern: &str) -> bool {
    pattern.contains(['*', '?', '[', '\\'])
}

/// Classes `[..]` are refused before, so an open bracket never has its close here.
fn well_formed(pattern: &str) -> bool {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c == '[' || (c == '\\' && chars.next().is_none()) {
            return false;
        }
    }
    true
}

#[derive(Clone, Copy, PartialEq)]
enum Piece {
    Any,
    One,
    Exactly(char),
}

/// Whether a name matches a pattern of `*`, `?` and `\x`.
fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '*' => Piece::Any,
            '?' => Piece::One,
            '\\' => Piece::Exactly(chars.next().unwrap_or('\\')),
            c => Piece::Exactly(c),
        });
    }
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut piece) = (0, 0);
    // Where to try again: the piece behind the last star, and how far the star reached.
    let mut retry: Option<(usize, usize)> = None;
    while at < name.len() {
        match pieces.get(piece) {
            Some(Piece::Any) => {
                piece += 1;
                retry = Some((piece, at));
            }
            Some(found) if *found == Piece::One || *found == Piece::Exactly(name[at]) => {
                piece += 1;
                at += 1;
            }
            _ => {
                let Some((behind, reached)) = retry else { return false };
                retry = Some((behind, reached + 1));
                (piece, at) = (behind, reached + 1);
            }
        }
    }
    pieces.iter().skip(piece).all(|rest| *rest == Piece::Any)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn paths_are_cleaned_lexically() {
        for (path, expected) in
            [("/a//b/./c", "/a/b/c"), ("/a/../b", "/b"), ("/../x", "/x"), ("a/..", "."), ("../x", "../x"), ("/", "/")]
        {
            assert_eq!(clean(path), expected, "{path}");
        }
        assert_eq!(parent("/etc/Corefile"), "/etc");
        assert_eq!(parent("/Corefile"), "/");
        assert_eq!(parent("Corefile"), ".");
    }

    #[test]
    fn stars_question_marks_and_escapes_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", true),
            ("*.conf", "a.conf.off", false),
            ("a*c?", "abbcd", true),
            ("a*c?", "abbc", false),
            ("?", "ß", true),
            (r"\*", "*", true),
            (r"\*", "x", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn an_open_bracket_and_a_lone_backslash_are_bad_patterns() {
        assert!(!well_formed("a["));
        assert!(!well_formed("a\\"));
        assert!(well_formed("a\\["));
    }
}
