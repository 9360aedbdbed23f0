//! Groups: there as long as somebody is in them.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::json;

use super::body::{ChangeGroup, Group};
use super::{Answer, Desk, done, json as reply};
use crate::index::access::{AccessChange, ListAccounts};

/// Accounts of one look.
const PAGE: usize = 1000;

#[utoipa::path(get, path = "/api/v1/groups", responses((status = 200, description = "All groups with their members")))]
pub async fn list(desk: Desk<'_>) -> Answer {
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut last, mut more) = (None, true);
    while more {
        let page = desk.index.query(ListAccounts { last, limit: PAGE }).await?;
        more = page.more;
        last = page.items.last().map(|account| account.name.clone());
        for account in page.items {
            for group in account.groups {
                groups.entry(group).or_default().insert(account.name.clone());
            }
        }
    }
    let groups: Vec<_> = groups.into_iter().map(|(name, members)| Group { name, members }).collect();
    reply(StatusCode::OK, &json!({ "groups": groups }))
}

#[utoipa::path(patch, path = "/api/v1/groups/{name}", request_body = ChangeGroup, responses((status = 204, description = "They are in it, or out of it")))]
pub async fn change(desk: Desk<'_>, name: &str, change: ChangeGroup) -> Answer {
    let ChangeGroup { add, remove } = change;
    desk.change(AccessChange::ChangeGroup { group: name.to_owned(), add, remove }).await?;
    done()
}
