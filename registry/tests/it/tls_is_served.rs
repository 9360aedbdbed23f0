//! HTTPS: both versions of HTTP, certificates that change under load, and clients that do not shake hands.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::Version;
use reqwest::tls::TlsInfo;
use tokio::io::AsyncWriteExt;

use crate::support::server::{Options, Server};
use crate::support::wait::eventually;
use crate::support::{Client, raw};

/// Writes a new certificate and its key, each as a whole, and gives the certificate.
fn renew(directory: &Path) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (name, text) in [("key.pem", made.signing_key.serialize_pem()), ("cert.pem", made.cert.pem())] {
        let new = directory.join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, directory.join(name)).unwrap();
    }
    made.cert.der().to_vec()
}

async fn start(directory: &Path, more: &[&str]) -> Server {
    let certificate = format!("tls.certificate={}", directory.join("cert.pem").display());
    let key = format!("tls.key={}", directory.join("key.pem").display());
    Server::with(Options::set(&[&[certificate.as_str(), key.as_str()], more].concat())).await
}

fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder().danger_accept_invalid_certs(true).tls_info(true)
}

/// The certificate that a new connection is shown.
async fn shown(server: &Server) -> Vec<u8> {
    let answer = client().build().unwrap().get(format!("{}/v2/", server.url())).send().await.unwrap();
    answer.extensions().get::<TlsInfo>().unwrap().peer_certificate().unwrap().to_vec()
}

#[tokio::test]
async fn both_versions_of_http_are_served() {
    let directory = tempfile::tempdir().unwrap();
    renew(directory.path());
    let server = start(directory.path(), &[]).await;
    assert!(server.url().starts_with("https://"));
    for (builder, version) in [(client(), Version::HTTP_2), (client().http1_only(), Version::HTTP_11)] {
        let answer = builder.build().unwrap().get(format!("{}/v2/", server.url())).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
    }
    server.client().push_image("a", "v1", "layer").await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_while_pushes_run_and_a_broken_one_never() {
    let directory = tempfile::tempdir().unwrap();
    let first = renew(directory.path());
    let server = start(directory.path(), &[]).await;
    assert_eq!(shown(&server).await, first);

    let (stop, pushed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = tokio::spawn({
        let (client, stop, pushed) = (server.client().clone(), stop.clone(), pushed.clone());
        async move {
            while !stop.load(Ordering::SeqCst) {
                let number = pushed.fetch_add(1, Ordering::SeqCst);
                client.push_image("load", &format!("v{number}"), &format!("layer {number}")).await;
            }
        }
    });
    let second = renew(directory.path());
    eventually("the new certificate is shown", async || shown(&server).await == second).await;
    fs::write(directory.path().join("cert.pem"), "nonsense").unwrap();
    eventually("the broken one is noticed", async || server.log().contains("the old one stays in force")).await;
    assert_eq!(shown(&server).await, second);
    let third = renew(directory.path());
    eventually("a good one is taken again", async || shown(&server).await == third).await;
    stop.store(true, Ordering::SeqCst);
    load.await.expect("no push failed");
    assert!(pushed.load(Ordering::SeqCst) > 3);
    assert_eq!(server.log().matches("the old one stays in force").count(), 1, "{}", server.log());
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_a_failure_that_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    renew(directory.path());
    let key = fs::read(directory.path().join("key.pem")).unwrap();
    renew(directory.path());
    fs::write(directory.path().join("key.pem"), key).unwrap();
    let output = crate::support::server::roadstead()
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data"])
        .arg(directory.path().join("data"))
        .args(["--set", &format!("tls.certificate={}", directory.path().join("cert.pem").display())])
        .args(["--set", &format!("tls.key={}", directory.path().join("key.pem").display())])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("key.pem") && said.contains("tls.key"), "{said}");
}

#[tokio::test]
async fn handshakes_that_do_not_go_on_are_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    renew(directory.path());
    let server = start(directory.path(), &["server.header_seconds=1"]).await;
    let mut sockets = Vec::new();
    for _ in 0..100 {
        let mut socket = raw::connect(server.address()).await;
        socket.write_all(b"\x16\x03\x01").await.unwrap();
        sockets.push(socket);
    }
    server.client().push_image("honest", "v1", "layer").await;
    for socket in &mut sockets {
        assert_eq!(raw::rest(socket).await, "");
    }
}

#[tokio::test]
async fn a_client_that_speaks_http_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    renew(directory.path());
    let server = start(directory.path(), &[]).await;
    let answer = raw::exchange(server.address(), b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw::status(&answer), 400);
    assert!(answer.contains("HTTPS"), "{answer}");
}

/// An authority for clients, written to `clients.pem`.
fn authority(directory: &Path) -> rcgen::CertifiedIssuer<'static, rcgen::KeyPair> {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let issuer = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    fs::write(directory.join("clients.pem"), issuer.pem()).unwrap();
    issuer
}

/// A client that shows a certificate with these names.
fn with_certificate(
    server: &Server,
    issuer: &rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
    names: &[rcgen::SanType],
) -> Client {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = names.to_vec();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
    let identity = reqwest::Identity::from_pem(pem.as_bytes()).unwrap();
    Client::with(server.url(), reqwest::Client::builder().danger_accept_invalid_certs(true).identity(identity))
}

#[tokio::test]
async fn a_client_is_whom_its_certificate_names_if_our_authority_says_so() {
    let directory = tempfile::tempdir().unwrap();
    renew(directory.path());
    let issuer = authority(directory.path());
    let clients = format!("tls.client_ca={}", directory.path().join("clients.pem").display());
    let server = start(directory.path(), &[&clients, "access.anonymous=nothing"]).await;
    let policy = directory.path().join("policy.yaml");
    fs::write(
        &policy,
        "rules: [{subjects: ['certificate:ci.example.com', 'certificate:spiffe://x/*'], repositories: ['team/**'], role: push}]",
    )
    .unwrap();
    let applied = std::process::Command::new(env!("CARGO_BIN_EXE_roadstead"))
        .args(["policy", "apply", "certificates"])
        .args([policy.as_os_str(), "--data".as_ref(), server.data().as_os_str()])
        .output()
        .unwrap();
    assert!(applied.status.success(), "{applied:?}");
    let host = |name: &str| rcgen::SanType::DnsName(name.try_into().unwrap());
    let address = |name: &str| rcgen::SanType::URI(name.try_into().unwrap());

    let ci = with_certificate(&server, &issuer, &[host("ci.example.com")]);
    ci.push_image("team/app", "v1", "built").await;
    ci.ask("POST", "/v2/other/blobs/uploads/").send().await.refused(403, "DENIED");
    with_certificate(&server, &issuer, &[address("spiffe://x/builder")]).push_image("team/more", "v1", "built").await;
    // The first name is who it is, and one without a name is nobody.
    let other = with_certificate(&server, &issuer, &[host("other.example.com"), host("ci.example.com")]);
    other.get("/v2/team/app/manifests/v1").await.refused(404, "NAME_UNKNOWN");
    with_certificate(&server, &issuer, &[]).get("/v2/").await.refused(401, "UNAUTHORIZED");
    // Whoever says who he is, is that, whatever he shows; and nobody needs a certificate.
    ci.ask("GET", "/v2/").header("authorization", "Basic eDp5").send().await.refused(401, "UNAUTHORIZED");
    server.client().get("/v2/").await.refused(401, "UNAUTHORIZED");
    // One of another authority does not come as far as that.
    let strangers = tempfile::tempdir().unwrap();
    let stranger = with_certificate(&server, &authority(strangers.path()), &[host("ci.example.com")]);
    assert!(stranger.ask("GET", "/v2/").try_send().await.is_err());
}
