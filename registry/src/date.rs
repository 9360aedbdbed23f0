//! Times as people and other programs write them: RFC 3339, in UTC.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::index::command::Time;

/// `2026-01-31T23:59:59Z`.
pub fn rfc3339(time: Time) -> String {
    let seconds = i64::try_from(time.0 / 1000).unwrap_or(i64::MAX);
    let date = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|date| date.format(&Rfc3339).ok());
    date.unwrap_or_else(|| "never".into())
}

/// Reads such a time; what is before 1970 cannot be meant.
pub fn parse(text: &str) -> Option<Time> {
    let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(date.unix_timestamp_nanos() / 1_000_000).ok().map(Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_written() {
        let time = Time(1_767_225_599_000);
        assert_eq!(rfc3339(time), "2025-12-31T23:59:59Z");
        assert_eq!(parse("2025-12-31T23:59:59Z"), Some(time));
        assert_eq!(parse("2026-01-01T00:59:59+01:00"), Some(time));
        assert_eq!((parse("tomorrow"), parse("1969-01-01T00:00:00Z")), (None, None));
        assert_eq!(rfc3339(Time(u64::MAX)), "never");
    }
}
