//! `Content-Range` of a chunk (distribution specification, "Pushing a blob in chunks"). Pure.
//!
//! Not that of RFC 9110: no unit, no total, only `<first byte>-<last byte>`.

use std::str::FromStr;

/// The bytes that a request says it brings: `start` up to and without `end`, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    pub start: u64,
    pub end: u64,
}

/// The text is not a range of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Content-Range is <first byte>-<last byte> of what this request brings")]
pub struct ContentRangeError;

/// No blob is as large, so that no sum of two offsets overflows.
const MAX: u64 = 1 << 62;

impl ContentRange {
    /// How many bytes.
    pub const fn length(self) -> u64 {
        self.end - self.start
    }
}

impl FromStr for ContentRange {
    type Err = ContentRangeError;

    fn from_str(text: &str) -> Result<Self, ContentRangeError> {
        let (start, last) = text.split_once('-').ok_or(ContentRangeError)?;
        let (start, last) = (number(start)?, number(last)?);
        if start > last || last >= MAX {
            return Err(ContentRangeError);
        }
        Ok(Self { start, end: last + 1 })
    }
}

fn number(text: &str) -> Result<u64, ContentRangeError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ContentRangeError);
    }
    text.parse().map_err(|_| ContentRangeError)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_content_range_is_two_plain_numbers_in_order() {
        assert_eq!("0-9".parse(), Ok(ContentRange { start: 0, end: 10 }));
        assert_eq!("7-7".parse(), Ok(ContentRange { start: 7, end: 8 }));
        for text in [
            "",
            "-",
            "0-",
            "-5",
            "a-b",
            "9-8",
            "0-9223372036854775808",
            "0-18446744073709551615",
            "0-18446744073709551616",
            "bytes 0-1/2",
            " 0-1",
            "+0-1",
            "0-1-2",
            "0x0-1",
            "0-1/2",
        ] {
            assert_eq!(text.parse::<ContentRange>(), Err(ContentRangeError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_parsed_has_at_least_a_byte(text in "[0-9]{0,20}-[0-9]{0,20}|.{0,20}") {
            if let Ok(range) = text.parse::<ContentRange>() {
                prop_assert!(range.length() >= 1 && range.end <= MAX);
            }
        }
    }
}
