//! `rit-server` as people start it: state over restarts, and clear errors.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::{PROGRAM, Server, codes, failure};
use rit_core::base::PublicKey;
use rit_core::wire::text::key_to_text;

#[test]
fn it_says_how_to_reach_it_and_a_restart_keeps_that() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("made/by/it");
    let first = Server::start(&state, "127.0.0.1:0");
    assert!(first.uri.to_string().starts_with("rit://"));
    assert_eq!((first.uri.host.as_str(), first.code.len()), ("127.0.0.1", 19));
    let (key, code) = (first.uri.key, first.code.clone());
    assert_eq!(first.stop("TERM"), Some(0));

    let second = Server::start(&state, "127.0.0.1:0");
    assert_eq!(second.uri.key, key);
    assert_ne!(second.code, code, "a code is told once");
    assert_eq!(second.stop("INT"), Some(0));

    for entry in fs::read_dir(&state).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} is for nobody else", entry.path().display());
    }
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_killed_server_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(dir.path(), "127.0.0.1:0");
    let key = first.uri.key;
    drop(first);
    assert_eq!(Server::start(dir.path(), "127.0.0.1:0").uri.key, key);
}

#[test]
fn codes_while_it_runs_and_while_it_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let mut all = codes(dir.path(), &["--count", "5", "--valid", "1"]);
    assert_eq!(server.stop("TERM"), Some(0));
    all.extend(codes(dir.path(), &[]));
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 6);
}

#[test]
fn members_before_it_runs_and_while_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("gateway");
    let state = state.to_str().unwrap();
    let members = |words: &[&str]| {
        let run = Command::new(PROGRAM).args(["members", "--state", state]).args(words).output();
        let run = run.unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    };
    let [one, other] = [[7; 32], [8; 32]].map(|key| key_to_text(&PublicKey(key)));
    let error = failure(&["members", "--state", state, "list"]);
    assert!(error.contains("no rit-server has used"), "{error}");
    assert_eq!(members(&["add", &one]), format!("member {one}\n"));
    let server = Server::start(Path::new(state), "127.0.0.1:0");
    assert_eq!(members(&["add", &other, &one]), format!("member {other}\nmember {one}\n"));
    assert_eq!(members(&["list"]).lines().count(), 2);
    assert_eq!(members(&["remove", &one]), "");
    assert_eq!(members(&["list"]), format!("member {other}\n"));
    let error = failure(&["members", "--state", state, "remove", &one]);
    assert!(error.contains("no member"), "{error}");
    assert_eq!(server.stop("TERM"), Some(0));
}

#[test]
fn codes_are_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let code = server.code.clone();
    let log = server.stop_and_log();
    assert!(!log.contains(&code), "{log}");
    for entry in fs::read_dir(dir.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for text in [code.clone(), code.replace('-', "")] {
            assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()));
        }
    }
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let error = failure(&["--state", &server.state, "--listen", "127.0.0.1:0"]);
    assert!(error.contains("another rit-server is using"), "{error}");
    assert_eq!(codes(dir.path(), &[]).len(), 1, "the first one is unharmed");
    assert_eq!(server.stop("TERM"), Some(0));
}

#[test]
fn a_port_in_use_is_an_error() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(one.path(), "127.0.0.1:0");
    let address = format!("127.0.0.1:{}", server.uri.port);
    let error = failure(&["--state", two.path().to_str().unwrap(), "--listen", &address]);
    assert!(error.contains(&address), "{error}");
}

#[test]
fn a_damaged_identity_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    Server::start(dir.path(), "127.0.0.1:0").stop("TERM");
    let path = dir.path().join("identity");
    let mut bytes = fs::read(&path).unwrap();
    bytes[12] ^= 4;
    fs::write(&path, &bytes).unwrap();
    let error = failure(&["--state", dir.path().to_str().unwrap()]);
    assert!(error.contains("damaged") && error.contains("identity"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "it is left alone");
}

#[test]
fn a_damaged_database_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("broker.db"), [7; 8192]).unwrap();
    let state = dir.path().to_str().unwrap();
    for arguments in
        [&["--state", state, "--listen", "127.0.0.1:0"][..], &["code", "--state", state]]
    {
        let error = failure(arguments);
        assert!(error.contains("broker.db"), "{error}");
    }
}

#[test]
fn a_folder_that_cannot_be_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for state in [file.to_str().unwrap(), &format!("{}/in", file.display()), "/proc/rit"] {
        let error = failure(&["--state", state]);
        assert!(error.contains(state), "{error}");
    }
    let error = failure(&["code", "--state", dir.path().to_str().unwrap()]);
    assert!(error.contains("no rit-server has used"), "{error}");
}

/// Starts the server on a file system mounted with `options` for it alone, after `first`; `None`
/// where the machine does not allow that.
fn failure_on_mount(options: &str, first: &str) -> Option<String> {
    let script = format!(
        "mount -t tmpfs -o {options} tmpfs /mnt && {first} || exit 99\n\
         exec {PROGRAM} --state /mnt/state --listen 127.0.0.1:0"
    );
    let unshare = Command::new("unshare").args(["--mount", "sh", "-c", &script]).output().ok()?;
    let error = String::from_utf8(unshare.stderr).unwrap();
    if unshare.status.code() == Some(1) && error.contains("rit-server:") {
        return Some(error);
    }
    assert_ne!(unshare.status.code(), Some(0), "the server started");
    eprintln!("skipped: {error}");
    None
}

#[test]
fn a_read_only_disk_is_an_error() {
    if let Some(error) = failure_on_mount("ro", "true") {
        assert!(error.contains("/mnt/state") && error.contains("Read-only"), "{error}");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    // Blocks for content, which a file that is there takes, the relay secret, then the identity.
    if let Some(error) = failure_on_mount("nr_blocks=1", "echo full > /mnt/file") {
        assert!(error.contains("relay-secret") && error.contains("No space left"), "{error}");
    }
    if let Some(error) = failure_on_mount("nr_blocks=1", "true") {
        assert!(error.contains("identity") && error.contains("No space left"), "{error}");
    }
    if let Some(error) = failure_on_mount("nr_blocks=2", "true") {
        assert!(error.contains("broker.db") && error.contains("full"), "{error}");
    }
}

#[test]
fn wrong_arguments_are_an_error() {
    for arguments in
        [&["--public", "no host"][..], &["--listen", "nowhere"], &["code", "--valid", "0"]]
    {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let status = Command::new(PROGRAM)
            .env("XDG_STATE_HOME", &state)
            .env("HOME", &state)
            .args(arguments)
            .output()
            .unwrap();
        assert!(!status.status.success());
        assert!(!state.exists(), "nothing is made");
    }
}

#[test]
fn the_public_address_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let options = ["--listen", "127.0.0.1:0", "--public", "broker.example.org:99"];
    let server = Server::start_with(dir.path(), &options);
    assert_eq!((server.uri.host.as_str(), server.uri.port), ("broker.example.org", 99));
}
