//! A process of somebody: its memory, its processor time, and its end.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};

/// Ticks of `/proc/<pid>/stat` in a second (`USER_HZ`, which is 100 on every Linux).
const TICKS: f64 = 100.0;

pub struct Process {
    child: Child,
    pub id: u32,
}

impl Process {
    /// Starts it, with all that it says in a file.
    pub fn start(mut command: Command, log: &Path, is_pinned: bool) -> Result<Self> {
        let file = std::fs::File::create(log)?;
        let program = command.as_std().get_program().to_owned();
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let id = child.id().context("it ended at once")?;
        if is_pinned {
            taskset(id, "0")?;
        }
        Ok(Self { child, id })
    }

    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Ends it as a crash does, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    fn status(&self, field: &str) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
        let kib: u64 = line.trim_matches([':', ' ', '\t', 'k', 'B']).parse()?;
        Ok(kib << 10)
    }

    /// Bytes in memory now.
    pub fn resident(&self) -> Result<u64> {
        self.status("VmRSS")
    }

    /// The most bytes in memory since [`Self::forget_peak`].
    pub fn peak(&self) -> Result<u64> {
        self.status("VmHWM")
    }

    pub fn forget_peak(&self) -> Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.id), "5")?)
    }

    /// Processor time since it was started.
    pub fn processor(&self) -> Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.id))?;
        // Behind the name, which may have spaces and brackets.
        let fields = text.rsplit_once(')').context("no stat")?.1;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).context("no time");
        Ok(Duration::from_secs_f64((ticks(11)? + ticks(12)?) / TICKS))
    }
}

/// Lets a process and all its threads run on these processors alone.
pub fn taskset(id: u32, processors: &str) -> Result<()> {
    let output = std::process::Command::new("taskset").args(["-a", "-p", "-c", processors, &id.to_string()]).output();
    let output = output.context("taskset (of util-linux)")?;
    ensure!(output.status.success(), "taskset: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
