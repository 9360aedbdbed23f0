//! The real binary as a process of its own, to be stopped, killed, paused and started again.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::Client;
use super::wait::{PATIENCE, within};

/// How a server is started. Ports are chosen by the system and data is in a directory of its own, whatever is set.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `section.key=value`.
    pub set: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// The most files that the process may have open.
    pub open_files: Option<u32>,
    /// Keeps the data on a volume of its own of this many MiB, which only the process sees: see [`Server::inside`].
    pub volume_mib: Option<u32>,
    /// The data directory; none: a new one that goes with the server.
    pub data: Option<PathBuf>,
}

impl Options {
    pub fn set(settings: &[&str]) -> Self {
        Self { set: settings.iter().map(ToString::to_string).collect(), ..Self::default() }
    }
}

impl Options {
    /// On a volume of its own.
    pub fn on_a_volume(mut self, mib: u32) -> Self {
        self.volume_mib = Some(mib);
        self
    }
}

/// A running `roadstead serve`. Killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    options: Options,
    directory: Option<TempDir>,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    url: String,
    admin_url: String,
    client: Client,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts a server with the defaults and waits until it is ready.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let server = Self::unready(options);
        server.wait_until_ready().await;
        server
    }

    /// Starts a server that need not become ready.
    pub fn unready(options: Options) -> Self {
        let directory = options.data.is_none().then(|| tempfile::tempdir().unwrap());
        let mut server = Self { options, directory, process: None };
        server.launch();
        server
    }

    /// Starts the process and reads the addresses that it prints.
    fn launch(&mut self) {
        let mut command = command(self.data(), &self.options);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        collect(child.stderr.take().unwrap(), Arc::clone(&log));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = |intro: &str| {
            let line = lines.next().and_then(Result::ok).unwrap_or_default();
            let address = line.strip_prefix(intro).map(str::to_owned);
            // The process said why on its way out: wait for that.
            address.unwrap_or_else(|| {
                std::thread::sleep(Duration::from_millis(200));
                panic!("the server did not start: {line:?}\n{}", log.lock().unwrap())
            })
        };
        let url = next("roadstead is listening on ");
        let admin_url = next("health and metrics are on ");
        let client = Client::with(&url, reqwest::Client::builder().danger_accept_invalid_certs(true));
        self.process = Some(Process { child, url, admin_url, client, log });
    }

    async fn wait_until_ready(&self) {
        let url = format!("{}/readyz", self.admin_url());
        let client = reqwest::Client::new();
        within(PATIENCE, &format!("the server is ready\n{}", self.log()), async || {
            client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("the server runs")
    }

    /// The address of the API, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> &str {
        &self.process().url
    }

    /// Host and port of the API.
    pub fn address(&self) -> &str {
        self.url().split_once("://").unwrap().1
    }

    pub fn admin_url(&self) -> &str {
        &self.process().admin_url
    }

    pub fn client(&self) -> &Client {
        &self.process().client
    }

    pub fn data(&self) -> &Path {
        match (&self.options.data, &self.directory) {
            (Some(data), _) => data,
            (None, Some(directory)) => directory.path(),
            (None, None) => unreachable!("one of them is made at the start"),
        }
    }

    /// A path as the process sees it, which may have mounted a volume over its data directory.
    pub fn inside(&self, path: &Path) -> PathBuf {
        Path::new("/proc").join(self.pid().to_string()).join("root").join(path.strip_prefix("/").unwrap())
    }

    pub fn pid(&self) -> u32 {
        self.process().child.id()
    }

    /// What the process has logged so far.
    pub fn log(&self) -> String {
        self.process().log.lock().unwrap().clone()
    }

    /// Bytes of resident memory.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// An answer of the admin listener, as status and text.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("{}{path}", self.admin_url())).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The value of the first metric whose line begins with `name` (which may include labels).
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.admin("/metrics").await;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid().cast_signed()).unwrap(), signal).unwrap();
    }

    /// SIGKILL: what was not durable is lost.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("the server runs");
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }

    /// Stops the process until [`Self::resume`]: to everyone else it is there and does not answer.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM, and waits for the end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits for the end of the process.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("the server runs");
        let mut status = None;
        within(PATIENCE, "the process ends", async || {
            status = process.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    /// Starts again on the same data, after [`Self::kill`] or [`Self::terminate`].
    pub async fn restart(&mut self) {
        self.restart_unready();
        self.wait_until_ready().await;
    }

    /// The same, when it cannot become ready.
    pub fn restart_unready(&mut self) {
        assert!(self.process.is_none(), "the server still runs");
        self.launch();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

/// `roadstead` with nothing of the environment that could change its configuration.
pub fn roadstead() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roadstead"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ROADSTEAD_")) {
        command.env_remove(name);
    }
    command
}

fn command(data: &Path, options: &Options) -> Command {
    let mut command = match (options.volume_mib, options.open_files) {
        (None, None) => roadstead(),
        (None, Some(files)) => {
            let mut command = Command::new("sh");
            let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
            command.args(["-c", &script, env!("CARGO_BIN_EXE_roadstead")]);
            command
        }
        (Some(mib), _) => on_a_volume(data, mib),
    };
    command.arg("serve").args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]).arg("--data").arg(data);
    for setting in &options.set {
        command.args(["--set", setting]);
    }
    command.envs(options.environment.iter().map(|(name, value)| (name, value)));
    command
}

/// `roadstead` in a mount namespace of its own, where a small volume is mounted at `data`. Each program replaces the one
/// before, so that the process we started is the server. With a user namespace nobody needs to be root for that.
fn on_a_volume(data: &Path, mib: u32) -> Command {
    let mut command = Command::new("unshare");
    let script = format!("mount -t tmpfs -o size={mib}m none \"$0\" && exec \"$@\"");
    command.args(["--map-root-user", "--mount", "sh", "-c", &script]).arg(data).arg(env!("CARGO_BIN_EXE_roadstead"));
    command
}

fn collect(mut from: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    });
}
