//! Which source wins, and what is said of keys and values that nobody knows.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use super::super::{Anonymous, LogFormat, StorageKind};
use super::*;

fn file(text: &str) -> Sources {
    Sources { file: Some(("roadstead.toml".into(), text.into())), ..Sources::default() }
}

fn set(arguments: &[&str]) -> Sources {
    Sources { set: arguments.iter().map(ToString::to_string).collect(), ..Sources::default() }
}

fn environment(variables: &[(&str, &str)]) -> Sources {
    Sources {
        environment: variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        ..Sources::default()
    }
}

#[test]
fn without_any_source_the_defaults_are_in_force() {
    assert_eq!(load(&Sources::default()).unwrap(), Config::default());
}

#[test]
fn each_source_wins_over_those_before_it() {
    let mut sources = Sources::default();
    let expect = |sources: &Sources, port: u16| assert_eq!(load(sources).unwrap().server.listen.port(), port);
    sources.file = file("[server]\nlisten = \"127.0.0.1:1\"").file;
    expect(&sources, 1);
    sources.environment = environment(&[("ROADSTEAD_SERVER_LISTEN", "127.0.0.1:2")]).environment;
    expect(&sources, 2);
    sources.set = vec!["server.listen=127.0.0.1:3".into(), "server.listen=127.0.0.1:4".into()];
    expect(&sources, 4);
    sources.flags = vec![("server.listen", "127.0.0.1:5".into())];
    expect(&sources, 5);
}

#[test]
fn a_source_leaves_the_other_keys_of_a_section_alone() {
    let mut sources = file("[storage.s3]\nbucket = \"images\"\nattempts = 7\n[log]\nformat = \"json\"");
    sources.environment = environment(&[("ROADSTEAD_STORAGE_S3_BUCKET", "others")]).environment;
    let config = load(&sources).unwrap();
    assert_eq!(config.storage.s3.bucket, "others");
    assert_eq!(config.storage.s3.attempts, 7);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn a_value_is_read_as_the_type_of_its_key() {
    let config = load(&set(&[
        "storage.s3.bucket=2024",
        "storage.s3.endpoint=true",
        "storage.kind=s3",
        "access.anonymous=pull",
        "delete.enabled=false",
        "reclaim.untagged_seconds=86_400",
        "server.data=/var/lib/roadstead",
        "log.filter=warn,roadstead=debug",
        "storage.s3.secret_access_key=a=b",
    ]))
    .unwrap();
    assert_eq!(config.storage.s3.bucket, "2024");
    assert_eq!(config.storage.s3.endpoint.as_deref(), Some("true"));
    assert_eq!(config.storage.kind, StorageKind::S3);
    assert_eq!(config.access.anonymous, Some(Anonymous::Pull));
    assert!(!config.delete.enabled);
    assert_eq!(config.reclaim.untagged_seconds, Some(86_400));
    assert_eq!(config.server.data, PathBuf::from("/var/lib/roadstead"));
    assert_eq!(config.log.filter, "warn,roadstead=debug");
    assert_eq!(config.storage.s3.secret_access_key.as_deref(), Some("a=b"));
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    for (sources, key, nearest) in [
        (file("[server]\nlisten_on = \"x\""), "server.listen_on", "server.listen"),
        (file("[sever]\nlisten = \"x\""), "sever.listen", "server.listen"),
        (file("[storage.s3]\nbuckt = \"x\""), "storage.s3.buckt", "storage.s3.bucket"),
        (file("lissten = \"x\""), "lissten", "server.listen"),
        (set(&["log.fromat=json"]), "log.fromat", "log.format"),
        (environment(&[("ROADSTEAD_LOG_FROMAT", "json")]), "ROADSTEAD_LOG_FROMAT", "ROADSTEAD_LOG_FORMAT"),
    ] {
        let text = load(&sources).unwrap_err().to_string();
        assert!(text.contains(key) && text.contains(&format!("`{nearest}`")), "{text}");
    }
}

#[test]
fn what_kubernetes_adds_for_a_service_called_roadstead_is_not_ours() {
    let names = [
        "ROADSTEAD_SERVICE_HOST",
        "ROADSTEAD_SERVICE_PORT",
        "ROADSTEAD_SERVICE_PORT_HTTPS",
        "ROADSTEAD_PORT",
        "ROADSTEAD_PORT_5000_TCP",
        "ROADSTEAD_PORT_5000_TCP_ADDR",
        "ROADSTEAD_INDEX_SERVICE_HOST",
    ];
    let variables: Vec<(&str, &str)> = names.iter().map(|name| (*name, "tcp://10.0.0.1:5000")).collect();
    assert_eq!(load(&environment(&variables)).unwrap(), Config::default());
}

#[test]
fn a_value_of_the_wrong_type_is_refused_and_says_where_it_was_given() {
    for (sources, parts) in [
        (set(&["server.listen=nowhere"]), ["--set", "server.listen", "socket address"]),
        (set(&["server.max_connections=many"]), ["--set", "many", "usize"]),
        (set(&["server.idle_seconds=-1"]), ["--set", "-1", "idle_seconds"]),
        (set(&["access.anonymous=all"]), ["all", "nothing", "delete"]),
        (environment(&[("ROADSTEAD_DELETE_ENABLED", "maybe")]), ["ROADSTEAD_DELETE_ENABLED", "maybe", "bool"]),
        (file("[server]\nidle_seconds = \"x\""), ["roadstead.toml", "line 2", "u64"]),
        (file("server = 3"), ["roadstead.toml", "line 1", "struct Server"]),
        (file("[server"), ["roadstead.toml", "line 1", ""]),
    ] {
        let text = load(&sources).unwrap_err().to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
    assert!(matches!(load(&set(&["server.listen"])), Err(LoadError::NotAssignment { .. })));
}

#[test]
fn a_secret_that_cannot_be_read_is_not_repeated_in_the_message() {
    let text = load(&set(&["storage.s3.secret_access_ky=hunter2"])).unwrap_err().to_string();
    assert!(!text.contains("hunter2"), "{text}");
}
