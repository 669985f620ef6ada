//! What holds for any object: see [`crate::fuzz`].

#![expect(clippy::expect_used, reason = "what fails here is a finding")]

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use super::input::Input;
use super::output::Output;
use super::{
    Compression, DecodeConfig, DecodeDefect, DecodeError, Framing, FramingChoice, Spans, aggregate, decode,
};

/// Outputs are bounded, so that a bomb costs nothing.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

fn choices() -> Vec<FramingChoice> {
    let words = FramingChoice::WORDS.into_iter().filter_map(|word| word.parse().ok());
    let delimiters = ["\\n", "}{", "aa", "\\n\\n"].into_iter().filter_map(|text| text.parse().ok());
    words.chain(delimiters.map(FramingChoice::Delimiter)).chain([FramingChoice::ErrorOutput]).collect()
}

/// The records, what they lie in and how they were cut; or the defect and its place.
type Cut = Result<(Spans, Framing, Vec<u8>), (DecodeDefect, u64)>;

fn in_pieces(data: &[u8], size: usize, choice: FramingChoice) -> Cut {
    let config = DecodeConfig { framing: choice, ..DecodeConfig::default() };
    let mut out = Vec::new();
    let mut output = Output::new(&mut out, &config);
    let pushed = data.chunks(size).try_for_each(|piece| output.push(piece, data.len() as u64));
    let finished = pushed.and_then(|()| output.finish());
    match finished {
        Ok((spans, framing, bytes)) => {
            assert_eq!(bytes, out.len() as u64);
            assert!(spans.end() <= bytes, "{choice}");
            Ok((spans, framing, out))
        }
        Err(DecodeError::Defect { reason, offset, .. }) => Err((reason, offset)),
        Err(other) => panic!("{other}"),
    }
}

/// Cut anywhere, an object is framed as it is in one piece; and records never overlap or lie outside.
pub fn framing(data: &[u8]) {
    let Some(([choice, size], object)) = data.split_first_chunk::<2>() else { return };
    let choices = choices();
    let Some(choice) = choices.get(usize::from(*choice) % choices.len()).copied() else { return };
    let whole = in_pieces(object, object.len().max(1), choice);
    assert_eq!(whole, in_pieces(object, usize::from(*size % 17) + 1, choice), "{choice}");
    if let Ok((spans, _, out)) = whole {
        match choice {
            FramingChoice::ErrorOutput => unwrapped(object, &spans, &out),
            _ => assert_eq!(out, object),
        }
    }
}

/// The records are what another decoder makes of each line, if it reads all of them: of fields that are not needed ours
/// looks at less.
fn unwrapped(object: &[u8], spans: &Spans, out: &[u8]) {
    let lines = object.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let parsed: Result<Vec<serde_json::Value>, _> = lines.map(serde_json::from_slice).collect();
    let Ok(parsed) = parsed else { return };
    let raw = |line: &serde_json::Value| {
        base64_of(line.get("rawData").and_then(serde_json::Value::as_str).expect("ours has found it"))
    };
    let expected: Vec<Vec<u8>> = parsed.iter().map(raw).collect();
    let cut = |span: super::Span| {
        let start = usize::try_from(span.offset).expect("inside of memory");
        out.get(start..start + span.len as usize).expect("inside of the output").to_vec()
    };
    assert_eq!(spans.iter().map(cut).collect::<Vec<_>>(), expected);
}

/// What base64 that is known to be whole stands for, six bits a letter.
fn base64_of(text: &str) -> Vec<u8> {
    let letters = text.bytes().filter(|byte| *byte != b'=').map(|byte| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    });
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for letter in letters {
        (held, bits) = (held << 6 | u32::from(letter), bits + 6);
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    bytes
}

fn config() -> DecodeConfig {
    DecodeConfig {
        framing: FramingChoice::Whole,
        output_bytes_max: OUTPUT_BYTES_MAX,
        ..DecodeConfig::default()
    }
}

fn decoded(object: &[u8]) -> Result<(Compression, Vec<u8>), DecodeError> {
    let mut out = Vec::new();
    decode(&mut &*object, None, &config(), &mut out).map(|decoded| (decoded.compression, out))
}

/// What gzip members decode to, or what is wrong with them: at once where that is possible, and piece by piece.
pub(super) fn gzip_in_both_ways(object: &[u8], config: &DecodeConfig) {
    let run = |at_once: bool| {
        let (mut reader, mut out) = (object, Vec::new());
        let (mut input, mut output) = (Input::new(&mut reader), Output::new(&mut out, config));
        let decoded = if at_once {
            super::gzip::decode(&mut input, &mut output)
        } else {
            super::gzip::decode_members(&mut input, &mut output, None)
        };
        let finished = decoded.and_then(|()| output.finish());
        let found = finished.map(|(spans, framing, bytes)| (spans, framing, bytes, out));
        // Of a damage they may see different signs first: data that makes no sense, its end, its checksum.
        found.map_err(|error| match error {
            DecodeError::Defect { reason, .. } if reason.is_damage() => "damage".to_owned(),
            DecodeError::Defect { reason, .. } => reason.to_string(),
            error => error.to_string(),
        })
    };
    assert_eq!(run(true), run(false));
}

/// What is decoded of gzip is what another decoder makes of it; what was packed comes back; and to decode an object at
/// once or piece by piece makes no difference.
pub fn gzip(data: &[u8]) {
    for framing in [FramingChoice::Whole, FramingChoice::Auto, FramingChoice::ConcatenatedJson] {
        gzip_in_both_ways(data, &DecodeConfig { framing, ..config() });
    }
    if let Ok((Compression::Gzip, out)) = decoded(data) {
        let mut other = Vec::new();
        MultiGzDecoder::new(data)
            .take(OUTPUT_BYTES_MAX + 1)
            .read_to_end(&mut other)
            .expect("ours has read it");
        assert_eq!(out, other);
    }
    let Some((size, content)) = data.split_first() else { return };
    let pack = |member: &[u8]| {
        let mut packed = Vec::new();
        flate2::read::GzEncoder::new(member, flate2::Compression::fast())
            .read_to_end(&mut packed)
            .expect("memory takes it");
        packed
    };
    let members: Vec<u8> = content.chunks(usize::from(*size) + 1).flat_map(pack).collect();
    if !members.is_empty() {
        let (_, out) = decoded(&members).expect("it was just packed");
        assert_eq!(out, content);
        // Cut and damaged at a place that the input chooses.
        let at = usize::from(*size) * members.len() / 256;
        let mut damaged = members.clone();
        damaged[at] ^= size | 1;
        for object in [&members[..at], &damaged, &[&members[..], content].concat()] {
            gzip_in_both_ways(object, &config());
        }
    }
}

/// No dialect panics on anything, and what was packed in one comes back.
pub fn snappy(data: &[u8]) {
    let _ = decoded(data);
    for magic in
        [&super::snappy::XERIAL_MAGIC[..], b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01", &super::snappy::FRAME_MAGIC]
    {
        let _ = decoded(&[magic, data].concat());
    }
    let Some((size, content)) = data.split_first().filter(|(_, content)| !content.is_empty()) else { return };
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or_default().to_be_bytes();
    let (mut xerial, mut hadoop) = (b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec(), Vec::new());
    for piece in content.chunks(usize::from(*size) + 1) {
        let packed = snap::raw::Encoder::new().compress_vec(piece).expect("it is small");
        xerial.extend([&length(&packed)[..], &packed].concat());
        hadoop.extend([&length(piece)[..], &length(&packed), &packed].concat());
    }
    assert_eq!(decoded(&xerial).expect("it was just packed").1, content);
    let mut framed = Vec::new();
    snap::read::FrameEncoder::new(content).read_to_end(&mut framed).expect("memory takes it");
    assert_eq!(decoded(&framed).expect("it was just packed").1, content);
    // Without a magic number it has to be told from text: by its label, or because text was asked for and it is none.
    for (label, framing) in [(Some("hadoop-snappy"), FramingChoice::Whole), (None, FramingChoice::Newline)] {
        let config = DecodeConfig { framing, ..config() };
        let mut out = Vec::new();
        match decode(&mut hadoop.as_slice(), label, &config, &mut out) {
            Ok(found) => {
                assert_eq!(found.compression, Compression::SnappyHadoop);
                assert_eq!(out, content);
            }
            // What was packed is compressed itself.
            Err(DecodeError::Defect { reason: DecodeDefect::UnknownFormat, .. }) => {
                assert!(framing == FramingChoice::Newline && super::compression::nested(content).is_some());
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// What is unpacked of an aggregate lies where it says, inside of it.
pub fn kpl(data: &[u8]) {
    let sealed = {
        use md5::Digest as _;
        let sum: [u8; 16] = md5::Md5::digest(data).into();
        [&aggregate::MAGIC[..], data, &sum].concat()
    };
    for whole in [data, &sealed] {
        for inner in aggregate::unpack(whole).unwrap_or_default() {
            let start = usize::try_from(inner.offset).expect("inside of memory");
            assert_eq!(whole.get(start..start + inner.data.len()), Some(inner.data));
        }
    }
    if aggregate::unpack(&sealed).is_some() {
        let twice = [&sealed[..], &sealed].concat();
        let once = in_pieces(&sealed, 7, FramingChoice::Kpl);
        let both = in_pieces(&twice, 5, FramingChoice::Kpl);
        if let (Ok((once, ..)), Ok((both, ..))) = (once, both) {
            assert_eq!(both.len(), 2 * once.len());
        }
    }
}
