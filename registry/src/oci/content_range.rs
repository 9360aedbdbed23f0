//! `Content-Range` of an upload's chunk: `<first>-<last>`, both inclusive, nothing around them (distribution
//! specification, "Pushing a blob in chunks").

use std::ops::Range;

/// Offsets are kept far from where they could overflow.
const LIMIT: u64 = 1 << 62;

/// The bytes that a chunk says it brings; none when the text is not a content range.
pub fn parse(text: &str) -> Option<Range<u64>> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    (first <= last && last < LIMIT).then(|| first..last + 1)
}

/// Digits alone: `u64::from_str` would take a sign.
fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_two_plain_numbers_in_order() {
        assert_eq!(parse("0-9"), Some(0..10));
        assert_eq!(parse("7-7"), Some(7..8));
        for text in [
            "",
            "-",
            "0-",
            "-5",
            "a-b",
            "9-8",
            "0-9223372036854775808",
            "0-18446744073709551616",
            "bytes 0-1/2",
            " 0-1",
            "+0-1",
            "0-1-2",
            "0x0-1",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
