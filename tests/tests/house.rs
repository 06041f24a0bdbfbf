//! The house rules as a test: who may use whom inside the core, and how large things may grow.
//!
//! The rules are those of the architecture and the style guide. `EXCEPTIONS` only ever shrinks:
//! an entry that is no longer needed fails the test too.

use rit_tests::source::{Source, rust_files};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Modules of the core, upper first: each may use those above it. Siblings never use each other.
const LAYERS: &[&[&str]] = &[
    &["base"],
    &["wire"],
    &["crypto"],
    &["handshake"],
    &["carrier"],
    &["transport"],
    &["trust"],
    &["tunnel"],
    &["traverse"],
    &["broker", "relay"],
    &["node"],
];

/// Where our Rust code lives.
const ROOTS: &[&str] = &["core", "ffi", "ports", "tests", "fuzz"];

const FILE_LINES_MAX: usize = 600;
const LINE_WIDTH_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;

/// Known breaches, as the test prints them. Only shrinks.
const EXCEPTIONS: &[&str] = &[];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Fails with each breach that is not an exception, and each exception that is none any more.
fn check(breaches: &[String], rule: &str) {
    let known: BTreeSet<&str> = EXCEPTIONS.iter().copied().collect();
    let new: Vec<&String> = breaches.iter().filter(|b| !known.contains(b.as_str())).collect();
    assert!(new.is_empty(), "{rule}:\n{new:#?}");
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn layer_breaches(source: &Source) -> Vec<String> {
    let path = source.name.trim_start_matches("core/src/");
    let own = path.split('/').next().unwrap_or(path).trim_end_matches(".rs");
    if own == "lib" || path.ends_with("tests.rs") {
        return Vec::new();
    }
    let Some(own_layer) = layer_of(own) else {
        return vec![format!("{}: `{own}` is not in the architecture's list", source.name)];
    };
    let mut breaches = Vec::new();
    for (line, module) in source.crate_modules() {
        let is_above = layer_of(&module).is_some_and(|layer| layer < own_layer);
        if module != own && !is_above {
            breaches.push(format!("{}:{line}: `{own}` uses `{module}`", source.name));
        }
    }
    breaches
}

#[test]
fn core_modules_use_only_those_above_them() {
    let sources = rust_files(&top(), "core/src");
    assert!(sources.len() > LAYERS.len(), "the core was not found");
    let breaches: Vec<String> = sources.iter().flat_map(layer_breaches).collect();
    check(&breaches, "a module uses one that is not above it");
}

#[test]
fn a_use_of_a_lower_module_or_a_sibling_is_noticed() {
    let breaches = |name: &str, text: &str| layer_breaches(&Source::new(name, text)).len();
    assert_eq!(breaches("core/src/wire/frame.rs", "use crate::base::Time;"), 0);
    assert_eq!(breaches("core/src/wire/frame.rs", "use crate::transport::Ack;"), 1);
    assert_eq!(breaches("core/src/wire/frame.rs", "use crate::{base, node::Node};"), 1);
    assert_eq!(breaches("core/src/broker/mod.rs", "use crate::relay::Relay;"), 1);
    assert_eq!(breaches("core/src/relay/mod.rs", "fn f() { crate::broker::f() }"), 1);
    assert_eq!(breaches("core/src/odd/mod.rs", ""), 1);
}

#[test]
fn files_open_with_their_purpose_and_stay_small() {
    let mut breaches = Vec::new();
    for source in ROOTS.iter().flat_map(|root| rust_files(&top(), root)) {
        // A package's build script and a file of tests are files like any other.
        if !source.text.starts_with("//!") {
            breaches.push(format!("{}: does not open with `//!`", source.name));
        }
        let lines = source.lines_before_tests();
        if lines > FILE_LINES_MAX && !source.name.ends_with("tests.rs") {
            breaches.push(format!("{}: longer than {FILE_LINES_MAX} lines", source.name));
        }
        for (i, line) in source.text.lines().enumerate() {
            if line.chars().count() > LINE_WIDTH_MAX {
                breaches.push(format!("{}:{}: line too wide", source.name, i + 1));
            }
        }
    }
    check(&breaches, "a file is too long, too wide or does not say what it is");
}

#[test]
fn functions_stay_short() {
    let mut breaches = Vec::new();
    for source in ROOTS.iter().flat_map(|root| rust_files(&top(), root)) {
        for function in source.functions() {
            if function.len > FUNCTION_LINES_MAX {
                let (name, line, len) = (&function.name, function.line, function.len);
                breaches.push(format!("{}:{line}: `{name}` has {len} lines", source.name));
            }
        }
    }
    check(&breaches, "a function is too long");
}
