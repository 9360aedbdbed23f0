//! A restore that dies at any step of it is repeated with the same words and gives the whole index; until then nothing
//! serves from what it left. `NEXT` names a binary that has the fail points; `tests/run` builds it.

use roadstead::index::crash::RESTORE_POINTS;

use crate::support::archive::{all_archived, fail, options, run_with, serve, settings, succeed};
use crate::support::s3::FakeS3;
use crate::support::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_dies_at_any_step_is_repeated() {
    let Ok(next) = std::env::var("NEXT") else {
        println!("skipped: NEXT names no binary that was built with the feature failpoints; tests/run sets it");
        return;
    };
    let (bucket, mut tags) = (FakeS3::start().await, vec!["first".to_owned()]);
    let set = settings(&bucket);
    let mut server = Server::with(options(set.clone())).await;
    server.client().push_image("a", "first", "the first content, large enough for an object").await;
    all_archived(&server).await;
    server.kill();
    let verb = ["restore", "--take-over"];
    // The first point is passed by whoever receives a state.
    for point in ["index::snapshot::after_receive"].into_iter().chain(RESTORE_POINTS) {
        let directory = tempfile::tempdir().unwrap();
        let died = run_with(&next, &[("FAILPOINTS", &format!("{point}=return"))], &verb, &set, directory.path()).await;
        assert_eq!(died.status.code(), None, "{point} was not passed");
        if point != "index::restore::after_identity" {
            let said = fail(&["serve", "--listen", "127.0.0.1:0"], &set, directory.path()).await;
            assert!(said.contains("was cut short"), "{point}: {said}");
            let said = succeed(&verb, &set, directory.path()).await;
            assert!(!said.contains("index-before-"), "{point}: {said}");
        }
        let mut server = serve(set.clone(), directory.path()).await;
        let there = server.client().get("/v2/a/tags/list").await.expect(200).json();
        assert_eq!(there["tags"], serde_json::json!(tags), "{point}");
        let tag = format!("later-{}", tags.len());
        server.client().push_image("a", &tag, &format!("what was pushed after the restore, {tag}")).await;
        tags.push(tag);
        all_archived(&server).await;
        server.kill();
    }
}
