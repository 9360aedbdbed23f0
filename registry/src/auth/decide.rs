//! [`decide`]: may this caller do this? One pure function, asked for every action and again in the entry of every change;
//! and the table of what each action needs, so that an endpoint without a permission does not compile.

use std::collections::BTreeSet;

use super::caller::Denial;
use super::pattern::Names;
use super::policy::{Grant, Policy, Rule, Verb, Verbs, WriteOnce};
use crate::oci::action::Action;
use crate::oci::name::RepositoryName;

/// Who asks, with all that is known of him at the moment of the decision.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The text of his subject; none: nobody is known.
    pub subject: Option<&'a str>,
    /// What `{user}` stands for.
    pub name: Option<&'a str>,
    pub groups: &'a BTreeSet<String>,
    /// What his account itself grants him.
    pub grants: &'a [Grant],
    /// He may do everything, whatever rules say: else a rule could lock all administrators out.
    pub is_administrator: bool,
    /// What everyone may do by configuration.
    pub everyone: Verbs,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason<'r> {
    /// He is an administrator.
    Administrator,
    /// A rule, counted from 1, of a policy.
    Rule { policy: &'r str, number: usize },
    /// What his account itself grants, under this pattern.
    Grant,
    /// `access.anonymous` of the configuration.
    Everyone,
    /// Nothing allows it.
    Nothing,
}

/// A decision, and what made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'r> {
    pub is_allowed: bool,
    pub reason: Reason<'r>,
}

/// All that is in force.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Each rule with its policy's name and its number in it.
    pub rules: Vec<(String, usize, Rule)>,
    pub write_once: Vec<WriteOnce>,
}

impl Rules {
    pub fn of(policies: impl IntoIterator<Item = (String, Policy)>) -> Self {
        let mut all = Self::default();
        for (name, policy) in policies {
            all.rules.extend(policy.rules.into_iter().zip(1..).map(|(rule, number)| (name.clone(), number, rule)));
            all.write_once.extend(policy.write_once);
        }
        all
    }

    /// What tags of a repository are called that stay as they are.
    pub fn kept(&self, repository: &str) -> Vec<&str> {
        let here = self.write_once.iter().filter(|kept| kept.is_of(repository));
        here.flat_map(|kept| &kept.tags).map(String::as_str).collect()
    }

    /// Whether a tag that is there stays as it is.
    pub fn keep(&self, repository: &str, tag: &str) -> bool {
        self.write_once.iter().any(|kept| kept.keeps(repository, tag))
    }
}

/// Decides whether `asker` may do `verb` to `repository`: a rule that denies wins, and what nothing allows is denied.
pub fn decide<'r>(rules: &'r Rules, asker: &Asker<'_>, verb: Verb, repository: &str) -> Decision<'r> {
    let names = Names { user: asker.name, groups: asker.groups };
    if asker.is_administrator {
        return Decision { is_allowed: true, reason: Reason::Administrator };
    }
    let mut allowed = None;
    for (policy, number, rule) in &rules.rules {
        let (denies, allows) = (rule.deny.has(verb), rule.allows().has(verb));
        if !denies && (!allows || allowed.is_some()) {
            continue;
        }
        let is_meant = rule.subjects.iter().any(|subjects| subjects.mean(asker.subject, asker.groups))
            && rule.repositories.iter().any(|pattern| pattern.matches(repository, names));
        if !is_meant {
            continue;
        }
        let reason = Reason::Rule { policy, number: *number };
        if denies {
            return Decision { is_allowed: false, reason };
        }
        allowed = Some(reason);
    }
    let granted = |grant: &Grant| grant.verbs.has(verb) && grant.repositories.matches(repository, names);
    let reason = allowed
        .or_else(|| asker.grants.iter().any(granted).then_some(Reason::Grant))
        .or_else(|| asker.everyone.has(verb).then_some(Reason::Everyone));
    Decision { is_allowed: reason.is_some(), reason: reason.unwrap_or(Reason::Nothing) }
}

/// What is told to somebody who may not do `verb`. It does not depend on what is stored, so it tells nothing of that; who may
/// not read is told that there is nothing.
pub const fn denial(asker: &Asker<'_>, verb: Verb) -> Denial {
    match (asker.subject, verb) {
        (None, _) => Denial::Unauthenticated,
        (Some(_), Verb::Pull) => Denial::Absent,
        (Some(_), _) => Denial::Denied,
    }
}

/// What an action needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need<'a> {
    /// Nothing: it helps to find out how to log in.
    Nothing,
    /// To be somebody, unless everyone may do everything.
    Identity,
    /// A list is cut down to what the caller may read.
    Filter,
    On(Verb, &'a RepositoryName),
}

/// The table of what each action needs.
///
/// What belongs to an upload needs the right to push, also to look at it. A push that moves a tag needs
/// [`Verb::Overwrite`] besides, and a mount the right to read its source: both are decided where it is known, in the entry.
pub const fn needed(action: &Action) -> Need<'_> {
    match action {
        // What an operation of administrators needs, its own table says.
        Action::IssueToken { .. } | Action::Administer(_) => Need::Nothing,
        Action::CheckVersion => Need::Identity,
        Action::ListRepositories { .. } => Need::Filter,
        Action::GetBlob { repository, .. }
        | Action::GetManifest { repository, .. }
        | Action::ListTags { repository, .. }
        | Action::TagHistory { repository, .. }
        | Action::ListReferrers { repository, .. } => Need::On(Verb::Pull, repository),
        Action::StartUpload { repository, .. }
        | Action::UploadStatus { repository, .. }
        | Action::AppendUpload { repository, .. }
        | Action::FinishUpload { repository, .. }
        | Action::CancelUpload { repository, .. }
        | Action::PutManifest { repository, .. } => Need::On(Verb::Push, repository),
        Action::DeleteBlob { repository, .. }
        | Action::DeleteManifest { repository, .. }
        | Action::DeleteTag { repository, .. } => Need::On(Verb::Delete, repository),
    }
}

#[cfg(test)]
mod tests;
