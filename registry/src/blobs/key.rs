//! Object keys: `blobs/<cluster id>/<epoch>/<yyyymmdd>/<ulid>`, and the days in them. The only code that builds or reads
//! a key. Pure.
//!
//! The day is the one of the index's time at which the object was begun: a day's objects can be listed, and a closed day
//! takes no more.

use super::ObjectKey;
use crate::index::command::Time;

/// Milliseconds of a day.
pub const DAY: u64 = 24 * 3_600_000;

impl ObjectKey {
    /// The key of an object begun at `time`. `random` makes it unique.
    pub fn new(cluster: &str, epoch: u64, time: Time, random: u128) -> Self {
        let ulid = ulid::Ulid::from_parts(time.0, random);
        Self(format!("{}{ulid}", day_prefix(cluster, epoch, day(time))))
    }

    /// The day in the key, `yyyymmdd`; none for keys of another form.
    pub fn day(&self) -> Option<u32> {
        let mut parts = self.0.rsplit('/').skip(1);
        let text = parts.next()?;
        if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
    }
}

/// What the keys of an epoch begin with.
pub fn epoch_prefix(cluster: &str, epoch: u64) -> String {
    format!("blobs/{cluster}/{epoch}/")
}

/// What the keys of a day begin with.
pub fn day_prefix(cluster: &str, epoch: u64, day: u32) -> String {
    format!("{}{day:08}/", epoch_prefix(cluster, epoch))
}

/// The day of a time (UTC), `yyyymmdd`.
pub fn day(time: Time) -> u32 {
    let (year, month, day) = civil((time.0 / DAY) as i64);
    (year * 10_000 + month * 100 + day) as u32
}

/// The first instant of a day; none when there is no such day.
pub fn start_of(yyyymmdd: u32) -> Option<Time> {
    let days =
        days_since_epoch(i64::from(yyyymmdd / 10_000), i64::from(yyyymmdd / 100 % 100), i64::from(yyyymmdd % 100));
    let time = Time(u64::try_from(days).ok()?.checked_mul(DAY)?);
    (day(time) == yyyymmdd).then_some(time)
}

/// Year, month and day of a day counted from 1970-01-01, by the proleptic Gregorian calendar. Years begin in March here,
/// so that the leap day is the last of its year, and months of 153 days per five follow from a straight line.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * march_month + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_that_of_utc() {
        for (time, expected) in [
            (0, 19_700_101),
            (DAY - 1, 19_700_101),
            (951_782_400_000, 20_000_229),
            (1_709_164_800_000, 20_240_229),
            (1_709_251_200_000, 20_240_301),
            (4_107_542_400_000, 21_000_301),
        ] {
            assert_eq!(day(Time(time)), expected);
        }
    }

    #[test]
    fn every_day_for_five_centuries_begins_where_the_last_ended() {
        let mut last = 0;
        for number in 0..182_621 {
            let time = Time(number * DAY);
            let today = day(time);
            assert!(today > last);
            assert_eq!(start_of(today), Some(time));
            last = today;
        }
    }

    #[test]
    fn a_key_tells_its_day_and_other_names_have_none() {
        let key = ObjectKey::new("c", 3, Time(1_709_164_800_000), 7);
        assert_eq!(key.day(), Some(20_240_229));
        assert!(key.0.starts_with("blobs/c/3/20240229/"));
        for other in ["OWNER", "blobs/c/3/2024022/x", "blobs/c/3/2024-2-2/x", ""] {
            assert_eq!(ObjectKey(other.into()).day(), None, "{other}");
        }
        assert_eq!(start_of(20_230_229), None);
    }
}
