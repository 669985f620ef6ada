//! What holds for any bytes at all: the bodies of the fuzz targets.
//!
//! Compiled for `cargo fuzz` and for tests only. The targets in `fuzz/` hand their input to [`run`]; the corpora in
//! `fuzz/corpus` also run as an ordinary test.

use crate::{archive, cache, decode, route};

/// A target: its name, and what it does with some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("framing", decode::fuzz::framing),
    ("gzip", decode::fuzz::gzip),
    ("snappy", decode::fuzz::snappy),
    ("kpl", decode::fuzz::kpl),
    ("segment", cache::fuzz::segment),
    ("manifest", archive::fuzz::manifest),
    ("times", archive::fuzz::times),
    ("key", route::fuzz::key),
];

/// Hands `data` to the target `name`.
///
/// # Panics
/// If there is no such target, and if the target finds something.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(other, _)| *other == name);
    target.unwrap_or_else(|| panic!("no target {name}")).1(data);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_corpora_find_nothing() {
        for (name, target) in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
            let inputs: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(!inputs.is_empty(), "{} is empty", folder.display());
            for input in inputs {
                target(&fs::read(input).unwrap());
            }
        }
    }
}
