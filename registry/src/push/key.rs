//! The key of a new object: `blobs/<cluster id>/<epoch>/<yyyymmdd>/<ulid>`. Pure.
//!
//! The day is that of the index's time, since the index closes days by it; the ULID makes the key one that was never
//! used and never will be.

use ulid::Ulid;

use crate::blobs::ObjectKey;
use crate::index::command::Time;
use crate::index::query::Cluster;

const DAY: u64 = 86_400_000;

/// A key for an object that begins to be written at `time`.
pub fn new_key(cluster: &Cluster, time: Time, random: u128) -> ObjectKey {
    let ulid = Ulid::from_parts(time.0, random);
    ObjectKey(format!("blobs/{}/{}/{:08}/{ulid}", cluster.id, cluster.epoch, day(time)))
}

/// The day of `time` as `yyyymmdd`, UTC.
pub fn day(time: Time) -> u32 {
    // Days to a date of the proleptic Gregorian calendar, counted in eras of 400 years that begin on 1 March.
    let days = time.0 / DAY + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year * 10_000 + month * 100 + day) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_that_of_the_calendar() {
        let table = [
            (0, 19_700_101),
            (DAY - 1, 19_700_101),
            (951_782_400_000, 20_000_229),
            (951_868_800_000, 20_000_301),
            (1_709_164_800_000, 20_240_229),
            (1_735_689_599_999, 20_241_231),
            (1_795_435_200_000, 20_261_123),
            (4_107_542_400_000, 21_000_301),
        ];
        for (time, expected) in table {
            assert_eq!(day(Time(time)), expected, "{time}");
        }
    }

    #[test]
    fn a_key_names_cluster_epoch_and_day() {
        let cluster = Cluster { id: "c1".into(), epoch: 2, upload_key: bytes::Bytes::new() };
        let key = new_key(&cluster, Time(951_782_400_000), 5).0;
        assert!(key.starts_with("blobs/c1/2/20000229/"), "{key}");
        assert_ne!(key, new_key(&cluster, Time(951_782_400_000), 6).0);
    }
}
