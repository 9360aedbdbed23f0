//! How the process starts, says what it is, and ends.

use crate::support::server::{Options, Server, roadstead};
use crate::support::wait::eventually;

#[tokio::test]
async fn an_image_survives_a_clean_end_and_a_kill() {
    let mut server = Server::start().await;
    let digest = server.client().push_image("team/app", "v1", "a layer").await;
    assert!(server.terminate().await.success());
    server.restart().await;
    let pulled = server.client().get("/v2/team/app/manifests/v1").await.expect(200);
    assert_eq!(pulled.header("docker-content-digest"), digest.to_string());
    let later = server.client().push_image("team/app", "v2", "another layer").await;
    server.kill();
    server.restart().await;
    let pulled = server.client().get("/v2/team/app/manifests/v2").await.expect(200);
    assert_eq!(pulled.header("docker-content-digest"), later.to_string());
}

/// Runs to its end and gives exit code, stdout and stderr.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = roadstead().args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn bad_configuration_ends_with_78_and_says_what_to_change() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[server]\nlissten = \"127.0.0.1:0\"\n").unwrap();
    for (arguments, said) in [
        (&["serve", "--listen", "0.0.0.0:0"][..], "access.anonymous"),
        (&["serve", "--set", "server.lissten=x"], "did you mean `server.listen`"),
        (&["serve", "--config", file.path().to_str().unwrap()], "did you mean `server.listen`"),
        (&["serve", "--config", "/does/not/exist.toml"], "/does/not/exist.toml"),
        (&["config", "check", "--set", "tls.key=/k"], "tls.certificate"),
    ] {
        let (code, _, said_of) = run(arguments);
        assert_eq!(code, Some(78), "{arguments:?}: {said_of}");
        assert!(said_of.contains(said), "{arguments:?}: {said_of}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    assert_eq!(run(&["serve", "--lissten", "x"]).0, Some(2));
    assert_eq!(run(&["sevre"]).0, Some(2));
    assert_eq!(run(&[]).0, Some(2));
}

/// As `| head` reads: nothing at all here.
#[test]
fn a_reader_that_has_seen_enough_ends_the_program_quietly() {
    let mut shown = roadstead();
    shown.args(["config", "show"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = shown.stdout(writer).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.as_str()), (Some(141), ""));
}

#[test]
fn config_show_tells_what_is_in_force_without_secrets() {
    let (code, shown, _) = run(&[
        "config",
        "show",
        "--listen",
        "127.0.0.1:7000",
        "--set",
        "storage.kind=s3",
        "--set",
        "storage.s3.bucket=images",
        "--set",
        "storage.s3.access_key_id=me",
        "--set",
        "storage.s3.secret_access_key=hunter2",
    ]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("listen = \"127.0.0.1:7000\"") && shown.contains("bucket = \"images\""), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused() {
    let server = Server::start().await;
    let data = server.data().to_str().unwrap();
    let (code, _, said) = run(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", data]);
    assert_eq!(code, Some(1));
    assert!(said.contains("in use by another roadstead") && said.contains(&server.pid().to_string()), "{said}");
    server.client().get("/v2/").await.expect(200);
}

#[tokio::test]
async fn an_address_that_is_taken_is_a_failure_that_names_the_key() {
    let server = Server::start().await;
    let other = tempfile::tempdir().unwrap();
    let (code, _, said) = run(&[
        "serve",
        "--listen",
        server.address(),
        "--admin-listen",
        "127.0.0.1:0",
        "--data",
        other.path().to_str().unwrap(),
    ]);
    assert_eq!(code, Some(1));
    assert!(said.contains("server.listen"), "{said}");
}

#[tokio::test]
async fn health_and_metrics_are_on_the_admin_port_only() {
    let server = Server::start().await;
    assert_eq!(server.admin("/livez").await.0, 200);
    let (status, report) = server.admin("/readyz").await;
    assert_eq!((status, report.contains("\"ready\":true")), (200, true), "{report}");
    server.client().push_image("a", "v1", "layer").await;
    let (status, metrics) = server.admin("/metrics").await;
    assert_eq!(status, 200);
    for name in [
        "roadstead_build_info{version=",
        "process_resident_memory_bytes",
        "roadstead_connections ",
        "roadstead_requests_total{action=\"put_manifest\",status=\"201\"} 1",
        "roadstead_request_seconds_bucket",
        "roadstead_received_bytes_total",
        "roadstead_sent_bytes_total",
        "roadstead_panics_total 0",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "{name} is missing in\n{metrics}");
    }
    assert_eq!(server.admin("/v2/").await.0, 404);
    for path in ["/metrics", "/livez", "/readyz"] {
        server.client().get(path).await.expect(404);
    }
}

#[tokio::test]
async fn below_the_floor_of_free_space_the_process_is_not_ready_and_says_so() {
    let options = Options::set(&["server.min_free_bytes=0"]);
    let mut server = Server::with(options).await;
    assert!(server.terminate().await.success());
    // The same data with a floor that no volume has.
    let mut full = Server::unready(Options {
        data: Some(server.data().to_owned()),
        ..Options::set(&["server.min_free_bytes=4611686018427387904"])
    });
    eventually("the report names the space", async || {
        let (status, report) = full.admin("/readyz").await;
        status == 503 && report.contains("bytes are free")
    })
    .await;
    assert_eq!(full.admin("/livez").await.0, 200, "a restart would not help");
    assert!(full.terminate().await.success());
}

#[tokio::test]
async fn every_file_that_the_system_allows_may_be_opened() {
    let server = Server::start().await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = line.split_whitespace().rev().skip(1).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
}

#[tokio::test]
async fn the_environment_and_a_file_configure_the_process() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[delete]\nenabled = false\n[log]\nformat = \"json\"\n").unwrap();
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let server = Server::with(Options {
        environment: vec![
            variable("ROADSTEAD_CONFIG", file.path().to_str().unwrap()),
            variable("ROADSTEAD_ACCESS_ANONYMOUS", "delete"),
            variable("ROADSTEAD_LOG_FILTER", "debug"),
            variable("ROADSTEAD_SERVICE_HOST", "10.0.0.1"),
        ],
        ..Options::default()
    })
    .await;
    server.client().push_image("a", "v1", "layer").await;
    server.client().delete("/v2/a/manifests/v1").await.refused(405, "UNSUPPORTED");
    let log = server.log();
    let line = log.lines().next().unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
}

#[tokio::test]
async fn scrub_finds_a_flipped_bit_and_says_which_blob() {
    let mut server = Server::start().await;
    let content = vec![5; 200_000];
    let digest = server.client().push_blob("a", &content).await;
    let data = server.data().to_owned();
    let scrub = ["scrub", "--data", data.to_str().unwrap()];
    let (code, _, said) = run(&scrub);
    assert_eq!((code, said.contains("in use by another roadstead")), (Some(1), true), "{said}");
    assert!(server.terminate().await.success());
    let (code, said, log) = run(&scrub);
    assert_eq!(code, Some(0), "{said}{log}");

    let object = files(&data.join("blobs")).into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&object).unwrap();
    bytes[100_000] ^= 1;
    std::fs::write(&object, bytes).unwrap();
    let (code, said, log) = run(&scrub);
    assert_eq!((code, said.contains(&digest.to_string())), (Some(1), true), "{said}{log}");
    server.restart().await;
    server.client().push_blob("a", &content).await;
    let pulled = server.client().get(&format!("/v2/a/blobs/{digest}")).await.expect(200);
    assert!(pulled.body == content, "a push heals");
}

fn files(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
