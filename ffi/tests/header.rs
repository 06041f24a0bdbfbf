//! The committed header is what the crate makes.

use std::path::Path;

#[test]
fn the_committed_header_is_up_to_date() {
    let ffi = env!("CARGO_MANIFEST_DIR");
    let config = cbindgen::Config::from_root_or_default(ffi);
    let bindings = cbindgen::generate_with_config(ffi, config).expect("the crate parses");
    let mut made = Vec::new();
    bindings.write(&mut made);
    let committed = std::fs::read(Path::new(ffi).join("../include/rit.h")).unwrap();
    let hint = "include/rit.h is not what ffi says: cargo run -p rit-ffi --example header";
    assert!(made == committed, "{hint}");
}
