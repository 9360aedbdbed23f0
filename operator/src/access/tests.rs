//! What objects make of a registry, with an API server and a registry that are maps.

#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use serde_json::{Value, json};

use super::door::Closed;
use super::{Claim, Trouble, claim};
use crate::crd::access::Applied;
use crate::crd::{RegistryPolicy, RegistryRobot, RegistryUser};
use world::World;

const USER: &str = "registryusers/alice";
const ROBOT: &str = "registryrobots/nodes";

fn world() -> World {
    let world = World::default();
    world.secret("images", "alice", "1", "c2VjcmV0LW9uZQ==");
    world.object(
        "registryusers",
        "RegistryUser",
        "alice",
        &json!({
            "registry": "images", "passwordSecret": { "name": "alice" }, "groups": ["dev"],
        }),
    );
    world.object(
        "registryrobots",
        "RegistryRobot",
        "nodes",
        &json!({
            "registry": "images", "grants": [{ "repositories": "team/**", "role": "pull" }],
            "pullSecret": { "name": "pull", "namespaces": ["images", "team"], "rotate": "24h" },
        }),
    );
    world.object(
        "registrypolicies",
        "RegistryPolicy",
        "team",
        &json!({
            "registry": "images", "rules": [{ "subjects": ["group:dev"], "repositories": ["team/**"], "role": "push" }],
        }),
    );
    world.namespace("team", "");
    world
}

#[test]
fn what_is_there_is_the_objects_if_it_made_it_or_was_given_it() {
    let applied = |name: &str, sum: Option<&str>| Applied { name: name.into(), sum: sum.map(str::to_owned) };
    for (what, is_there, applied, looks_ours, adopts, said) in [
        ("nothing is there", false, None, false, false, Claim::Make),
        ("nothing is there any more", false, Some(applied("a", Some("x"))), false, true, Claim::Make),
        ("it made it", true, Some(applied("a", Some("x"))), false, false, Claim::Keep),
        ("it was going to, and it looks so", true, Some(applied("a", None)), true, false, Claim::Keep),
        ("it was going to, and another was quicker", true, Some(applied("a", None)), false, false, Claim::Taken),
        ("it only looks so", true, None, true, false, Claim::Taken),
        ("it made another one", true, Some(applied("b", Some("x"))), true, false, Claim::Taken),
        ("it was given it", true, None, false, true, Claim::Keep),
    ] {
        assert_eq!(claim(is_there, "a", applied.as_ref(), looks_ours, adopts), said, "{what}");
    }
}

#[tokio::test]
async fn a_user_is_made_once_and_at_rest_nothing_is_written() {
    let world = world();
    world.look::<RegistryUser>(USER).await.unwrap();
    let account = world.in_registry("users/alice");
    assert_eq!((&account["groups"], &account["password"]), (&json!(["dev"]), &json!("secret-one")));
    assert_eq!(account["description"], "RegistryUser images/alice");
    assert_eq!(world.get(USER)["metadata"]["finalizers"], json!(["roadstead.dev/access"]));
    world.writes();
    world.look::<RegistryUser>(USER).await.unwrap();
    assert_eq!(world.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_secret_that_changes_changes_the_password_and_a_change_in_the_registry_is_put_right() {
    let world = world();
    world.look::<RegistryUser>(USER).await.unwrap();
    world.secret("images", "alice", "2", "c2VjcmV0LXR3bw==");
    world.look::<RegistryUser>(USER).await.unwrap();
    assert_eq!(world.in_registry("users/alice")["password"], "secret-two");
    world.change_in_registry("users/alice", &json!({ "groups": ["dev", "release"] }));
    world.writes();
    world.look::<RegistryUser>(USER).await.unwrap();
    assert_eq!(world.in_registry("users/alice")["groups"], json!(["dev"]));
    assert_eq!(world.writes(), ["registry PATCH users/alice", "event Corrected"]);
}

#[tokio::test]
async fn who_is_shut_out_is_so_without_a_secret_too() {
    let world = world();
    world.look::<RegistryUser>(USER).await.unwrap();
    world.delete("images/secrets/alice");
    world.change(USER, &json!({ "spec": { "disabled": true } }));
    assert_eq!(world.look::<RegistryUser>(USER).await.unwrap_err().reason, "SecretMissing");
    assert_eq!(world.in_registry("users/alice")["disabled"], true);
}

#[tokio::test]
async fn an_account_of_somebody_else_is_left_alone_until_the_object_is_given_it() {
    let world = world();
    world.make_in_registry("users/alice", &json!({ "description": "ours since long", "groups": ["admins"] }));
    for _ in 0..2 {
        let trouble = world.look::<RegistryUser>(USER).await.unwrap_err();
        assert_eq!(trouble.reason, "Exists");
        assert!(trouble.message.contains("roadstead.dev/adopt=true"), "{}", trouble.message);
    }
    assert_eq!(world.in_registry("users/alice")["groups"], json!(["admins"]));
    world.end::<RegistryUser>(USER, true).await.unwrap();
    assert_eq!(world.in_registry("users/alice")["groups"], json!(["admins"]), "it goes without it");
    world.change(USER, &json!({ "metadata": { "annotations": { "roadstead.dev/adopt": "true" } } }));
    world.look::<RegistryUser>(USER).await.unwrap();
    let account = world.in_registry("users/alice");
    assert_eq!((&account["groups"], &account["password"]), (&json!(["dev"]), &json!("secret-one")));
}

#[tokio::test]
async fn a_name_is_for_a_user_or_for_a_robot() {
    let world = world();
    world.make_in_registry("robots/alice", &json!({ "kind": "robot" }));
    world.change(USER, &json!({ "metadata": { "annotations": { "roadstead.dev/adopt": "true" } } }));
    assert_eq!(world.look::<RegistryUser>(USER).await.unwrap_err().reason, "Exists");
    assert!(!world.writes().contains(&"registry POST users".to_owned()));
}

#[tokio::test]
async fn what_the_registry_refuses_is_told_in_its_words() {
    let world = world();
    world.refuse("POST users", 400, "a password has 8 to 1024 bytes");
    let trouble = world.look::<RegistryUser>(USER).await.unwrap_err();
    assert_eq!((trouble.reason, trouble.message.as_str()), ("Refused", "a password has 8 to 1024 bytes"));
    world.refuse("POST users", 503, "no majority");
    assert_eq!(world.look::<RegistryUser>(USER).await.unwrap_err().reason, "RegistryNotReady");
}

#[tokio::test]
async fn an_object_that_goes_takes_its_account_with_it() {
    let world = world();
    world.look::<RegistryUser>(USER).await.unwrap();
    world.end::<RegistryUser>(USER, true).await.unwrap();
    assert!(world.in_registry("users/alice").is_null());
    assert_eq!(world.get(USER)["metadata"]["finalizers"], json!([]));
}

#[tokio::test]
async fn an_object_whose_registry_is_gone_goes_and_one_whose_registry_rests_waits() {
    let world = world();
    world.look::<RegistryUser>(USER).await.unwrap();
    let paused = Closed::For(Trouble::new("Paused", "it is paused"));
    assert_eq!(world.end_at::<RegistryUser>(USER, Err(paused)).await.unwrap_err().reason, "Paused");
    assert_eq!(world.get(USER)["metadata"]["finalizers"], json!(["roadstead.dev/access"]));
    world.end::<RegistryUser>(USER, false).await.unwrap();
    assert_eq!(world.get(USER)["metadata"]["finalizers"], json!([]));
    assert!(!world.in_registry("users/alice").is_null(), "nobody was asked");
}

#[tokio::test]
async fn a_policy_is_kept_as_the_object_says() {
    let (world, path) = (world(), "registrypolicies/team");
    world.look::<RegistryPolicy>(path).await.unwrap();
    assert_eq!(world.in_registry("policies/team")["rules"][0]["role"], "push");
    world.writes();
    world.look::<RegistryPolicy>(path).await.unwrap();
    assert_eq!(world.writes(), Vec::<String>::new());
    world.change_in_registry("policies/team", &json!({ "rules": [] }));
    world.look::<RegistryPolicy>(path).await.unwrap();
    assert_eq!(world.writes(), ["registry PUT policies/team", "event Corrected"]);
    world.end::<RegistryPolicy>(path, true).await.unwrap();
    assert!(world.in_registry("policies/team").is_null());
}

#[tokio::test]
async fn other_namespaces_get_the_secret_once_they_consent_and_until_they_do_no_longer() {
    let world = world();
    let trouble = world.look::<RegistryRobot>(ROBOT).await.unwrap_err();
    assert_eq!(trouble.reason, "NoConsent");
    assert!(world.token("images").is_some() && world.token("team").is_none());
    world.namespace("team", "images");
    world.look::<RegistryRobot>(ROBOT).await.unwrap();
    assert_eq!(world.token("team"), world.token("images"), "both have the same");
    world.writes();
    world.look::<RegistryRobot>(ROBOT).await.unwrap();
    assert_eq!(world.writes(), Vec::<String>::new());
    world.namespace("team", "other");
    assert_eq!(world.look::<RegistryRobot>(ROBOT).await.unwrap_err().reason, "NoConsent");
    assert!(world.token("images").is_some() && world.token("team").is_none());
}

#[tokio::test]
async fn leave_that_is_taken_back_counts_while_the_registry_cannot_be_reached_too() {
    let world = world();
    world.namespace("team", "images");
    world.look::<RegistryRobot>(ROBOT).await.unwrap();
    world.namespace("team", "");
    for (reason, is_there) in [("Paused", true), ("RegistryNotReady", false)] {
        let closed = Closed::For(Trouble::new(reason, "not now"));
        assert_eq!(world.look_at::<RegistryRobot>(ROBOT, Err(closed)).await.unwrap_err().reason, reason);
        assert_eq!(world.token("team").is_some(), is_there, "{reason}");
    }
    assert!(world.token("images").is_some());
}

#[tokio::test]
async fn a_secret_that_somebody_takes_or_changes_comes_back_and_costs_no_token_while_another_has_it() {
    let world = world();
    world.namespace("team", "images");
    world.look::<RegistryRobot>(ROBOT).await.unwrap();
    let token = world.token("images");
    world.delete("team/secrets/pull");
    world.look::<RegistryRobot>(ROBOT).await.unwrap();
    assert_eq!(world.token("team"), token);
    world.change("team/secrets/pull", &json!({ "data": { ".dockerconfigjson": "e30=" } }));
    world.look::<RegistryRobot>(ROBOT).await.unwrap();
    assert_eq!((world.token("team"), world.tokens()), (token.clone(), 1));
    for namespace in ["images", "team"] {
        world.delete(&format!("{namespace}/secrets/pull"));
    }
    world.look::<RegistryRobot>(ROBOT).await.unwrap();
    assert!(world.token("team").is_some() && world.token("team") != token, "nobody knows the one before any more");
}

#[tokio::test]
async fn the_token_before_stays_good_until_the_next_one() {
    let world = world();
    world.namespace("team", "images");
    world.look::<RegistryRobot>(ROBOT).await.unwrap();
    let mut seen = vec![world.token("team")];
    for round in 1..4 {
        world.change(ROBOT, &json!({ "metadata": { "annotations": { "roadstead.dev/rotate": round.to_string() } } }));
        for _ in 0..2 {
            world.look::<RegistryRobot>(ROBOT).await.unwrap();
        }
        seen.push(world.token("team"));
        let good: Vec<bool> = seen.iter().flatten().map(|token| world.is_good(token)).collect();
        assert_eq!(good.iter().rev().take(2).collect::<Vec<_>>(), [&true, &true], "{round}");
        assert_eq!(good.iter().filter(|is_good| **is_good).count(), 2, "{round}: {good:?}");
    }
    // Somebody's own token of this robot is not the operator's to delete.
    world.make_in_registry("robots/nodes/tokens/his", &json!({ "id": "his", "description": "laptop" }));
    world.change(ROBOT, &json!({ "metadata": { "annotations": { "roadstead.dev/rotate": "again" } } }));
    world.look::<RegistryRobot>(ROBOT).await.unwrap();
    assert!(!world.in_registry("robots/nodes/tokens/his").is_null());
}

#[tokio::test]
async fn a_secret_that_is_not_of_the_robot_is_never_written() {
    let world = world();
    world.namespace("team", "images");
    world.secret("team", "pull", "1", "eA==");
    let trouble = world.look::<RegistryRobot>(ROBOT).await.unwrap_err();
    assert_eq!(trouble.reason, "SecretTaken");
    assert!(trouble.message.contains("pull in team"), "{}", trouble.message);
    assert_eq!(world.get("team/secrets/pull")["data"], json!({ "password": "eA==" }));
    assert!(world.token("images").is_some());
    world.end::<RegistryRobot>(ROBOT, true).await.unwrap();
    assert_eq!(world.get("team/secrets/pull")["data"], json!({ "password": "eA==" }));
    assert!(world.get("images/secrets/pull").is_null() && world.in_registry("robots/nodes").is_null());
}

#[tokio::test]
async fn a_namespace_where_the_operator_may_do_nothing_hinders_no_other() {
    let world = world();
    world.namespace("team", "images");
    world.look::<RegistryRobot>(ROBOT).await.unwrap();
    let before = world.token("images");
    world.forbid("team/");
    let rotate = json!({ "metadata": { "annotations": { "roadstead.dev/rotate": "now" } } });
    for change in [rotate, json!({ "spec": { "pullSecret": { "namespaces": ["images"] } } })] {
        world.change(ROBOT, &change);
        let trouble = world.look::<RegistryRobot>(ROBOT).await.unwrap_err();
        assert!(trouble.reason == "ApiRefused" && trouble.message.contains("pull in team"), "{trouble:?}");
    }
    assert!(world.token("images").is_some() && world.token("images") != before);
}

#[tokio::test]
async fn where_nobody_may_have_it_no_token_is_made() {
    let world = world();
    world.change(ROBOT, &json!({ "spec": { "pullSecret": { "namespaces": ["team", "nowhere"] } } }));
    let trouble = world.look::<RegistryRobot>(ROBOT).await.unwrap_err();
    assert!(
        trouble.message.contains("kubectl label namespace team") && trouble.message.contains("no namespace nowhere")
    );
    assert_eq!(world.tokens(), 0);
}

#[tokio::test]
async fn a_robot_without_a_pull_secret_loses_those_that_it_had() {
    let world = world();
    world.namespace("team", "images");
    world.look::<RegistryRobot>(ROBOT).await.unwrap();
    world.change(ROBOT, &json!({ "spec": { "pullSecret": Value::Null } }));
    world.look::<RegistryRobot>(ROBOT).await.unwrap();
    assert!(world.get("images/secrets/pull").is_null() && world.get("team/secrets/pull").is_null());
    assert_eq!(world.tokens(), 0);
}

#[tokio::test]
async fn secrets_go_with_their_robot_though_its_registry_is_gone() {
    let world = world();
    world.namespace("team", "images");
    world.look::<RegistryRobot>(ROBOT).await.unwrap();
    world.end::<RegistryRobot>(ROBOT, false).await.unwrap();
    assert!(world.get("images/secrets/pull").is_null() && world.get("team/secrets/pull").is_null());
}
