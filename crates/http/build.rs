//! Tells where the built pages are, so that the crate compiles with and without them.

use std::path::Path;

fn main() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/dist");
    println!("cargo::rerun-if-changed={}", pages.display());
    println!("cargo::rustc-env=DDX_PAGES={}", pages.display());
}
