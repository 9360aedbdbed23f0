//! In a cluster every process that serves clients knows of a change with the next request, and accounts survive what tags do.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{api, bearer};
use crate::support::cluster::{Cluster, text};
use crate::support::server::roadstead;
use crate::support::wait::eventually;

/// Runs a verb as an administrator of the cluster, with one line of input, and gives what it prints.
fn administer(cluster: &Cluster, arguments: &[&str], input: &str) -> String {
    let mut command = roadstead();
    command.args(arguments).arg("--config").arg(cluster.path().join("admin.toml"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{input}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_holds_on_every_process_once_it_is_acknowledged_and_survives_the_leader() {
    let cluster = Cluster::up(3, 3, &["access.anonymous=nothing"]);
    administer(&cluster, &["user", "create", "root", "--administrator"], "the administrator's");
    administer(&cluster, &["user", "create", "bob"], "password 0");
    let token = administer(&cluster, &["robot", "create", "ci", "--allow", "team/**=push"], "");
    let clients = cluster.clients();
    let root = clients[0].by("root", "the administrator's");
    let policy = json!({ "rules": [{ "subjects": ["user:bob"], "repositories": ["team/**"], "role": "delete" }] });
    api(&root, "PUT", "policies/team", &policy).await.expect(200);

    let digest = clients[1].by("ci", token.trim()).push_image("team/app", "v1", "built").await;
    for number in 0..6 {
        let (at, old, new) = (&clients[number % 3], format!("password {number}"), format!("password {}", number + 1));
        let issued = bearer(&at.by("bob", &old), &["repository:team/app:pull"]).await;
        for client in &clients {
            client.by("bob", &old).get("/v2/team/app/manifests/v1").await.expect(200);
            client
                .authorized(&format!("Bearer {issued}"))
                .get(&format!("/v2/team/app/manifests/{digest}"))
                .await
                .expect(200);
        }
        api(&at.by("bob", &old), "PUT", "users/bob/password", &json!({ "password": new })).await.expect(204);
        for client in &clients {
            for path in
                ["/v2/team/app/manifests/v1".to_owned(), format!("/v2/team/app/manifests/{digest}"), "/v2/".into()]
            {
                client.by("bob", &old).get(&path).await.refused(401, "UNAUTHORIZED");
            }
            client.by("bob", &new).get("/v2/team/app/manifests/v1").await.expect(200);
            client.authorized(&format!("Bearer {issued}")).get("/v2/team/app/manifests/v1").await.expect(401);
        }
    }
    cluster.kill(&cluster.leader().await);
    let bob = clients[2].by("bob", "password 6");
    eventually("another node leads", async || bob.get("/v2/team/app/manifests/v1").await.status == 200).await;
    for client in &clients {
        client.by("ci", token.trim()).get("/v2/team/app/manifests/v1").await.expect(200);
        client.by("bob", "password 5").get("/v2/").await.refused(401, "UNAUTHORIZED");
    }
    let listed: Value = serde_json::from_str(&administer(&cluster, &["user", "list", "--json"], "")).unwrap();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["bob", "root"]);
}
