//! A cluster of real processes, made by `tests/local-cluster`: index nodes and registry processes, each to be killed,
//! paused, wiped and started again. Ends with everything stopped when it is dropped.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::Client;
use super::server::roadstead;
use super::wait::{PATIENCE, within};

/// The processes and where their files are.
#[derive(Debug)]
pub struct Cluster {
    directory: TempDir,
    pub index: Vec<String>,
    pub registries: Vec<String>,
    urls: Vec<String>,
}

impl Cluster {
    /// Starts so many index nodes and registry processes, and waits until all are ready.
    pub fn up(nodes: usize, registries: usize, settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = script("up", directory.path());
        command.args(["--nodes", &nodes.to_string(), "--registries", &registries.to_string()]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut cluster = Self { directory, index: Vec::new(), registries: Vec::new(), urls: Vec::new() };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output)); // what was started ends with `cluster`
        let known: Value =
            serde_json::from_slice(&std::fs::read(cluster.path().join("cluster.json")).unwrap()).unwrap();
        let list = |part: &str, key: &str| -> Vec<String> {
            known[part].as_array().unwrap().iter().map(|it| it[key].as_str().unwrap().to_owned()).collect()
        };
        cluster.index = list("index", "name");
        cluster.registries = list("registry", "name");
        cluster.urls = list("registry", "url");
        cluster
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A client of the registry process with this number, from 0.
    pub fn client(&self, number: usize) -> Client {
        // Longer than the registry itself waits for a quorum.
        Client::with(&self.urls[number], reqwest::Client::builder().timeout(Duration::from_secs(30)))
    }

    pub fn clients(&self) -> Vec<Client> {
        (0..self.urls.len()).map(|number| self.client(number)).collect()
    }

    fn pid(&self, name: &str) -> Pid {
        let text = std::fs::read_to_string(self.path().join(format!("{name}.pid"))).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }

    fn signal(&self, name: &str, signal: Signal) {
        kill_process(self.pid(name), signal).unwrap();
    }

    /// SIGKILL, and waits for the end: as long as one of its threads has not ended, the process has its port.
    pub fn kill(&self, name: &str) {
        let tasks = PathBuf::from(format!("/proc/{}/task", self.pid(name).as_raw_nonzero()));
        self.signal(name, Signal::KILL);
        let deadline = Instant::now() + PATIENCE;
        while self.runs(name) || std::fs::read_dir(&tasks).is_ok_and(|tasks| tasks.count() > 1) {
            assert!(Instant::now() < deadline, "{name} was killed and has not ended");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn pause(&self, name: &str) {
        self.signal(name, Signal::STOP);
    }

    pub fn resume(&self, name: &str) {
        self.signal(name, Signal::CONT);
    }

    /// Which binary the processes that are started from now on are.
    pub fn use_binary(&self, path: &str) {
        std::fs::write(self.path().join("binary"), path).unwrap();
    }

    /// Whether a process runs.
    pub fn runs(&self, name: &str) -> bool {
        let pid = std::fs::read_to_string(self.path().join(format!("{name}.pid"))).unwrap_or_default();
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
        !pid.trim().is_empty() && !status.is_empty() && !status.contains("State:\tZ")
    }

    /// Starts a process again.
    pub fn start(&self, name: &str) {
        let output = script("start", self.path()).arg(name).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }

    /// Starts a process with variables of its environment.
    pub fn start_with(&self, name: &str, variables: &[(&str, &str)]) {
        let output = script("start", self.path()).arg(name).envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }

    /// Starts a process whose data is on an empty volume of its own of this many MiB, which only it sees: see
    /// [`Self::inside`].
    pub fn start_on_a_volume(&self, name: &str, mib: u32) {
        let script = self.path().join("on-a-volume");
        let (data, binary) = (self.data(name), env!("CARGO_BIN_EXE_roadstead"));
        let mount = format!("mount -t tmpfs -o size={mib}m none '{}' && exec '{binary}' \"$@\"", data.display());
        let text = format!(
            "#!/bin/sh\nexec unshare --map-root-user --mount sh -c \"$(cat <<'END'\n{mount}\nEND\n)\" sh \"$@\"\n"
        );
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.use_binary(script.to_str().unwrap());
        self.start(name);
        self.use_binary(binary);
    }

    /// A path as the process sees it, which may have mounted a volume over its data directory.
    pub fn inside(&self, name: &str, path: &Path) -> PathBuf {
        let root = Path::new("/proc").join(self.pid(name).as_raw_nonzero().to_string()).join("root");
        root.join(path.strip_prefix("/").unwrap())
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&self, name: &str) {
        let output = script("stop", self.path()).arg(name).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }

    pub fn data(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Everything that a node keeps is gone.
    pub fn wipe(&self, name: &str) {
        std::fs::remove_dir_all(self.data(name)).unwrap();
        std::fs::create_dir(self.data(name)).unwrap();
    }

    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(format!("{name}.log"))).unwrap()
    }

    /// The address of an index node as its peers dial it.
    pub fn address(&self, name: &str) -> String {
        let file = std::fs::read_to_string(self.path().join(format!("{name}.toml"))).unwrap();
        let line = file.lines().find_map(|line| line.strip_prefix("name = ")).unwrap();
        line.trim_matches('"').to_owned()
    }

    /// `roadstead index …`, as the administrator.
    pub fn admin(&self, arguments: &[&str]) -> Output {
        self.admin_command(arguments).output().unwrap()
    }

    /// The same, not yet begun.
    pub fn admin_command(&self, arguments: &[&str]) -> Command {
        let mut command = roadstead();
        command.arg("index").args(arguments).arg("--config").arg(self.path().join("admin.toml"));
        command
    }

    /// What it prints when it does what it is asked.
    pub fn admin_ok(&self, arguments: &[&str]) -> String {
        let output = self.admin(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// `roadstead index status --json`.
    pub fn status(&self) -> Value {
        serde_json::from_slice(&self.admin(&["status", "--json"]).stdout).unwrap_or(Value::Null)
    }

    /// The name of the node that leads.
    pub async fn leader(&self) -> String {
        let mut found = None;
        within(PATIENCE, "somebody leads", async || {
            let status = self.status();
            let members = status["members"].as_array().cloned().unwrap_or_default();
            let leader = members.iter().find(|member| member["leads"] == true);
            found = leader.and_then(|member| Some(member["name"].as_str()?.split(':').next()?.to_owned()));
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Waits until a node has applied all that the leader has.
    pub async fn caught_up(&self, name: &str) {
        let address = self.address(name);
        within(PATIENCE, &format!("{name} has caught up"), async || {
            let status = self.status();
            let members = status["members"].as_array().cloned().unwrap_or_default();
            let end = members.iter().find(|member| member["leads"] == true).map(|member| member["end"].clone());
            let mine = members.iter().filter(|member| member["name"] == address.as_str());
            end.is_some() && mine.map(|member| Some(member["applied"].clone())).any(|applied| applied == end)
        })
        .await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A paused process does not hear that it should end.
        for name in self.index.iter().chain(&self.registries) {
            if let Ok(text) = std::fs::read_to_string(self.path().join(format!("{name}.pid")))
                && let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw)
            {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = script("down", self.path()).output();
    }
}

fn script(verb: &str, directory: &Path) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/local-cluster"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ROADSTEAD_")) {
        command.env_remove(name);
    }
    command.env("BINARY", env!("CARGO_BIN_EXE_roadstead")).arg(verb).arg("--dir").arg(directory);
    command
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
