//! What is said of a framing, and what is refused before there is one.

use std::io::Write as _;

use flate2::write::GzEncoder;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn run(object: &[u8], framing: FramingChoice, salvage: bool) -> Result<Decoded, DecodeError> {
    let config = DecodeConfig { framing, salvage, ..DecodeConfig::default() };
    decode(&mut &*object, None, &config, &mut Vec::new())
}

#[test]
fn what_is_compressed_twice_is_refused_by_name_whatever_text_was_asked_for() {
    let twice = gzip(&gzip(b"{\"a\":1}\n{\"a\":2}\n"));
    let small = gzip(&gzip(b""));
    for framing in ["auto", "newline", "json", "json-array", "cloudwatch-logs"] {
        for object in [&twice, &small] {
            for salvage in [false, true] {
                let error = run(object, framing.parse().unwrap(), salvage).unwrap_err().to_string();
                assert!(
                    error.starts_with("unknown_format") && error.contains("gzip once more"),
                    "{framing}: {error}"
                );
            }
        }
    }
    let error = run(&twice, FramingChoice::ErrorOutput, false).unwrap_err().to_string();
    assert!(error.contains("gzip once more"), "{error}");
    // Who asks for bytes gets bytes.
    assert_eq!(run(&twice, FramingChoice::Whole, false).unwrap().spans.len(), 1);
    // And text in an old encoding is text that was asked for.
    assert_eq!(run(b"caf\xe9\nth\xe9\n", FramingChoice::Newline, false).unwrap().spans.len(), 2);
}

#[test]
fn what_is_less_than_a_magic_is_framed_and_salvaged() {
    for framing in ["newline", "json", "json-array"] {
        let choice = framing.parse().unwrap();
        assert_eq!(
            run(b"[1] [2]\n", choice, false).unwrap().spans.len(),
            if framing == "newline" { 1 } else { 2 }
        );
    }
    let mut cut = gzip(b"a\nb\nc");
    cut.truncate(cut.len() - 8);
    let salvaged = run(&cut, FramingChoice::Newline, true).unwrap();
    assert_eq!((salvaged.spans.len(), salvaged.salvaged.unwrap().reason), (2, DecodeDefect::Truncated));
}

#[test]
fn auto_says_what_it_chose_and_why() {
    for (object, told) in [
        ("{\"a\":1}\n{\"a\":2}\n", "plain, newline (each line is one JSON value)"),
        ("{\"a\":1}\n{\"a\":2}\n{\"a", "plain, newline (at least half of the lines are one JSON value each)"),
        ("{\"a\":1}{\"a\":2}", "plain, json (JSON values share lines)"),
        ("{\"a\":\n1}\n{\"a\":\n2}", "plain, json (JSON values span lines)"),
        ("{\"a\":\n1}\n{\"a\":2}{\"a\":3}", "plain, json (JSON values share lines and span lines)"),
        ("one\ntwo", "plain, newline (it does not begin as JSON)"),
        (" \n", "plain, newline (there is nothing in it)"),
    ] {
        assert_eq!(run(object.as_bytes(), FramingChoice::Auto, false).unwrap().told(), told, "{object}");
    }
    assert_eq!(run(b"a\nb", FramingChoice::Newline, false).unwrap().told(), "plain, newline");
}
