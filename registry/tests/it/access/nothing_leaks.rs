//! What somebody may not see looks like what is not there: status, headers and body, in every place where it could show.

use std::collections::BTreeMap;

use roadstead::oci::digest::Digest;
use serde_json::json;

use super::{Team, bearer};
use crate::support::{Answer, Client};

/// An answer without what differs between any two requests, and without the name of the repository.
fn neutral(answer: &Answer, repository: &str) -> (u16, BTreeMap<String, String>, String) {
    let text = |text: &str| text.replace(repository, "<repository>");
    let headers = answer.headers.iter().filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), text(value.to_str().unwrap()))).collect();
    (answer.status.as_u16(), headers, text(&String::from_utf8_lossy(&answer.body)))
}

async fn assert_alike(client: &Client, there: &str, nowhere: &str, method: &str, rest: &str, body: &'static [u8]) {
    let ask = |repository: &str| {
        let ask = client.ask(method, &format!("/v2/{repository}/{rest}"));
        if body.is_empty() {
            ask
        } else {
            ask.header("content-type", "application/vnd.oci.image.manifest.v1+json").body(body)
        }
    };
    let (one, other) = (ask(there).send().await, ask(nowhere).send().await);
    assert_eq!(neutral(&one, there), neutral(&other, nowhere), "{method} {rest}");
}

#[tokio::test]
async fn a_repository_that_one_may_not_see_answers_as_one_that_is_not_there() {
    let team = Team::start().await;
    let manifest = team.root.push_image("hidden/aa", "v1", "secret layer").await;
    let layer = Digest::of(b"secret layer");
    let referrer = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": crate::support::descriptor("application/vnd.oci.empty.v1+json", b"{}"), "layers": [],
        "subject": { "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest.to_string(), "size": 1 } });
    team.root.put_manifest("hidden/aa", "ref", &referrer).await.expect(201);
    team.root.push_blob("hidden/source", b"secret layer").await;
    let upload = team.root.begin("hidden/aa").await;
    let upload = upload.rsplit('/').next().unwrap();
    let none = Digest::of(b"nowhere");
    let pull = bearer(&team.carol, &["repository:hidden/aa:pull", "repository:hidden/zz:pull"]).await;
    for client in [team.carol.clone(), team.registry.authorized(&format!("Bearer {pull}")), (*team.registry).clone()] {
        for method in ["GET", "HEAD"] {
            for rest in [
                "manifests/v1".to_owned(),
                format!("manifests/{manifest}"),
                format!("blobs/{layer}"),
                "tags/list".into(),
                "tags/list?n=1&last=a".into(),
                format!("referrers/{manifest}"),
                format!("referrers/{manifest}?artifactType=a/b"),
                "_roadstead/tags/history?tag=v1".into(),
                format!("blobs/uploads/{upload}"),
            ] {
                assert_alike(&client, "hidden/aa", "hidden/zz", method, &rest, b"").await;
            }
        }
        for (method, rest) in [
            ("DELETE", "manifests/v1".to_owned()),
            ("DELETE", format!("manifests/{manifest}")),
            ("DELETE", format!("blobs/{layer}")),
            ("DELETE", format!("blobs/uploads/{upload}")),
            ("POST", "blobs/uploads/".into()),
            ("POST", format!("blobs/uploads/?mount={layer}&from=hidden/source")),
            ("POST", format!("blobs/uploads/?mount={layer}")),
        ] {
            assert_alike(&client, "hidden/aa", "hidden/zz", method, &rest, b"").await;
        }
        for (method, rest) in [
            ("PUT", "manifests/v1".to_owned()),
            ("PATCH", format!("blobs/uploads/{upload}")),
            ("PUT", format!("blobs/uploads/{upload}?digest={layer}")),
            ("POST", format!("blobs/uploads/?digest={layer}")),
        ] {
            assert_alike(&client, "hidden/aa", "hidden/zz", method, &rest, b"{}").await;
        }
    }
    // What may be mounted does not tell either, and nothing was changed by all that.
    for (digest, from) in [(layer, "&from=hidden/aa"), (none, "&from=hidden/aa"), (layer, ""), (none, "")] {
        let answer = team.bob.ask("POST", &format!("/v2/team/x/blobs/uploads/?mount={digest}{from}")).send().await;
        answer.expect(202);
    }
    team.root.get("/v2/hidden/aa/manifests/v1").await.expect(200);
}

#[tokio::test]
async fn lists_show_what_may_be_read_and_page_as_if_there_were_nothing_else() {
    let team = Team::start().await;
    for n in 0..12 {
        let name = if n % 3 == 0 { format!("team/r{n:02}") } else { format!("hidden/r{n:02}") };
        team.root.push_blob(&name, b"x").await;
    }
    team.root.push_blob("team/secret/x", b"x").await;
    let (mut path, mut seen) = ("/v2/_catalog?n=3".to_owned(), Vec::new());
    loop {
        let answer = team.bob.get(&path).await.expect(200);
        seen.extend(
            answer.json()["repositories"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()),
        );
        let link = answer.header("link").to_owned();
        if link.is_empty() {
            break;
        }
        path = link.split(['<', '>']).nth(1).unwrap().to_owned();
    }
    assert_eq!(seen, ["team/r00", "team/r03", "team/r06", "team/r09"]);
    assert_eq!(team.carol.get("/v2/_catalog").await.expect(200).json(), json!({ "repositories": [] }));
    let whole = bearer(&team.bob, &["registry:catalog:*"]).await;
    let listed = team.registry.authorized(&format!("Bearer {whole}")).get("/v2/_catalog").await.expect(200).json();
    assert_eq!(listed["repositories"].as_array().unwrap().len(), 4);
    team.registry.get("/v2/_catalog").await.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn an_upload_is_known_to_nobody_but_who_began_it() {
    let team = Team::start().await;
    let upload = team.bob.begin("team/x").await;
    let ask = |client: &Client, method: &str| client.ask(method, &upload).send();
    for other in [&team.root, &team.registry.by("ci", &team.robot("ci", &[("team/**", "push")]).await)] {
        for method in ["GET", "PATCH", "DELETE"] {
            ask(other, method).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
        }
    }
    // He may go on with another proof of who he is.
    let token = bearer(&team.bob, &["repository:team/x:pull,push"]).await;
    let upload = team.registry.authorized(&format!("Bearer {token}")).append(&upload, b"one").await;
    team.bob.finish(&upload, &Digest::of(b"one two"), b" two").await.expect(201);
}
