use std::io::{self, Read, Write};

use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::framing::Framer;
use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd_frame(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn config(framing: FramingChoice) -> DecodeConfig {
    DecodeConfig { framing, ..DecodeConfig::default() }
}

fn run(object: &[u8]) -> Result<(Decoded, Vec<u8>), DecodeError> {
    run_with(object, &DecodeConfig::default())
}

fn run_with(mut object: &[u8], config: &DecodeConfig) -> Result<(Decoded, Vec<u8>), DecodeError> {
    let mut out = Vec::new();
    decode(&mut object, None, config, &mut out).map(|decoded| (decoded, out))
}

fn defect<T>(result: Result<T, DecodeError>) -> DecodeDefect {
    match result {
        Err(DecodeError::Defect { reason, .. }) => reason,
        Err(other) => panic!("no defect: {other}"),
        Ok(_) => panic!("no defect"),
    }
}

fn cut(spans: &Spans, out: &[u8]) -> Vec<String> {
    let record = |span: Span| {
        let start = usize::try_from(span.offset).unwrap();
        String::from_utf8_lossy(&out[start..start + span.len as usize]).into_owned()
    };
    spans.iter().map(record).collect()
}

/// Framing and records, or the defect, of a plain object.
fn framed(object: &str, choice: FramingChoice) -> Result<(Framing, Vec<String>), DecodeDefect> {
    match run_with(object.as_bytes(), &config(choice)) {
        Ok((decoded, out)) => Ok((decoded.framing, cut(&decoded.spans, &out))),
        Err(DecodeError::Defect { reason, .. }) => Err(reason),
        Err(other) => panic!("{other}"),
    }
}

fn by_lines(records: &[&str]) -> (Framing, Vec<String>) {
    (Framing::Newline, records.iter().map(ToString::to_string).collect())
}

fn by_values(records: &[&str]) -> (Framing, Vec<String>) {
    (Framing::ConcatenatedJson, records.iter().map(ToString::to_string).collect())
}

#[test]
fn every_compression_gives_the_same_bytes() {
    let text = b"{\"a\":1}\n{\"b\":2}\n";
    let mut skippable = vec![0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    skippable.extend(zstd_frame(text));
    let objects = [
        (Compression::None, text.to_vec()),
        (Compression::Gzip, gzip(text)),
        (Compression::Gzip, [gzip(&text[..5]), gzip(b""), gzip(&text[5..])].concat()),
        (Compression::Zstd, zstd_frame(text)),
        (Compression::Zstd, [zstd_frame(&text[..9]), zstd_frame(&text[9..])].concat()),
        (Compression::Zstd, skippable),
    ];
    for (compression, object) in objects {
        let (decoded, out) = run(&object).unwrap();
        assert_eq!((decoded.compression, out.as_slice()), (compression, &text[..]));
        assert_eq!((decoded.spans.len(), decoded.bytes), (2, text.len() as u64));
    }
}

#[test]
fn a_label_without_the_magic_number_is_no_reason_to_refuse() {
    let mut out = Vec::new();
    let plain = decode(&mut &b"{}\n"[..], Some("gzip"), &DecodeConfig::default(), &mut out).unwrap();
    assert_eq!(plain.compression, Compression::None);
}

#[test]
fn no_bytes_are_a_defect_and_a_compressed_nothing_is_not() {
    assert_eq!(defect(run(b"")), DecodeDefect::Empty);
    for object in [gzip(b""), zstd_frame(b"")] {
        assert!(run(&object).unwrap().0.spans.is_empty());
    }
}

#[test]
fn an_object_cut_short_is_truncated_at_every_length() {
    let text = "{\"key\":\"some text\"}\n".repeat(50);
    for object in [gzip(text.as_bytes()), zstd_frame(text.as_bytes())] {
        for len in 2..object.len() {
            assert_eq!(defect(run(&object[..len])), DecodeDefect::Truncated, "{len}");
        }
    }
    let two = [gzip(b"a\n"), gzip(b"b\n")].concat();
    assert_eq!(defect(run(&two[..=gzip(b"a\n").len()])), DecodeDefect::Truncated);
    assert_eq!(defect(run(&[0x1f])), DecodeDefect::Truncated);
}

#[test]
fn a_flipped_byte_is_never_decoded_to_something_else() {
    let text = "{\"key\":\"some text\"}\n".repeat(20);
    for object in [gzip(text.as_bytes()), zstd_frame(text.as_bytes())] {
        for at in 0..object.len() {
            let mut damaged = object.clone();
            damaged[at] ^= 0x41;
            if let Ok((decoded, out)) = run_with(&damaged, &DecodeConfig::default()) {
                assert_eq!(out, text.as_bytes(), "byte {at}");
                assert_ne!(decoded.compression, Compression::None);
            }
        }
    }
}

#[test]
fn what_follows_the_end_is_trailing_data() {
    for object in [gzip(b"{}\n"), zstd_frame(b"{}\n")] {
        for tail in [&b"\0"[..], &[0; 512], b"garbage", b"{}\n"] {
            let object = [&object, tail].concat();
            assert_eq!(defect(run(&object)), DecodeDefect::TrailingData, "{tail:?}");
        }
    }
}

#[test]
fn at_once_or_piece_by_piece_makes_no_difference() {
    let line = |n: u32| format!("{{\"key\":{n},\"hash\":{}}}\n", n.wrapping_mul(2_654_435_761));
    let text: String = (0..90_000).map(line).collect();
    let (large, small) = (gzip(text.as_bytes()), gzip(b"{}\n"));
    let claiming = |length: u32| {
        let mut object = large.clone();
        let at = object.len() - 4;
        object[at..].copy_from_slice(&length.to_le_bytes());
        object
    };
    let objects = [
        large.clone(),
        [&small[..], &large].concat(),
        [&large[..], &small, &large].concat(),
        [&large[..], &small, &large[..large.len() / 2]].concat(),
        [&large[..], b"\0\0"].concat(),
        small.repeat(1_000),
        claiming(0),
        claiming(7),
        claiming(u32::MAX),
        gzip(&vec![b' '; 40 << 20]),
    ];
    let caps = [u64::MAX, text.len() as u64, text.len() as u64 - 1, 1_000, 0];
    for object in objects {
        for output_bytes_max in caps {
            for framing in [FramingChoice::Newline, FramingChoice::Auto, FramingChoice::Whole] {
                let config = DecodeConfig { framing, output_bytes_max, ..DecodeConfig::default() };
                fuzz::gzip_in_both_ways(&object, &config);
            }
        }
    }
}

#[test]
fn a_gzip_header_may_have_every_field() {
    let encoder = flate2::GzBuilder::new().filename("x").comment("y").extra(vec![7; 300]);
    let mut encoder = encoder.write(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"{}\n").unwrap();
    assert_eq!(run(&encoder.finish().unwrap()).unwrap().1, b"{}\n");
}

#[test]
fn a_gzip_header_without_end_is_given_up() {
    let mut object = vec![0x1f, 0x8b, 8, 0b1000, 0, 0, 0, 0, 0, 0];
    object.resize(1 << 20, b'x');
    assert_eq!(defect(run(&object)), DecodeDefect::TooLarge);
}

#[test]
fn a_bomb_stops_at_the_cap() {
    let zeros = vec![b' '; 80 << 20];
    let bomb = gzip(&zeros);
    assert_eq!(defect(run(&bomb)), DecodeDefect::TooLarge);
    let capped = DecodeConfig { output_bytes_max: 1 << 20, ..DecodeConfig::default() };
    let mut out = Vec::new();
    assert_eq!(defect(decode(&mut &bomb[..], None, &capped, &mut out)), DecodeDefect::TooLarge);
    assert!(out.len() <= 1 << 20);
    let patient = DecodeConfig { ratio_max: 2_000, ..DecodeConfig::default() };
    assert_eq!(run_with(&bomb, &patient).unwrap().1.len(), zeros.len());
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let objects: &[(&[u8], &str)] = &[
        (b"PK\x05\x06", "ZIP"),
        (b"\xfd7zXZ\0", "xz"),
        #[cfg(not(feature = "parquet"))]
        (b"PAR1\x15\x04", "without the feature parquet"),
        (b"some\0binary", "neither text"),
    ];
    for &(object, name) in objects {
        match run(object) {
            Err(DecodeError::Defect { reason: DecodeDefect::UnknownFormat, message, .. }) => {
                assert!(message.contains(name), "{message}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(defect(run(&gzip(&gzip(b"{}")))), DecodeDefect::UnknownFormat);
    let mut out = Vec::new();
    let newline = config(FramingChoice::Newline);
    let labelled = decode(&mut &b"\x00\x00\x01\x00"[..], Some("br"), &newline, &mut out);
    assert_eq!(defect(labelled), DecodeDefect::UnknownFormat);
    assert_eq!(run_with(b"\xff\0\n\x01", &newline).unwrap().0.spans.len(), 2);
}

#[test]
fn newline_records_are_the_bytes_between_line_feeds() {
    let cases: [(&str, &[&str]); 6] = [
        ("a\nb\n", &["a", "b"]),
        ("a\nb", &["a", "b"]),
        ("a\r\n\r\n\n b \n\r", &["a\r", " b "]),
        ("\u{feff}a\n", &["\u{feff}a"]),
        ("\r\r\nx", &["\r\r", "x"]),
        ("\n\n", &[]),
    ];
    for (object, records) in cases {
        assert_eq!(framed(object, FramingChoice::Newline), Ok(by_lines(records)), "{object:?}");
        assert_eq!(framed(object, FramingChoice::Auto), Ok(by_lines(records)), "{object:?}");
    }
}

#[test]
fn auto_finds_values_that_share_or_span_lines() {
    let cases: [(&str, &[&str]); 7] = [
        ("{\"a\":1}{\"b\":2}", &["{\"a\":1}", "{\"b\":2}"]),
        ("\u{feff}{\"a\":\"}{\\\"\\\\\"} [1]", &["{\"a\":\"}{\\\"\\\\\"}", "[1]"]),
        ("{\n  \"a\": 1\n}\n{\n}\n", &["{\n  \"a\": 1\n}", "{\n}"]),
        ("{\"a\":1}\n{\"b\":2}{\"c\":3}\n", &["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]),
        ("[\n1\n,\n\n2]", &["[\n1\n,\n\n2]"]),
        ("{\"a\"\n:\n[\n{\n\"b\":\ntrue}]}", &["{\"a\"\n:\n[\n{\n\"b\":\ntrue}]}"]),
        ("{}{}\r\n", &["{}", "{}"]),
    ];
    for (object, records) in cases {
        assert_eq!(framed(object, FramingChoice::Auto), Ok(by_values(records)), "{object:?}");
        assert_eq!(framed(object, FramingChoice::ConcatenatedJson), Ok(by_values(records)), "{object:?}");
    }
}

#[test]
fn auto_takes_lines_where_each_has_one_value() {
    let cases: [(&str, &[&str]); 6] = [
        ("{\"a\":1}\n{\"b\":2}", &["{\"a\":1}", "{\"b\":2}"]),
        ("{\"a\":1}\r\n [2] \r\n", &["{\"a\":1}\r", " [2] \r"]),
        (
            "{\"a\":1}\n{\"b\":\n{\"c\":3}\n{\"d\":4}\n{}",
            &["{\"a\":1}", "{\"b\":", "{\"c\":3}", "{\"d\":4}", "{}"],
        ),
        ("{\"a\":\"x\n{\"b\":2}\n", &["{\"a\":\"x", "{\"b\":2}"]),
        ("{\"a\":1}\nnot json\n", &["{\"a\":1}", "not json"]),
        ("plain {}{}\ntext", &["plain {}{}", "text"]),
    ];
    for (object, records) in cases {
        assert_eq!(framed(object, FramingChoice::Auto), Ok(by_lines(records)), "{object:?}");
    }
}

#[test]
fn auto_does_not_guess() {
    let cases = [
        ("{\"a\":1}{\"b\":2}\nnot json\n", DecodeDefect::MixedFraming),
        ("{\"a\":1}{\"b\":2\n{\"c\":3}\n", DecodeDefect::MixedFraming),
        ("{}\n{}\n{\n\"a\":1\n}\n{\"b\"\n{}\n", DecodeDefect::MixedFraming),
        ("{\"a\":1", DecodeDefect::BadFraming),
        ("{\"a\":1}{\"b\":2}x", DecodeDefect::BadFraming),
        ("[12:00:01] up\n[12:00:02] down\n", DecodeDefect::BadFraming),
        ("[12:00:01] [3]\n[12:00:02] [4]\n", DecodeDefect::BadFraming),
        ("{\"a\":1],\n", DecodeDefect::BadFraming),
    ];
    for (object, reason) in cases {
        assert_eq!(framed(object, FramingChoice::Auto), Err(reason), "{object:?}");
    }
}

#[test]
fn a_framing_that_was_asked_for_checks_only_itself() {
    assert_eq!(framed("{}{}\nx", FramingChoice::Newline), Ok(by_lines(&["{}{}", "x"])));
    for object in ["{}\nx", "{} , {}", "1 2", "{]", "\u{feff}\u{0}{}", "}"] {
        let found = framed(object, FramingChoice::ConcatenatedJson);
        assert_eq!(found, Err(DecodeDefect::BadFraming), "{object:?}");
    }
    assert_eq!(framed("{\"a\":", FramingChoice::ConcatenatedJson), Err(DecodeDefect::Truncated));
    assert_eq!(framed(&"[".repeat(5_000), FramingChoice::ConcatenatedJson), Err(DecodeDefect::BadFraming));
}

#[test]
fn a_record_of_any_size_does_not_fail_its_object() {
    let object = format!("{{\"a\":\"{}\"}}\n{{}}\n", "x".repeat(11 << 20));
    let (decoded, _) = run(object.as_bytes()).unwrap();
    assert_eq!(decoded.spans.iter().map(|span| span.len).collect::<Vec<_>>(), [(11 << 20) + 8, 2]);
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn trouble_of_ours_is_not_the_objects_fault() {
    let config = DecodeConfig::default();
    let input = decode(&mut gzip(b"{}\n")[..10].chain(Broken), None, &config, &mut Vec::new());
    assert!(
        matches!(input, Err(DecodeError::Input(error)) if error.kind() == io::ErrorKind::ConnectionReset)
    );
    let output = decode(&mut &b"{}\n"[..], None, &config, &mut Broken);
    assert!(matches!(output, Err(DecodeError::Output(error)) if error.kind() == io::ErrorKind::StorageFull));
}

type Verdict = Result<(Spans, Framing), (DecodeDefect, u64)>;

fn in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, choice: FramingChoice) -> Verdict {
    let mut framer = Framer::new(choice, false);
    let pushed = pieces.into_iter().try_for_each(|piece| framer.push(piece));
    pushed.and_then(|()| framer.finish()).map_err(|error| match error {
        DecodeError::Defect { reason, offset, .. } => (reason, offset),
        other => panic!("{other}"),
    })
}

/// Text made of what matters to a framer, so that it meets every state.
fn structural() -> impl Strategy<Value = String> {
    let parts = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        "\\\"",
        "\n",
        "\r\n",
        " ",
        ":",
        ",",
        "1",
        "true",
        "x",
        "\u{feff}",
        "é",
        "{\"a\":1}",
        "{\"b\":[1,2]}\n",
        "{\n\"c\":\"}\"\n}",
    ];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..40).prop_map(|parts| parts.concat())
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[\\PC\"\\\\{}\n]{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-c\"]{0,3}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
    .prop_filter("records are containers", |value| value.is_object() || value.is_array())
}

fn choices() -> Vec<FramingChoice> {
    let words = FramingChoice::WORDS.into_iter().map(|word| word.parse().unwrap());
    let delimiters =
        ["\\n", "}{", "\"\"\\n", "\\n\\n"].map(|text| FramingChoice::Delimiter(text.parse().unwrap()));
    words.chain(delimiters).collect()
}

proptest! {
    #[test]
    fn pieces_make_no_difference(text in structural(), size in 1_usize..6) {
        for choice in choices() {
            let whole = in_pieces([text.as_bytes()], choice);
            let pieces = in_pieces(text.as_bytes().chunks(size), choice);
            prop_assert_eq!(whole, pieces);
        }
    }

    #[test]
    fn auto_loses_nothing_but_white_space(text in structural()) {
        if let Ok((framing, records)) = framed(&format!("{text} "), FramingChoice::Auto) {
            let blank = |c: &char| !c.is_whitespace() && *c != '\u{feff}';
            let kept: String = records.concat().chars().filter(blank).collect();
            prop_assert_eq!(kept, text.chars().filter(blank).collect::<String>(), "{:?}", framing);
        }
    }

    #[test]
    fn values_end_where_serde_json_says(
        values in prop::collection::vec((json_value(), any::<bool>(), 0_usize..4), 1..6),
    ) {
        let mut text = String::new();
        for (value, pretty, gap) in &values {
            let written = if *pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
            text.push_str(&written.unwrap());
            text.push_str(["", " ", "\n", "\r\n\t"][*gap]);
        }
        let mut stream = serde_json::Deserializer::from_str(&text).into_iter::<Box<serde_json::value::RawValue>>();
        let expected: Vec<_> = stream.by_ref().map(|raw| raw.unwrap().get().to_owned()).collect();
        let (_, found) = framed(&text, FramingChoice::ConcatenatedJson).unwrap();
        prop_assert_eq!(&found, &expected);
        let (framing, found) = framed(&text, FramingChoice::Auto).unwrap();
        // A line of blanks is a record to the newline framing, which knows no JSON.
        let trimmed = found.iter().map(|record| record.trim().to_owned()).filter(|record| !record.is_empty());
        let trimmed: Vec<_> = trimmed.collect();
        prop_assert_eq!(trimmed, expected, "{:?}", framing);
    }
}

/// Lines of 1 MiB, as many as there are; no more than a piece of them is ever in memory.
struct Lines {
    line: Vec<u8>,
    at: usize,
    left: u64,
}

impl std::io::Read for Lines {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let rest = &self.line[self.at..];
        let count = rest.len().min(into.len()).min(usize::try_from(self.left).unwrap());
        into[..count].copy_from_slice(&rest[..count]);
        self.at = (self.at + count) % self.line.len();
        self.left -= count as u64;
        Ok(count)
    }
}

#[test]
fn an_object_of_5_gb_is_counted_in_64_bits() {
    let mut line = vec![b'x'; 1 << 20];
    line[(1 << 20) - 1] = b'\n';
    let mut object = Lines { line, at: 0, left: 5 << 30 };
    let decoded = decode(&mut object, None, &config(FramingChoice::Newline), &mut std::io::sink()).unwrap();
    assert_eq!((decoded.spans.len(), decoded.bytes), (5 << 10, 5 << 30));
    assert_eq!(decoded.spans.iter().last().unwrap().offset, (5 << 30) - (1 << 20));
}
