//! Replays every kept fuzz input on the stable toolchain: what was found once stays fixed.

use rit_tests::fuzz::TARGETS;
use std::fs;
use std::path::Path;

/// Files per target; more make every run slower without finding more.
const FILES_MAX: usize = 200;

#[test]
fn every_kept_input_passes() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for (name, body) in TARGETS {
        let folder = seeds.join(name);
        let mut files: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("no folder of seeds for {name}: {e}"))
            .map(|entry| entry.expect("the folder can be listed").path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has no seeds");
        assert!(files.len() <= FILES_MAX, "{name} has {} seeds", files.len());
        for file in files {
            println!("{}", file.display());
            body(&fs::read(&file).expect("a seed can be read"));
        }
    }
}

#[test]
fn every_folder_of_seeds_has_a_target() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for entry in fs::read_dir(seeds).expect("there are seeds") {
        let name = entry.expect("the folder can be listed").file_name();
        assert!(TARGETS.iter().any(|(target, _)| name == *target), "{name:?} is no target");
    }
}
