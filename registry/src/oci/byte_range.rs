//! The `Range` header of a download (RFC 9110 §14). Pure; called by the blob handlers.

use std::ops::Range;

/// What of the content a request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// Everything: the range is to be ignored (another unit, several parts, ill-formed).
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// A range of which the content has no byte, or that ends before it begins.
    Unsatisfiable,
}

/// Reads the value of a `Range` header for content of `size` bytes.
pub fn parse(header: &str, size: u64) -> ByteRange {
    let Some(spec) = header.trim().strip_prefix("bytes=") else { return ByteRange::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return ByteRange::Whole };
    if !first.bytes().chain(last.bytes()).all(|b| b.is_ascii_digit()) {
        return ByteRange::Whole;
    }
    let (first, last) = (number(first), number(last));
    match (first, last) {
        (None, None) => ByteRange::Whole,
        (None, Some(0)) => ByteRange::Unsatisfiable,
        (None, Some(_)) if size == 0 => ByteRange::Unsatisfiable,
        (None, Some(suffix)) => ByteRange::Part(size.saturating_sub(suffix)..size),
        (Some(first), last) if first >= size || last.is_some_and(|last| last < first) => ByteRange::Unsatisfiable,
        (Some(first), Some(last)) => ByteRange::Part(first..size.min(last.saturating_add(1))),
        (Some(first), None) => ByteRange::Part(first..size),
    }
}

/// Digits, or nothing at all; what is too large to count is as good as the largest number.
fn number(text: &str) -> Option<u64> {
    (!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_selects_what_the_content_has_of_it() {
        let table = [
            ("bytes=0-9", ByteRange::Part(0..10)),
            ("bytes=5-5", ByteRange::Part(5..6)),
            ("bytes=90-", ByteRange::Part(90..100)),
            ("bytes=90-1000", ByteRange::Part(90..100)),
            ("bytes=90-99999999999999999999", ByteRange::Part(90..100)),
            ("bytes=-10", ByteRange::Part(90..100)),
            ("bytes=-1000", ByteRange::Part(0..100)),
            ("bytes=-0", ByteRange::Unsatisfiable),
            ("bytes=100-", ByteRange::Unsatisfiable),
            ("bytes=99999999999999999999-", ByteRange::Unsatisfiable),
            ("bytes=9-5", ByteRange::Unsatisfiable),
            ("bytes=0-1,5-6", ByteRange::Whole),
            ("bytes=", ByteRange::Whole),
            ("bytes=-", ByteRange::Whole),
            ("bytes=a-b", ByteRange::Whole),
            ("bytes=+1-2", ByteRange::Whole),
            ("lines=0-9", ByteRange::Whole),
            ("", ByteRange::Whole),
        ];
        for (header, expected) in table {
            assert_eq!(parse(header, 100), expected, "{header}");
        }
    }

    #[test]
    fn nothing_of_empty_content_can_be_had() {
        for header in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(parse(header, 0), ByteRange::Unsatisfiable, "{header}");
        }
    }
}
