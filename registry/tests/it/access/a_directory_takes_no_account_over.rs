//! A directory is asked for names that no account has, and for no other: here one that is never there, so that whoever asks it gets
//! 503. With one that is, `tests/clients/ldap` logs in.

use serde_json::json;

use super::{BOB, Team, api};

async fn with_a_directory_that_is_away() -> Team {
    Team::with(|config| config.access.ldap.url = Some("ldap://127.0.0.1:1".into())).await
}

#[tokio::test]
async fn accounts_log_in_and_are_refused_without_a_word_of_the_directory() {
    let team = with_a_directory_that_is_away().await;
    team.bob.push_image("team/app", "v1", "one").await;
    team.registry.by("bob", "wrong").get("/v2/").await.refused(401, "UNAUTHORIZED");
    // Though it is shut, and though it has tokens and no password.
    api(&team.root, "PATCH", "users/bob", &json!({ "disabled": true })).await.expect(200);
    team.registry.by("bob", BOB).get("/v2/").await.refused(401, "UNAUTHORIZED");
    let token = team.robot("ci", &[("team/app", "push")]).await;
    team.registry.by("ci", &token).get("/v2/").await.expect(200);
    team.registry.by("ci", "a password").get("/v2/").await.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn who_has_no_account_is_told_that_the_directory_does_not_answer() {
    let team = with_a_directory_that_is_away().await;
    for path in ["/v2/", "/token"] {
        let answer = team.registry.by("alice", "secret").get(path).await.refused(503, "TOOMANYREQUESTS");
        assert!(!answer.header("retry-after").is_empty());
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains("directory") && !text.contains("127.0.0.1"), "{text}");
    }
    // Without a password nobody is asked, and once the name is an account's neither.
    team.registry.by("alice", "").get("/v2/").await.refused(401, "UNAUTHORIZED");
    let alice = json!({ "name": "alice", "password": "the password of alice" });
    api(&team.root, "POST", "users", &alice).await.expect(201);
    team.registry.by("alice", "secret").get("/v2/").await.refused(401, "UNAUTHORIZED");
    team.registry.by("alice", "the password of alice").get("/v2/").await.expect(200);
}
