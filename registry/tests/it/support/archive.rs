//! Servers that archive, and the verbs that read back what they archived.

use std::path::Path;
use std::process::{Command, Output};

use super::s3::FakeS3;
use super::server::{Options, Server, roadstead};
use super::wait::eventually;

/// Content that is too large for the index of [`settings`], so that it is an object.
pub const LARGE: &str = "a layer that is kept in the bucket and not in the index itself";

/// A registry in this bucket that archives at once and keeps little in the index.
pub fn settings(bucket: &FakeS3) -> Vec<String> {
    let mut set = bucket.settings();
    set.extend(["archive.seconds=1", "blobs.inline_limit=16", "reclaim.interval_seconds=1"].map(str::to_owned));
    set
}

pub fn options(set: Vec<String>) -> Options {
    Options { set, ..Options::default() }
}

/// A server on a data directory that is already there.
pub async fn serve(set: Vec<String>, data: &Path) -> Server {
    Server::with(Options { set, data: Some(data.to_owned()), ..Options::default() }).await
}

/// The log position up to which the index is archived.
pub async fn archived(server: &Server) -> u64 {
    server.metric("roadstead_archive_position").await.unwrap_or_default() as u64
}

pub async fn applied(server: &Server) -> u64 {
    server.metric("roadstead_index_applied_position").await.unwrap() as u64
}

/// Waits until everything that is acknowledged now is archived, and says where that is.
pub async fn all_archived(server: &Server) -> u64 {
    let wanted = applied(server).await;
    eventually("everything is archived", async || archived(server).await >= wanted).await;
    wanted
}

/// Runs a verb with the configuration of a server.
async fn run(verb: &[&str], set: &[String], data: &Path) -> Output {
    output(roadstead(), verb, set, data).await
}

/// The same with another binary, and with variables of the environment.
pub async fn run_with(
    binary: &str,
    environment: &[(&str, &str)],
    verb: &[&str],
    set: &[String],
    data: &Path,
) -> Output {
    let mut command = Command::new(binary);
    command.envs(environment.iter().copied());
    output(command, verb, set, data).await
}

async fn output(mut command: Command, verb: &[&str], set: &[String], data: &Path) -> Output {
    command.args(verb).arg("--data").arg(data);
    for setting in set {
        command.args(["--set", setting]);
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Runs a verb that must succeed, and gives what it prints.
pub async fn succeed(verb: &[&str], set: &[String], data: &Path) -> String {
    let output = run(verb, set, data).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{verb:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Runs a verb that must fail, and gives what it says.
pub async fn fail(verb: &[&str], set: &[String], data: &Path) -> String {
    let output = run(verb, set, data).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{verb:?}: {said}");
    said
}
