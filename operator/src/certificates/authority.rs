//! An authority and its renewal, step by step: first everybody trusts the new one, then everybody shows certificates of
//! it, then nobody trusts the old one. Each step waits until every pod says that it has taken the one before. Pure.

use serde::{Deserialize, Serialize};

/// Days that an authority lives, and that a certificate does. Both are renewed after two thirds.
pub const AUTHORITY_DAYS: i64 = 365;
pub const LEAF_DAYS: i64 = 90;
/// Seconds of a day.
pub const DAY: i64 = 86_400;
/// Clocks may differ by so many seconds.
pub const SKEW: i64 = 3600;

/// A certificate that signs others, with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pair {
    /// Different for each, since it is by the name that the one who signed is found.
    pub name: String,
    pub certificate: String,
    pub key: String,
    /// Seconds since 1970.
    pub from: i64,
    pub until: i64,
}

/// Where a renewal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// One authority, and everything is its.
    Stable,
    /// The next one is to be trusted by all; the current one signs.
    Trusting,
    /// The new one signs; the one before is still trusted.
    Issuing,
}

/// An authority as it is kept in its Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authority {
    pub stage: Stage,
    /// Signs.
    pub current: Pair,
    /// The next one while all learn to trust it, then the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<Pair>,
    /// The word by which a renewal was last asked for: it is done once a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// Until then the next one is only to be trusted: those who cannot be asked need time to learn of it. Seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch_after: Option<i64>,
}

/// What a renewal depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Seconds since 1970.
    pub now: i64,
    /// The annotation by which somebody asks for a renewal.
    pub asked: Option<&'a str>,
    /// Whether all pods trust what [`Authority::trust`] says, and show certificates of the current one; or who does not.
    pub all_trust: Result<(), String>,
    pub all_show: Result<(), String>,
}

/// What is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Nothing,
    /// Make a new pair and begin to have it trusted.
    Begin,
    /// Sign with the new one.
    Switch,
    /// Give the old one up.
    GiveUp,
    /// Not yet, and why.
    Wait(String),
}

impl Authority {
    pub fn new(pair: Pair, asked: Option<String>) -> Self {
        Self { stage: Stage::Stable, current: pair, other: None, asked, switch_after: None }
    }

    /// Whom to trust, as PEM. The order does not change in a renewal but where it must.
    pub fn trust(&self) -> String {
        let mut pairs: Vec<&Pair> = std::iter::once(&self.current).chain(&self.other).collect();
        pairs.sort_by_key(|pair| pair.from);
        pairs.into_iter().map(|pair| pair.certificate.trim_end().to_owned() + "\n").collect()
    }

    pub fn next(&self, facts: &Facts<'_>) -> Next {
        let wait = |what: &str, who: &str| Next::Wait(format!("{what}: {who}"));
        match self.stage {
            Stage::Stable => {
                let is_asked = facts.asked.is_some() && facts.asked != self.asked.as_deref();
                if is_asked || is_due(&self.current, facts.now) { Next::Begin } else { Next::Nothing }
            }
            Stage::Trusting if self.switch_after.is_some_and(|after| facts.now < after) => wait(
                "the new authority is trusted, and signs later",
                "clients that cannot be asked have time to learn of it",
            ),
            Stage::Trusting => match &facts.all_trust {
                Ok(()) => Next::Switch,
                Err(who) => wait("not every pod trusts the new authority yet", who),
            },
            Stage::Issuing => match (&facts.all_show, &facts.all_trust) {
                (Ok(()), Ok(())) => Next::GiveUp,
                (Err(who), _) | (_, Err(who)) => {
                    wait("not every pod shows a certificate of the new authority yet", who)
                }
            },
        }
    }

    /// Has `pair` trusted from now on.
    #[must_use]
    pub fn begin(self, pair: Pair, asked: Option<String>) -> Self {
        let asked = asked.or(self.asked);
        Self { stage: Stage::Trusting, current: self.current, other: Some(pair), asked, switch_after: None }
    }

    /// Gives those who cannot be asked whom they trust this long to learn of the new one.
    #[must_use]
    pub fn waiting_until(self, time: i64) -> Self {
        Self { switch_after: Some(time), ..self }
    }

    /// Lets the new one sign.
    #[must_use]
    pub fn switch(self) -> Self {
        match self.other {
            Some(other) => Self { stage: Stage::Issuing, current: other, other: Some(self.current), ..self },
            None => Self { stage: Stage::Stable, ..self },
        }
    }

    /// Trusts the one that signs alone.
    #[must_use]
    pub fn give_up(self) -> Self {
        Self { stage: Stage::Stable, other: None, ..self }
    }
}

/// Whether two thirds of its life are over.
pub fn is_due(pair: &Pair, now: i64) -> bool {
    is_old(pair.from, pair.until, now)
}

/// The same of anything that holds for a time. What holds only later was made by a clock that was wrong.
pub fn is_old(from: i64, until: i64, now: i64) -> bool {
    now >= from + (until - from) / 3 * 2 || now + SKEW < from
}
