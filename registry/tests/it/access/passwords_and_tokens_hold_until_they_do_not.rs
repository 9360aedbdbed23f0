//! A password, a token and a bearer token are good until they are changed or taken back, and then no longer, at once.

use serde_json::json;

use super::{BOB, ROOT, Team, api, bearer};
use crate::support::client::Client;

#[tokio::test]
async fn an_old_password_fails_once_the_new_one_is_acknowledged() {
    let team = Team::start().await;
    team.bob.push_image("team/app", "v1", "one").await;
    for n in 0..5 {
        let (old, new) = if n % 2 == 0 { (BOB, "another password") } else { ("another password", BOB) };
        let digest_read = "/v2/team/app/manifests/v1";
        team.registry.by("bob", old).get(digest_read).await.expect(200);
        // He changes it himself.
        let own = team.registry.by("bob", old);
        api(&own, "PUT", "users/bob/password", &json!({ "password": new })).await.expect(204);
        let old = team.registry.by("bob", old);
        old.get(digest_read).await.refused(401, "UNAUTHORIZED");
        old.get("/v2/").await.refused(401, "UNAUTHORIZED");
        old.get("/token").await.refused(401, "UNAUTHORIZED");
        old.ask("POST", "/v2/team/app/blobs/uploads/").send().await.refused(401, "UNAUTHORIZED");
        team.registry.by("bob", new).get(digest_read).await.expect(200);
    }
}

#[tokio::test]
async fn the_same_password_set_again_goes_on_being_right() {
    let team = Team::start().await;
    team.bob.get("/v2/").await.expect(200);
    api(&team.root, "PUT", "users/bob/password", &json!({ "password": BOB })).await.expect(204);
    team.bob.get("/v2/_catalog").await.expect(200);
    api(&team.root, "PUT", "users/bob/password", &json!({ "password": BOB })).await.expect(204);
    team.bob.push_image("team/app", "v1", "one").await;
}

#[tokio::test]
async fn what_was_issued_ends_with_the_account_and_with_what_it_was_issued_for() {
    let team = Team::start().await;
    let token = team.robot("ci", &[("team/**", "push")]).await;
    let robot = team.registry.by("ci", &token);
    let issued = bearer(&robot, &["repository:team/a:pull,push"]).await;
    let holder = team.registry.authorized(&format!("Bearer {issued}"));
    holder.push_blob("team/a", b"x").await;
    let bob = bearer(&team.bob, &["repository:team/a:pull,push"]).await;
    let bob = team.registry.authorized(&format!("Bearer {bob}"));
    bob.push_blob("team/a", b"x").await;

    let tokens = api(&team.root, "GET", "robots/ci/tokens", &json!(null)).await.expect(200).json();
    let id = tokens["tokens"][0]["id"].as_str().unwrap();
    assert!(!tokens.to_string().contains(&token), "a secret is shown once");
    api(&team.root, "DELETE", &format!("robots/ci/tokens/{id}"), &json!(null)).await.expect(204);
    for gone in [&robot, &holder] {
        gone.get("/v2/").await.refused(401, "UNAUTHORIZED");
        gone.ask("POST", "/v2/team/a/blobs/uploads/").send().await.refused(401, "UNAUTHORIZED");
    }
    bob.get("/v2/").await.expect(200);
    api(&team.root, "PATCH", "users/bob", &json!({ "disabled": true })).await.expect(200);
    for gone in [&bob, &team.bob] {
        gone.get("/v2/").await.refused(401, "UNAUTHORIZED");
    }
    api(&team.root, "PATCH", "users/bob", &json!({ "disabled": false })).await.expect(200);
    bob.get("/v2/").await.expect(200);
    // Out of the group, what the token says that he may does not help.
    api(&team.root, "PATCH", "groups/dev", &json!({ "remove": ["bob"] })).await.expect(204);
    bob.ask("POST", "/v2/team/a/blobs/uploads/").send().await.refused(403, "DENIED");
    api(&team.root, "DELETE", "users/bob", &json!(null)).await.expect(204);
    bob.get("/v2/").await.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn an_account_and_a_token_end_when_they_were_made_to() {
    let team = Team::start().await;
    let past = json!({ "expires": "2020-01-01T00:00:00Z" });
    let token = team.robot("ci", &[("team/**", "push")]).await;
    let ended = team.token("robots/ci", &past).await["token"].as_str().unwrap().to_owned();
    team.registry.by("ci", &ended).get("/v2/").await.refused(401, "UNAUTHORIZED");
    team.registry.by("ci", &token).get("/v2/").await.expect(200);
    api(&team.root, "PATCH", "robots/ci", &past).await.expect(200);
    team.registry.by("ci", &token).get("/v2/").await.refused(401, "UNAUTHORIZED");
    api(&team.root, "PATCH", "robots/ci", &json!({ "expires": null })).await.expect(200);
    team.registry.by("ci", &token).get("/v2/").await.expect(200);
}

/// Nothing else happens meanwhile, so no entry tells the index how late it is.
#[tokio::test]
async fn what_ends_by_itself_ends_in_a_registry_at_rest_too() {
    let team = Team::start().await;
    team.bob.push_image("team/app", "v1", "one").await;
    let soon = roadstead::date::rfc3339(team.registry.index.time().after(3000));
    let token = team.token("users/bob", &json!({ "expires": soon })).await["token"].as_str().unwrap().to_owned();
    api(&team.root, "PATCH", "users/carol", &json!({ "expires": soon })).await.expect(200);
    let bearer = bearer(&team.carol, &[]).await;
    let bearer = team.registry.authorized(&format!("Bearer {bearer}"));
    let holder = team.registry.by("bob", &token);
    holder.get("/v2/team/app/manifests/v1").await.expect(200);
    for (who, client) in
        [("bob's token", &holder), ("carol's password", &team.carol), ("carol's bearer token", &bearer)]
    {
        crate::support::wait::eventually(who, async || client.get("/v2/").await.status == 401).await;
    }
    team.bob.get("/v2/").await.expect(200);
}

#[tokio::test]
async fn a_new_token_overlaps_with_the_one_before_it_and_no_other() {
    let team = Team::start().await;
    let first = team.robot("ci", &[("team/**", "push")]).await;
    let mut all = vec![first];
    for _ in 0..2 {
        all.push(team.token("robots/ci", &json!({ "keep": 1 })).await["token"].as_str().unwrap().to_owned());
    }
    for (token, status) in all.iter().zip([401, 200, 200]) {
        team.registry.by("ci", token).get("/v2/").await.expect(status);
    }
}

#[tokio::test]
async fn a_token_that_is_limited_is_good_for_nothing_else() {
    let team = Team::start().await;
    let limits = json!({ "limits": [{ "repositories": "team/app", "role": "pull" }] });
    let token = team.token("users/bob", &limits).await["token"].as_str().unwrap().to_owned();
    team.bob.push_image("team/app", "v1", "one").await;
    team.bob.push_image("team/other", "v1", "one").await;
    let limited = team.registry.by("bob", &token);
    limited.get("/v2/team/app/manifests/v1").await.expect(200);
    limited.get("/v2/team/other/manifests/v1").await.expect(401);
    limited.ask("POST", "/v2/team/app/blobs/uploads/").send().await.expect(401);
    assert_eq!(limited.get("/v2/_catalog").await.expect(200).json(), json!({ "repositories": ["team/app"] }));
    // Nor does it make more of itself.
    api(&limited, "POST", "users/bob/tokens", &json!({})).await.expect(403);
    api(&limited, "PUT", "users/bob/password", &json!({ "password": "taken over" })).await.expect(403);
    let root = team.token("users/root", &limits).await["token"].as_str().unwrap().to_owned();
    api(&team.registry.by("root", &root), "GET", "users", &json!(null)).await.expect(403);
    let issued = bearer(&limited, &["repository:team/app:pull,push", "repository:team/other:pull"]).await;
    let holder = team.registry.authorized(&format!("Bearer {issued}"));
    holder.get("/v2/team/app/manifests/v1").await.expect(200);
    holder.ask("POST", "/v2/team/app/blobs/uploads/").send().await.expect(401);
    holder.get("/v2/team/other/manifests/v1").await.expect(401);
    // As clients ask that list repositories.
    let issued = bearer(&limited, &["registry:catalog:*"]).await;
    let holder = team.registry.authorized(&format!("Bearer {issued}"));
    assert_eq!(holder.get("/v2/_catalog").await.expect(200).json(), json!({ "repositories": ["team/app"] }));
    holder.get("/v2/team/other/manifests/v1").await.expect(401);
    holder.ask("POST", "/v2/team/app/blobs/uploads/").send().await.expect(401);
}

#[tokio::test]
async fn the_last_use_of_a_token_is_seen() {
    let team = Team::start().await;
    let token = team.robot("ci", &[("team/**", "push")]).await;
    let used = || async {
        let tokens = api(&team.root, "GET", "robots/ci/tokens", &json!(null)).await.expect(200).json();
        tokens["tokens"][0]["lastUsed"].clone()
    };
    assert_eq!(used().await, json!(null));
    team.registry.by("ci", &token).get("/v2/").await.expect(200);
    crate::support::wait::eventually("the use is noted", async || !used().await.is_null()).await;
}

#[tokio::test]
async fn a_right_password_is_taken_although_it_is_set_again_meanwhile() {
    let team = Team::start().await;
    let set = |name: &str, password: &str| {
        let (root, path, body) = (team.root.clone(), format!("users/{name}/password"), json!({ "password": password }));
        async move { api(&root, "PUT", &path, &body).await }
    };
    // His own, and then something of somebody else: what is remembered of it is of before.
    set("bob", BOB).await.expect(204);
    set("root", ROOT).await.expect(204);
    set("bob", BOB).await.expect(204);
    // While it is hashed, by many who come at once.
    for _ in 0..5 {
        let mut tries = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let bob = team.bob.clone();
            tries.spawn(async move { bob.get("/v2/").await });
        }
        for _ in 0..3 {
            set("bob", BOB).await.expect(204);
        }
        for answer in tries.join_all().await {
            answer.expect(200);
        }
    }
}

#[tokio::test]
async fn a_token_sets_no_password_and_makes_no_token_that_outlives_it() {
    let team = Team::start().await;
    let secret = |token: serde_json::Value| token["token"].as_str().unwrap().to_owned();
    let bobs = secret(team.token("users/bob", &json!({ "expires": "2999-01-01T00:00:00Z" })).await);
    let by = |token: &str| team.registry.authorized(&format!("Bearer {token}"));
    let set = json!({ "password": "taken over by a thief" });
    for thief in [by(&bobs), team.registry.by("bob", &bobs)] {
        thief.get("/v2/").await.expect(200);
        api(&thief, "PUT", "users/bob/password", &set).await.refused(403, "DENIED");
        api(&thief, "POST", "users/bob/tokens", &json!({})).await.refused(403, "DENIED");
        let tokens = api(&thief, "GET", "users/bob/tokens", &json!(null)).await.expect(200).json();
        let id = tokens["tokens"][0]["id"].as_str().unwrap();
        api(&thief, "DELETE", &format!("users/bob/tokens/{id}"), &json!(null)).await.refused(403, "DENIED");
    }
    api(&team.bob, "POST", "users/bob/tokens", &json!({})).await.expect(201);
    // An administrator's does what he does.
    let roots = by(&secret(team.token("users/root", &json!({})).await));
    api(&roots, "POST", "users/bob/tokens", &json!({})).await.expect(201);
    let new = json!({ "password": "the new one of bob" });
    api(&roots, "PUT", "users/bob/password", &new).await.expect(204);
    team.registry.by("bob", "the new one of bob").get("/v2/").await.expect(200);
}

#[tokio::test]
async fn a_token_that_makes_tags_and_moves_none_is_exchanged_for_one_that_moves_none() {
    let team = Team::start().await;
    team.bob.push_image("team/app", "v1", "one").await;
    let limits = json!({ "limits": [{ "repositories": "team/**", "role": "create" }] });
    let token = team.token("users/bob", &limits).await["token"].as_str().unwrap().to_owned();
    let limited = team.registry.by("bob", &token);
    let issued = bearer(&limited, &["repository:team/app:pull,push,delete,*"]).await;
    let holder = team.registry.authorized(&format!("Bearer {issued}"));
    for (client, new) in [(&limited, "v2"), (&holder, "v3")] {
        let manifest = team.bob.get("/v2/team/app/manifests/v1").await.expect(200);
        let put = |tag: &str| {
            client
                .ask("PUT", &format!("/v2/team/app/manifests/{tag}"))
                .header("content-type", manifest.header("content-type"))
                .body(manifest.body.clone())
                .send()
        };
        put(new).await.expect(201);
        team.bob.push_image("team/app", "v1", "two").await;
        put("v1").await.expect(401);
        team.bob.push_image("team/app", "v1", "one").await;
    }
}

#[tokio::test]
async fn the_list_of_repositories_is_no_longer_for_what_a_limited_token_is_exchanged_for() {
    let team = Team::start().await;
    team.bob.push_image("team/app", "v1", "one").await;
    team.bob.push_image("team/other", "v1", "one").await;
    let limits = json!({ "limits": [{ "repositories": "team/app", "role": "pull" }] });
    let token = team.token("users/bob", &limits).await["token"].as_str().unwrap().to_owned();
    let catalog = async |client: &Client| {
        let issued = bearer(client, &["registry:catalog:*", "repository:team/app:pull"]).await;
        let holder = team.registry.authorized(&format!("Bearer {issued}"));
        holder.get("/v2/_catalog").await.expect(200).json()
    };
    assert_eq!(catalog(&team.registry.by("bob", &token)).await, json!({ "repositories": ["team/app"] }));
    assert_eq!(catalog(&team.bob).await, json!({ "repositories": ["team/app", "team/other"] }));
}
