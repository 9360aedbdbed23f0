//! Whom a cluster knows, may do what policies say of him, and what RBAC of the cluster grants him.

use http::StatusCode;
use serde_json::json;

use super::{Team, api, bearer};
use crate::support::Client;
use crate::support::issuer::Issuer;
use crate::support::reviews::{AUDIENCE, Reviews};

const PULLER: &str = "system:serviceaccount:apps:puller";

/// A team whose registry asks a cluster, and a signer of tokens that look like the cluster's.
async fn asking(rbac: bool) -> (Team, Reviews, Issuer) {
    let (reviews, issuer) = (Reviews::start().await, Issuer::start().await);
    let team = Team::with(|config| reviews.configure(config, rbac)).await;
    for repository in ["team/app", "team/lib", "team/secret/app"] {
        team.root.push_image(repository, "v1", repository).await;
    }
    (team, reviews, issuer)
}

fn token(reviews: &Reviews, issuer: &Issuer, user: &str) -> String {
    let token = issuer.sign(&json!({ "aud": AUDIENCE, "sub": user }));
    reviews.knows(&token, user);
    token
}

fn holder(team: &Team, token: &str) -> Client {
    team.registry.authorized(&format!("Bearer {token}"))
}

#[tokio::test]
async fn a_service_account_is_known_by_its_token_and_may_do_what_policies_say() {
    let (team, reviews, issuer) = asking(false).await;
    let rules = json!({ "rules": [
        { "subjects": ["kubernetes:system:serviceaccount:apps:*"], "repositories": ["team/app"], "role": "pull" },
        { "subjects": ["group:kubernetes:system:serviceaccounts"], "repositories": ["team/lib"], "role": "pull" },
    ]});
    api(&team.root, "PUT", "policies/cluster", &rules).await.expect(200);
    let puller = token(&reviews, &issuer, PULLER);
    let exchanged = bearer(&team.registry.by("oidc", &puller), &["repository:team/app:pull"]).await;
    for pod in [holder(&team, &puller), team.registry.by("any name", &puller), holder(&team, &exchanged)] {
        pod.get("/v2/team/app/manifests/v1").await.expect(200);
        pod.get("/v2/team/secret/app/manifests/v1").await;
    }
    let pod = holder(&team, &puller);
    pod.get("/v2/team/lib/manifests/v1").await.expect(200);
    pod.get("/v2/team/secret/app/manifests/v1").await.refused(404, "NAME_UNKNOWN");
    pod.ask("POST", "/v2/team/app/blobs/uploads/").send().await.refused(403, "DENIED");
    // Another one of the cluster has the groups alone.
    let other = holder(&team, &token(&reviews, &issuer, "system:serviceaccount:web:other"));
    other.get("/v2/team/app/manifests/v1").await.refused(404, "NAME_UNKNOWN");
    other.get("/v2/team/lib/manifests/v1").await.expect(200);
    assert_eq!(reviews.asked("TokenReview").len(), 2, "one question for each token, however many requests");
    assert_eq!(reviews.asked("TokenReview")[0]["spec"]["audiences"], json!([AUDIENCE]));
    assert!(reviews.asked("SubjectAccessReview").is_empty(), "RBAC is asked only when it is to be");
}

#[tokio::test]
async fn a_token_that_the_cluster_does_not_know_or_that_is_for_others_makes_nobody_known() {
    let (team, reviews, issuer) = asking(true).await;
    let unknown = issuer.sign(&json!({ "aud": AUDIENCE, "sub": PULLER }));
    holder(&team, &unknown).get("/v2/").await.refused(401, "UNAUTHORIZED");
    assert_eq!(reviews.asked("TokenReview").len(), 1);
    let elsewhere = issuer.sign(&json!({ "aud": "https://kubernetes.default.svc", "sub": PULLER }));
    reviews.knows(&elsewhere, PULLER);
    holder(&team, &elsewhere).get("/v2/").await.refused(401, "UNAUTHORIZED");
    assert_eq!(reviews.asked("TokenReview").len(), 1, "what is not for us is not shown to the cluster");
}

#[tokio::test]
async fn rbac_grants_what_it_binds_and_a_rule_that_denies_still_wins() {
    let (team, reviews, issuer) = asking(true).await;
    for (verb, repository) in [("pull", "team/app"), ("push", "team/lib"), ("pull", "team/secret/app")] {
        reviews.binds(PULLER, verb, Some(repository));
    }
    let puller = token(&reviews, &issuer, PULLER);
    let pod = holder(&team, &puller);
    pod.get("/v2/team/app/manifests/v1").await.expect(200);
    pod.delete("/v2/team/app/manifests/v1").await.refused(403, "DENIED");
    // To push is not to read, nor to move a tag that is there.
    pod.get("/v2/team/lib/tags/list").await.refused(404, "NAME_UNKNOWN");
    pod.push_image("team/lib", "v2", "new").await;
    let manifest = crate::support::image("new").to_string();
    let moved = pod.ask("PUT", "/v2/team/lib/manifests/v1").header("content-type", crate::support::OCI_IMAGE);
    moved.body(manifest).send().await.refused(403, "DENIED");
    pod.get("/v2/team/secret/app/manifests/v1").await.refused(404, "NAME_UNKNOWN");
    // A token of ours carries it no further than the scopes asked for, and is good for a minute.
    let answer =
        team.registry.by("x", &puller).get("/token?scope=repository:team/app:pull,push").await.expect(200).json();
    assert_eq!(answer["expires_in"], 60, "{answer}");
    let ours = holder(&team, answer["token"].as_str().unwrap());
    ours.get("/v2/team/app/manifests/v1").await.expect(200);
    ours.ask("POST", "/v2/team/app/blobs/uploads/").send().await.refused(403, "DENIED");
    // What RBAC grants to everything, lists show as well.
    assert_eq!(pod.get("/v2/_catalog").await.expect(200).json(), json!({ "repositories": [] }));
    let all = "system:serviceaccount:apps:all";
    reviews.binds(all, "pull", None);
    let all = holder(&team, &token(&reviews, &issuer, all));
    let seen = json!({ "repositories": ["team/app", "team/lib"] });
    assert_eq!(all.get("/v2/_catalog").await.expect(200).json(), seen);
    // Users of the registry are none of the cluster's.
    let before = reviews.asked("SubjectAccessReview").len();
    team.bob.get("/v2/team/app/manifests/v1").await.expect(200);
    assert_eq!(reviews.asked("SubjectAccessReview").len(), before);
    // Its name is in the audit.
    let audit = team.root.get(&format!("/api/v1/audit?who=kubernetes:{PULLER}")).await.expect(200).json();
    assert!(audit["records"].as_array().is_some_and(|records| !records.is_empty()), "{audit}");
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_or_refuses_us_grants_nothing_and_says_so() {
    let (team, reviews, issuer) = asking(true).await;
    reviews.binds(PULLER, "pull", Some("team/app"));
    let pod = holder(&team, &token(&reviews, &issuer, PULLER));
    for status in [StatusCode::FORBIDDEN, StatusCode::INTERNAL_SERVER_ERROR] {
        reviews.fails(Some(status));
        pod.get("/v2/team/app/manifests/v1").await.expect(503);
    }
    reviews.fails(None);
    pod.get("/v2/team/app/manifests/v1").await.expect(200);
    // What was learnt holds for a while; what was not asked yet cannot be known.
    reviews.fails(Some(StatusCode::BAD_GATEWAY));
    pod.get("/v2/team/app/manifests/v1").await.expect(200);
    pod.get("/v2/team/lib/manifests/v1").await.expect(503);
    team.bob.get("/v2/team/app/manifests/v1").await.expect(200);
}
