//! When backups are due, and which are kept. Pure.

use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Utc};
use croner::Cron;

use crate::crd::backup::Retention;

/// How the name of a backup tells its time.
const FORM: &str = "%Y%m%d%H%M";

/// Kept of a schedule that says nothing about it.
const KEPT: usize = 7;

/// Reads a schedule; an error says what is wrong with it. One that is never due is none: to look for its next time, thousands
/// of years would be gone through hour by hour.
pub fn read(schedule: &str) -> Result<Cron, String> {
    let wrong = |why: &str| format!("spec.schedule: {schedule:?} is no schedule: {why}");
    let cron = Cron::from_str(schedule).map_err(|error| wrong(&error.to_string()))?;
    if is_ever_due(&cron) { Ok(cron) } else { Err(wrong("it is never due")) }
}

/// In 28 years each day of the month is each day of the week, leap days too.
fn is_ever_due(cron: &Cron) -> bool {
    let pattern = &cron.pattern;
    let is_day = |day: NaiveDate| {
        pattern.month_match(day.month()).unwrap_or(false)
            && pattern.day_match(day.year(), day.month(), day.day()).unwrap_or(false)
    };
    let first = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default();
    (0..60).any(|minute| pattern.minute_match(minute).unwrap_or(false))
        && (0..24).any(|hour| pattern.hour_match(hour).unwrap_or(false))
        && first.iter_days().take(28 * 366).any(is_day)
}

/// The first time behind `after` (seconds since 1970); none: never.
pub fn next(cron: &Cron, after: i64) -> Option<i64> {
    let after: DateTime<Utc> = DateTime::from_timestamp(after, 0)?;
    cron.find_next_occurrence(&after, false).ok().map(|time| time.timestamp())
}

/// The last time that is due at `now`, if any came behind `since`: what was missed is made up for once.
pub fn due(cron: &Cron, since: i64, now: i64) -> Option<i64> {
    next(cron, since).filter(|time| *time <= now)?;
    let until: DateTime<Utc> = DateTime::from_timestamp(now, 0)?;
    cron.find_previous_occurrence(&until, true).ok().map(|time| time.timestamp())
}

/// For how many seconds a backup is due, if the last one was for `since`.
pub fn overdue(cron: &Cron, since: i64, now: i64) -> i64 {
    next(cron, since).map_or(0, |due| (now - due).max(0))
}

/// Whether a backup in the bucket, made at `made`, is another's than that of the object of its name, which is there since
/// `created`: it was begun by one that had the name before.
pub fn is_anothers(made: i64, created: i64, has_begun: bool) -> bool {
    !has_begun && made < created
}

/// What a backup of a schedule is called: the same when it is begun twice.
pub fn name(of: &str, time: i64) -> String {
    let moment = DateTime::<Utc>::from_timestamp(time, 0).unwrap_or_default();
    format!("{of}.{}", moment.format(FORM))
}

/// For when a backup in the bucket was due, in seconds since 1970; none: it is not one of this schedule.
pub fn due_time(backup: &str, of: &str) -> Option<i64> {
    let time = backup.strip_prefix(of)?.strip_prefix('.')?;
    let is_time = time.len() == 12 && time.bytes().all(|byte| byte.is_ascii_digit());
    let moment = NaiveDateTime::parse_from_str(time, FORM).ok().filter(|_| is_time)?;
    Some(moment.and_utc().timestamp())
}

/// Which of the backups, the newest first and each with the time that it was made (seconds since 1970), are no longer kept.
pub fn surplus<'a>(kept: &[(&'a str, i64)], retention: &Retention, now: i64) -> Vec<&'a str> {
    let count = match (retention.count, retention.days) {
        (Some(count), _) => count as usize,
        (None, Some(_)) => usize::MAX,
        (None, None) => KEPT,
    };
    let oldest = retention.days.map_or(i64::MIN, |days| now - i64::from(days) * 86_400);
    // The newest stays, unless it is said that none shall.
    let always = usize::from(!retention.is_none());
    let gone = kept.iter().enumerate().skip(always).filter(|(at, (_, made))| *at >= count || *made < oldest);
    gone.map(|(_, (name, _))| *name).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    // 2026-01-01 00:00 UTC, a Thursday.
    const NEW_YEAR: i64 = 1_767_225_600;

    #[test]
    fn what_was_missed_is_made_up_for_once() {
        let hourly = read("30 * * * *").unwrap();
        assert_eq!(due(&hourly, NEW_YEAR, NEW_YEAR + 1799), None);
        assert_eq!(due(&hourly, NEW_YEAR, NEW_YEAR + 1800), Some(NEW_YEAR + 1800));
        assert_eq!(due(&hourly, NEW_YEAR, NEW_YEAR + 3 * 3600), Some(NEW_YEAR + 2 * 3600 + 1800));
        assert_eq!(due(&hourly, NEW_YEAR + 2 * 3600 + 1800, NEW_YEAR + 3 * 3600), None);
        let minutely = read("* * * * *").unwrap();
        assert_eq!(due(&minutely, NEW_YEAR, NEW_YEAR + 300 * 86_400 + 59), Some(NEW_YEAR + 300 * 86_400));
        let yearly = read("0 0 1 1 *").unwrap();
        assert_eq!(due(&yearly, NEW_YEAR - 1, NEW_YEAR + 300 * 86_400), Some(NEW_YEAR));
    }

    #[test]
    fn a_schedule_that_is_none_is_refused() {
        for schedule in ["every day", "61 * * * *", "* * * *", ""] {
            assert!(read(schedule).is_err(), "{schedule}");
        }
    }

    #[test]
    fn a_schedule_that_is_never_due_is_none() {
        for schedule in [", * * * *", "* , * * *", "0 0 , * *", "0 0 30 2 *", "0 0 31 4,6 *", "0 0 * , *"] {
            let said = read(schedule).map(|_| ()).unwrap_err();
            assert!(said.ends_with("it is never due"), "{schedule}: {said}");
        }
        for schedule in
            ["0 0 29 2 *", "0 0 L * *", "0 0 31 12 *", "0 0 * * 5L", "0 0 * * 1#5", "0 0 15W * *", "*/7 1-3,5 * * MON"]
        {
            assert!(read(schedule).is_ok(), "{schedule}");
        }
    }

    #[test]
    fn names_tell_the_time_and_whose_they_are() {
        assert_eq!(name("nightly", NEW_YEAR), "nightly.202601010000");
        assert_eq!(due_time("nightly.202601010000", "nightly"), Some(NEW_YEAR));
        for (backup, of) in [
            ("nightly.202601010000", "night"),
            ("nightly", "nightly"),
            ("nightly.x", "nightly"),
            ("nightly.202613010000", "nightly"),
            ("nightly.2026010100000", "nightly"),
            ("nightly.+20260101000", "nightly"),
        ] {
            assert_eq!(due_time(backup, of), None, "{backup}");
        }
    }

    #[test]
    fn the_newest_is_kept_whatever_is_said() {
        let kept = [("c", NEW_YEAR), ("b", NEW_YEAR - 86_400), ("a", NEW_YEAR - 2 * 86_400)];
        let of = |count, days| surplus(&kept, &Retention { count, days }, NEW_YEAR + 3 * 86_400);
        assert_eq!(of(Some(2), None), ["a"]);
        assert_eq!(of(None, Some(1)), ["b", "a"]);
        assert_eq!(of(Some(3), Some(4)), ["a"]);
        assert_eq!(of(Some(0), None), ["c", "b", "a"], "unless it is said that none shall be kept");
        assert!(of(None, None).is_empty());
    }

    #[test]
    fn a_backup_is_overdue_from_the_first_time_that_passed_without_one() {
        let hourly = read("30 * * * *").unwrap();
        for (what, since, now, seconds) in [
            ("it is not due yet", NEW_YEAR, NEW_YEAR + 1799, 0),
            ("now", NEW_YEAR, NEW_YEAR + 1800, 0),
            ("a minute late", NEW_YEAR, NEW_YEAR + 1860, 60),
            ("several were missed", NEW_YEAR, NEW_YEAR + 1800 + 3 * 3600, 3 * 3600),
            ("it was made a moment after it was due", NEW_YEAR + 1803, NEW_YEAR + 5000, 0),
        ] {
            assert_eq!(overdue(&hourly, since, now), seconds, "{what}");
        }
    }

    #[test]
    fn a_backup_that_was_there_before_its_object_is_anothers() {
        assert!(is_anothers(NEW_YEAR - 1, NEW_YEAR, false));
        assert!(!is_anothers(NEW_YEAR, NEW_YEAR, false), "in the same second");
        assert!(!is_anothers(NEW_YEAR - 1, NEW_YEAR, true), "clocks differ, and this object began it");
    }
}
