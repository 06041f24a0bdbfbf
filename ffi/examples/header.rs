//! Writes `include/rit.h` from this crate: `cargo run -p rit-ffi --example header`.
//!
//! A test compares the committed header with what this makes.

fn main() {
    let ffi = env!("CARGO_MANIFEST_DIR");
    let config = cbindgen::Config::from_root_or_default(ffi);
    let bindings = cbindgen::generate_with_config(ffi, config).expect("the crate parses");
    bindings.write_to_file(std::path::Path::new(ffi).join("../include/rit.h"));
}
