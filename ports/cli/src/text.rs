//! What is printed and typed: harmless texts, tables, times, durations, colours.
//!
//! Names of devices and people come from strangers. [`escape`] keeps them from doing anything to a
//! terminal: control characters, and those that reorder or hide what stands beside them, are shown
//! by their numbers. Invariant: nothing that a server or a device told is printed without it.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::{SystemTime, UNIX_EPOCH};

use rit_core::base::PublicKey;
use rit_core::wire::text::key_to_text;

use crate::error::Error;

const DAY_S: u64 = 86_400;

/// The text with what is not to be seen as it is written as `\u{…}`.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let is_format = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
        if c == '\n' || !(c.is_control() || is_format) {
            out.push(c);
        } else {
            let _ = write!(out, "\\u{{{:x}}}", c as u32);
        }
    }
    out
}

/// The same for what has to stay on one line.
pub(crate) fn escape_line(text: &str) -> String {
    escape(text).replace('\n', "\\n")
}

/// The beginning of a key, for people; whole keys are in `--json` and in `devices --keys`.
pub(crate) fn short(key: &PublicKey) -> String {
    let mut text = key_to_text(key);
    text.truncate(8);
    text + "…"
}

/// Rows below a heading, in columns. Cells are made harmless.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let cells: Vec<Vec<String>> = std::iter::once(heading.iter().map(|s| s.to_string()).collect())
        .chain(rows.iter().map(|row| row.iter().map(|cell| escape_line(cell)).collect()))
        .collect();
    let width = |column: usize| {
        cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..heading.len()).map(|i| width(i).unwrap_or(0)).collect();
    let mut out = String::new();
    for (number, row) in cells.iter().enumerate() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let pad = width - cell.chars().count().min(*width);
            let _ = write!(line, "{cell}{:pad$}  ", "");
        }
        let line = line.trim_end();
        let _ = if number == 0 { writeln!(out, "{}", bold(line)) } else { writeln!(out, "{line}") };
    }
    out
}

/// Whether colours are wanted: on a terminal, and not where `NO_COLOR` says otherwise.
fn has_colour() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal()
        && !is_set("NO_COLOR")
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

pub(crate) fn bold(text: &str) -> String {
    if has_colour() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

pub(crate) fn green(text: &str) -> String {
    if has_colour() { format!("\x1b[32m{text}\x1b[0m") } else { text.to_owned() }
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `30d`, `12h`, `45m`, `90s`, `2w`: seconds.
pub(crate) fn duration_s(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no time: say 30d, 12h, 45m, 90s or 2w");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number = &text[..text.len() - unit.len_utf8()];
    let unit = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => DAY_S,
        'w' => 7 * DAY_S,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_not_a_number| wrong())?;
    // A hundred years: beyond that somebody mistyped.
    let seconds = number.checked_mul(unit).filter(|s| (1..=36_525 * DAY_S).contains(s));
    seconds.ok_or_else(wrong)
}

/// How long ago or ahead, roughly.
pub(crate) fn ago(then_s: u64) -> String {
    let now = now_s();
    if then_s > now {
        return format!("in {}", span(then_s - now));
    }
    match now - then_s {
        0..=59 => "now".to_owned(),
        since => format!("{} ago", span(since)),
    }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / DAY_S),
    }
}

/// RFC 3339, UTC.
pub(crate) fn time(unix_s: u64) -> String {
    let (days, rest) = (unix_s / DAY_S, unix_s % DAY_S);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The date of a day since 1970-01-01, counted in eras of 400 years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Milliseconds with as many digits as matter.
pub(crate) fn milliseconds(us: u64) -> String {
    if us < 10_000 { format!("{:.1} ms", us as f64 / 1e3) } else { format!("{} ms", us / 1000) }
}

/// Bytes as they stand in JSON and in files.
pub(crate) fn base64(bytes: &[u8]) -> String {
    data_encoding::BASE64URL_NOPAD.encode(bytes)
}

/// The bytes of such a text.
pub(crate) fn from_base64(text: &str, what: &str) -> Result<Vec<u8>, Error> {
    data_encoding::BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|error| Error::failed(format!("{what} is no base64url: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        assert_eq!(escape("a\x1b]0;gone\x07b\r\u{9b}2J"), "a\\u{1b}]0;gone\\u{7}b\\u{d}\\u{9b}2J");
        assert_eq!(escape("abc\u{202e}fdp.exe\u{200b}"), "abc\\u{202e}fdp.exe\\u{200b}");
        assert_eq!(escape("Größe 日本 ✓"), "Größe 日本 ✓");
        assert_eq!(escape_line("a\nb"), "a\\nb");
        let shown = table(&["NAME"], &[vec!["\x1b[31m\n\t".to_owned()]]);
        assert_eq!(shown.lines().count(), 2);
        assert!(!shown.lines().nth(1).unwrap().chars().any(char::is_control));
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["ä".to_owned(), "1".to_owned()], vec!["bcd".to_owned(), "2".to_owned()]];
        assert_eq!(table(&["A", "B"], &rows), "A    B\nä    1\nbcd  2\n");
    }

    #[test]
    fn durations() {
        assert_eq!(duration_s("30d"), Ok(30 * 86_400));
        assert_eq!((duration_s("90s"), duration_s("2w")), (Ok(90), Ok(1_209_600)));
        for wrong in ["", "d", "0d", "-1d", "1y", "30", "1.5h", "36526d", "99999999999999999999d"] {
            assert!(duration_s(wrong).is_err(), "{wrong}");
        }
        assert!(duration_s("36525d").is_ok());
        assert!(duration_s("1€").is_err());
    }

    #[test]
    fn times() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(time(1_798_761_599), "2026-12-31T23:59:59Z");
        assert_eq!((milliseconds(1234), milliseconds(12_345)), ("1.2 ms".into(), "12 ms".into()));
    }
}
