//! A change of access in words, for who reads the audit. Made when it is read: what is kept is the change itself. Pure.

use crate::api::body::{GrantBody, QuotaBody};
use crate::auth::policy::Grant;
use crate::date;
use crate::index::access::{AccessChange, Ends, PutAccount, PutToken};
use crate::index::command::Time;

/// What was changed; none when the name of the change and what it is about say all.
pub fn of(change: &AccessChange) -> Option<String> {
    let said: Vec<String> = match change {
        AccessChange::PutAccount(put) => account(put),
        AccessChange::PutToken(put) => token(put),
        AccessChange::SetPassword { password, .. } => {
            vec![if password.is_some() { "a new password" } else { "no password any more" }.to_owned()]
        }
        AccessChange::DeleteToken { id, .. } => vec![format!("token {id}")],
        AccessChange::ChangeGroup { add, remove, .. } => [("added", add), ("removed", remove)]
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what} {}", names.join(", ")))
            .collect(),
        AccessChange::PutPolicy { policy, .. } => vec![json(policy)],
        AccessChange::PutQuota { quota, .. } => {
            let repositories = quota.repositories.as_str().to_owned();
            vec![json(&QuotaBody { repositories, bytes: quota.bytes, tags: quota.tags })]
        }
        AccessChange::PutIssuer { issuer, .. } => vec![json(issuer)],
        AccessChange::OfferFirst { expires, .. } => vec![format!("until {}", date::rfc3339(*expires))],
        AccessChange::DeleteAccount { .. }
        | AccessChange::NoteUse { .. }
        | AccessChange::DeletePolicy { .. }
        | AccessChange::DeleteQuota { .. }
        | AccessChange::DeleteIssuer { .. }
        | AccessChange::PutKey { .. }
        | AccessChange::TakeFirst { .. } => Vec::new(),
    };
    (!said.is_empty()).then(|| said.join("; "))
}

/// Of an account what was said, and nothing of what stayed as it was.
fn account(put: &PutAccount) -> Vec<String> {
    let is = |what: &str, is: bool| if is { what.to_owned() } else { format!("not {what}") };
    let first = put.is_new.then(|| format!("new {}", put.kind.as_str()));
    let rest = [
        put.password.as_ref().filter(|_| put.is_new).map(|_| "with a password".to_owned()),
        put.is_administrator.map(|it| is("administrator", it)),
        put.is_disabled.map(|it| is("disabled", it)),
        put.expires.map(|ends| match ends {
            Ends::Never => "does not end".to_owned(),
            Ends::At(time) => until(time),
        }),
        put.groups.as_ref().map(|groups| match groups.len() {
            0 => "in no group".to_owned(),
            _ => format!("groups {}", groups.iter().cloned().collect::<Vec<_>>().join(", ")),
        }),
        put.grants.as_deref().map(|grants| format!("may {}", grants_in_words(grants))),
        put.description.as_ref().map(|text| format!("description {text:?}")),
    ];
    first.into_iter().chain(rest.into_iter().flatten()).collect()
}

fn token(put: &PutToken) -> Vec<String> {
    let first = format!("token {}", put.id);
    let rest = [
        put.expires.map(until),
        put.limits.as_deref().map(|limits| format!("limited to {}", grants_in_words(limits))),
        put.keep.map(|keep| format!("{keep} of those before it stay")),
        (!put.description.is_empty()).then(|| format!("description {:?}", put.description)),
    ];
    std::iter::once(first).chain(rest.into_iter().flatten()).collect()
}

fn until(time: Time) -> String {
    format!("ends {}", date::rfc3339(time))
}

fn grants_in_words(grants: &[Grant]) -> String {
    let grant = |grant: &Grant| {
        let body = GrantBody::of(grant);
        format!("{} {}", body.what("+"), body.repositories)
    };
    if grants.is_empty() { "nothing".to_owned() } else { grants.iter().map(grant).collect::<Vec<_>>().join(", ") }
}

/// As `… apply` reads it.
fn json(document: &impl serde::Serialize) -> String {
    serde_json::to_string(document).unwrap_or_default() // of what was read from JSON
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::auth::policy::{Role, Verb, Verbs};
    use crate::index::access::Kind;

    fn grant(verbs: Verbs) -> Grant {
        Grant { repositories: "team/**".parse().unwrap(), verbs }
    }

    #[test]
    fn of_an_account_it_says_what_was_changed_and_nothing_else() {
        let nothing = PutAccount::of("ci", Kind::Robot, false);
        let said = |put| of(&AccessChange::PutAccount(put));
        assert_eq!(said(nothing.clone()), None);
        assert_eq!(said(PutAccount { is_administrator: Some(true), ..nothing.clone() }).unwrap(), "administrator");
        let new = PutAccount {
            is_new: true,
            is_disabled: Some(false),
            expires: Some(Ends::At(Time(0))),
            grants: Some(vec![grant(Role::Push.verbs()), grant(Verbs::of([Verb::Pull, Verb::Delete]))]),
            description: Some("a \"build\"".into()),
            ..nothing
        };
        assert_eq!(
            said(new).unwrap(),
            "new robot; not disabled; ends 1970-01-01T00:00:00Z; may push team/**, pull+delete team/**; description \"a \\\"build\\\"\""
        );
    }

    #[test]
    fn of_a_token_and_a_group_it_says_which_and_who() {
        let token = PutToken {
            id: "0123".into(),
            account: "ci".into(),
            hash: Bytes::new(),
            description: String::new(),
            expires: None,
            limits: Some(vec![]),
            keep: Some(1),
        };
        assert_eq!(
            of(&AccessChange::PutToken(token)).unwrap(),
            "token 0123; limited to nothing; 1 of those before it stay"
        );
        let group = |add: &[&str], remove: &[&str]| {
            let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            of(&AccessChange::ChangeGroup { group: "dev".into(), add: names(add), remove: names(remove) }).unwrap()
        };
        assert_eq!(group(&["a", "b"], &[]), "added a, b");
        assert_eq!(group(&["a"], &["b"]), "added a; removed b");
    }
}
