//! Where a line belongs: the dependency rule of `ARCHITECTURE.md`, read off the sources.
//!
//! A stage may name the vocabulary, the edge traits and the stage just before it; names of the outside
//! world stand in the one place that wraps them; a file stays short. The check reads lines, not Rust: it
//! sees `use crate::…` (also in braces and over several lines) and paths in code, and leaves out comments,
//! the text of string literals, and the unit tests at a file's end.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

/// A file's lines, tests included.
const LINES_MAX: usize = 450;

/// Exists in tests only, and joins what is kept apart: the engine and the model of the stream.
const TEST_WORLD: &str = "sim/pure/";

/// What everyone may name.
const VOCABULARY: &[&str] = &["record", "limits", "error", "frame", "private", "renewed", "shown"];

/// What each module may name besides the vocabulary and itself. A module that is not listed may name all.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("record", &[]),
    ("limits", &[]),
    ("error", &[]),
    ("frame", &[]),
    ("private", &[]),
    ("renewed", &[]),
    ("shown", &[]),
    ("archive", &[]),
    ("decode", &["archive"]),
    ("cache", &["archive", "decode"]),
    ("route", &["cache", "stream"]),
    ("write", &["route", "stream"]),
    ("stream", &[]),
    ("sim", &["stream"]),
    // Plain data of the user's side; the stages' own words for what a user may choose are theirs.
    ("config", &["archive", "decode", "cache", "route", "write", "stream"]),
    ("cli", &["config", "archive", "route"]),
    ("run", &["archive", "decode", "cache", "route", "write", "stream", "sim", "config", "page"]),
    ("page", &[]),
];

/// A name of the outside world, and the files (or folders, ending in `/`) that may use it.
const FENCES: &[(&str, &[&str])] = &[
    ("aws_sdk_s3", &["archive/s3.rs", "archive/s3/"]),
    ("aws_sdk_kinesis", &["stream/kinesis.rs", "stream/kinesis/"]),
    ("aws_sigv4", &["stream/signed/"]),
    ("aws_smithy_runtime_api", &["stream/signed.rs", "stream/signed/"]),
    ("memmap2", &["cache/mmap.rs"]),
    ("unsafe", UNSAFE),
    ("libdeflate_sys", &["decode/native.rs"]),
    ("clap", &["cli/"]),
    ("std::env", &["cli/", "main.rs"]),
    ("env::var", &["cli/"]),
    ("Instant::now", CLOCKS),
    ("SystemTime::now", CLOCKS),
    ("Timestamp::now", CLOCKS),
    ("sleep", CLOCKS),
];

/// What cannot be expressed in safe code: a map of a file, a processor's feature, a C function.
const UNSAFE: &[&str] = &["cache/mmap.rs", "decode/native.rs"];

/// Who may ask what time it is.
const CLOCKS: &[&str] = &[
    "renewed.rs",
    "run/",
    "verify/",
    "bench/",
    "lifecycle/",
    "stream/",
    "sim/drip.rs",
    "sim/embedded.rs",
    "sim/world.rs",
    "sim/server.rs",
    "archive/s3.rs",
    "archive/s3/beginning.rs",
    "archive/download.rs",
    // How fast the archive gives objects is measured while some are looked at.
    "plan/mod.rs",
    "plan/reading.rs",
    // `--from 3d` is counted from now.
    "cli/environment.rs",
];

#[test]
fn every_line_is_where_it_belongs() {
    let mut broken = String::new();
    for (path, text) in sources().unwrap() {
        for breach in check(&path, &text) {
            let _ = writeln!(broken, "src/{path}: {breach}");
        }
    }
    assert!(broken.is_empty(), "\n{broken}");
}

#[test]
fn unsafe_code_stays_within_its_budget() {
    let sources = sources().unwrap();
    for place in UNSAFE {
        let (_, text) = sources.iter().find(|(path, _)| path == place).unwrap();
        assert!(text.lines().count() <= 100, "{place} has more than 100 lines");
        let (sites, reasons) = (text.matches("unsafe {").count(), text.matches("// SAFETY: ").count());
        assert!(sites > 0 && sites == reasons, "{place}: {sites} unsafe blocks, {reasons} reasons");
    }
}

#[test]
fn a_planted_breach_is_found() {
    for (path, text, found) in [
        ("decode/gzip.rs", "use crate::cache::Segment;", "names crate::cache"),
        (
            "write/lane.rs",
            "use crate::{\n    record::Ordinal,\n    run::report::Report,\n};",
            "names crate::run",
        ),
        ("archive/s3.rs", "let x = crate::write::Engine::new();", "names crate::write"),
        ("archive/s3.rs", "use crate::{stream::{Entry}, record::Ordinal};", "names crate::stream"),
        ("route/key.rs", "use super::super::run::x;", "climbs out"),
        ("cache/mod.rs", "use aws_sdk_s3::Client;", "names aws_sdk_s3"),
        ("route/key.rs", "fn f() { unsafe { g() } }", "names unsafe"),
        ("decode/blocks.rs", "fn f() { unsafe { g() } }", "names unsafe"),
        ("write/rate.rs", "let now = std::time::Instant::now();", "names Instant::now"),
        ("write/rate.rs", "tokio::time::sleep(x).await;", "names sleep"),
        ("run/mod.rs", "std::env::var(\"HOME\")", "names std::env"),
        ("config/mod.rs", "#[derive(clap::Args)]", "names clap"),
    ] {
        let text = format!("//! About.\n{text}\n");
        let breaches = check(path, &text);
        assert!(breaches.iter().any(|breach| breach.contains(found)), "{path}: {text}: {breaches:?}");
    }
    let long = "//! About.\n".to_owned() + &"\n".repeat(LINES_MAX);
    assert!(check("write/lane.rs", &long).iter().any(|breach| breach.contains("lines")));
    assert!(check("write/tests.rs", &long).is_empty());
    assert!(check("write/lane.rs", "use std::fmt;\n").iter().any(|breach| breach.contains("//!")));
}

#[test]
fn what_is_allowed_is_not_found() {
    for (path, text) in [
        ("write/engine.rs", "use crate::record::{Ordinal, ShardId};\nuse crate::route::ShardMap;"),
        ("route/key.rs", "// crate::run knows\nlet text = \"unsafe sleep crate::run\";"),
        ("route/key.rs", "let asleep = unsafe_cell + sleeping;"),
        ("run/shell.rs", "use crate::write::Engine;\nlet now = Instant::now();"),
        (
            "decode/gzip.rs",
            "let quote = '\"'; // crate::run\n#[cfg(test)]\nmod tests {\n    use crate::run::x;\n}",
        ),
        ("cache/mmap.rs", "#![expect(unsafe_code)]\nunsafe { memmap2::Mmap::map(&file) }"),
        ("lib.rs", "pub mod run;"),
    ] {
        let breaches = check(path, &format!("//! About.\n{text}\n"));
        assert!(breaches.is_empty(), "{path}: {text}: {breaches:?}");
    }
}

/// All sources by their path below `src/`.
fn sources() -> io::Result<Vec<(String, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path)?;
                let name = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                found.push((name, text));
            }
        }
    }
    assert!(found.len() > 5, "src/ was not found");
    found.sort();
    Ok(found)
}

/// What is wrong with the file at `path` (below `src/`).
fn check(path: &str, text: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    let is_test = path.ends_with("tests.rs") || path.contains("/tests/");
    if !is_test && text.lines().count() > LINES_MAX {
        breaches.push(format!("has more than {LINES_MAX} lines"));
    }
    if !is_test && !text.starts_with("//!") {
        breaches.push("does not begin with //!, saying what it is".into());
    }
    if is_test || path.starts_with(TEST_WORLD) {
        return breaches;
    }
    let code = code_of(text);
    let module = path.split(['/', '.']).next().unwrap_or_default();
    if let Some((_, may)) = MAY_NAME.iter().find(|(name, _)| *name == module) {
        for named in crate_modules(&code) {
            let own = named == module || VOCABULARY.contains(&named.as_str());
            // An item of the crate's root, such as a macro, is no module.
            if !own && !may.contains(&named.as_str()) {
                breaches.push(format!("names crate::{named}, which {module} must not know"));
            }
        }
        // `super::` once from a folder's file stays inside the folder; more often it could leave.
        let depth = path.matches('/').count() - usize::from(path.ends_with("/mod.rs"));
        if code.contains(&"super::".repeat(depth + 1)) {
            breaches.push("climbs out of its stage by super::".into());
        }
    }
    if speaks(path) {
        let by_hand = counted_by_hand(text).map(|rest| rest.split(['"', '{']).next().unwrap_or_default());
        breaches
            .extend(by_hand.map(|rest| format!("counts '{rest}' by hand: record::many knows one of them")));
    }
    for (name, places) in FENCES {
        let allowed = places.iter().any(|place| match place.strip_suffix('/') {
            Some(_) => path.starts_with(place),
            None => path == *place,
        });
        if !allowed && contains_name(&code, name) {
            breaches.push(format!("names {name}, which belongs in {}", places.join(", ")));
        }
    }
    breaches
}

/// Things that are counted for people, of which there may be one.
const COUNTED: [&str; 10] = [
    "records",
    "objects",
    "segments",
    "runs",
    "shards",
    "requests",
    "consumers",
    "channels",
    "minutes",
    "steps",
];

/// Where sentences for people are made. What the spool says is about a whole archive.
fn speaks(path: &str) -> bool {
    ["run/", "plan/", "verify/", "lifecycle/", "bench/", "main.rs"]
        .iter()
        .any(|place| path.starts_with(place))
        && !path.starts_with("run/spool")
}

/// The words behind a number that is put in, where one of what is counted would be called the same.
fn counted_by_hand(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().take_while(|line| *line != "mod tests {");
    let lines = code.filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split("} ").skip(1)).filter(|rest| {
        COUNTED.iter().any(|counted| {
            let behind = rest.strip_prefix(counted);
            behind.is_some_and(|behind| !behind.starts_with(|c: char| c == '/' || c.is_alphanumeric()))
        })
    })
}

#[test]
fn what_is_counted_by_hand_is_found() {
    let found = |line: &str| counted_by_hand(line).count();
    assert_eq!(found(r#"format!("{} records, {n} objects", n)"#), 2);
    assert_eq!(found(r#"format!("{} records/s, {shards} and {} of records")"#), 0);
    assert_eq!(found("// {} records"), 0);
}

/// The code without comments, the insides of string literals, and the test module at the end.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines().take_while(|line| *line != "mod tests {") {
        // A quote as a character opens no string.
        let line = line.replace("'\"'", "");
        let (mut in_text, mut escaped) = (false, false);
        let mut characters = line.chars().peekable();
        while let Some(c) = characters.next() {
            match c {
                _ if escaped => escaped = false,
                '\\' if in_text => escaped = true,
                '"' => in_text = !in_text,
                '/' if !in_text && characters.peek() == Some(&'/') => break,
                _ if !in_text => code.push(c),
                _ => {}
            }
        }
        code.push('\n');
    }
    code
}

/// The first word of every path below `crate::`, braces opened.
fn crate_modules(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            modules.push(word(rest));
            continue;
        };
        let (mut depth, mut expects_word) = (1, true);
        for (place, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => expects_word = true,
                c if depth == 1 && expects_word && !c.is_whitespace() => {
                    modules.push(word(&list[place..]));
                    expects_word = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    modules.retain(|module| !module.is_empty());
    modules
}

/// The identifier that a text begins with.
fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Whether `name` stands in `code` as a whole word or path.
fn contains_name(code: &str, name: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(name).any(|(start, found)| {
        let before = code[..start].chars().next_back();
        let after = code[start + found.len()..].chars().next();
        !part(before) && !part(after)
    })
}
