//! Questions about accounts, tokens, policies and keys, and questions on behalf of somebody.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::super::records::{Records, RecordsError, Table, decode};
use super::super::{answers, repositories, settings};
use super::accounts::{self, Account};
use super::guard::Standing;
use super::tokens::Token;
use super::{access, guard, issuers, keys, policies, quotas, tokens};
use crate::auth::caller::Caller;
use crate::auth::decide::Reason;
use crate::auth::policy::{Policy, Verb, Verbs};
use crate::index::access::{
    AccountView, Allowed, Asked, Asks, AuditPage, Audited, Authorize, Authorized, Credentials, Explain, Explanation,
    First, GetAccount, GetCredentials, GetFirst, GetToken, Guarded, IssuerView, Judged, ListAccounts, ListAudit,
    ListIssuers, ListKeys, ListPolicies, ListQuotas, ListTokens, QuotaView, ReadableSources, SigningKey,
    TokenCredentials, TokenView, VisibleRepositories,
};
use crate::index::command::Time;
use crate::index::query::{GetBlob, GetManifest, GetUpload, Held, ListReferrers, ListTags, Page, Query, TagHistory};
use crate::oci::name::RepositoryName;

/// Repositories that one question looks at, at most: what a caller may not see must not make his question endless.
const MOST_LOOKED_AT: usize = 20_000;
/// Bytes of records of the audit that one question looks at, about: a record may have a whole policy.
const MOST_OF_AUDIT: usize = 1 << 20;

fn view(name: &str, account: Account) -> AccountView {
    AccountView {
        name: name.to_owned(),
        kind: account.kind,
        description: account.description,
        created: account.created,
        is_disabled: account.is_disabled,
        is_administrator: account.is_administrator,
        expires: account.expires,
        groups: account.groups,
        grants: account.grants,
        has_password: account.password.is_some(),
    }
}

fn token_view(id: String, token: Token) -> TokenView {
    TokenView {
        id,
        account: token.account,
        description: token.description,
        created: token.created,
        expires: token.expires,
        last_used: token.last_used,
        limits: token.limits,
    }
}

impl Query for GetCredentials {
    type Answer = Option<Credentials>;
    const NAME: &'static str = "get_credentials";

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        Ok(accounts::get(records, &self.account)?.map(|account| Credentials {
            kind: account.kind,
            is_disabled: account.is_disabled,
            ends: account.expires,
            password: account.password,
        }))
    }
}

impl Query for GetToken {
    type Answer = Option<TokenCredentials>;
    const NAME: &'static str = "get_token";

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let Some(token) = tokens::get(records, &self.id)? else { return Ok(None) };
        let Some(account) = accounts::get(records, &token.account)? else { return Ok(None) };
        Ok(Some(TokenCredentials {
            kind: account.kind,
            is_disabled: account.is_disabled,
            ends: token.expires.into_iter().chain(account.expires).min(),
            account: token.account,
            hash: token.hash,
            limits: token.limits,
            last_used: token.last_used,
        }))
    }
}

impl Query for ListKeys {
    type Answer = Vec<SigningKey>;
    const NAME: &'static str = "list_keys";

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        keys::all(records)
    }
}

impl Query for GetAccount {
    type Answer = Option<AccountView>;
    const NAME: &'static str = "get_account";

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        Ok(accounts::get(records, &self.name)?.map(|account| view(&self.name, account)))
    }
}

impl Query for ListAccounts {
    type Answer = Page<AccountView>;
    const NAME: &'static str = "list_accounts";

    fn scans(&self) -> bool {
        true
    }

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let last = self.last.as_ref().map(String::as_bytes);
        answers::list(records, Table::Accounts, &[], last, self.limit, |key, value| {
            Ok(view(&String::from_utf8_lossy(key), decode(Table::Accounts, value)?))
        })
    }
}

impl Query for ListTokens {
    type Answer = Option<Vec<TokenView>>;
    const NAME: &'static str = "list_tokens";

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let Some(account) = accounts::get(records, &self.account)? else { return Ok(None) };
        let mut found = Vec::new();
        for id in account.tokens {
            if let Some(token) = tokens::get(records, &id)? {
                found.push(token_view(id, token));
            }
        }
        Ok(Some(found))
    }
}

impl Query for ListPolicies {
    type Answer = Vec<(String, Policy)>;
    const NAME: &'static str = "list_policies";

    fn scans(&self) -> bool {
        true
    }

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        policies::all(records)
    }
}

impl Query for ListQuotas {
    type Answer = Vec<QuotaView>;
    const NAME: &'static str = "list_quotas";

    fn scans(&self) -> bool {
        true
    }

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let mut found = Vec::new();
        for (name, record) in quotas::all(records)? {
            let shares = quotas::usage(records, record.id, self.shares)?;
            found.push(QuotaView {
                name,
                quota: record.quota,
                is_counted: record.phase == quotas::Phase::Done,
                shares: shares.into_iter().map(|(share, usage)| (share, usage.bytes, usage.tags)).collect(),
            });
        }
        Ok(found)
    }
}

impl Query for ListIssuers {
    type Answer = Vec<IssuerView>;
    const NAME: &'static str = "list_issuers";

    fn scans(&self) -> bool {
        true
    }

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let all = issuers::all(records)?.into_iter();
        Ok(all.map(|(name, record)| IssuerView { name, version: record.version, issuer: record.issuer }).collect())
    }
}

impl Query for ListAudit {
    type Answer = AuditPage;
    const NAME: &'static str = "list_audit";

    fn scans(&self) -> bool {
        true
    }

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let from = self.after.saturating_add(1).to_be_bytes();
        let (mut page, mut result) = (AuditPage { items: Vec::new(), next: None }, Ok(()));
        let (mut looked_at, mut bytes) = (0, 0);
        records.scan(Table::Audit, &from, &[], false, &mut |_, value| {
            let audited: Audited = match decode(Table::Audit, value) {
                Ok(audited) => audited,
                Err(error) => {
                    result = Err(error);
                    return ControlFlow::Break(());
                }
            };
            if page.items.len() == self.limit || looked_at == MOST_LOOKED_AT || bytes > MOST_OF_AUDIT {
                page.next = Some(audited.position - 1);
                return ControlFlow::Break(());
            }
            looked_at += 1;
            bytes += value.len();
            let is_wanted = self.repository.as_ref().is_none_or(|name| audited.repository.as_ref() == Some(name))
                && self.who.as_ref().is_none_or(|who| audited.who.as_ref() == Some(who));
            if is_wanted {
                page.items.push(audited);
            }
            ControlFlow::Continue(())
        })?;
        result.map(|()| page)
    }
}

impl Query for GetFirst {
    type Answer = First;
    const NAME: &'static str = "get_first";

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let access = access(records)?;
        Ok(First { administrators: access.administrators, offered_until: access.first.map(|(_, until)| until) })
    }
}

impl Query for Explain {
    type Answer = Explanation;
    const NAME: &'static str = "explain";

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let mut caller = Caller::anonymous(self.everyone, None, Time(0));
        caller.groups.clone_from(&self.groups);
        if let Some(subject) = &self.subject {
            let (kind, name) = subject.split_once(':').unwrap_or(("", subject));
            caller.name = Some(name.to_owned());
            caller.subject = Some(subject.clone());
            if matches!(kind, "user" | "robot") {
                let Some(account) = accounts::get(records, name)?.filter(|account| account.kind.as_str() == kind)
                else {
                    return Ok(Explanation { is_allowed: false, reason: format!("there is no {kind} {name}") });
                };
                if !account.is_usable(settings::clock(records)?.time.max(self.at)) {
                    let what = if account.is_disabled { "is disabled" } else { "has expired" };
                    return Ok(Explanation { is_allowed: false, reason: format!("the {kind} {name} {what}") });
                }
                let by = crate::auth::caller::By::Word;
                caller.proof = Some(crate::auth::caller::Proof { account: name.to_owned(), by });
            }
        }
        let Ok(standing) = guard::stand(records, &caller)? else {
            return Ok(Explanation { is_allowed: false, reason: "the account cannot be used".into() });
        };
        let decision = standing.decide(self.verb, self.repository.as_str());
        let verb = if decision.is_allowed { "allows" } else { "denies" };
        let mut reason = match decision.reason {
            Reason::Administrator => "an administrator may do everything".into(),
            Reason::Rule { policy, number } => format!("rule {number} of policy {policy} {verb} it"),
            Reason::Grant => "a grant of the account allows it".into(),
            Reason::Everyone => "access.anonymous of the configuration allows it to everyone".into(),
            Reason::Nothing => "no rule, grant or configuration allows it".into(),
        };
        if decision.is_allowed && matches!(self.verb, Verb::Overwrite | Verb::Delete) {
            let kept = standing.kept(self.repository.as_str());
            if !kept.is_empty() {
                reason = format!("{reason}; but tags called {} are written once", kept.join(" or "));
            }
        }
        Ok(Explanation { is_allowed: decision.is_allowed, reason })
    }
}

impl Query for Authorize {
    type Answer = Judged<Authorized>;
    const NAME: &'static str = "authorize";

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let level = settings::level(records)?;
        let judge = |standing: Standing| match &self.asks {
            Asks::Nothing => Ok(()),
            Asks::On(verb, repository) => standing.may(*verb, repository),
            Asks::Keep(account) => standing.keeps(account),
            Asks::Administrate => standing.administrates(),
        };
        Ok(guard::stand(records, &self.caller)?.and_then(judge).map(|()| Authorized { level }))
    }

    fn may_settle(&self) -> bool {
        !self.is_strict
    }

    /// What follows is judged again in its entry, so what was allowed a moment ago will do to begin.
    fn settled(&self, answer: &Self::Answer) -> bool {
        !self.is_strict && answer.is_ok()
    }
}

impl Query for Allowed {
    type Answer = Judged<Vec<(RepositoryName, Verbs)>>;
    const NAME: &'static str = "allowed";

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let cut = |standing: Standing| {
            let cut = |(name, verbs): &(RepositoryName, Verbs)| {
                (name.clone(), Verbs::of(verbs.iter().filter(|verb| standing.may(*verb, name).is_ok())))
            };
            self.wanted.iter().map(cut).collect()
        };
        Ok(guard::stand(records, &self.caller)?.map(cut))
    }
}

impl<Q: Guarded> Query for Asked<Q> {
    type Answer = Judged<Q::Answer>;
    const NAME: &'static str = Q::GUARDED;

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let (verb, repository) = self.query.need();
        match guard::check(records, &self.caller, verb, repository)? {
            Ok(()) => self.query.answer(records).map(Ok),
            Err(denial) => Ok(Err(denial)),
        }
    }

    fn may_settle(&self) -> bool {
        !self.is_strict && self.query.may_settle()
    }

    fn decides(&self) -> bool {
        self.query.decides()
    }

    fn scans(&self) -> bool {
        self.query.scans()
    }

    fn settled(&self, answer: &Self::Answer) -> bool {
        !self.is_strict && answer.as_ref().is_ok_and(|answer| self.query.settled(answer))
    }

    fn as_it_stands(&self) -> bool {
        self.query.as_it_stands()
    }

    fn leave_out(&mut self, held: &dyn Held) -> Option<Bytes> {
        self.query.leave_out(held)
    }

    fn fill_in(&self, answer: &mut Self::Answer, left_out: Option<Bytes>, held: &dyn Held) {
        if let Ok(answer) = answer {
            self.query.fill_in(answer, left_out, held);
        }
    }
}

macro_rules! guarded {
    ($query:ty, $name:literal, $verb:ident) => {
        impl Guarded for $query {
            const GUARDED: &'static str = $name;

            fn need(&self) -> (Verb, &RepositoryName) {
                (Verb::$verb, &self.repository)
            }
        }
    };
}

guarded!(GetManifest, "asked_get_manifest", Pull);
guarded!(GetUpload, "asked_get_upload", Push);
guarded!(ListTags, "asked_list_tags", Pull);
guarded!(ListReferrers, "asked_list_referrers", Pull);
guarded!(TagHistory, "asked_tag_history", Pull);

impl Guarded for GetBlob {
    const GUARDED: &'static str = "asked_get_blob";

    fn need(&self) -> (Verb, &RepositoryName) {
        (if self.for_push { Verb::Push } else { Verb::Pull }, &self.repository)
    }
}

impl Query for VisibleRepositories {
    type Answer = Judged<Page<RepositoryName>>;
    const NAME: &'static str = "visible_repositories";

    fn scans(&self) -> bool {
        true
    }

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let standing = match guard::stand(records, &self.caller)? {
            Ok(standing) => standing,
            Err(denial) => return Ok(Err(denial)),
        };
        let mut from = self.last.clone().unwrap_or_default().into_bytes();
        if self.last.is_some() {
            from.push(0);
        }
        let mut page = Page { items: Vec::new(), more: false };
        repositories::each(records, &from, &mut |name| {
            if !standing.sees(&name) {
                return ControlFlow::Continue(());
            }
            if page.items.len() == self.limit {
                page.more = true;
                return ControlFlow::Break(());
            }
            page.items.push(name);
            ControlFlow::Continue(())
        })?;
        Ok(Ok(page))
    }
}

impl Query for ReadableSources {
    type Answer = Judged<Vec<RepositoryName>>;
    const NAME: &'static str = "readable_sources";

    fn scans(&self) -> bool {
        true
    }

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let standing = match guard::stand(records, &self.caller)? {
            Ok(standing) => standing,
            Err(denial) => return Ok(Err(denial)),
        };
        let (mut found, mut looked_at) = (Vec::new(), 0);
        answers::holders(records, &self.digest, &mut |name| {
            looked_at += 1;
            if standing.may(Verb::Pull, &name).is_ok() {
                found.push(name);
            }
            if found.len() < self.limit && looked_at < MOST_LOOKED_AT {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(Ok(found))
    }
}
