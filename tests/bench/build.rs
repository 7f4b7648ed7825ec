//! Lends `tests/support` the two folders it expects cargo to name: it was written for integration
//! tests of salara itself, and its Asterisk is to be unpacked once for them and for this crate.

use std::path::Path;

fn main() {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let Some(root) = Path::new(&here).ancestors().nth(2) else {
        return;
    };
    println!("cargo::rustc-env=CARGO_MANIFEST_DIR={}", root.display());
    println!(
        "cargo::rustc-env=CARGO_TARGET_TMPDIR={}",
        root.join("target/tmp").display()
    );
    println!("cargo::rerun-if-changed=build.rs");
}
