//! Accounts and tokens, as people read them.

use crate::api::body::{Account, GrantBody, Token};
use crate::cli::terminal::say;
use crate::date;
use crate::index::command::Time;

/// One line of the list of accounts. `now` is the time of this machine: the registry does not say which accounts are over.
pub(super) fn row(account: &Account, now: Time) -> String {
    let is_over = is_over(account, now);
    let marks = [(account.administrator, "administrator"), (account.disabled, "disabled"), (is_over, "expired")];
    let marks: Vec<&str> = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
    let groups: Vec<&str> = account.groups.iter().map(String::as_str).collect();
    let ends = account.expires.as_ref().map(|at| format!("{} {at} ", ends(is_over))).unwrap_or_default();
    let grants = account.grants.iter().map(may).collect::<Vec<_>>();
    format!("{:<24} {:<24} {ends}{}{}", account.name, marks.join(","), groups.join(" "), grants.join(", "))
}

/// Prints one account.
pub(super) fn whole(account: &Account, now: Time) {
    say(&format!("{} {}", account.kind, account.name));
    let line = |name: &str, text: &str| {
        if !text.is_empty() {
            say(&format!("  {name:<14} {text}"));
        }
    };
    let yes = |is: bool| if is { "yes" } else { "" };
    line("description", &account.description);
    line("created", &account.created);
    line(ends(is_over(account, now)), account.expires.as_deref().unwrap_or_default());
    line("administrator", yes(account.administrator));
    line("disabled", yes(account.disabled));
    line("groups", &account.groups.iter().map(String::as_str).collect::<Vec<_>>().join(" "));
    for grant in &account.grants {
        line("may", &may(grant));
    }
}

/// One line of the list of tokens.
pub(super) fn token(token: &Token) -> String {
    let expires = token.expires.as_deref().unwrap_or("never");
    let used = token.last_used.as_deref().unwrap_or("never");
    let limits = token.limits.iter().flatten().map(|limit| format!("only {}  ", may(limit)));
    let limits = limits.collect::<String>();
    format!("{}  ends {expires:<20}  used {used:<20}  {limits}{}", token.id, token.description)
}

fn is_over(account: &Account, now: Time) -> bool {
    account.expires.as_deref().and_then(date::parse).is_some_and(|end| end <= now)
}

const fn ends(is_over: bool) -> &'static str {
    if is_over { "ended" } else { "ends" }
}

fn may(grant: &GrantBody) -> String {
    format!("{} {}", grant.what(","), grant.repositories)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_account_that_is_over_is_marked_in_the_list() {
        let account: Account = serde_json::from_value(json!({
            "name": "ci", "kind": "robot", "description": "", "created": "2026-01-01T00:00:00Z", "disabled": false,
            "administrator": false, "expires": "2026-06-01T00:00:00Z", "groups": [], "grants": [], "hasPassword": false,
        }))
        .unwrap();
        let at = |text| row(&account, date::parse(text).unwrap());
        assert!(
            !at("2026-05-31T23:59:59Z").contains("expired") && at("2026-05-31T23:59:59Z").contains(" ends 2026-06")
        );
        assert!(at("2026-06-01T00:00:00Z").contains("expired") && at("2026-06-01T00:00:00Z").contains("ended 2026-06"));
    }
}
