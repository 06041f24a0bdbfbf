//! The C interface as C programs see it: header, symbols, and the tests in `tests/abi`.
//!
//! Each C file is compiled as C99 against the archive and as C++17 against the shared library, both
//! under the address and undefined-behaviour sanitizers, and run; it exits with 0 or says where it
//! did not. Needs a C and a C++ compiler (`CC`, `CXX`).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const WARNINGS: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"];
const SANITIZERS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where cargo puts this profile's libraries; a Rust test is linked with neither of ours, so they
/// are built here.
fn libraries() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "-p", "rit-ffi", "--target-dir"]).arg(target);
        run(build.current_dir(top()));
        target.join("debug")
    })
}

fn compiler(variable: &str, default: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| default.into())
}

/// Runs a command that must succeed; what it prints.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn compile_and_run(name: &str) {
    let libraries = libraries();
    let source = top().join("tests/abi").join(name).with_extension("c");
    let out = |language: &str| {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("abi-{name}-{language}"))
    };
    let common = |command: &mut Command| {
        command.args(WARNINGS).args(SANITIZERS).arg("-g").arg("-I").arg(top().join("include"));
    };

    let mut c = Command::new(compiler("CC", "cc"));
    common(c.arg("-std=c99"));
    c.arg(&source).arg(libraries.join("librit.a")).args(["-lpthread", "-ldl", "-lm"]);
    run(c.arg("-o").arg(out("c99")));
    run(&mut Command::new(out("c99")));

    let mut cxx = Command::new(compiler("CXX", "c++"));
    common(cxx.arg("-std=c++17"));
    cxx.args(["-x", "c++"]).arg(&source).args(["-x", "none"]).arg("-L").arg(libraries);
    run(cxx.arg("-lrit").arg("-o").arg(out("cxx17")));
    run(Command::new(out("cxx17")).env("LD_LIBRARY_PATH", soname_folder(libraries)));
}

/// The shared library under the name that programs ask for.
fn soname_folder(libraries: &Path) -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("abi-lib");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(libraries.join("librit.so"), folder.join("librit.so.1")).unwrap();
        folder
    });
    made.clone()
}

macro_rules! c_tests {
    ($($name:ident)*) => {
        const C_TESTS: &[&str] = &[$(stringify!($name)),*];
        $(#[test] fn $name() { compile_and_run(stringify!($name)) })*
    };
}

c_tests! {
    cloak crypto drive entropy handles header layout limits nulls reentry selftest silence storage
    struct_size tcp text transmit
}

#[test]
fn each_c_file_is_a_test() {
    let files = std::fs::read_dir(top().join("tests/abi")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|e| e == "c"));
    let stems: BTreeSet<String> =
        files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(stems, C_TESTS.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn the_header_compiles_alone_in_every_language() {
    let header = top().join("include/rit.h");
    for standard in ["c89", "c99", "c11", "c17"] {
        let mut c = Command::new(compiler("CC", "cc"));
        c.arg(format!("-std={standard}")).args(WARNINGS).args(["-fsyntax-only", "-x", "c"]);
        run(c.arg(&header));
    }
    for standard in ["c++11", "c++17", "c++20"] {
        let mut cxx = Command::new(compiler("CXX", "c++"));
        cxx.arg(format!("-std={standard}")).args(WARNINGS).args(["-fsyntax-only", "-x", "c++"]);
        run(cxx.arg("-include").arg(&header).arg("/dev/null"));
    }
    let mut freestanding = Command::new(compiler("CC", "cc"));
    freestanding.args(["-std=c99", "-ffreestanding", "-fsyntax-only"]).args(WARNINGS);
    run(freestanding.args(["-x", "c"]).arg(&header));
}

#[test]
fn the_libraries_offer_what_is_listed() {
    let list = std::fs::read_to_string(top().join("ffi/symbols.txt")).unwrap();
    let listed: BTreeSet<&str> = list.lines().collect();
    let shared = libraries().join("librit.so");
    let symbols = run(Command::new("nm").args(["-D", "--defined-only", "-P"]).arg(shared));
    let offered: BTreeSet<&str> =
        symbols.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(offered, listed, "the shared library");

    let archive = libraries().join("librit.a");
    let symbols = run(Command::new("nm").args(["-g", "--defined-only", "-P"]).arg(archive));
    let names = symbols.lines().filter_map(|line| line.split(' ').next());
    let offered: BTreeSet<&str> = names.filter(|name| name.starts_with("rit_")).collect();
    assert_eq!(offered, listed, "the archive");
}

#[test]
fn the_shared_library_has_its_name() {
    let shared = libraries().join("librit.so");
    let about = run(Command::new("readelf").arg("-d").arg(shared));
    assert!(about.contains("[librit.so.1]"), "{about}");
}
