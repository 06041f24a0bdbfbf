//! Compiles the POSIX port, which makes the connections of `rit`.

use std::path::Path;

fn main() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let port = top.join("ports/posix");
    let mut build = cc::Build::new();
    build.file("src/port.c");
    let files = std::fs::read_dir(&port).expect("the port is in the repository");
    for file in files.map(|file| file.expect("its folder can be read").path()) {
        if file.extension().is_some_and(|end| end == "c") {
            build.file(&file);
        }
    }
    // At -O1 gcc warns of what it does not follow.
    build.opt_level(2).std("c99").include(top.join("include")).include(&port).compile("rit_posix");
    println!("cargo:rerun-if-changed=src/port.c");
    println!("cargo:rerun-if-changed={}", port.display());
    println!("cargo:rerun-if-changed={}", top.join("include/rit.h").display());
}
