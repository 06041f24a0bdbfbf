//! Reads Rust source just well enough for the house rules: what is code, where functions end.
//!
//! No parser: comments, strings and character literals are blanked out, then braces are counted.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of Rust source.
pub struct Source {
    /// Path from the top of the repository, with `/`.
    pub name: String,
    /// The text as it is.
    pub text: String,
    /// The text with comments and the insides of literals blanked, line by line the same.
    pub code: String,
}

/// A function and how long it is, from its `fn` to its closing brace.
pub struct Function {
    /// Its name.
    pub name: String,
    /// Line of its `fn`, from 1.
    pub line: usize,
    /// Lines.
    pub len: usize,
}

impl Source {
    /// Source from text.
    pub fn new(name: &str, text: &str) -> Self {
        Source { name: name.to_owned(), text: text.to_owned(), code: blank(text) }
    }

    /// Lines before the file's own tests (`#[cfg(test)]` before a `mod`), or all.
    pub fn lines_before_tests(&self) -> usize {
        let lines: Vec<&str> = self.code.lines().collect();
        let is_tests = |pair: &[&str]| {
            pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod ")
        };
        lines.windows(2).position(is_tests).unwrap_or(lines.len())
    }

    /// Code before the file's own tests.
    pub fn code_before_tests(&self) -> String {
        let lines: Vec<&str> = self.code.lines().take(self.lines_before_tests()).collect();
        lines.join("\n")
    }

    /// All functions with a body.
    pub fn functions(&self) -> Vec<Function> {
        let bytes = self.code.as_bytes();
        let mut functions = Vec::new();
        for (at, _) in self.code.match_indices("fn ") {
            if at > 0 && is_word(bytes[at - 1]) {
                continue;
            }
            let rest = &self.code[at + 3..];
            let name: String =
                rest.chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect();
            if let Some(end) = body_end(&bytes[at..]).filter(|_| !name.is_empty()) {
                let line = line_of(&self.code, at);
                let len = self.code[at..at + end].lines().count();
                functions.push(Function { name, line, len });
            }
        }
        functions
    }

    /// The modules named after `crate::`, each with its line.
    pub fn crate_modules(&self) -> Vec<(usize, String)> {
        let code = self.code_before_tests();
        let mut found = Vec::new();
        for (at, _) in code.match_indices("crate::") {
            if at > 0 && (is_word(code.as_bytes()[at - 1]) || code.as_bytes()[at - 1] == b'$') {
                continue;
            }
            let line = line_of(&code, at);
            for module in first_segments(&code[at + "crate::".len()..]) {
                found.push((line, module));
            }
        }
        found
    }
}

/// Every Rust file below `top/dir`, by name.
pub fn rust_files(top: &Path, dir: &str) -> Vec<Source> {
    let mut names = Vec::new();
    walk(&top.join(dir), &mut names);
    names.sort();
    names
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).expect("a source file is readable UTF-8");
            let name = path.strip_prefix(top).unwrap_or(path).to_string_lossy().replace('\\', "/");
            Source::new(&name, &text)
        })
        .collect()
}

fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                walk(&path, out);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

/// The first segments of what follows `crate::`: one name, or those of a braced list.
fn first_segments(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect()
    };
    let Some(list) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let mut depth = 0;
    let mut names = Vec::new();
    let mut start = 0;
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&list[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Where the body of the item that starts at 0 ends; none if it has no body.
fn body_end(code: &[u8]) -> Option<usize> {
    let mut nesting = 0_i32;
    let mut braces = 0_i32;
    for (at, &byte) in code.iter().enumerate() {
        match byte {
            b'(' | b'[' => nesting += 1,
            b')' | b']' => nesting -= 1,
            b';' if nesting == 0 && braces == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The line, from 1, that the byte at `at` is in.
fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Blanks comments and the insides of string and character literals; keeps line breaks.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if end > at {
            out.extend(text[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            let c = text[at..].chars().next().unwrap_or(' ');
            out.push(c);
            at += c.len_utf8();
        }
    }
    out
}

/// Where a comment or literal that starts at `at` ends; `at` if none starts there.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let before_is_word = at > 0 && is_word(bytes[at - 1]);
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return at + block_comment_len(rest);
    }
    if let Some(len) = raw_string_len(rest).filter(|_| !before_is_word) {
        return at + len;
    }
    match rest[0] {
        b'"' => at + quoted_len(rest, b'"'),
        b'\'' => at + char_len(rest),
        _ => at,
    }
}

fn block_comment_len(rest: &[u8]) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < rest.len() {
        if rest[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if rest[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    rest.len()
}

fn raw_string_len(rest: &[u8]) -> Option<usize> {
    let prefix = if rest.starts_with(b"br") { 2 } else { usize::from(rest.starts_with(b"r")) };
    let hashes = rest.get(prefix..)?.iter().take_while(|&&b| b == b'#').count();
    if prefix == 0 || rest.get(prefix + hashes) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let body = &rest[prefix + hashes + 1..];
    let len = body.windows(close.len()).position(|window| window == close)?;
    Some(prefix + hashes + 1 + len + close.len())
}

fn quoted_len(rest: &[u8], quote: u8) -> usize {
    let mut i = 1;
    while i < rest.len() && rest[i] != quote {
        i += if rest[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(rest.len())
}

/// A character literal, or 0 for a lifetime.
fn char_len(rest: &[u8]) -> usize {
    let is_literal = match rest.get(1) {
        Some(b'\\') => true,
        Some(&first) if first < 0x80 => rest.get(2) == Some(&b'\''),
        _ => true,
    };
    if is_literal { quoted_len(rest, b'\'') } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r##"//! head
use crate::{base::{Time, Path}, wire};
use crate::crypto::x; // crate::node
fn one<'a>(x: &'a [u8; 3]) -> char {
    let s = "}} crate::node fn two() {";
    let r = r#"}"#; /* { */
    '{'
}
fn declared(&self);
#[cfg(test)]
mod tests {
    use crate::node;
}
"##;

    #[test]
    fn modules_functions_and_tests_are_found() {
        let source = Source::new("a.rs", TEXT);
        let modules: Vec<String> = source.crate_modules().into_iter().map(|(_, m)| m).collect();
        assert_eq!(modules, ["base", "wire", "crypto"]);
        let functions = source.functions();
        assert_eq!(functions.len(), 1);
        assert_eq!(
            (functions[0].name.as_str(), functions[0].line, functions[0].len),
            ("one", 4, 5)
        );
        assert_eq!(source.lines_before_tests(), 9);
        assert_eq!(source.code.lines().count(), source.text.lines().count());
    }
}
