//! The guard: judges who asks by the accounts and policies of the same view or entry, with [`crate::auth::decide`].

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::manifests::MOST_TAGS;
use super::super::records::{Records, RecordsError};
use super::super::{settings, tags};
use super::{accounts, issuers, policies, tokens};
use crate::auth::caller::{By, Caller, Denial, Limits};
use crate::auth::decide::{Asker, Decision, Rules, decide, denial};
use crate::auth::policy::{Grant, Verb, Verbs, of_everyone};
use crate::index::access::AccessChange;
use crate::index::command::{Command, MountBlob, PutManifest};
use crate::oci::name::RepositoryName;
use crate::oci::reference::Tag;

/// A caller with all that the index knows of him.
#[derive(Clone, Debug)]
pub struct Standing {
    rules: Arc<Rules>,
    subject: Option<String>,
    name: Option<String>,
    groups: BTreeSet<String>,
    grants: Vec<Grant>,
    pub is_administrator: bool,
    /// The account he uses.
    account: Option<String>,
    limits: Option<Limits>,
    everyone: Verbs,
}

/// Looks up what stands behind a caller; what made him known must still hold.
pub fn stand(records: &dyn Records, caller: &Caller) -> Result<Result<Standing, Denial>, RecordsError> {
    let mut standing = Standing {
        rules: policies::rules(records)?,
        subject: caller.subject.clone(),
        name: caller.name.clone(),
        groups: caller.groups.clone(),
        grants: caller.grants.clone(),
        is_administrator: false,
        account: None,
        limits: caller.limits.clone(),
        everyone: of_everyone(caller.everyone),
    };
    if let Some(vouched) = &caller.vouched
        && issuers::get(records, &vouched.issuer)?.is_none_or(|record| record.version != vouched.version)
    {
        return Ok(Err(Denial::Unauthenticated));
    }
    let Some(proof) = &caller.proof else { return Ok(Ok(standing)) };
    let now = settings::clock(records)?.time.max(caller.at);
    let Some(account) = accounts::get(records, &proof.account)? else { return Ok(Err(Denial::Unauthenticated)) };
    let holds = account.is_usable(now)
        && match &proof.by {
            By::Password(version) => account.password.as_ref().is_some_and(|known| known.version() == *version),
            By::Token(id) => {
                tokens::get(records, id)?.is_some_and(|token| token.account == proof.account && token.is_usable(now))
            }
            By::Word => true,
        };
    if !holds {
        return Ok(Err(Denial::Unauthenticated));
    }
    standing.subject = Some(account.subject(&proof.account));
    standing.name = Some(proof.account.clone());
    standing.groups.extend(account.groups);
    standing.grants.extend(account.grants);
    standing.is_administrator = account.is_administrator;
    standing.account = Some(proof.account.clone());
    Ok(Ok(standing))
}

impl Standing {
    fn asker(&self) -> Asker<'_> {
        Asker {
            subject: self.subject.as_deref(),
            name: self.name.as_deref(),
            groups: &self.groups,
            grants: &self.grants,
            is_administrator: self.is_administrator,
            everyone: self.everyone,
        }
    }

    /// What policies say, whatever he came with is limited to.
    pub fn decide(&self, verb: Verb, repository: &str) -> Decision<'_> {
        decide(&self.rules, &self.asker(), verb, repository)
    }

    /// Whether he may do this with what he came with, or why not.
    pub fn may(&self, verb: Verb, repository: &RepositoryName) -> Result<(), Denial> {
        let repository = repository.as_str();
        if !self.decide(verb, repository).is_allowed {
            return Err(denial(&self.asker(), verb));
        }
        match &self.limits {
            Some(limits) if !limits.allow(verb, repository) => Err(Denial::InsufficientScope),
            _ => Ok(()),
        }
    }

    /// Whether tags that are there may be moved or deleted, as far as they are written once.
    fn may_change<'t>(
        &self,
        repository: &RepositoryName,
        tags: impl IntoIterator<Item = &'t Tag>,
    ) -> Result<(), Denial> {
        let is_kept = tags.into_iter().any(|tag| self.rules.keep(repository.as_str(), tag.as_str()));
        if is_kept && self.may(Verb::Admin, repository).is_err() { Err(Denial::WriteOnce) } else { Ok(()) }
    }

    /// What tags are called in a repository that are there and that he may not move or delete.
    pub fn kept(&self, repository: &str) -> Vec<&str> {
        if self.decide(Verb::Admin, repository).is_allowed { Vec::new() } else { self.rules.kept(repository) }
    }

    /// Whether a list that he reads has this repository.
    pub fn sees(&self, repository: &RepositoryName) -> bool {
        let text = repository.as_str();
        self.decide(Verb::Pull, text).is_allowed
            && self.limits.as_ref().is_none_or(|limits| limits.catalog || limits.allow(Verb::Pull, text))
    }

    /// Whether he may change accounts and policies: not with a token that is limited to repositories.
    pub fn administrates(&self) -> Result<(), Denial> {
        if self.is_administrator && self.limits.is_none() {
            return Ok(());
        }
        Err(if self.subject.is_none() { Denial::Unauthenticated } else { Denial::Denied })
    }

    /// Whether he may change what belongs to one account: its password and its tokens.
    pub fn keeps(&self, account: &str) -> Result<(), Denial> {
        if self.account.as_deref() == Some(account) && self.limits.is_none() { Ok(()) } else { self.administrates() }
    }
}

/// Judges a question about a repository.
pub fn check(
    records: &dyn Records,
    caller: &Caller,
    verb: Verb,
    repository: &RepositoryName,
) -> Result<Result<(), Denial>, RecordsError> {
    Ok(stand(records, caller)?.and_then(|standing| standing.may(verb, repository)))
}

/// Judges a command in the entry that brings it; returns it without what the caller may not know of.
pub fn check_command<'c>(
    records: &dyn Records,
    caller: &Caller,
    command: &'c Command,
) -> Result<Result<std::borrow::Cow<'c, Command>, Denial>, RecordsError> {
    let standing = match stand(records, caller)? {
        Ok(standing) => standing,
        Err(denial) => return Ok(Err(denial)),
    };
    let judged = match command {
        Command::RecordUpload(record) => standing.may(Verb::Push, &record.repository),
        Command::CancelUpload(cancel) => standing.may(Verb::Push, &cancel.repository),
        Command::CommitBlob(commit) => standing.may(Verb::Push, &commit.repository),
        // By a HEAD, or by a push that is repeated.
        Command::RenewLink(link) => standing
            .may(Verb::Pull, &link.repository)
            .or_else(|denial| standing.may(Verb::Push, &link.repository).map_err(|_| denial)),
        Command::DeleteBlob(link) => standing.may(Verb::Delete, &link.repository),
        Command::DeleteTag(delete) => standing
            .may(Verb::Delete, &delete.repository)
            .and_then(|()| standing.may_change(&delete.repository, [&delete.tag])),
        Command::DeleteManifest(delete) => {
            let (name, digest) = (&delete.repository, &delete.digest);
            match standing.may(Verb::Delete, name) {
                Ok(()) if standing.rules.write_once.is_empty() => Ok(()),
                Ok(()) => standing.may_change(name, &tags::all_at(records, name, digest, MOST_TAGS)?),
                Err(denial) => Err(denial),
            }
        }
        Command::PutManifest(put) => may_put(records, &standing, put)?,
        Command::MountBlob(mount) => {
            let readable = |name: &&RepositoryName| standing.may(Verb::Pull, name).is_ok();
            let from = mount.from.iter().filter(readable).cloned().collect();
            let mount = MountBlob { from, ..mount.clone() };
            let judged = standing.may(Verb::Push, &mount.repository);
            return Ok(judged.map(|()| std::borrow::Cow::Owned(Command::MountBlob(mount))));
        }
        Command::Access(change) => may_change(&standing, change),
        // What keeps the index in order is nobody's on behalf of a client.
        _ => Err(Denial::Denied),
    };
    Ok(judged.map(|()| std::borrow::Cow::Borrowed(command)))
}

/// A push, and for each tag that would leave another manifest the right to move it.
fn may_put(records: &dyn Records, standing: &Standing, put: &PutManifest) -> Result<Result<(), Denial>, RecordsError> {
    let name = &put.repository;
    if let Err(denial) = standing.may(Verb::Push, name) {
        return Ok(Err(denial));
    }
    let may_move = standing.may(Verb::Overwrite, name);
    if may_move.is_ok() && standing.rules.write_once.is_empty() {
        return Ok(Ok(()));
    }
    for tag in &put.tags {
        if tags::get(records, name, tag)?.is_some_and(|record| record.digest != put.digest) {
            let judged = may_move.and_then(|()| standing.may_change(name, [tag]));
            if judged.is_err() {
                return Ok(judged);
            }
        }
    }
    Ok(Ok(()))
}

fn may_change(standing: &Standing, change: &AccessChange) -> Result<(), Denial> {
    match change {
        AccessChange::SetPassword { account, .. } | AccessChange::DeleteToken { account, .. } => {
            standing.keeps(account)
        }
        AccessChange::PutToken(put) => standing.keeps(&put.account),
        AccessChange::PutAccount(_)
        | AccessChange::DeleteAccount { .. }
        | AccessChange::ChangeGroup { .. }
        | AccessChange::PutPolicy { .. }
        | AccessChange::DeletePolicy { .. }
        | AccessChange::PutQuota { .. }
        | AccessChange::DeleteQuota { .. }
        | AccessChange::PutIssuer { .. }
        | AccessChange::DeleteIssuer { .. } => standing.administrates(),
        // These come from processes themselves.
        AccessChange::NoteUse { .. }
        | AccessChange::PutKey { .. }
        | AccessChange::OfferFirst { .. }
        | AccessChange::TakeFirst { .. } => Err(Denial::Denied),
    }
}
