//! What each byte of a text is to JSON, 64 bytes at a time and one bit a byte.
//!
//! A byte alone decides, so bytes are sorted many at once; what follows from their order (strings, escapes,
//! nesting) is up to the [`Scanner`](super::json::Scanner). There are two ways that give the same: by a table,
//! everywhere, and by vectors where the processor has AVX2, which is asked once.

use super::native;

pub(super) const BLOCK_BYTES: usize = 64;

/// The lowest bit stands for the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Block {
    pub(super) quotes: u64,
    pub(super) backslashes: u64,
    pub(super) line_feeds: u64,
    /// Braces and square brackets.
    pub(super) brackets: u64,
    /// Bytes that JSON does not have outside of strings.
    pub(super) foreign: u64,
}

const QUOTE: u8 = 1;
const BACKSLASH: u8 = 1 << 1;
const LINE_FEED: u8 = 1 << 2;
const BRACKET: u8 = 1 << 3;
const FOREIGN: u8 = 1 << 4;

/// Outside of strings these are none of the above.
const INERT: &[u8] = b" \t\r,:0123456789+-.eEtrufalsn";

const CLASSES: [u8; 256] = {
    let mut classes = [FOREIGN; 256];
    let mut at = 0;
    while at < INERT.len() {
        classes[INERT[at] as usize] = 0;
        at += 1;
    }
    classes[b'"' as usize] = QUOTE;
    classes[b'\\' as usize] = BACKSLASH | FOREIGN;
    classes[b'\n' as usize] = LINE_FEED;
    classes[b'{' as usize] = BRACKET;
    classes[b'}' as usize] = BRACKET;
    classes[b'[' as usize] = BRACKET;
    classes[b']' as usize] = BRACKET;
    classes
};

/// Sorts `text`. What lacks to the last block counts as blank.
pub(super) fn classify(text: &[u8], blocks: &mut Vec<Block>) {
    let (whole, rest) = text.as_chunks::<BLOCK_BYTES>();
    blocks.clear();
    blocks.resize(text.len().div_ceil(BLOCK_BYTES), Block::default());
    let (bulk, last) = blocks.split_at_mut(whole.len());
    sort(whole, bulk);
    if !rest.is_empty() {
        let mut padded = [b' '; BLOCK_BYTES];
        padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        sort(&[padded], last);
    }
}

fn sort(texts: &[[u8; BLOCK_BYTES]], blocks: &mut [Block]) {
    if !native::sort(texts, blocks) {
        portable(texts, blocks);
    }
}

/// By a table, and eight bytes to eight bits by a multiplication.
fn portable(texts: &[[u8; BLOCK_BYTES]], blocks: &mut [Block]) {
    const LOWEST: u64 = 0x0101_0101_0101_0101;
    const GATHER: u64 = 0x0102_0408_1020_4080;
    for (text, block) in texts.iter().zip(blocks) {
        *block = Block::default();
        for (at, eight) in text.as_chunks::<8>().0.iter().enumerate() {
            let classes = u64::from_le_bytes(eight.map(|byte| CLASSES[usize::from(byte)]));
            let of = |class: u8| {
                let bits = classes >> class.trailing_zeros() & LOWEST;
                (bits.wrapping_mul(GATHER) >> 56) << (at * 8)
            };
            block.quotes |= of(QUOTE);
            block.backslashes |= of(BACKSLASH);
            block.line_feeds |= of(LINE_FEED);
            block.brackets |= of(BRACKET);
            block.foreign |= of(FOREIGN);
        }
    }
}

/// By vectors. A byte is known if the row of its upper half is among the rows that have its lower half.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
pub(super) fn avx2(texts: &[[u8; BLOCK_BYTES]], blocks: &mut [Block]) {
    use std::arch::x86_64::{
        __m256i, _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_movemask_epi8, _mm256_or_si256,
        _mm256_set_epi64x, _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
    };
    let vector = |words: [i64; 4]| _mm256_set_epi64x(words[3], words[2], words[1], words[0]);
    let load = |half: &[[u8; 8]]| match half {
        [a, b, c, d] => vector([a, b, c, d].map(|eight| i64::from_le_bytes(*eight))),
        _ => _mm256_setzero_si256(),
    };
    let bits = |vector: __m256i| u64::from(_mm256_movemask_epi8(vector).cast_unsigned());
    let each = |byte: u8| _mm256_set1_epi8(byte.cast_signed());
    let twice = |table: &[u8; 16]| {
        let (halves, _) = table.as_chunks::<8>();
        load(&[halves[0], halves[1], halves[0], halves[1]])
    };
    let (uppers, lowers) = (twice(&UPPERS), twice(&LOWERS));
    for (text, block) in texts.iter().zip(blocks) {
        *block = Block::default();
        for (at, half) in text.as_chunks::<8>().0.chunks_exact(4).enumerate() {
            let bytes = load(half);
            let equal = |byte| bits(_mm256_cmpeq_epi8(bytes, each(byte))) << (at * 32);
            let upper = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), each(0x0f));
            // Where the highest bit is set a shuffle gives zero, and no such byte is known.
            let rows = _mm256_shuffle_epi8(lowers, bytes);
            let known = _mm256_and_si256(_mm256_shuffle_epi8(uppers, upper), rows);
            let unknown = _mm256_cmpeq_epi8(known, _mm256_setzero_si256());
            // `{` and `[` differ in this one bit, and so do `}` and `]`; nothing else becomes one by it.
            let cased = _mm256_or_si256(bytes, each(0x20));
            let opening = _mm256_cmpeq_epi8(cased, each(b'{'));
            let closing = _mm256_cmpeq_epi8(cased, each(b'}'));
            block.quotes |= equal(b'"');
            block.backslashes |= equal(b'\\');
            block.line_feeds |= equal(b'\n');
            block.brackets |= bits(_mm256_or_si256(opening, closing)) << (at * 32);
            block.foreign |= bits(unknown) << (at * 32);
        }
    }
}

/// By the upper half of a byte, its row: a bit for each half that stands before some known byte.
#[cfg(target_arch = "x86_64")]
const UPPERS: [u8; 16] = [1, 0, 2, 4, 8, 16, 32, 64, 0, 0, 0, 0, 0, 0, 0, 0];

/// By the lower half of a byte, the rows in which it makes a known one.
#[cfg(target_arch = "x86_64")]
const LOWERS: [u8; 16] = {
    let mut lowers = [0; 16];
    let mut byte = 0;
    while byte < CLASSES.len() {
        if CLASSES[byte] & FOREIGN == 0 {
            lowers[byte % 16] |= UPPERS[byte / 16];
        }
        byte += 1;
    }
    lowers
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_table(text: &[u8]) -> Vec<Block> {
        let mut padded = text.to_vec();
        padded.resize(text.len().next_multiple_of(BLOCK_BYTES), b' ');
        let (texts, _) = padded.as_chunks::<BLOCK_BYTES>();
        let mut blocks = vec![Block::default(); texts.len()];
        portable(texts, &mut blocks);
        blocks
    }

    #[test]
    fn every_byte_is_what_it_is_at_every_place() {
        for byte in 0..=u8::MAX {
            let class = CLASSES[usize::from(byte)];
            for place in 0..BLOCK_BYTES {
                let mut text = [b' '; BLOCK_BYTES];
                text[place] = byte;
                let bit = |of: u8| u64::from(class & of != 0) << place;
                let expected = Block {
                    quotes: bit(QUOTE),
                    backslashes: bit(BACKSLASH),
                    line_feeds: bit(LINE_FEED),
                    brackets: bit(BRACKET),
                    foreign: bit(FOREIGN),
                };
                let mut found = Vec::new();
                classify(&text, &mut found);
                assert_eq!(found, [expected], "{byte:#x} at {place}");
                assert_eq!(by_table(&text), [expected], "{byte:#x} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn vectors_find_what_the_table_finds(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut found = Vec::new();
            classify(&text, &mut found);
            prop_assert_eq!(found, by_table(&text));
        }

        #[test]
        fn vectors_find_what_the_table_finds_in_json(text in r#"[\[\]{}":,\\ \n0-9a-z/|~é]{0,300}"#) {
            let mut found = Vec::new();
            classify(text.as_bytes(), &mut found);
            prop_assert_eq!(found, by_table(text.as_bytes()));
        }
    }
}
