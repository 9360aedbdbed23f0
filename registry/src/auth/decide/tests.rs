//! What each level lets its callers do, action by action.

#![allow(clippy::unwrap_used)]

use http::Method;

use super::*;

fn action(method: &Method, target: &str) -> Action {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Action::parse(method, path, query).unwrap()
}

/// What each level of anonymous access decides, for every kind of action.
#[test]
fn each_level_allows_its_actions_and_those_of_the_levels_below() {
    use Decision::{Allow, AsIfAbsent, Deny};
    let digest = format!("sha256:{}", "a".repeat(64));
    let anyone = [Allow; 4];
    let pull = [AsIfAbsent, Allow, Allow, Allow];
    let push = [AsIfAbsent, Deny, Allow, Allow];
    let delete = [AsIfAbsent, Deny, Deny, Allow];
    for (method, target, decisions) in [
        (Method::GET, "/v2/".to_owned(), anyone),
        (Method::GET, "/v2/_catalog".to_owned(), pull),
        (Method::GET, format!("/v2/a/blobs/{digest}"), pull),
        (Method::HEAD, format!("/v2/a/blobs/{digest}"), pull),
        (Method::GET, "/v2/a/manifests/latest".to_owned(), pull),
        (Method::HEAD, "/v2/a/manifests/latest".to_owned(), pull),
        (Method::GET, "/v2/a/tags/list".to_owned(), pull),
        (Method::GET, "/v2/a/_roadstead/tags/history?tag=latest".to_owned(), pull),
        (Method::GET, format!("/v2/a/referrers/{digest}"), pull),
        (Method::POST, "/v2/a/blobs/uploads/".to_owned(), push),
        (Method::POST, format!("/v2/a/blobs/uploads/?mount={digest}&from=b"), push),
        (Method::POST, format!("/v2/a/blobs/uploads/?digest={digest}"), push),
        (Method::GET, "/v2/a/blobs/uploads/id".to_owned(), push),
        (Method::PATCH, "/v2/a/blobs/uploads/id".to_owned(), push),
        (Method::PUT, format!("/v2/a/blobs/uploads/id?digest={digest}"), push),
        (Method::DELETE, "/v2/a/blobs/uploads/id".to_owned(), push),
        (Method::PUT, "/v2/a/manifests/latest".to_owned(), push),
        (Method::DELETE, "/v2/a/manifests/latest".to_owned(), delete),
        (Method::DELETE, format!("/v2/a/manifests/{digest}"), delete),
        (Method::DELETE, format!("/v2/a/blobs/{digest}"), delete),
    ] {
        let action = action(&method, &target);
        let levels = [Anonymous::Nothing, Anonymous::Pull, Anonymous::Push, Anonymous::Delete];
        let decided = levels.map(|anonymous| decide(&Identity::Anonymous, &action, Policy { anonymous }));
        assert_eq!(decided, decisions, "{method} {target}");
    }
}
