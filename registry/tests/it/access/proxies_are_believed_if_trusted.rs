//! Where a request came from, when it came through a proxy: as the audit has it. Guesses are counted by the same address.

use super::Team;
use crate::support::{OCI_IMAGE, image};

/// A registry that trusts the proxies of these networks.
async fn behind(networks: &[&str]) -> Team {
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    Team::with(|config| config.server.trusted_proxies = networks).await
}

/// Where a push came from, as the audit has it.
async fn pushed_from(team: &Team, from: &str) -> String {
    team.bob.push_image("team/app", "v1", "image").await;
    let push = team.bob.ask("PUT", "/v2/team/app/manifests/v2").header("x-forwarded-for", from);
    push.header("content-type", OCI_IMAGE).body(image("image").to_string()).send().await.expect(201);
    let audit = team.root.get("/api/v1/audit?who=user:bob").await.expect(200).json();
    let records = audit["records"].as_array().unwrap();
    let pushed = records.iter().find(|record| record["tags"] == serde_json::json!(["v2"])).unwrap();
    pushed["from"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_audit_names_the_client_and_not_the_proxy_if_that_is_trusted() {
    let team = behind(&["127.0.0.0/8"]).await;
    assert_eq!(pushed_from(&team, "1.2.3.4, 198.51.100.7").await, "198.51.100.7");
    assert_eq!(pushed_from(&behind(&["10.0.0.0/8"]).await, "198.51.100.7").await, "127.0.0.1");
    assert_eq!(pushed_from(&behind(&[]).await, "198.51.100.7").await, "127.0.0.1");
}
