//! What is granted may be done, and nothing else, by whichever way somebody logs in.

use roadstead::index::command::{Command, Expire};
use roadstead::oci::digest::Digest;
use serde_json::json;

use super::{BOB, Team, api, bearer};
use crate::support::{digest_of, image};

#[tokio::test]
async fn what_a_policy_grants_may_be_done_and_nothing_else() {
    let team = Team::start().await;
    team.bob.push_image("team/app", "v1", "one").await;
    team.bob.push_image("team/app", "v1", "two").await;
    team.bob.get("/v2/team/app/manifests/v1").await.expect(200);
    team.bob.delete("/v2/team/app/manifests/v1").await.refused(403, "DENIED");
    team.bob.push_image("home/bob/x", "v1", "mine").await;
    team.bob.delete("/v2/home/bob/x/manifests/v1").await.expect(202);
    for repository in ["home/carol/x", "other", "team/secret/x", "read/x"] {
        let answer = team.bob.ask("POST", &format!("/v2/{repository}/blobs/uploads/")).send().await;
        answer.refused(403, "DENIED");
        team.bob.put_manifest(repository, "v1", &image("x")).await.refused(403, "DENIED");
    }
    team.root.push_image("team/secret/x", "v1", "root's").await;
    team.bob.get("/v2/team/secret/x/manifests/v1").await.refused(404, "NAME_UNKNOWN");
}

#[tokio::test]
async fn cve_2026_31801_who_may_make_tags_may_not_move_them_however_many_try_at_once() {
    let team = Team::start().await;
    team.bob.push_image("kept/app", "v1", "first").await;
    team.bob.push_image("kept/app", "v1", "first").await;
    let second = team.bob.image("kept/app", "second").await;
    team.bob.put_manifest("kept/app", "v1", &second).await.refused(403, "DENIED");
    team.bob.put_manifest("kept/app", "latest", &second).await.expect(201);
    let third = team.bob.image("kept/app", "third").await;
    team.bob.put_manifest("kept/app", "latest", &third).await.refused(403, "DENIED");
    // By digest, and with a tag beside the one in the path.
    team.bob.put_manifest("kept/app", &digest_of(&second).to_string(), &second).await.expect(201);
    team.bob.put_manifest("kept/app", "new?tag=v1", &second).await.refused(403, "DENIED");
    team.bob.get("/v2/kept/app/manifests/new").await.refused(404, "MANIFEST_UNKNOWN");

    let images: Vec<_> = futures::future::join_all((0..8).map(|n| {
        let bob = team.bob.clone();
        async move { bob.image("kept/race", &format!("racer {n}")).await }
    }))
    .await;
    let pushes = images.iter().map(|image| team.bob.put_manifest("kept/race", "v1", image));
    let won: Vec<_> = futures::future::join_all(pushes).await.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(won.iter().filter(|status| **status == 201).count(), 1, "{won:?}");
    assert!(won.iter().all(|status| [201, 403].contains(status)), "{won:?}");

    // While somebody else deletes it: whoever sets it, nobody has set it since it was deleted.
    let delete = || async { team.root.delete("/v2/kept/race/manifests/v1").await.status };
    let pushes = futures::future::join_all(images.iter().map(|image| team.bob.put_manifest("kept/race", "v1", image)));
    let (pushed, deleted) = futures::join!(pushes, futures::future::join_all((0..4).map(|_| delete())));
    let set = pushed.iter().filter(|answer| answer.status == 201).count();
    let gone = deleted.iter().filter(|status| **status == 202).count();
    // One of the images is the one that stands there: to push it again moves nothing.
    assert!(gone >= 1 && set <= gone + 1, "set {set} times, deleted {gone} times");
}

#[tokio::test]
async fn a_robot_may_do_what_is_granted_to_it() {
    let team = Team::start().await;
    let token = team.robot("ci", &[("team/app", "push"), ("read/**", "pull")]).await;
    for robot in [team.registry.by("ci", &token), team.registry.authorized(&format!("Bearer {token}"))] {
        robot.push_image("team/app", "v1", "built").await;
        robot.ask("POST", "/v2/team/other/blobs/uploads/").send().await.refused(403, "DENIED");
        robot.delete("/v2/team/app/manifests/v1").await.refused(403, "DENIED");
    }
    team.registry.by("bob", &token).get("/v2/").await.refused(401, "UNAUTHORIZED");
    team.registry.by("token", &token).get("/v2/").await.expect(200);
}

#[tokio::test]
async fn a_bearer_token_is_good_for_the_scopes_it_was_issued_for() {
    let team = Team::start().await;
    team.bob.push_image("team/app", "v1", "one").await;
    team.bob.push_image("team/more", "v1", "one").await;
    let pull = bearer(&team.bob, &["repository:team/app:pull", "repository:other:pull,push"]).await;
    let holder = team.registry.authorized(&format!("Bearer {pull}"));
    holder.get("/v2/").await.expect(200);
    holder.get("/v2/team/app/manifests/v1").await.expect(200);
    let answer = holder.ask("POST", "/v2/team/app/blobs/uploads/").send().await.refused(401, "UNAUTHORIZED");
    let challenge = answer.header("www-authenticate");
    assert!(challenge.contains("scope=\"repository:team/app:pull,push\"") && challenge.contains("insufficient_scope"));
    holder.get("/v2/team/more/manifests/v1").await.refused(401, "UNAUTHORIZED");
    // What he may not do with any token, no other token helps to do.
    holder.delete("/v2/team/app/manifests/v1").await.refused(403, "DENIED");
    holder.get("/v2/other/manifests/v1").await.refused(404, "NAME_UNKNOWN");
    let push = bearer(&team.bob, &["repository:team/app:pull,push"]).await;
    team.registry.authorized(&format!("Bearer {push}")).push_image("team/app", "v1", "two").await;
}

#[tokio::test]
async fn pulpcore_1345_a_mount_needs_pull_on_its_source_and_push_on_its_target() {
    let team = Team::start().await;
    let digest = team.root.push_blob("home/root/x", b"layer").await;
    team.root.push_blob("read/x", b"layer").await;
    let mount = |target: &str, from: &str| {
        let path = format!("/v2/{target}/blobs/uploads/?mount={digest}{from}");
        let bob = team.bob.clone();
        async move { bob.ask("POST", &path).send().await.status.as_u16() }
    };
    assert_eq!(mount("team/a", "&from=home/root/x").await, 202, "push, and no pull: an upload begins");
    assert_eq!(mount("other", "&from=read/x").await, 403, "no push");
    assert_eq!(mount("other", "&from=home/root/x").await, 403);
    assert_eq!(mount("team/a", "&from=read/x").await, 201);
    assert_eq!(mount("team/b", "").await, 201, "wherever he may read it");
    // With a bearer token the scopes must allow both.
    for (scopes, status) in [
        (&["repository:team/c:pull,push"][..], 202),
        (&["repository:team/c:pull,push", "repository:read/x:pull"], 201),
        (&["repository:read/x:pull", "repository:team/c:pull"], 401),
    ] {
        let token = bearer(&team.bob, scopes).await;
        let holder = team.registry.authorized(&format!("Bearer {token}"));
        let path = format!("/v2/team/c/blobs/uploads/?mount={digest}&from=read/x");
        assert_eq!(holder.ask("POST", &path).send().await.status.as_u16(), status, "{scopes:?}");
    }
}

#[tokio::test]
async fn a_client_is_told_where_and_for_what_to_log_in() {
    let team = Team::start().await;
    let service = team.registry.index.cluster().id.clone();
    let host = team.registry.address;
    let challenge = |answer: crate::support::Answer| answer.header("www-authenticate").to_owned();
    let version = challenge(team.registry.get("/v2/").await.refused(401, "UNAUTHORIZED"));
    assert_eq!(version, format!("Bearer realm=\"http://{host}/token\",service=\"{service}\""));
    let mount = format!("/v2/a/b/blobs/uploads/?mount={}&from=c", Digest::of(b""));
    let push = challenge(team.registry.ask("POST", &mount).send().await);
    assert!(push.ends_with(",scope=\"repository:a/b:pull,push repository:c:pull\""), "{push}");
    // The realm is where the request came to, whatever we are called elsewhere.
    let node = team.registry.ask("GET", "/v2/a/manifests/v1").header("host", "10.0.0.7:30500").send().await;
    assert!(challenge(node).starts_with("Bearer realm=\"http://10.0.0.7:30500/token\""));
    let proxied = team.registry.ask("GET", "/v2/").header("x-forwarded-proto", "https").send().await;
    assert!(challenge(proxied).starts_with("Bearer realm=\"https://"));
    let wrong = team.registry.by("bob", "wrong password").get("/token").await.refused(401, "UNAUTHORIZED");
    assert_eq!(wrong.header("www-authenticate"), "Basic realm=\"roadstead\"");
}

#[tokio::test]
async fn an_oauth2_form_gets_a_token_too() {
    let team = Team::start().await;
    let form = |text: String| {
        team.registry
            .ask("POST", "/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(text)
            .send()
    };
    let password = BOB.replace(' ', "+");
    let answer = form(format!(
        "grant_type=password&username=bob&password={password}&scope=repository:team/x:push&service={}",
        team.registry.index.cluster().id
    ))
    .await
    .expect(200);
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    team.registry.authorized(&format!("Bearer {token}")).push_blob("team/x", b"x").await;
    form("grant_type=password&username=bob&password=wrong".into()).await.refused(401, "UNAUTHORIZED");
    form("grant_type=password&username=bob".into()).await.expect(400);
    form("grant_type=password&username=bob&password=x&service=another".into()).await.expect(400);
    let robot = team.robot("ci", &[("team/**", "push")]).await;
    let answer = form(format!("grant_type=refresh_token&refresh_token={robot}&scope=repository:team/x:pull")).await;
    assert_eq!(answer.expect(200).json()["refresh_token"], json!(robot));
    form(format!("grant_type=refresh_token&refresh_token={token}")).await.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn everyone_may_do_what_a_policy_grants_to_those_who_are_not_known() {
    let team = Team::start().await;
    team.root.push_image("public/app", "v1", "open").await;
    team.registry.get("/v2/public/app/manifests/v1").await.expect(200);
    let token = bearer(&team.registry, &["repository:public/app:pull"]).await;
    team.registry.authorized(&format!("Bearer {token}")).get("/v2/public/app/manifests/v1").await.expect(200);
    team.registry.ask("POST", "/v2/public/app/blobs/uploads/").send().await.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn it_is_explained_which_rule_decides() {
    let team = Team::start().await;
    let of_a_directory = json!({ "rules": [
        { "subjects": ["group:ldap:dev"], "repositories": ["web/**"], "role": "push" },
        { "subjects": ["ldap:alice"], "repositories": ["web/**"], "role": "pull" },
    ]});
    api(&team.root, "PUT", "policies/ldap", &of_a_directory).await.expect(200);
    let ask = |query: &str| {
        let (root, path) = (team.root.clone(), format!("explain?{query}"));
        async move { api(&root, "GET", &path, &json!(null)).await.expect(200).json() }
    };
    for (query, allowed, reason) in [
        ("subject=user:bob&verb=push&repository=team/a", true, "rule 1 of policy team allows it"),
        ("subject=user:bob&verb=pull&repository=team/secret/a", false, "rule 6 of policy team denies it"),
        ("subject=user:bob&verb=delete&repository=team/a", false, "no rule, grant or configuration allows it"),
        ("subject=user:root&verb=admin&repository=x", true, "an administrator may do everything"),
        ("subject=user:nobody&verb=pull&repository=x", false, "there is no user nobody"),
        ("subject=anonymous&verb=pull&repository=public/x", true, "rule 5 of policy team allows it"),
        ("subject=ldap:alice&group=ldap:dev&verb=push&repository=web/app", true, "rule 1 of policy ldap allows it"),
        ("subject=ldap:alice&verb=pull&repository=web/app", true, "rule 2 of policy ldap allows it"),
        ("subject=ldap:eve&verb=pull&repository=web/app", false, "no rule, grant or configuration allows it"),
        ("subject=ldap:bob&verb=pull&repository=team/a", false, "no rule, grant or configuration allows it"),
        ("subject=oidc:x:eve&group=dev&verb=pull&repository=read/x", true, "rule 3 of policy team allows it"),
    ] {
        assert_eq!(ask(query).await, json!({ "allowed": allowed, "reason": reason }), "{query}");
    }
}

#[tokio::test]
async fn a_tag_that_is_written_once_stays_whoever_pushes() {
    let team = Team::start().await;
    let policy = json!({ "writeOnce": [{ "repositories": ["**"], "tags": ["v*", "stable"] }],
        "rules": [{ "subjects": ["user:carol"], "repositories": ["team/**"], "role": "admin" }] });
    api(&team.root, "PUT", "policies/kept", &policy).await.expect(200);
    let first = team.bob.push_image("home/bob/x", "v1", "first").await;
    team.bob.push_image("home/bob/x", "v1", "first").await;
    let second = team.bob.image("home/bob/x", "second").await;
    for tag in ["v1", "latest?tag=v1"] {
        let answer = team.bob.put_manifest("home/bob/x", tag, &second).await.refused(403, "DENIED");
        assert!(answer.json()["errors"][0]["message"].as_str().unwrap().contains("written once"));
    }
    team.bob.push_image("home/bob/x", "latest", "first").await;
    team.bob.put_manifest("home/bob/x", "latest", &second).await.expect(201);
    team.bob.delete("/v2/home/bob/x/manifests/v1").await.refused(403, "DENIED");
    team.bob.delete(&format!("/v2/home/bob/x/manifests/{first}")).await.refused(403, "DENIED");
    team.bob.delete("/v2/home/bob/x/manifests/latest").await.expect(202);
    // Who has admin there, and administrators, may.
    team.bob.push_image("team/y", "stable", "first").await;
    team.bob.put_manifest("team/y", "stable", &team.bob.image("team/y", "second").await).await.refused(403, "DENIED");
    team.registry.by("carol", super::CAROL).push_image("team/y", "stable", "third").await;
    team.root.delete("/v2/home/bob/x/manifests/v1").await.expect(202);
}

#[tokio::test]
async fn a_push_beyond_the_quota_is_denied_with_the_figures() {
    let team = Team::start().await;
    let quota = json!({ "repositories": "home/*/**", "bytes": 1000, "tags": 1 });
    api(&team.root, "PUT", "quotas/homes", &quota).await.expect(200);
    team.registry.index.submit(None, Command::Expire(Expire { limit: 100 })).await.unwrap();
    team.registry.index.submit(None, Command::Expire(Expire { limit: 100 })).await.unwrap();
    team.registry.index.submit(None, Command::Expire(Expire { limit: 100 })).await.unwrap();
    team.bob.push_image("home/bob/x", "v1", "small").await;
    let large = "x".repeat(1000);
    let digest = Digest::of(large.as_bytes());
    let path = format!("/v2/home/bob/y/blobs/uploads/?digest={digest}");
    let answer = team.bob.ask("POST", &path).body(large.clone()).send().await.refused(403, "DENIED").json();
    let detail = &answer["errors"][0]["detail"];
    assert_eq!(
        (&detail["quota"], &detail["share"], &detail["what"], &detail["most"]),
        (&json!("homes"), &json!("home/bob"), &json!("bytes"), &json!(1000))
    );
    assert!(detail["needed"].as_u64().unwrap() > 1000);
    // Nor does an upload that was begun stay for later.
    let begun = team.bob.ask("POST", "/v2/home/bob/y/blobs/uploads/").send().await.expect(202);
    let upload = begun.header("location").to_owned();
    let path = upload.split_once("/v2/").map_or(upload.clone(), |(_, path)| format!("/v2/{path}"));
    let patched = team.bob.ask("PATCH", &path).body(large.clone()).send().await.expect(202);
    assert_eq!(patched.header("range"), "0-999");
    let with = if path.contains('?') { '&' } else { '?' };
    team.bob.ask("PUT", &format!("{path}{with}digest={digest}")).send().await.refused(403, "DENIED");
    team.bob.get(&path).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
    let again = image("small");
    team.bob.put_manifest("home/bob/x", "v2", &again).await.refused(403, "DENIED");
    team.bob.put_manifest("home/bob/x", "v1", &again).await.expect(201);
    team.carol.push_image("home/carol/x", "v1", "small").await;
    let listed = api(&team.root, "GET", "quotas", &json!(null)).await.expect(200).json();
    assert_eq!(listed["quotas"][0]["counted"], true);
    let shares: Vec<_> = listed["quotas"][0]["shares"]
        .as_array()
        .unwrap()
        .iter()
        .map(|share| (share["share"].as_str().unwrap(), share["tags"].as_u64().unwrap()))
        .collect();
    assert_eq!(shares, [("home/bob", 1), ("home/carol", 1)]);
}
