//! The protocol's bytes against `tests/vectors/protocol.txt`: made once, checked from then on.
//!
//! `RIT_MAKE_VECTORS=1` writes the file anew; whoever commits a changed one changes the protocol.

use rit_tests::vectors;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/protocol.txt")
}

#[test]
fn both_providers_make_the_bytes_of_the_file() {
    if env::var_os("RIT_MAKE_VECTORS").is_some() {
        let text = vectors::text(vectors::providers()[0].1);
        fs::write(file(), text).expect("the vectors can be written");
    }
    let kept = fs::read_to_string(file()).expect("the vectors can be read");
    for (name, provider) in vectors::providers() {
        let made = vectors::text(provider);
        for (line, (kept, made)) in kept.lines().zip(made.lines()).enumerate() {
            assert_eq!(kept, made, "{name} differs in line {}", line + 1);
        }
        assert_eq!(kept.lines().count(), made.lines().count(), "{name}: number of lines");
    }
}
