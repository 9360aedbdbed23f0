//! The token of a robot that is in its pull secret: when another one is due. Pure.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use roadstead::metrics::sum_of;

use crate::crd::robot::RobotToken;

/// On a RegistryRobot: asks for another token, once for each value. The same word as for a Registry's authorities.
pub const ROTATE: &str = "roadstead.dev/rotate";

/// What is known of a robot's token.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What was noted of it.
    pub noted: Option<&'a RobotToken>,
    /// The ids of those that the registry knows.
    pub good: &'a [String],
    /// Those that stand in pull secrets of the robot.
    pub found: &'a [String],
    /// How long one is used.
    pub rotate: Duration,
    /// The annotation [`ROTATE`].
    pub asked: Option<&'a str>,
    pub now: Timestamp,
}

/// What is to be done about a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It goes on being used, until then.
    Keep { token: String, until: Timestamp },
    /// Another one, and why.
    Issue(&'static str),
}

impl Facts<'_> {
    pub fn next(&self) -> Next {
        let Some(noted) = self.noted else { return Next::Issue("there is none") };
        if !self.good.contains(&noted.id) {
            return Next::Issue("the one before is no longer known to the registry");
        }
        if self.asked.is_some() && self.asked != noted.asked.as_deref() {
            return Next::Issue("somebody asked for it");
        }
        let until = until(noted.issued.0, self.rotate);
        if until <= self.now {
            return Next::Issue("the one before was used for its time");
        }
        match self.found.iter().find(|token| sum(token) == noted.sum) {
            Some(token) => Next::Keep { token: token.clone(), until },
            None => Next::Issue("the one before is in no pull secret any more"),
        }
    }
}

/// Until when a token is used.
pub fn until(issued: Timestamp, rotate: Duration) -> Timestamp {
    issued.checked_add(rotate).unwrap_or(Timestamp::MAX)
}

/// By which a token is known again. It is random, so nobody learns it from this.
pub fn sum(token: &str) -> String {
    sum_of(token.as_bytes()).chars().take(32).collect()
}

/// A time such as `24h` or `1h30m`, as the schema lets it be.
pub fn duration(text: &str) -> Option<Duration> {
    let (mut seconds, mut number) = (0_u64, None::<u64>);
    for char in text.chars() {
        if let Some(digit) = char.to_digit(10) {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit.into())?);
            continue;
        }
        let unit = match char {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    (number.is_none() && seconds > 0).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    #[test]
    fn another_token_is_due_when_its_time_is_over_or_it_is_good_for_nothing() {
        let issued: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let noted = RobotToken {
            id: "1".into(),
            issued: Time(issued),
            sum: sum("rst_1"),
            previous: None,
            asked: Some("before".into()),
        };
        let (one, none): (&[&str], &[&str]) = (&["1"], &[]);
        for (what, noted, good, found, asked, hours, why) in [
            ("it is in use", Some(&noted), one, &["rst_1"][..], None, 23, None),
            ("one copy of several is right", Some(&noted), one, &["rst_0", "rst_1"], None, 23, None),
            ("it was asked for once", Some(&noted), one, &["rst_1"], Some("before"), 23, None),
            ("the first", None, none, &[], None, 0, Some("there is none")),
            ("its time is over", Some(&noted), one, &["rst_1"], None, 24, Some("used for its time")),
            ("somebody asks", Some(&noted), one, &["rst_1"], Some("now"), 1, Some("somebody asked")),
            ("somebody deleted it", Some(&noted), none, &["rst_1"], None, 1, Some("no longer known")),
            ("no Secret has it", Some(&noted), one, &[], None, 1, Some("in no pull secret")),
            ("somebody put another in", Some(&noted), one, &["rst_0"], None, 1, Some("in no pull secret")),
        ] {
            let own = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
            let (good, found) = (own(good), own(found));
            let now = issued + Duration::from_hours(hours);
            let rotate = Duration::from_hours(24);
            match (Facts { noted, good: &good, found: &found, rotate, asked, now }.next(), why) {
                (Next::Keep { token, until }, None) => {
                    assert_eq!((token.as_str(), until), ("rst_1", issued + rotate), "{what}");
                }
                (Next::Issue(said), Some(why)) => assert!(said.contains(why), "{what}: {said}"),
                (next, _) => panic!("{what}: {next:?}"),
            }
        }
    }

    #[test]
    fn times_are_read_as_kubernetes_writes_them() {
        for (text, seconds) in [
            ("24h", Some(86400)),
            ("10m", Some(600)),
            ("1h30m", Some(5400)),
            ("90s", Some(90)),
            ("0s", None),
            ("", None),
            ("h", None),
            ("10", None),
            ("1d", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(duration(text), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
