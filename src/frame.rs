//! A piece of a file that is only ever written at its end: length, CRC32C, a value as JSON.
//!
//! A frame counts only if it is whole, so a write that was torn or lost is seen when the file is read back. What
//! follows behind one that is not whole, whoever reads it decides.

use std::io::{self, Read};

use serde::Serialize;

const HEADER_BYTES: usize = 8;

/// `value` as a frame, unless it takes more than `bytes_max`: then it would not be read back.
pub(crate) fn encode(value: &impl Serialize, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut frame = Vec::new();
    encode_into(&mut frame, value, bytes_max)?;
    Ok(frame)
}

/// The same into a buffer that was used before.
pub(crate) fn encode_into(frame: &mut Vec<u8>, value: &impl Serialize, bytes_max: usize) -> io::Result<()> {
    frame.clear();
    frame.resize(HEADER_BYTES, 0);
    serde_json::to_writer(&mut *frame, value)?;
    let payload = frame.get(HEADER_BYTES..).unwrap_or_default();
    let length = payload.len();
    if length > bytes_max {
        return Err(io::Error::other(format!(
            "a frame of {length} B, and none above {bytes_max} B is read back"
        )));
    }
    let crc = crc32c::crc32c(payload).to_le_bytes();
    let length = u32::try_from(length).map_err(io::Error::other)?.to_le_bytes();
    for (place, byte) in frame.iter_mut().zip(length.into_iter().chain(crc)) {
        *place = byte;
    }
    Ok(())
}

/// The payload of the whole frame that `bytes` begin with, and what is behind it.
pub(crate) fn split(bytes: &[u8], bytes_max: usize) -> Option<(&[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let (length, crc) = read_header(*header, bytes_max)?;
    let (payload, behind) = rest.split_at_checked(length)?;
    (crc32c::crc32c(payload) == crc).then_some((payload, behind))
}

/// The payload of the next frame; `None` at the end, and at a frame that is not whole.
pub(crate) fn read(from: &mut impl Read, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; HEADER_BYTES];
    match from.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let Some((length, crc)) = read_header(header, bytes_max) else { return Ok(None) };
    let mut payload = Vec::new();
    from.take(length as u64).read_to_end(&mut payload)?;
    Ok((payload.len() == length && crc32c::crc32c(&payload) == crc).then_some(payload))
}

/// How many bytes a frame takes that holds `payload`.
pub(crate) fn bytes(payload: &[u8]) -> u64 {
    (HEADER_BYTES + payload.len()) as u64
}

fn read_header(header: [u8; HEADER_BYTES], bytes_max: usize) -> Option<(usize, u32)> {
    let (length, crc) = header.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let crc = u32::from_le_bytes(*crc.first_chunk::<4>()?);
    (length > 0 && length <= bytes_max).then_some((length, crc))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 100;

    #[test]
    fn a_frame_is_read_whole_or_not_at_all_by_either_way() {
        let frame = encode(&"respool", MAX).unwrap();
        for length in 0..=frame.len() {
            let found =
                split(&frame[..length], MAX).map(|(payload, behind)| (payload.to_vec(), behind.len()));
            let whole = (length == frame.len()).then(|| b"\"respool\"".to_vec());
            assert_eq!(found, whole.clone().map(|payload| (payload, 0)), "cut at {length}");
            assert_eq!(read(&mut &frame[..length], MAX).unwrap(), whole, "cut at {length}");
        }
        for at in 0..frame.len() {
            let mut broken = frame.clone();
            broken[at] ^= 1;
            assert!(split(&broken, MAX).is_none() && read(&mut &*broken, MAX).unwrap().is_none(), "{at}");
        }
        assert_eq!(bytes(b"\"respool\""), frame.len() as u64);
    }

    #[test]
    fn what_is_larger_than_is_read_back_is_not_written() {
        assert!(encode(&"x".repeat(MAX - 2), MAX).is_ok());
        assert!(encode(&"x".repeat(MAX - 1), MAX).is_err());
    }
}
