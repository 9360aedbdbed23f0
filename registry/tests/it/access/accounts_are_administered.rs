//! The administrators' API: who may use it, and what it says of mistakes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roadstead::index::access::AccessChange;
use roadstead::index::command::Command;
use roadstead::oci::digest::Digest;
use serde_json::{Value, json};

use super::{BOB, Team, api};
use crate::support::{Client, Registry, raw};

const NONE: Value = Value::Null;

#[tokio::test]
async fn cve_2024_22278_each_operation_asks_for_its_own_permission() {
    let team = Team::start().await;
    team.robot("ci", &[("team/**", "push")]).await;
    let (nobody, bob, root) = ((*team.registry).clone(), team.bob.clone(), team.root.clone());
    // For each: what somebody unknown, bob, and the administrator are answered.
    for (method, path, body, statuses) in [
        ("GET", "openapi.json", NONE, [200, 200, 200]),
        ("GET", "self", NONE, [401, 200, 200]),
        ("POST", "first-administrator/offer", json!({}), [403, 403, 403]),
        ("GET", "users", NONE, [401, 403, 200]),
        ("POST", "users", json!({ "name": "new" }), [401, 403, 201]),
        ("GET", "users/bob", NONE, [401, 200, 200]),
        ("GET", "users/carol", NONE, [401, 403, 200]),
        ("PATCH", "users/carol", json!({ "description": "x" }), [401, 403, 200]),
        ("PATCH", "users/carol", json!({ "administrator": true }), [401, 403, 200]),
        ("PATCH", "users/carol", json!({ "administrator": false }), [401, 403, 200]),
        ("PATCH", "users/bob", json!({ "description": "me" }), [401, 403, 200]),
        ("PUT", "users/carol/password", json!({ "password": "taken over" }), [401, 403, 204]),
        ("GET", "users/bob/tokens", NONE, [401, 200, 200]),
        ("GET", "users/carol/tokens", NONE, [401, 403, 200]),
        ("POST", "users/carol/tokens", json!({}), [401, 403, 201]),
        ("POST", "users/bob/tokens", json!({}), [401, 201, 201]),
        ("GET", "robots", NONE, [401, 403, 200]),
        ("GET", "robots/ci", NONE, [401, 403, 200]),
        ("POST", "robots", json!({ "name": "newbot" }), [401, 403, 201]),
        ("POST", "robots/ci/tokens", json!({}), [401, 403, 201]),
        ("DELETE", "robots/ci/tokens/0000000000000000", NONE, [401, 403, 404]),
        ("GET", "groups", NONE, [401, 403, 200]),
        ("PATCH", "groups/ops", json!({ "add": ["bob"] }), [401, 403, 204]),
        ("GET", "policies", NONE, [401, 403, 200]),
        ("GET", "policies/team", NONE, [401, 403, 200]),
        ("PUT", "policies/mine", json!({ "rules": [] }), [401, 403, 200]),
        ("DELETE", "policies/mine", NONE, [401, 403, 204]),
        ("GET", "audit", NONE, [401, 403, 200]),
        ("GET", "quotas", NONE, [401, 403, 200]),
        ("PUT", "quotas/mine", json!({ "repositories": "a/**", "tags": 1 }), [401, 403, 200]),
        ("DELETE", "quotas/mine", NONE, [401, 403, 204]),
        ("GET", "explain?verb=pull&repository=a", NONE, [401, 403, 200]),
        ("DELETE", "robots/ci", NONE, [401, 403, 204]),
        ("DELETE", "users/new", NONE, [401, 403, 204]),
    ] {
        for (client, status) in [&nobody, &bob, &root].into_iter().zip(statuses) {
            let answer = api(client, method, path, &body).await;
            assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
        }
    }
}

/// The id of somebody else's thing in the path of one's own.
#[tokio::test]
async fn cve_2022_31667_what_belongs_to_another_account_is_not_reached_through_ones_own() {
    let team = Team::start().await;
    let carols = team.token("users/carol", &json!({})).await;
    let id = carols["id"].as_str().unwrap();
    api(&team.bob, "DELETE", &format!("users/bob/tokens/{id}"), &NONE).await.refused(404, "NAME_UNKNOWN");
    api(&team.bob, "DELETE", &format!("users/carol/tokens/{id}"), &NONE).await.refused(403, "DENIED");
    api(&team.bob, "GET", "robots/carol", &NONE).await.refused(403, "DENIED");
    api(&team.root, "GET", "robots/carol", &NONE).await.refused(404, "NAME_UNKNOWN");
    let token = carols["token"].as_str().unwrap();
    team.registry.by("carol", token).get("/v2/").await.expect(200);
}

#[tokio::test]
async fn the_first_administrator_is_made_once_by_who_has_the_token() {
    let registry = Registry::start().await;
    let take = |token: &str, name: &str| {
        let (client, body) = ((*registry).clone(), json!({ "token": token, "name": name, "password": "a good one" }));
        async move { api(&client, "POST", "first-administrator", &body).await }
    };
    let token = || roadstead::auth::secret::TokenText::new().unwrap();
    let (offered, other) = (token(), token());
    take(&other.text(), "eve").await.refused(404, "NAME_UNKNOWN");
    let offer = |hash, expires| Command::Access(Box::new(AccessChange::OfferFirst { hash, expires }));
    let now = registry.index.time();
    registry.index.submit(None, offer(other.hash(), now.before(1))).await.unwrap();
    take(&other.text(), "eve").await.refused(404, "NAME_UNKNOWN");
    registry.index.submit(None, offer(offered.hash(), now.after(60_000))).await.unwrap();
    take(&other.text(), "eve").await.refused(404, "NAME_UNKNOWN");
    take("rst_nonsense", "eve").await.expect(400);
    let takes = (0..4).map(|n| take(&offered.text(), ["ann", "ben", "cat", "dan"][n]));
    let answers: Vec<_> = futures::future::join_all(takes.collect::<Vec<_>>())
        .await
        .iter()
        .map(|answer| answer.status.as_u16())
        .collect();
    assert_eq!(answers.iter().filter(|status| **status == 201).count(), 1, "{answers:?}");
    take(&offered.text(), "eve").await.refused(409, "DENIED");
    let error = registry.index.submit(None, offer(other.hash(), now.after(60_000))).await.unwrap_err();
    assert!(error.to_string().contains("there is an administrator already"), "{error}");
    let first = ["ann", "ben", "cat", "dan"][answers.iter().position(|status| *status == 201).unwrap()];
    let audit = api(&registry.by(first, "a good one"), "GET", "audit", &NONE).await.expect(200).json();
    let record = audit["records"].as_array().unwrap().last().unwrap();
    let said = ["action", "subject", "from"].map(|name| record[name].as_str().unwrap());
    assert_eq!(said, ["take_first", first, "127.0.0.1"]);
}

/// Nobody can log in before an account was made, with whatever is usual elsewhere.
#[tokio::test]
async fn cve_2026_4404_there_is_no_account_and_no_password_at_first() {
    let registry = Registry::start().await;
    for (name, password) in
        [("admin", "Harbor12345"), ("admin", "admin"), ("admin", "admin123"), ("root", ""), ("admin", "")]
    {
        registry.by(name, password).get("/v2/").await.refused(401, "UNAUTHORIZED");
    }
    api(&registry, "GET", "users", &NONE).await.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let team = Team::start().await;
    for (method, path, body) in [
        ("DELETE", "users/root", NONE),
        ("PATCH", "users/root", json!({ "administrator": false })),
        ("PATCH", "users/root", json!({ "disabled": true })),
        ("PATCH", "users/root", json!({ "expires": "2100-01-01T00:00:00Z" })),
    ] {
        api(&team.root, method, path, &body).await.refused(409, "DENIED");
    }
    api(&team.root, "PATCH", "users/bob", &json!({ "administrator": true })).await.expect(200);
    api(&team.root, "DELETE", "users/root", &NONE).await.expect(204);
    api(&team.bob, "GET", "users", &NONE).await.expect(200);
}

#[tokio::test]
async fn a_mistake_is_named_and_changes_nothing() {
    let team = Team::start().await;
    let before = api(&team.root, "GET", "users", &NONE).await.expect(200).json();
    for (method, path, body, says) in [
        ("POST", "users", json!({ "name": "Not A Name" }), "cannot be the name"),
        ("POST", "users", json!({ "name": "anonymous" }), "cannot be the name"),
        ("POST", "users", json!({ "name": "x", "password": "short" }), "8 to 1024 bytes"),
        ("POST", "users", json!({ "name": "x", "expires": "soon" }), "2027-01-31T12:00:00Z"),
        ("POST", "users", json!({ "name": "x", "grants": [{ "repositories": "a", "role": "pull" }] }), "only robots"),
        ("POST", "users", json!({ "name": "x", "admin": true }), "unknown field"),
        ("POST", "users", json!({}), "name"),
        ("POST", "robots", json!({ "name": "x", "password": "long enough" }), "no password"),
        ("POST", "robots", json!({ "name": "x", "administrator": true }), "cannot be an administrator"),
        ("POST", "robots", json!({ "name": "x", "grants": [{ "repositories": "A", "role": "pull" }] }), "pattern"),
        ("POST", "robots", json!({ "name": "x", "grants": [{ "repositories": "a" }] }), "either a role or verbs"),
        ("PATCH", "groups/Ops", json!({ "add": ["bob"] }), "name of a group"),
        (
            "PUT",
            "policies/x",
            json!({ "rules": [{ "subjects": ["bob"], "repositories": ["a"], "role": "pull" }] }),
            "no subject",
        ),
        (
            "PUT",
            "policies/x",
            json!({ "rules": [{ "subjects": [], "repositories": ["a"], "role": "pull" }] }),
            "mean nothing",
        ),
        ("PUT", "policies/X", json!({ "rules": [] }), "name of a policy"),
        ("PUT", "quotas/x", json!({ "repositories": "a/**" }), "limits bytes, tags or both"),
        ("PUT", "quotas/x", json!({ "repositories": "a**", "tags": 1 }), "repositories of a quota"),
        ("GET", "explain?verb=fly&repository=a", NONE, "say verb and repository"),
        ("GET", "explain?subject=group:dev&verb=pull&repository=a", NONE, "group:dev is nobody"),
    ] {
        let answer = api(&team.root, method, path, &body).await.expect(400);
        let message = answer.json()["errors"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(says), "{method} {path} {body}: {message}");
    }
    api(&team.root, "POST", "users", &json!({ "name": "bob" })).await.refused(409, "DENIED");
    api(&team.root, "POST", "robots", &json!({ "name": "bob" })).await.refused(409, "DENIED");
    api(&team.root, "PATCH", "users/nobody", &json!({})).await.refused(404, "NAME_UNKNOWN");
    api(&team.root, "PATCH", "groups/ops", &json!({ "add": ["bob", "nobody"] })).await.refused(404, "NAME_UNKNOWN");
    api(&team.root, "GET", "nothing", &NONE).await.refused(404, "UNSUPPORTED");
    api(&team.root, "PUT", "users", &json!({})).await.refused(405, "UNSUPPORTED");
    assert_eq!(api(&team.root, "GET", "users", &NONE).await.expect(200).json(), before);
    team.registry.by("bob", BOB).get("/v2/").await.expect(200);
}

#[tokio::test]
async fn the_description_names_every_operation() {
    let registry = Registry::start().await;
    let described = api(&registry, "GET", "openapi.json", &NONE).await.expect(200).json();
    let count: usize =
        described["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    // All operations but the description itself.
    assert_eq!(count, 28, "{}", described["paths"]);
    assert!(described["components"]["schemas"]["NewAccount"].is_object());
}

#[tokio::test]
async fn lists_of_accounts_come_in_pages() {
    let team = Team::start().await;
    for n in 0..7 {
        let kind = if n % 2 == 0 { "users" } else { "robots" };
        api(&team.root, "POST", kind, &json!({ "name": format!("x{n}") })).await.expect(201);
    }
    let names = |client: &Client, path: &str| {
        let (client, path) = (client.clone(), path.to_owned());
        async move {
            let page = api(&client, "GET", &path, &NONE).await.expect(200).json();
            let names: Vec<_> = page["users"]
                .as_array()
                .unwrap()
                .iter()
                .map(|user| user["name"].as_str().unwrap().to_owned())
                .collect();
            (names, page["more"].as_bool().unwrap())
        }
    };
    assert_eq!(names(&team.root, "users?n=3").await, (vec!["bob".into(), "carol".into(), "root".into()], true));
    assert_eq!(names(&team.root, "users?n=3&last=root").await, (vec!["x0".into(), "x2".into(), "x4".into()], true));
    assert_eq!(names(&team.root, "users?n=3&last=x4").await, (vec!["x6".into()], false));
}

#[tokio::test]
async fn the_audit_says_who_did_what_from_where_and_who_was_kept_from_it() {
    let team = Team::start().await;
    let audit = |query: &str| {
        let (root, path) = (team.root.clone(), format!("audit{query}"));
        async move { api(&root, "GET", &path, &NONE).await.expect(200).json() }
    };
    let begin = audit("").await["records"].as_array().unwrap().last().unwrap()["position"].as_u64().unwrap();
    let digest = team.bob.push_image("kept/app", "v1", "one").await;
    let second = team.bob.image("kept/app", "two").await;
    team.bob.put_manifest("kept/app", "v1", &second).await.refused(403, "DENIED");
    team.root.delete("/v2/kept/app/manifests/v1").await.expect(202);
    api(&team.root, "PATCH", "groups/ops", &json!({ "add": ["bob"] })).await.expect(204);
    let records = audit(&format!("?after={begin}")).await;
    let told: Vec<_> = records["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            assert_eq!(record["from"], "127.0.0.1");
            let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
            (
                text("who"),
                text("action"),
                text("repository"),
                record["tags"][0].as_str().unwrap_or_default().to_owned(),
                text("subject"),
                record["allowed"].as_bool().unwrap(),
            )
        })
        .collect();
    let line = |who: &str, action: &str, repository: &str, tag: &str, subject: &str, allowed| {
        (who.to_owned(), action.to_owned(), repository.to_owned(), tag.to_owned(), subject.to_owned(), allowed)
    };
    assert_eq!(
        told,
        [
            line("user:bob", "put_manifest", "kept/app", "v1", "", true),
            line("user:bob", "put_manifest", "kept/app", "v1", "", false),
            line("user:root", "delete_tag", "kept/app", "v1", "", true),
            line("user:root", "change_group", "", "", "ops", true),
        ]
    );
    assert_eq!(records["records"][0]["digest"], digest.to_string());
    assert_eq!(
        (&records["records"][0]["detail"], &records["records"][3]["detail"]),
        (&Value::Null, &json!("added bob"))
    );
    let bobs = audit(&format!("?after={begin}&who=user:bob&n=1")).await;
    assert_eq!(bobs["records"].as_array().unwrap().len(), 1);
    let next = bobs["next"].as_u64().unwrap();
    assert_eq!(audit(&format!("?after={next}&who=user:bob&repository=kept/app")).await["records"][0]["allowed"], false);
}

#[tokio::test]
async fn each_request_is_a_line_of_the_file_that_the_configuration_names() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.jsonl");
    let registry = Registry::with(|config| {
        config.log.audit = Some(file.clone());
        config.access.anonymous = Some(roadstead::config::Anonymous::Pull);
    })
    .await;
    registry.get("/v2/team/app/manifests/v1").await.expect(404);
    let answer = registry.delete("/v2/team/app/manifests/v1").await.expect(401);
    let id = answer.header("x-request-id").to_owned();
    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    crate::support::wait::eventually("both lines are there", async || lines().len() == 2).await;
    let expected = json!({ "id": id, "who": null, "from": "127.0.0.1", "action": "delete_tag", "repository": "team/app",
        "reference": "v1", "status": 401, "allowed": false });
    let mut line = lines().remove(1);
    assert!(line.as_object_mut().unwrap().remove("time").unwrap().as_str().unwrap().ends_with('Z'));
    assert_eq!(line, expected);
    // Each, and what its line says besides: a name that was tried, what is to be mounted and from where, whose account.
    let mallory = registry.by("mallory", "wrong-password");
    let mount = format!("/v2/team/app/blobs/uploads/?mount={}&from=other/app", Digest::of(b"x"));
    mallory.get("/v2/").await.expect(401);
    mallory.get("/token?scope=repository:a/b:pull").await.expect(401);
    registry.ask("POST", &mount).send().await.expect(401);
    registry.get("/api/v1/users/bob").await.expect(401);
    crate::support::wait::eventually("all lines are there", async || lines().len() == 6).await;
    let said = |line: &Value, names: &[&str]| names.iter().map(|name| line[*name].clone()).collect::<Value>();
    let lines_now = lines();
    assert_eq!(said(&lines_now[2], &["action", "who", "tried"]), json!(["check_version", null, "mallory"]));
    assert_eq!(said(&lines_now[3], &["action", "who", "tried"]), json!(["issue_token", null, "mallory"]));
    let mounted = said(&lines_now[4], &["repository", "reference", "source"]);
    assert_eq!(mounted, json!(["team/app", Digest::of(b"x").to_string(), "other/app"]));
    assert_eq!(said(&lines_now[5], &["action", "subject"]), json!(["api_get_account", "bob"]));
    std::fs::rename(&file, directory.path().join("audit.old")).unwrap();
    registry.get("/v2/").await.expect(401);
    crate::support::wait::eventually("a new file is begun", async || lines().len() == 1).await;
}

#[tokio::test]
async fn a_name_of_any_length_is_refused_and_harms_nothing() {
    let team = Team::start().await;
    let long = "n".repeat(65_536);
    api(&team.root, "PATCH", "groups/g", &json!({ "add": [long] })).await.expect(400);
    api(&team.root, "PATCH", "groups/g", &json!({ "remove": [long] })).await.expect(400);
    api(&team.root, "PATCH", "groups/g", &json!({ "add": ["bob"] })).await.expect(204);
}

/// Only the head of the request is sent: an answer comes all the same.
#[tokio::test]
async fn who_may_not_do_it_is_refused_before_his_request_is_read() {
    let team = Team::start().await;
    let bob = format!("authorization: Basic {}\r\n", STANDARD.encode(format!("bob:{BOB}")));
    for (path, authorization, status) in
        [("users", String::new(), 401), ("users", bob.clone(), 403), ("users/root/tokens", bob, 403)]
    {
        let head = format!(
            "POST /api/v1/{path} HTTP/1.1\r\nhost: x\r\n{authorization}content-type: application/json\r\n\
             content-length: 900000\r\nconnection: close\r\n\r\n"
        );
        let answer = raw::exchange(&team.registry.address.to_string(), head.as_bytes()).await;
        assert_eq!(raw::status(&answer), status, "{path}: {answer}");
    }
    // Anybody may try to be the first administrator, with a short request.
    let long = json!({ "token": "x".repeat(20_000), "name": "eve", "password": "the password of eve" });
    api(&team.registry, "POST", "first-administrator", &long).await.refused(413, "SIZE_INVALID");
}
