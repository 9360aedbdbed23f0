//! The process ends at each named point of a push: what was acknowledged is complete, what was not is whole or absent,
//! and the client that begins again comes to its end. Only with the feature `failpoints`.

#![cfg(feature = "failpoints")]

use roadstead::oci::digest::Digest;
use roadstead::push::crash::FAIL_POINTS;
use serde_json::Value;

use crate::support::server::{Options, Server};
use crate::support::{Client, OCI_IMAGE, descriptor, image};

/// The layer of push `number`: too large to be kept in the index.
fn layer(number: usize) -> Vec<u8> {
    (0..100_000_usize).map(|i| (i * 7 + number * 31) as u8).collect()
}

fn manifest(number: usize) -> Value {
    let mut manifest = image("");
    manifest["layers"] = serde_json::json!([descriptor("application/vnd.oci.image.layer.v1.tar", &layer(number))]);
    manifest
}

/// Pushes image `number` in two chunks; an error when the registry died on the way.
async fn push(client: &Client, number: usize) -> Result<(), reqwest::Error> {
    let layer = layer(number);
    let (first, second) = layer.split_at(60_000);
    for (parts, digest) in [(vec![first, second], Digest::of(&layer)), (vec![b"{}".as_slice()], Digest::of(b"{}"))] {
        let begun = client.ask("POST", "/v2/a/blobs/uploads/").try_send().await?.expect(202);
        let mut upload = begun.header("location").to_owned();
        for part in parts {
            let answer = client.ask("PATCH", &upload).body(part.to_vec()).try_send().await?.expect(202);
            answer.header("location").clone_into(&mut upload);
        }
        client.ask("PUT", &format!("{upload}?digest={digest}")).try_send().await?.expect(201);
    }
    let ask = client.ask("PUT", &format!("/v2/a/manifests/t{number}")).header("content-type", OCI_IMAGE);
    ask.body(serde_json::to_vec(&manifest(number)).unwrap()).try_send().await?.expect(201);
    Ok(())
}

/// Whether image `number` is there; if its tag is, all of it must be.
async fn is_there(client: &Client, number: usize) -> bool {
    let answer = client.get(&format!("/v2/a/manifests/t{number}")).await;
    if answer.status == 404 {
        return false;
    }
    assert_eq!(answer.expect(200).body, serde_json::to_vec(&manifest(number)).unwrap());
    let layer = layer(number);
    assert!(client.get(&format!("/v2/a/blobs/{}", Digest::of(&layer))).await.expect(200).body == layer);
    assert_eq!(client.get(&format!("/v2/a/blobs/{}", Digest::of(b"{}"))).await.expect(200).body, b"{}");
    true
}

#[tokio::test]
async fn a_push_that_dies_at_any_step_is_begun_again_and_ends_well() {
    for point in FAIL_POINTS {
        // At the first time, and after some that went well.
        for action in ["return", "3*off->return"] {
            let directory = tempfile::tempdir().unwrap();
            let data = Some(directory.path().to_owned());
            let environment = vec![("FAILPOINTS".to_owned(), format!("{point}={action}"))];
            let mut dying = Server::with(Options { data: data.clone(), environment, ..Options::default() }).await;
            let mut acknowledged = 0;
            while push(dying.client(), acknowledged).await.is_ok() {
                acknowledged += 1;
                assert!(acknowledged < 20, "{point} {action}: it does not die");
            }
            assert!(!dying.ended().await.success());
            let server = Server::with(Options { data, ..Options::default() }).await;
            for number in 0..acknowledged {
                assert!(is_there(server.client(), number).await, "{point} {action}: image {number} is lost");
            }
            is_there(server.client(), acknowledged).await;
            push(server.client(), acknowledged).await.unwrap();
            assert!(is_there(server.client(), acknowledged).await);
        }
    }
}
