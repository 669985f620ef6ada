//! Sequence numbers as Kinesis makes them: decimals of 56 digits, too large for 128 bits.
//!
//! The layout is the one seen in real numbers: 186 bits that begin and end with the digit 2 and hold,
//! from the highest down, the second in which the shard was made, a digit of the shard, a counter, the
//! second of arrival and the shard. A shard is made at least a second after its parents by this count,
//! so a child's numbers exceed its parents' whatever the clock says.

use std::fmt;

use crate::record;

/// The counter of a closed shard's `EndingSequenceNumber`, above all its records.
const INDEX_END: u64 = 0x7fff_ffff_ffff_ffff;
const TAG: u64 = 2;
const DECIMAL_GROUP: u64 = 10_000_000_000_000_000_000;
const DECIMAL_GROUP_DIGITS: usize = 19;

/// A record's number in its shard, ordered as its decimal is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence([u64; 3]);

/// What all numbers of one shard have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceBase {
    /// When the shard was made, in seconds since 1970, and above its parents'.
    pub created_s: u64,
    /// The shard's number in its stream.
    pub shard: u32,
}

impl SequenceBase {
    /// The number of the shard's record `index` (from 0), stored in second `arrival_s`.
    pub fn number(self, index: u64, arrival_s: u64) -> Sequence {
        let created = self.created_s & 0xf_ffff_ffff;
        let arrival = arrival_s & 0xf_ffff_ffff;
        let shard = u64::from(self.shard);
        // 4 tag | 36 created | 4 shard | 64 index | 8 zero | 36 arrival | 32 shard | 4 tag, 188 bits in all.
        let low = (arrival << 36) | (shard << 4) | TAG;
        let middle = (index << 16) | (arrival >> 28);
        let high = (TAG << 56) | (created << 20) | ((shard & 0xf) << 16) | (index >> 48);
        Sequence([high, middle, low])
    }

    /// Below every record of the shard.
    pub fn first(self) -> Sequence {
        self.number(0, self.created_s)
    }

    /// Above every record of the shard, which was closed in second `closed_s`.
    pub fn last(self, closed_s: u64) -> Sequence {
        self.number(INDEX_END, closed_s)
    }
}

impl Sequence {
    /// Reads a decimal. `None` if it is not one, or not one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > 58 {
            return None;
        }
        let mut limbs = [0u64; 3];
        for digit in text.bytes() {
            let mut carry = u128::from(digit.checked_sub(b'0').filter(|&d| d < 10)?);
            for limb in limbs.iter_mut().rev() {
                carry += u128::from(*limb) * 10;
                *limb = low_half(carry);
                carry >>= 64;
            }
            if carry != 0 {
                return None;
            }
        }
        let [high, _, low] = limbs;
        (high >> 56 == TAG && low & 0xf == TAG).then_some(Self(limbs))
    }

    /// The record's number in its shard, from 0.
    pub fn index(self) -> u64 {
        let [high, middle, _] = self.0;
        ((high & 0xffff) << 48) | (middle >> 16)
    }

    /// The second in which the record arrived, since 1970.
    pub fn arrival_s(self) -> u64 {
        let [_, middle, low] = self.0;
        ((middle & 0xff) << 28) | (low >> 36)
    }

    /// The shard that gave the number.
    pub fn base(self) -> SequenceBase {
        let [high, _, low] = self.0;
        let shard = u32::try_from((low >> 4) & 0xffff_ffff).unwrap_or(u32::MAX);
        SequenceBase { created_s: (high >> 20) & 0xf_ffff_ffff, shard }
    }
}

/// The low 64 bits.
fn low_half(wide: u128) -> u64 {
    u64::try_from(wide & u128::from(u64::MAX)).unwrap_or(u64::MAX)
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limbs = self.0;
        let mut groups = [0u64; 3];
        for group in groups.iter_mut().rev() {
            let mut rest = 0u128;
            for limb in &mut limbs {
                let wide = (rest << 64) | u128::from(*limb);
                *limb = low_half(wide / u128::from(DECIMAL_GROUP));
                rest = wide % u128::from(DECIMAL_GROUP);
            }
            *group = low_half(rest);
        }
        let [high, middle, low] = groups;
        let width = DECIMAL_GROUP_DIGITS;
        write!(f, "{high}{middle:0width$}{low:0width$}")
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Sequence> for record::SequenceNumber {
    fn from(sequence: Sequence) -> Self {
        // The decimal of a tagged number has no leading zero, so this always holds.
        Self::new(&sequence.to_string()).unwrap_or_else(|| unreachable!("{sequence} is a decimal"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: SequenceBase = SequenceBase { created_s: 1_795_000_000, shard: 17 };

    #[test]
    fn a_number_has_56_digits_and_is_read_back() {
        for index in [0, 1, 255, 1 << 40, INDEX_END] {
            let number = BASE.number(index, 1_795_000_123);
            let text = number.to_string();
            assert_eq!(text.len(), 56, "{text}");
            assert!(text.parse::<u128>().is_err(), "{text} exceeds 128 bits");
            assert_eq!(Sequence::parse(&text), Some(number));
            assert_eq!((number.index(), number.base()), (index, BASE));
            assert_eq!(number.arrival_s(), 1_795_000_123);
        }
    }

    #[test]
    fn numbers_and_their_decimals_have_one_order() {
        let numbers: Vec<Sequence> = [
            BASE.first(),
            BASE.number(1, 1_795_000_000),
            BASE.number(2, 1_794_000_000),
            BASE.number(1 << 50, 1_795_000_000),
            BASE.last(1_795_000_000),
            SequenceBase { created_s: BASE.created_s + 1, shard: 3 }.first(),
        ]
        .to_vec();
        assert!(numbers.is_sorted());
        assert!(numbers.iter().map(|&n| record::SequenceNumber::from(n)).is_sorted());
    }

    #[test]
    fn what_kinesis_would_not_have_made_is_refused() {
        for bad in ["", "0", "-1", "12x", &"9".repeat(56), &"9".repeat(58), &"1".repeat(400)] {
            assert_eq!(Sequence::parse(bad), None, "{bad}");
        }
        let real = "49590338271490256608559692538361571095921575989136588898";
        assert_eq!(Sequence::parse(real).map(|n| n.to_string()).as_deref(), Some(real));
    }
}
