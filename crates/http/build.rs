//! Tells where the built pages are, so that the crate compiles with and without them.

use std::path::Path;

fn main() {
    // As it is when this runs: what is built may have been moved since this was compiled.
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let pages = Path::new(&folder).join("../../web/dist");
    println!("cargo::rerun-if-changed={}", pages.display());
    println!("cargo::rustc-env=DDX_PAGES={}", pages.display());
}
