//! The POSIX port's own tests: C programs over a fake librit, under sanitizers.
//!
//! Builds nothing of ours but the port; `tests/posix/run.sh` says how and runs by itself too.

use std::path::Path;
use std::process::Command;

#[test]
fn posix_port_with_a_fake_librit() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("posix/run.sh");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("posix");
    let run = Command::new("sh").arg(script).arg(out).output().expect("sh is there");
    let said = String::from_utf8_lossy(&run.stdout);
    let complaint = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}\n{said}\n{complaint}", run.status);
}
