//! `rit hosts`: the names of what is reached as lines of hosts(5).
//!
//! Owns the lines and the block of them in a file. Invariants: nothing outside the block changes,
//! and whatever happens the file is the old one or the new one, with the owner and mode it had;
//! lines that somebody hands over say nothing but names below `rit` at loopback addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::App;
use crate::args;
use crate::control;
use crate::error::{self, Error, Exit};
use crate::hostnames::{self, DOMAIN, Table};

const BEGIN: &str = "# rit hosts: begin (written by `rit hosts --write`)";
const END: &str = "# rit hosts: end";
/// Of lines that are handed over.
const INPUT_MAX: usize = 1 << 20;

/// `rit hosts --remove`, and `--write --stdin`: what needs no folders, for `sudo`. `None`: another.
pub(crate) fn without_folders(args: &args::Hosts) -> Option<Result<(), Error>> {
    if let Some(file) = &args.remove {
        return Some(edit(file, &[]));
    }
    let file = args.write.as_ref().filter(|_| args.stdin)?;
    Some(read_input(io::stdin()).and_then(|text| edit(file, &check(&text)?)))
}

/// `rit hosts`.
pub(crate) fn hosts(app: &App, args: &args::Hosts) -> Result<(), Error> {
    let lines = control::status(app)?
        .ok_or_else(|| Error::new(Exit::Unknown, "no rit is running: nothing is reached"))?;
    let (table, complaints) = hostnames::table(app, &lines)?;
    for complaint in complaints {
        eprintln!("rit: {complaint}");
    }
    let names = by_address(&table);
    if let Some(file) = &args.write {
        // Whoever answers as rit may be another user's program, and this one run by root.
        return edit(file, &check(&text(&names).join("\n"))?);
    }
    if app.json {
        let lines = names.iter().map(|(ip, names)| json!({"address": ip, "names": names}));
        return app.print_json(&lines.collect());
    }
    text(&names).iter().for_each(|line| println!("{line}"));
    Ok(())
}

fn by_address(table: &Table) -> BTreeMap<Ipv4Addr, BTreeSet<&str>> {
    let mut names: BTreeMap<Ipv4Addr, BTreeSet<&str>> = BTreeMap::new();
    for (name, addresses) in table {
        for address in addresses {
            names.entry(*address).or_default().insert(name);
        }
    }
    names
}

/// The service's names first: the first of a line is what an address is called.
fn text(names: &BTreeMap<Ipv4Addr, BTreeSet<&str>>) -> Vec<String> {
    let line = |(address, names): (&Ipv4Addr, &BTreeSet<&str>)| {
        let mut names: Vec<&str> = names.iter().copied().collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.matches('.').count()));
        format!("{address} {}", names.join(" "))
    };
    names.iter().map(line).collect()
}

fn read_input(input: impl Read) -> Result<String, Error> {
    let mut text = String::new();
    let most = INPUT_MAX as u64 + 1;
    input.take(most).read_to_string(&mut text).map_err(error::other)?;
    if text.len() > INPUT_MAX {
        return Err(Error::usage("standard input has more than 1 MiB"));
    }
    Ok(text)
}

/// Lines that are ours, of a text that somebody hands over.
fn check(text: &str) -> Result<Vec<String>, Error> {
    let is_name = |name: &str| {
        name.strip_suffix(DOMAIN).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            && name.len() <= 253
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let ip = words.next().and_then(|word| word.parse::<Ipv4Addr>().ok());
        let names: Vec<&str> = words.collect();
        if !ip.is_some_and(|ip| ip.is_loopback())
            || names.is_empty()
            || !names.iter().all(|name| is_name(name))
        {
            let line = crate::text::escape_line(line);
            return Err(Error::usage(format!("'{line}' is no line that `rit hosts` prints")));
        }
        lines.push(line.to_owned());
    }
    Ok(lines)
}

/// Puts the lines into the file's block; none: takes it out.
fn edit(file: &Path, lines: &[String]) -> Result<(), Error> {
    let wrong = |error: io::Error| {
        let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
        let error = error::io("change", file, &error);
        if is_denied {
            error.advice("rit hosts | sudo rit hosts --write --stdin, or sudo rit hosts --remove")
        } else {
            error
        }
    };
    // The file itself, where the name is a link to it.
    let path = match fs::canonicalize(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => file.to_owned(),
        path => path.map_err(wrong)?,
    };
    let old = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        old => old.map_err(wrong)?,
    };
    let new = replaced(&old, lines).map_err(|what| {
        Error::failed(format!("{}: {what}", file.display()))
            .advice(format!("Correct it by hand: lines from '{BEGIN}' to '{END}' are rit's."))
    })?;
    if new == old { Ok(()) } else { replace(&path, &new).map_err(wrong) }
}

/// The file with these lines in its block.
fn replaced(old: &[u8], lines: &[String]) -> Result<Vec<u8>, &'static str> {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let (mut is_inside, mut is_found) = (false, false);
    for line in old.split_inclusive(|byte| *byte == b'\n') {
        let bare = line.trim_ascii();
        if bare == BEGIN.as_bytes() {
            if is_found {
                return Err("it has two beginnings of rit's lines");
            }
            (is_inside, is_found) = (true, true);
        } else if bare == END.as_bytes() {
            if !is_inside {
                return Err("it has an end of rit's lines without a beginning");
            }
            is_inside = false;
        } else if !is_inside {
            if is_found { &mut after } else { &mut before }.extend_from_slice(line);
        }
    }
    if is_inside {
        return Err("it has a beginning of rit's lines without an end");
    }
    if !lines.is_empty() {
        if before.last().is_some_and(|byte| *byte != b'\n') {
            before.push(b'\n');
        }
        before.extend_from_slice(format!("{BEGIN}\n{}\n{END}\n", lines.join("\n")).as_bytes());
    }
    before.extend(after);
    Ok(before)
}

/// By a file beside it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".rit-new");
    let temporary: PathBuf = path.with_file_name(name);
    let _ = fs::remove_file(&temporary);
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let mut fill = || {
        let mode = match fs::metadata(path) {
            Ok(old) => {
                fchown(&new, Some(old.uid()), Some(old.gid()))?;
                old.mode() & 0o777
            }
            Err(_there_is_none) => 0o644,
        };
        new.set_permissions(Permissions::from_mode(mode))?;
        new.write_all(bytes)?;
        new.sync_all()?;
        fs::rename(&temporary, path)
    };
    let filled = fill();
    if filled.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("127.1.2.3 {name}.rit")).collect()
    }

    #[test]
    fn nothing_else_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("hosts"), dir.path().join("link"));
        let old: &[u8] = b"127.0.0.1 localhost\r\n# \xff\n\n::1 localhost\n";
        fs::write(&file, old).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        edit(&link, &lines(&["a", "b"])).unwrap();
        let text = fs::read(&file).unwrap();
        let block = format!("{BEGIN}\n127.1.2.3 a.rit\n127.1.2.3 b.rit\n{END}\n");
        assert_eq!(text, [old, block.as_bytes()].concat());
        // Somebody adds a line below; the block stays in its place.
        fs::write(&file, [&text, &b"10.0.0.1 other\n"[..]].concat()).unwrap();
        edit(&link, &lines(&["c"])).unwrap();
        let block = format!("{BEGIN}\n127.1.2.3 c.rit\n{END}\n10.0.0.1 other\n");
        assert_eq!(fs::read(&file).unwrap(), [old, block.as_bytes()].concat());
        edit(&link, &[]).unwrap();
        assert_eq!(fs::read(&file).unwrap(), [old, b"10.0.0.1 other\n"].concat());
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
        assert!(link.is_symlink() && fs::read_dir(dir.path()).unwrap().count() == 2);
    }

    #[test]
    fn files_that_are_odd() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hosts");
        edit(&file, &[]).unwrap();
        assert!(!file.exists());
        edit(&file, &lines(&["a"])).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o644);
        fs::write(&file, "127.0.0.1 localhost").unwrap();
        edit(&file, &lines(&["a"])).unwrap();
        assert!(fs::read_to_string(&file).unwrap().starts_with("127.0.0.1 localhost\n# rit"));
        for wrong in [
            format!("{BEGIN}\n"),
            format!("{END}\n"),
            format!("{BEGIN}\n{END}\n{BEGIN}\n{END}\n"),
            format!("{BEGIN}\n{BEGIN}\n{END}\n"),
        ] {
            fs::write(&file, &wrong).unwrap();
            assert!(edit(&file, &lines(&["a"])).unwrap_err().to_string().contains("rit's lines"));
            assert_eq!(fs::read_to_string(&file).unwrap(), wrong);
        }
        assert!(edit(dir.path(), &[]).is_err());
    }

    #[test]
    fn lines_of_others_are_checked() {
        assert_eq!(check("127.1.2.3 a.b.rit b.rit\n127.9.9.9 c_d.rit\n").unwrap().len(), 2);
        assert_eq!(check("").unwrap().len(), 0);
        for wrong in [
            "10.0.0.1 a.rit",
            "127.1.2.3",
            "127.1.2.3 ",
            "127.1.2.3 rit",
            "127.1.2.3 .rit",
            "127.1.2.3 bank.example",
            "127.1.2.3 a.rit bank.example",
            "127.1.2.3 a.rit #x.rit",
            "127.1.2.3 a\t.rit",
            "127.1.2.3  a.rit",
            "# rit hosts: end",
            "",
        ] {
            assert!(check(&format!("{wrong}\n")).is_err(), "{wrong}");
        }
        assert!(read_input(&vec![b'a'; INPUT_MAX][..]).is_ok());
        assert!(read_input(&vec![b'a'; INPUT_MAX + 1][..]).is_err());
    }

    #[test]
    fn services_come_first() {
        let ip = Ipv4Addr::new(127, 1, 2, 3);
        let table = Table::from([
            ("garage.rit".to_owned(), [ip].into()),
            ("web.garage.rit".to_owned(), [ip].into()),
        ]);
        assert_eq!(text(&by_address(&table)), ["127.1.2.3 web.garage.rit garage.rit"]);
    }
}
