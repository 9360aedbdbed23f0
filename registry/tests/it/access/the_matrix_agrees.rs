//! Every subject, action and repository, by every way to log in, against an oracle that knows the policy of the team by heart.

use http::Method;
use roadstead::auth::policy::Verb;
use roadstead::oci::action::Action;
use roadstead::oci::digest::Digest;
use serde_json::json;

use super::{Team, bearer};
use crate::support::{Answer, Client, image};

const REPOSITORIES: [&str; 8] = [
    "team/app",
    "team/secret/app",
    "kept/app",
    "read/app",
    "home/bob/app",
    "home/carol/app",
    "public/app",
    "nowhere/granted",
];

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    Root,
    Bob,
    Carol,
    Robot,
}

/// What the policy of the team means, said once more and otherwise.
fn may(who: Who, verb: Verb, repository: &str) -> bool {
    let verbs: &[Verb] = match (who, repository) {
        (Who::Root, _) => return true,
        (Who::Bob, "kept/app") => &[Verb::Pull, Verb::Push],
        (Who::Bob, "home/bob/app") | (Who::Carol, "home/carol/app") => {
            &[Verb::Pull, Verb::Push, Verb::Overwrite, Verb::Delete]
        }
        (Who::Bob | Who::Robot, "team/app") => &[Verb::Pull, Verb::Push, Verb::Overwrite],
        (Who::Bob | Who::Robot, "read/app") | (Who::Nobody, "public/app") => &[Verb::Pull],
        // And nobody anything to team/secret/app.
        _ => &[],
    };
    verbs.contains(&verb)
}

/// What an action needs, by the oracle. An action that is not here does not compile; one that no request below makes fails.
fn need(action: &Action) -> Option<Verb> {
    match action {
        Action::IssueToken { .. } | Action::Administer(_) | Action::CheckVersion | Action::ListRepositories { .. } => {
            None
        }
        Action::GetBlob { .. }
        | Action::GetManifest { .. }
        | Action::ListTags { .. }
        | Action::TagHistory { .. }
        | Action::ListReferrers { .. } => Some(Verb::Pull),
        Action::StartUpload { .. }
        | Action::UploadStatus { .. }
        | Action::AppendUpload { .. }
        | Action::FinishUpload { .. }
        | Action::CancelUpload { .. }
        | Action::PutManifest { .. } => Some(Verb::Push),
        Action::DeleteBlob { .. } | Action::DeleteManifest { .. } | Action::DeleteTag { .. } => Some(Verb::Delete),
    }
}

/// One request of each kind of action, and the status that it gets from who may do it.
fn requests(layer: Digest, manifest: Digest) -> Vec<(&'static str, String, u16)> {
    let none = Digest::of(b"not there");
    vec![
        ("GET", format!("blobs/{layer}"), 200),
        ("HEAD", format!("blobs/{layer}"), 200),
        ("GET", "manifests/v1".into(), 200),
        ("HEAD", format!("manifests/{manifest}"), 200),
        ("GET", "tags/list".into(), 200),
        ("GET", "_roadstead/tags/history?tag=v1".into(), 200),
        ("GET", format!("referrers/{manifest}"), 200),
        ("POST", "blobs/uploads/".into(), 202),
        ("POST", format!("blobs/uploads/?mount={none}&from=read/app"), 202),
        ("POST", format!("blobs/uploads/?digest={}", Digest::of(b"")), 201),
        ("GET", "blobs/uploads/00".into(), 404),
        ("PATCH", "blobs/uploads/00".into(), 404),
        ("PUT", format!("blobs/uploads/00?digest={layer}"), 404),
        ("DELETE", "blobs/uploads/00".into(), 404),
        ("PUT", "manifests/v1".into(), 201),
        ("DELETE", "manifests/not-there".into(), 404),
        ("DELETE", format!("manifests/{none}"), 404),
        ("DELETE", format!("blobs/{none}"), 404),
    ]
}

fn action(method: &str, path: &str) -> Action {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    Action::parse(&Method::from_bytes(method.as_bytes()).unwrap(), path, query).unwrap()
}

async fn ask(client: &Client, method: &str, path: &str) -> Answer {
    let ask = client.ask(method, path);
    let is_manifest = method == "PUT" && path.contains("/manifests/");
    if is_manifest {
        ask.header("content-type", "application/vnd.oci.image.manifest.v1+json")
            .body(image("layer").to_string())
            .send()
            .await
    } else {
        ask.send().await
    }
}

/// What the oracle expects: the status, and the code of an error.
fn expected(who: Who, verb: Verb, repository: &str, path: &str, allowed: u16) -> (u16, Option<&'static str>) {
    if may(who, verb, repository) {
        return (allowed, None);
    }
    match (who, verb) {
        (Who::Nobody, _) => (401, Some("UNAUTHORIZED")),
        // As for a repository that is not there.
        (_, Verb::Pull) if path.contains("/referrers/") => (200, None),
        (_, Verb::Pull) => (404, Some("NAME_UNKNOWN")),
        _ => (403, Some("DENIED")),
    }
}

#[tokio::test]
async fn everybody_may_do_what_the_oracle_says_and_nothing_else() {
    let team = Team::start().await;
    for repository in REPOSITORIES {
        team.root.push_image(repository, "v1", "layer").await;
    }
    let token = team.robot("ci", &[("team/app", "push"), ("read/**", "pull")]).await;
    let robot = team.registry.by("ci", &token);
    let (layer, manifest) = (Digest::of(b"layer"), crate::support::digest_of(&image("layer")));
    let all = requests(layer, manifest);
    let kinds: std::collections::BTreeSet<_> =
        all.iter().map(|(method, rest, _)| action(method, &format!("/v2/a/{rest}")).name()).collect();
    assert_eq!(kinds.len(), 16, "one request of each kind of action that is about a repository: {kinds:?}");

    let mut asked = 0;
    for (who, client) in [
        (Who::Nobody, (*team.registry).clone()),
        (Who::Root, team.root.clone()),
        (Who::Bob, team.bob.clone()),
        (Who::Carol, team.carol.clone()),
        (Who::Robot, robot),
    ] {
        for repository in REPOSITORIES {
            // By a bearer token with all scopes, and with none.
            let scoped = bearer(&client, &[&format!("repository:{repository}:pull,push,delete")]).await;
            let scoped = team.registry.authorized(&format!("Bearer {scoped}"));
            let unscoped = team.registry.authorized(&format!("Bearer {}", bearer(&client, &[]).await));
            for (method, rest, allowed) in &all {
                let path = format!("/v2/{repository}/{rest}");
                let verb = need(&action(method, &path)).unwrap();
                let (status, code) = expected(who, verb, repository, &path, *allowed);
                for (way, client) in [("itself", &client), ("a token", &scoped)] {
                    let answer = ask(client, method, &path).await;
                    assert_eq!(answer.status.as_u16(), status, "{who:?} by {way}: {method} {path}");
                    if let (Some(code), true) = (code, *method != "HEAD") {
                        assert_eq!(answer.code(), code, "{who:?} by {way}: {method} {path}");
                    }
                    asked += 1;
                }
                let answer = ask(&unscoped, method, &path).await;
                let status = if may(who, verb, repository) { 401 } else { status };
                assert_eq!(answer.status.as_u16(), status, "{who:?} by a token without scopes: {method} {path}");
            }
            // A spelling that names something else, or nothing, gives nothing away.
            for alias in ["//v2/", "/V2/", "/v2//", "/v2%2f"] {
                let answer = client.get(&format!("{alias}{repository}/manifests/v1")).await;
                assert!(answer.status.as_u16() >= 400, "{who:?} {alias}{repository}");
            }
            let encoded = client.get(&format!("/v2/{}/manifests/v1", repository.replace('/', "%2F"))).await;
            assert!(encoded.status.as_u16() >= 400);
        }
        // Bob's images stay where they are, whoever asks: nothing of all that has changed anything.
        let seen = client.get("/v2/_catalog").await;
        let visible: Vec<_> = REPOSITORIES.into_iter().filter(|repository| may(who, Verb::Pull, repository)).collect();
        let mut visible = visible;
        visible.sort_unstable();
        if who == Who::Nobody {
            seen.refused(401, "UNAUTHORIZED");
        } else {
            assert_eq!(seen.expect(200).json(), json!({ "repositories": visible }), "{who:?}");
        }
    }
    assert_eq!(asked, 5 * 8 * 18 * 2);
}

/// 2 × 2: pull on the source or not, push on the target or not.
#[tokio::test]
async fn a_mount_is_judged_on_both_sides_for_everybody() {
    let team = Team::start().await;
    let digest = team.root.push_blob("seed", b"shared").await;
    for repository in REPOSITORIES {
        team.root.push_blob(repository, b"shared").await;
    }
    let token = team.robot("ci", &[("team/**", "push"), ("read/**", "pull")]).await;
    let robot = team.registry.by("ci", &token);
    let mut number = 0;
    for (who, client) in
        [(Who::Root, &team.root), (Who::Bob, &team.bob), (Who::Carol, &team.carol), (Who::Robot, &robot)]
    {
        for target in REPOSITORIES {
            for source in REPOSITORIES {
                let status = match (may(who, Verb::Push, target), may(who, Verb::Pull, source)) {
                    (false, _) => 403,
                    (true, false) => 202,
                    (true, true) => 201,
                };
                // Where the blob is not yet, under the same rules.
                number += 1;
                let fresh = target.replace("app", &format!("fresh{number}"));
                let path = format!("/v2/{fresh}/blobs/uploads/?mount={digest}&from={source}");
                let answer = client.ask("POST", &path).send().await;
                assert_eq!(answer.status.as_u16(), status, "{who:?} from {source} to {target}");
            }
        }
    }
}
