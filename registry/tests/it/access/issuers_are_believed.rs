//! Whom an issuer of tokens vouches for, may do what is granted to him, as long as the issuer is trusted in the same way.

use std::sync::atomic::Ordering;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{Team, api, bearer};
use crate::support::issuer::{Issuer, text};
use crate::support::wait::eventually;
use crate::support::{Answer, Client};

/// A team that believes an issuer, called `ci`: main of acme/app may push to `team/app`, whatever acme builds may read it.
async fn believing() -> (Team, Issuer) {
    let (team, issuer) = (Team::start().await, Issuer::start().await);
    let rules = json!({ "rules": [
        { "subjects": ["group:release"], "repositories": ["team/app"], "role": "push" },
        { "subjects": ["ci:repo:acme/*"], "repositories": ["team/app"], "role": "pull" },
    ]});
    api(&team.root, "PUT", "policies/ci", &rules).await.expect(200);
    put(&team, &issuer, json!({})).await.expect(200);
    (team, issuer)
}

async fn put(team: &Team, issuer: &Issuer, change: Value) -> Answer {
    let mut body = json!({
        "issuer": issuer.url, "audiences": ["registry"],
        "rules": [
            { "claims": { "repository": "acme/app", "ref": "refs/heads/main" }, "groups": ["release"] },
            { "claims": { "repository": "acme/*" } },
        ],
    });
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    api(&team.root, "PUT", "issuers/ci", &body).await
}

fn main_of(issuer: &Issuer, repository: &str) -> String {
    issuer.sign(&json!({ "sub": format!("repo:{repository}"), "repository": repository, "ref": "refs/heads/main" }))
}

fn holder(team: &Team, token: &str) -> Client {
    team.registry.authorized(&format!("Bearer {token}"))
}

#[tokio::test]
async fn a_job_pushes_with_its_token_where_a_rule_says_so_and_nowhere_else() {
    let (team, issuer) = believing().await;
    let token = main_of(&issuer, "acme/app");
    // As clients log in that know of passwords alone, as those that bring a token, and with one of ours in exchange.
    let exchanged = bearer(&team.registry.by("any name", &token), &["repository:team/app:pull,push"]).await;
    for (n, job) in
        [team.registry.by("oidc", &token), holder(&team, &token), holder(&team, &exchanged)].iter().enumerate()
    {
        job.push_image("team/app", &format!("v{n}"), &format!("built {n}")).await;
        job.get(&format!("/v2/team/app/manifests/v{n}")).await.expect(200);
        job.delete(&format!("/v2/team/app/manifests/v{n}")).await;
        job.ask("POST", "/v2/team/other/blobs/uploads/").send().await;
    }
    let job = holder(&team, &token);
    job.delete("/v2/team/app/manifests/v0").await.refused(403, "DENIED");
    job.ask("POST", "/v2/team/other/blobs/uploads/").send().await.refused(403, "DENIED");
    job.get("/v2/team/secret/manifests/v0").await.refused(404, "NAME_UNKNOWN");
    // The same organisation, another repository: it reads.
    let other = holder(&team, &main_of(&issuer, "acme/docs"));
    other.get("/v2/team/app/manifests/v1").await.expect(200);
    other.ask("POST", "/v2/team/app/blobs/uploads/").send().await.refused(403, "DENIED");
    holder(&team, &main_of(&issuer, "evil/app")).get("/v2/").await.refused(401, "UNAUTHORIZED");
    // Who it was stands in the history and in the audit.
    let history = job.get("/v2/team/app/_roadstead/tags/history?tag=v1").await.expect(200).json();
    assert_eq!(history["changes"][0]["who"], "ci:repo:acme/app", "{history}");
    let audit = team.root.get("/api/v1/audit?who=ci:repo:acme/app").await.expect(200).json();
    assert_eq!(audit["records"].as_array().map(|records| records.len() >= 3), Some(true), "{audit}");
}

#[tokio::test]
async fn a_token_exchange_gives_one_of_ours() {
    let (team, issuer) = believing().await;
    let form = |token: &str| {
        format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token={token}\
             &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&scope=repository:team/app:push"
        )
    };
    let ask = |body: String| {
        team.registry
            .ask("POST", "/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
    };
    let answer = ask(form(&main_of(&issuer, "acme/app"))).await.expect(200).json();
    let ours = answer["access_token"].as_str().unwrap();
    assert_eq!(answer["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!((&answer["refresh_token"], &answer["expires_in"]), (&Value::Null, &json!(300)));
    holder(&team, ours).ask("POST", "/v2/team/app/blobs/uploads/").send().await.expect(202);
    ask(form(ours)).await.refused(401, "UNAUTHORIZED");
    // It is good no longer than the one it was given for.
    let now = issuer.claims(&json!({}))["iat"].as_u64().unwrap();
    let job = json!({ "sub": "repo:acme/app", "repository": "acme/app", "ref": "refs/heads/main", "exp": now + 60 });
    let short = ask(form(&issuer.sign(&job))).await.expect(200).json();
    assert!(short["expires_in"].as_u64().is_some_and(|seconds| seconds <= 60), "{short}");
    ask(form(&main_of(&issuer, "evil/app"))).await.refused(401, "UNAUTHORIZED");
    ask("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange".into())
        .await
        .refused(400, "UNSUPPORTED");
}

#[tokio::test]
async fn a_token_with_a_defect_makes_nobody_known() {
    let (team, issuer) = believing().await;
    let stranger = Issuer::start().await;
    let good = json!({ "sub": "repo:acme/app", "repository": "acme/app", "ref": "refs/heads/main" });
    let with = |change: Value| {
        let mut all = good.clone();
        all.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        all
    };
    let now = issuer.claims(&json!({}))["iat"].as_u64().unwrap();
    let signed = |change: Value| issuer.sign(&with(change));
    let unsigned = |header: Value| {
        let part = |value: &Value| text(value.to_string().as_bytes());
        format!("{}.{}.", part(&header), part(&issuer.claims(&good)))
    };
    let tampered = {
        let token = signed(json!({}));
        let [head, _, sum] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
        format!("{head}.{}.{sum}", text(issuer.claims(&with(json!({ "exp": now + 601 }))).to_string().as_bytes()))
    };
    holder(&team, &signed(json!({}))).get("/v2/").await.expect(200);
    for (what, token) in [
        ("for somebody else", signed(json!({ "aud": "https://other.example.com" }))),
        ("for nobody", signed(json!({ "aud": null }))),
        ("over", signed(json!({ "exp": now - 1 }))),
        ("without an end", signed(json!({ "exp": null }))),
        ("good for a year", signed(json!({ "exp": now + 365 * 24 * 3600 }))),
        ("not yet good", signed(json!({ "nbf": now + 3600 }))),
        ("good from a time that is a text", signed(json!({ "nbf": (now + 3600).to_string() }))),
        ("of an issuer that nobody knows", signed(json!({ "iss": "https://evil.example.com" }))),
        ("of an issuer that is called nearly so", signed(json!({ "iss": format!("{}/", issuer.url) }))),
        ("signed by somebody else", stranger.sign(&with(json!({ "iss": issuer.url })))),
        (
            "another's key under a known name",
            stranger.sign_with(&with(json!({ "iss": issuer.url })), Algorithm::ES256, Some("first")),
        ),
        ("of an unknown key", issuer.sign_with(&with(json!({})), Algorithm::ES256, Some("none"))),
        ("signed with what everybody knows", issuer.sign_with(&with(json!({})), Algorithm::HS256, None)),
        ("not signed", unsigned(json!({ "alg": "none", "typ": "JWT" }))),
        ("not signed, in another spelling", unsigned(json!({ "alg": "nOnE", "kid": "first" }))),
        ("changed", tampered),
        ("without a name", signed(json!({ "sub": null }))),
        ("of no rule", signed(json!({ "repository": "other/app" }))),
    ] {
        for client in [holder(&team, &token), team.registry.by("oidc", &token)] {
            let answer = client.get("/v2/").await;
            assert_eq!(answer.status, 401, "{what}");
        }
    }
}

#[tokio::test]
async fn whoever_is_trusted_no_more_vouches_for_nobody_at_once() {
    let (team, issuer) = believing().await;
    team.root.push_image("team/app", "v1", "one").await;
    let token = main_of(&issuer, "acme/app");
    let exchanged = bearer(&team.registry.by("oidc", &token), &["repository:team/app:pull,push"]).await;
    let (job, ours) = (holder(&team, &token), holder(&team, &exchanged));
    let all = || async {
        [
            job.get("/v2/team/app/manifests/v1").await.status.as_u16(),
            ours.get("/v2/team/app/manifests/v1").await.status.as_u16(),
        ]
    };
    assert_eq!(all().await, [200, 200]);
    // The same once more changes nothing.
    put(&team, &issuer, json!({})).await.expect(200);
    assert_eq!(all().await, [200, 200]);
    // Rules change: whoever comes is judged by them, and what was given for the old ones is good for nothing.
    put(&team, &issuer, json!({ "rules": [{ "claims": { "repository": "acme/docs" } }] })).await.expect(200);
    assert_eq!(all().await, [401, 401]);
    put(&team, &issuer, json!({})).await.expect(200);
    assert_eq!(all().await, [200, 401], "a new judgement, by a new word");
    team.root.delete("/api/v1/issuers/ci").await.expect(204);
    assert_eq!(all().await, [401, 401]);
    team.root.delete("/api/v1/issuers/ci").await.refused(404, "NAME_UNKNOWN");
}

#[tokio::test]
async fn keys_are_fetched_when_a_new_one_signs_and_kept_while_the_issuer_is_away() {
    let (team, issuer) = believing().await;
    let pulls = |token: String| {
        let job = holder(&team, &token);
        async move { job.get("/v2/").await.status.as_u16() }
    };
    assert_eq!(pulls(main_of(&issuer, "acme/app")).await, 200);
    issuer.is_down.store(true, Ordering::SeqCst);
    assert_eq!(pulls(main_of(&issuer, "acme/docs")).await, 200, "its keys are known");
    assert_eq!(issuer.fetched.load(Ordering::SeqCst), 1, "nothing is fetched for each token");
    // One whose keys were never had is no wrong password: it may be right, later.
    put(&team, &issuer, json!({ "description": "again" })).await.expect(200);
    let answer = holder(&team, &main_of(&issuer, "acme/app")).get("/v2/").await;
    answer.refused(503, "TOOMANYREQUESTS");
    issuer.is_down.store(false, Ordering::SeqCst);
    // For a moment it is left alone, so that one that hangs is not asked by everybody.
    eventually("its keys are had", async || pulls(main_of(&issuer, "acme/app")).await == 200).await;
    // Those that stand in it need nobody.
    issuer.new_key("second");
    let keys = issuer.published();
    issuer.is_down.store(true, Ordering::SeqCst);
    put(&team, &issuer, json!({ "keys": keys })).await.expect(200);
    assert_eq!(pulls(main_of(&issuer, "acme/app")).await, 200);
}

#[tokio::test]
async fn a_rule_may_say_which_account_somebody_uses() {
    let (team, issuer) = believing().await;
    let rules = json!([
        { "claims": { "repository": "acme/app" }, "account": "{robot}" },
    ]);
    put(&team, &issuer, json!({ "rules": rules })).await.expect(200);
    let token = |robot: Value| issuer.sign(&json!({ "repository": "acme/app", "robot": robot }));
    holder(&team, &token(json!("builder"))).get("/v2/").await.refused(401, "UNAUTHORIZED");
    team.robot("builder", &[("team/**", "push")]).await;
    let job = holder(&team, &token(json!("builder")));
    job.push_image("team/x", "v1", "built").await;
    // It would outlive the job, and the issuer.
    api(&job, "POST", "robots/builder/tokens", &json!({})).await.refused(403, "DENIED");
    let history = job.get("/v2/team/x/_roadstead/tags/history?tag=v1").await.expect(200).json();
    assert_eq!(history["changes"][0]["who"], "ci:somebody", "who it was, whichever account he used: {history}");
    api(&team.root, "PATCH", "robots/builder", &json!({ "disabled": true })).await.expect(200);
    job.get("/v2/team/x/manifests/v1").await.refused(401, "UNAUTHORIZED");
    holder(&team, &token(json!(["builder", "root"]))).get("/v2/").await.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn names_of_an_issuer_are_users_names_only_if_it_is_said() {
    let (team, issuer) = believing().await;
    let bob = issuer.sign(&json!({ "sub": "bob", "repository": "acme/app" }));
    holder(&team, &bob).ask("POST", "/v2/home/bob/x/blobs/uploads/").send().await.refused(403, "DENIED");
    put(&team, &issuer, json!({ "ownsNames": true, "groupsClaim": "groups" })).await.expect(200);
    holder(&team, &bob).ask("POST", "/v2/home/bob/x/blobs/uploads/").send().await.expect(202);
    // And its groups are its own, whatever they are called.
    let dev = issuer.sign(&json!({ "sub": "x", "repository": "acme/app", "groups": ["dev"] }));
    holder(&team, &dev).ask("POST", "/v2/team/x/blobs/uploads/").send().await.refused(403, "DENIED");
    let rules = json!({ "rules": [{ "subjects": ["group:ci:dev"], "repositories": ["team/**"], "role": "push" }] });
    api(&team.root, "PUT", "policies/more", &rules).await.expect(200);
    holder(&team, &dev).ask("POST", "/v2/team/x/blobs/uploads/").send().await.expect(202);
}

#[tokio::test]
async fn only_administrators_say_who_is_trusted_and_everyone_where_to_log_in() {
    let (team, issuer) = believing().await;
    team.bob.get("/api/v1/issuers").await.refused(403, "DENIED");
    team.bob.delete("/api/v1/issuers/ci").await.refused(403, "DENIED");
    for (name, change) in [
        ("user", json!({})),
        ("ci", json!({ "issuer": "http://example.com" })),
        ("ci", json!({ "audiences": [] })),
        ("ci", json!({ "rules": [] })),
    ] {
        let mut body = json!({ "issuer": issuer.url, "audiences": ["registry"], "rules": [{}] });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        api(&team.root, "PUT", &format!("issuers/{name}"), &body).await.refused(400, "UNSUPPORTED");
    }
    assert_eq!(team.registry.get("/api/v1/login").await.expect(200).json(), json!({ "issuers": [] }));
    put(&team, &issuer, json!({ "clientId": "roadstead", "scopes": ["openid"] })).await.expect(200);
    let login = team.registry.get("/api/v1/login").await.expect(200).json();
    assert_eq!(login["issuers"][0]["clientId"], "roadstead", "{login}");
    assert_eq!(login["issuers"][0].as_object().unwrap().len(), 5, "and nothing about rules: {login}");
}
