//! Failures of other registries that let somebody in, or let him do more: each must be impossible here.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use roadstead::index::access::{ListKeys, SigningKey};
use serde_json::{Value, json};

use super::{BOB, Team, bearer};
use crate::support::raw;

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// The parts of a token.
fn parts(token: &str) -> (Value, Value) {
    let decode = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let mut parts = token.split('.');
    (decode(parts.next().unwrap()), decode(parts.next().unwrap()))
}

/// Signs what the test says, with a key of the test's choice.
fn signed(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let header: jsonwebtoken::Header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
    let key = jsonwebtoken::EncodingKey::from_ed_der(&key.private);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, header.alg).unwrap();
    format!("{message}.{signature}")
}

/// A token that brings its own key, or asks for another way to be checked.
#[tokio::test]
async fn cve_2025_24976_a_token_is_checked_with_our_keys_alone() {
    let team = Team::start().await;
    let good = bearer(&team.bob, &["repository:team/x:pull,push"]).await;
    let ours = team.registry.index.query(ListKeys).await.unwrap().remove(0);
    let (header, claims) = parts(&good);
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let theirs = SigningKey {
        id: ours.id.clone(),
        private: pair.serialize_der().into(),
        public: bytes::Bytes::copy_from_slice(pair.public_key_raw()),
        created: ours.created,
    };
    let with = |changes: Value| {
        let mut header = header.clone();
        header.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        header
    };
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(&theirs.public) });
    let by_hmac = |secret: &[u8]| {
        let header = encoded(&with(json!({ "alg": "HS256" })));
        let message = format!("{header}.{}", encoded(&claims));
        let key = jsonwebtoken::EncodingKey::from_secret(secret).unwrap();
        format!(
            "{message}.{}",
            jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap()
        )
    };
    let attempts = [
        ("their key, our id", signed(&theirs, &header, &claims)),
        ("their key in jwk", signed(&theirs, &with(json!({ "jwk": jwk })), &claims)),
        ("their key by jku", signed(&theirs, &with(json!({ "jku": "https://example.com/keys" })), &claims)),
        ("their key in x5c", signed(&theirs, &with(json!({ "x5c": ["AAAA"] })), &claims)),
        ("our key, and a jwk", signed(&ours, &with(json!({ "jwk": jwk })), &claims)),
        ("an unknown crit", signed(&ours, &with(json!({ "crit": ["x"], "x": 1 })), &claims)),
        ("another id", signed(&theirs, &with(json!({ "kid": "0000" })), &claims)),
        ("no id", signed(&ours, &json!({ "typ": "JWT", "alg": "EdDSA" }), &claims)),
        ("alg none", format!("{}.{}.", encoded(&with(json!({ "alg": "none" }))), encoded(&claims))),
        ("hmac with the public key", by_hmac(&ours.public)),
        ("no signature", format!("{}.{}.", encoded(&header), encoded(&claims))),
        ("another signature", format!("{}x", good.trim_end_matches(|c: char| c != '.'))),
    ];
    for (what, token) in attempts {
        team.registry.authorized(&format!("Bearer {token}")).get("/v2/").await.expect(401);
        assert_ne!(token, good, "{what}");
    }
    team.registry.authorized(&format!("Bearer {}", signed(&ours, &header, &claims))).get("/v2/").await.expect(200);
}

/// A token that is for another registry, or another time.
#[tokio::test]
async fn serverless_registry_154_a_token_is_good_here_and_now_alone() {
    let team = Team::start().await;
    let good = bearer(&team.bob, &["repository:team/x:pull"]).await;
    let ours = team.registry.index.query(ListKeys).await.unwrap().remove(0);
    let (header, claims) = parts(&good);
    let now = claims["iat"].as_u64().unwrap();
    for (what, change, status) in [
        ("nothing", json!({}), 200),
        ("aud", json!({ "aud": "another" }), 401),
        ("aud as a list", json!({ "aud": [claims["aud"], "another"] }), 401),
        ("iss", json!({ "iss": "another" }), 401),
        ("expired", json!({ "exp": now - 1 }), 401),
        ("not yet", json!({ "nbf": now + 60 }), 401),
        ("exp as text", json!({ "exp": "9999999999" }), 401),
        ("no exp", json!({ "exp": null }), 401),
        ("somebody else's proof", json!({ "proof": { "account": "root", "by": { "Password": 1 } } }), 401),
    ] {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let token = signed(&ours, &header, &claims);
        let answer = team.registry.authorized(&format!("Bearer {token}")).get("/v2/").await;
        assert_eq!(answer.status.as_u16(), status, "{what}");
    }
    let holder = team.registry.authorized(&format!("Bearer {good}"));
    holder.ask("POST", "/v2/team/x/blobs/uploads/").send().await.refused(401, "UNAUTHORIZED");
    holder.get("/v2/team/y/manifests/v1").await.refused(401, "UNAUTHORIZED");
}

/// A header that is nothing but separators costs nothing.
#[tokio::test]
async fn cve_2025_30204_dots_in_a_header_make_no_work() {
    let team = Team::start().await;
    for length in [100, 8 << 10, 1 << 20] {
        let began = Instant::now();
        let request = format!(
            "GET /v2/ HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            ".".repeat(length)
        );
        let answer = raw::exchange(&team.registry.address.to_string(), request.as_bytes()).await;
        let status: u16 = answer.split(' ').nth(1).unwrap_or("0").parse().unwrap_or(0);
        assert!([0, 400, 401, 431].contains(&status), "{length}: {answer}");
        assert!(began.elapsed().as_secs() < 5);
    }
}

/// A group that is taken away at who vouches for it is gone with the next token: nothing is kept of it.
#[tokio::test]
async fn cve_2025_23208_a_group_that_is_taken_away_is_gone() {
    let team = Team::start().await;
    team.bob.push_blob("team/x", b"x").await;
    let token = bearer(&team.bob, &["repository:team/x:pull,push"]).await;
    super::api(&team.root, "PATCH", "groups/dev", &json!({ "remove": ["bob"] })).await.expect(204);
    team.bob.ask("POST", "/v2/team/x/blobs/uploads/").send().await.refused(403, "DENIED");
    team.registry
        .authorized(&format!("Bearer {token}"))
        .ask("POST", "/v2/team/x/blobs/uploads/")
        .send()
        .await
        .refused(403, "DENIED");
}

/// Whatever way a path is written, the same is decided, or nothing is there.
#[tokio::test]
async fn go_2022_0785_every_spelling_of_a_path_is_authorized_alike() {
    let team = Team::start().await;
    team.root.push_image("hidden/x", "v1", "layer").await;
    for path in [
        "/v2/_catalog",
        "/v2/_catalog/",
        "//v2/_catalog",
        "/v2//_catalog",
        "/V2/_catalog",
        "/v2/%5fcatalog",
        "/v2/./_catalog",
        "/v2/x/../_catalog",
        "/v2%2f_catalog",
        "/v2/hidden/x/manifests/v1",
        "/v2/hidden%2fx/manifests/v1",
        "/v2/hidden/x/manifests%2fv1",
        "/v2/%68idden/x/manifests/v1",
        "/v2/hidden//x/manifests/v1",
        "/v2/team/../hidden/x/manifests/v1",
        "/api/v1/users",
        "//api/v1/users",
        "/api//v1/users",
        "/api/v1/%75sers",
        "/api/v1/users/",
        "/API/v1/users",
    ] {
        for client in [&*team.registry, &team.carol] {
            let answer = client.get(path).await;
            let status = answer.status.as_u16();
            let is_empty_list = answer.body.starts_with(b"{\"repositories\":[]");
            assert!(status >= 400 || is_empty_list, "{path}: {status} {}", String::from_utf8_lossy(&answer.body));
        }
    }
}

/// The work for a user who does not exist is that for one who does.
#[tokio::test]
async fn go_2023_2109_an_unknown_user_takes_as_much_work_as_a_wrong_password() {
    let team = Team::start().await;
    let time = |name: &'static str| {
        let client = team.registry.by(name, "wrong password");
        async move {
            let began = Instant::now();
            client.get("/v2/").await.refused(401, "UNAUTHORIZED");
            began.elapsed()
        }
    };
    // The first tries are not delayed; the least of them is the work.
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        known.push(time("carol").await);
        unknown.push(time("nobody").await);
    }
    let (known, unknown) = (known.into_iter().min().unwrap(), unknown.into_iter().min().unwrap());
    assert!(unknown * 3 > known, "{unknown:?} for nobody, {known:?} for somebody");
}

#[tokio::test]
async fn what_is_no_authorization_is_refused_and_not_taken_for_nobody() {
    let team = Team::start().await;
    team.root.push_image("public/x", "v1", "open").await;
    team.registry.get("/v2/public/x/manifests/v1").await.expect(200);
    for header in
        ["Basic", "Basic !!!", "Basic Ym9i", "Digest x", "Bearer", "Bearer x", "bearer a.b.c", "Basic Ym9iOgA=", "x"]
    {
        team.registry.authorized(header).get("/v2/public/x/manifests/v1").await.expect(401);
    }
    // Names with a meaning of their own are nobody's.
    for name in ["anonymous", "everyone", "token", "machine", "user:bob", "BOB", " bob", "bob\0"] {
        team.registry.by(name, BOB).get("/v2/").await.expect(401);
    }
}

/// A page elsewhere makes a browser that knows a password send a form.
#[tokio::test]
async fn go_2022_0876_a_form_of_another_site_changes_nothing() {
    let team = Team::start().await;
    let body = json!({ "name": "eve", "administrator": true }).to_string();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let ask = team.root.ask("POST", "/api/v1/users").header("content-type", content_type).body(body.clone());
        ask.send().await.refused(415, "UNSUPPORTED");
    }
    team.root.ask("POST", "/api/v1/users").body(body).send().await.refused(415, "UNSUPPORTED");
    super::api(&team.root, "GET", "users/eve", &json!(null)).await.refused(404, "NAME_UNKNOWN");
    // And no answer invites a browser to remember one, or another site to read it.
    for path in ["/v2/", "/api/v1/users", "/v2/_catalog"] {
        let answer = team.registry.get(path).await.expect(401);
        assert!(answer.header("www-authenticate").starts_with("Bearer "), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "");
        assert_eq!(answer.header("set-cookie"), "");
    }
}

/// A browser sends along what its user has logged in with, also when a page of somebody else makes it ask.
#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let team = Team::start().await;
    let ask = |method: &str, path: &str, site: &str| team.bob.ask(method, path).header("sec-fetch-site", site).send();
    for site in ["cross-site", "same-site"] {
        ask("POST", "/v2/team/app/blobs/uploads/", site).await.refused(403, "DENIED");
        ask("POST", "/api/v1/users/bob/tokens", site).await.refused(403, "DENIED");
        ask("GET", "/v2/", site).await.expect(200);
    }
    ask("POST", "/v2/team/app/blobs/uploads/", "same-origin").await.expect(202);
}

/// What is wrong in a body is told without the secret that stands there.
#[tokio::test]
async fn a_secret_in_a_wrong_place_is_not_repeated() {
    let team = Team::start().await;
    for (method, path) in [("PUT", "users/bob/password"), ("POST", "users"), ("POST", "first-administrator")] {
        let answer = super::api(&team.root, method, path, &json!("a secret of mine")).await.expect(400);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(text.contains("line 1") && !text.contains("a secret of mine"), "{text}");
    }
}
