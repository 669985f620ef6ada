//! What is taken of an object that is damaged, whoever finds the damage.

use std::io::Write as _;

use flate2::write::GzEncoder;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The whole records of `object` and what is wrong behind them; `Err` if nothing is taken.
fn salvaged(object: &[u8], framing: FramingChoice) -> Result<(Vec<String>, DecodeDefect), DecodeDefect> {
    let plain = DecodeConfig { framing, ..DecodeConfig::default() };
    let Err(DecodeError::Defect { reason: without, .. }) =
        decode(&mut &*object, None, &plain, &mut Vec::new())
    else {
        panic!("it is whole");
    };
    let mut out = Vec::new();
    match decode(&mut &*object, None, &DecodeConfig { salvage: true, ..plain }, &mut out) {
        Ok(decoded) => {
            let record = |span: Span| {
                let start = usize::try_from(span.offset).unwrap();
                String::from_utf8_lossy(&out[start..start + span.len as usize]).into_owned()
            };
            let reason = decoded.salvaged.unwrap().reason;
            assert_eq!(reason, without);
            Ok((decoded.spans.iter().map(record).collect(), reason))
        }
        Err(DecodeError::Defect { reason, .. }) => Err(reason),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_framing_finds_is_salvaged_as_what_a_decompressor_finds() {
    use DecodeDefect::{BadFraming, Truncated};
    let prefixed = b"\0\0\0\x01a\0\0\0\x02bc\0\0\0\x09d".to_vec();
    let arrays = br#"[{"n":1},{"n":2},{"n"#;
    let failed = b"{\"rawData\":\"YQ==\"}\n{\"rawData\":\"YmM=\"}\n{\"rawDa";
    let cases: [(&[u8], FramingChoice, &[&str], DecodeDefect); 8] = [
        (br#"{"n":1}{"n":2}{"n""#, FramingChoice::Auto, &[r#"{"n":1}"#, r#"{"n":2}"#], Truncated),
        (b"{\n\"n\":1}\n{\n\"n\":2", FramingChoice::Auto, &["{\n\"n\":1}"], Truncated),
        (br#"{"n":1}{"n"#, FramingChoice::ConcatenatedJson, &[r#"{"n":1}"#], Truncated),
        (
            br#"{"n":1}{"n":2} x {"n":3}"#,
            FramingChoice::ConcatenatedJson,
            &[r#"{"n":1}"#, r#"{"n":2}"#],
            BadFraming,
        ),
        (arrays, FramingChoice::JsonArray, &[r#"{"n":1}"#, r#"{"n":2}"#], Truncated),
        (br#"[1,2]{"n":3}[4]"#, FramingChoice::JsonArray, &["1", "2"], BadFraming),
        (&prefixed, FramingChoice::LengthPrefixed(LengthPrefix::U32Be), &["a", "bc"], Truncated),
        (failed, FramingChoice::ErrorOutput, &["a", "bc"], Truncated),
    ];
    for (object, framing, records, reason) in cases {
        let expected = Ok((records.iter().map(ToString::to_string).collect(), reason));
        for object in [object.to_vec(), gzip(object)] {
            assert_eq!(
                salvaged(&object, framing),
                expected,
                "{framing} {}",
                String::from_utf8_lossy(&object)
            );
        }
    }
}

#[test]
fn where_the_framing_itself_is_in_doubt_nothing_is_taken() {
    for object in ["{\"a\":1}{\"b\":2}\nnot json\n", "[3] [4] up\n[5] [6] up\n", "{\"a\":1"] {
        let found = salvaged(object.as_bytes(), FramingChoice::Auto);
        assert!(matches!(found, Err(DecodeDefect::BadFraming | DecodeDefect::MixedFraming)), "{found:?}");
    }
}

#[test]
fn what_does_not_fit_does_not_hide_that_a_checksum_fails() {
    let mut object = [gzip(br#"{"n":1}"#), gzip(br#"{"n":2} x {"n":3}"#)].concat();
    let at = object.len() - 6;
    object[at] ^= 1;
    let salvage =
        DecodeConfig { framing: FramingChoice::ConcatenatedJson, salvage: true, ..DecodeConfig::default() };
    let decoded = decode(&mut object.as_slice(), None, &salvage, &mut Vec::new()).unwrap();
    assert_eq!((decoded.spans.len(), decoded.salvaged.unwrap().reason), (1, DecodeDefect::Corrupt));
}
