//! [`Caller`]: who asks, as the process that took the request has established it. It goes with every question and every
//! change to the index, which judges there what he may do. Pure; a wire format and, in entries, a disk format.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::policy::{Grant, Verb};
use crate::config::Anonymous;
use crate::index::command::Time;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// `user:<name>`, `robot:<name>`, or another kind; none: nobody is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What `{user}` stands for in patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Groups that somebody else than the index vouches for. Those of an account are looked up each time.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// What made him known, if he has an account: it must still hold when something is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// Who vouches for him, if somebody else than the index does: that must still be trusted in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched: Option<Vouched>,
    /// What somebody else than the index grants him, besides what policies and his account do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// All that he may do with what he came with, whatever he may do otherwise; none: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What the configuration of the process that was asked grants to everyone.
    pub everyone: Anonymous,
    /// Where the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// The index time when he asked, as his process knows it: what ends by then has ended, though no entry says how late it is.
    #[serde(default)]
    pub at: Time,
}

/// An issuer, as it was when its token was judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vouched {
    pub issuer: String,
    /// The position of the entry that said so.
    pub version: u64,
}

/// What made the holder of an account known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Proof {
    pub account: String,
    pub by: By,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum By {
    /// The password with this version: see [`super::secret::PasswordHash::version`].
    Password(u64),
    /// The token of this id.
    Token(String),
    /// Somebody else vouched for him: his account must be there and enabled.
    Word,
}

/// What a token is limited to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The list of repositories may be read.
    #[serde(default)]
    pub catalog: bool,
    #[serde(default)]
    pub grants: Vec<Grant>,
}

impl Limits {
    pub fn allow(&self, verb: Verb, repository: &str) -> bool {
        let nobody = super::pattern::Names { user: None, groups: &BTreeSet::new() };
        self.grants.iter().any(|grant| grant.verbs.has(verb) && grant.repositories.matches(repository, nobody))
    }
}

impl Caller {
    /// Somebody of whom nothing is known.
    pub const fn anonymous(everyone: Anonymous, from: Option<IpAddr>, at: Time) -> Self {
        Self {
            subject: None,
            name: None,
            groups: BTreeSet::new(),
            proof: None,
            vouched: None,
            grants: Vec::new(),
            limits: None,
            everyone,
            from,
            at,
        }
    }
}

/// Why something may not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Denial {
    /// He must say who he is, or what he said no longer holds.
    Unauthenticated,
    /// He may, but not with the token that he came with.
    InsufficientScope,
    /// He may know that it is there, but not do this.
    Denied,
    /// He may not know whether it is there: the answer is that it is not.
    Absent,
    /// The tag is written once.
    WriteOnce,
}
