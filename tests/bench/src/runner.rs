//! Runs a case: every registry is started and filled, and then they are measured in turns.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::calibrate::{calibrate, rest};
use crate::cases::{Case, Plan, Work, Workload};
use crate::clusters;
use crate::figure::{Figures, Measured};
use crate::peer::{Kind, Peer, Programs, Setting, taskset};
use crate::tls::Certificate;

/// A case, and in what minutes on what machine it was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub measured: Measured,
    /// Sizes were a tenth, and there was one run.
    pub is_quick: bool,
    /// Before and after.
    pub calibration: [Figures; 2],
    pub time: String,
}

impl Row {
    /// We failed in it: that is no matter of others being slow.
    pub fn is_ours_missing(&self) -> bool {
        self.measured.missing.iter().any(|(kind, _)| *kind == Kind::Roadstead)
    }
}

/// Everything that was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    pub machine: String,
    pub versions: Vec<(Kind, String)>,
    pub rows: Vec<Row>,
}

impl Results {
    /// What was measured before; nothing, if there is no such file.
    pub fn read(path: &Path) -> Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is no result", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        Ok(std::fs::write(path, serde_json::to_vec_pretty(self)?)?)
    }

    /// Puts a case in the place of the one that was there.
    pub fn put(&mut self, row: Row, programs: &Programs) {
        self.machine = machine();
        let known = |kind: &Kind| programs.of(*kind).map(|program| (*kind, version(program)));
        self.versions = Kind::ALL.iter().filter_map(known).collect();
        self.rows.retain(|known| known.measured.id != row.measured.id);
        self.rows.push(row);
        let number = |row: &Row| row.measured.id[1..].parse::<u32>().unwrap_or_default();
        self.rows.sort_by_key(number);
    }
}

/// Measures a case, and the machine before and after it.
pub async fn run(case: &Case, programs: &Programs, plan: &Plan, data: &Path) -> Result<Row> {
    println!("{}: {}", case.id, case.title);
    let before = calibrate(data)?;
    // Asked for before: afterwards there is one.
    let all = format!("0-{}", std::thread::available_parallelism()?.get() - 1);
    taskset(std::process::id(), if case.needs.pinned { "1" } else { &all })?;
    let measured = compare(case, programs, plan, data, Some(&before)).await;
    taskset(std::process::id(), &all)?;
    let calibration = [before, calibrate(data)?];
    Ok(Row { measured: measured?, is_quick: plan.divisor > 1, calibration, time: now() })
}

/// Measures a case. With what the machine could do in the `beginning`, the disk rests before each turn, if the case wants it.
pub async fn compare(
    case: &Case,
    programs: &Programs,
    plan: &Plan,
    data: &Path,
    beginning: Option<&Figures>,
) -> Result<Measured> {
    let Work::Registries(new) = case.work else { return clusters::compare(programs, plan, data).await };
    let directory = tempfile::tempdir_in(data)?;
    let certificate = case.needs.tls.then(|| Certificate::new(directory.path())).transpose()?;
    let setting = Setting {
        certificate,
        s3: case.needs.s3.map(Duration::from_millis),
        is_pinned: case.needs.pinned,
        reclaims: case.needs.reclaims,
    };
    let mut measured = Measured { id: case.id.to_owned(), ..Measured::default() };
    let mut peers = Vec::new();
    for kind in case.kinds.iter().filter(|kind| programs.of(**kind).is_some()) {
        match begin(new(), *kind, programs, plan, &setting, directory.path()).await {
            Ok((peer, workload, note)) => {
                measured.notes.extend(note.map(|note| format!("{}: {note}", kind.name())));
                peers.push((peer, workload));
            }
            Err(error) => miss(&mut measured, *kind, &error),
        }
    }
    for turn in 0..plan.runs {
        for (peer, workload) in &mut peers {
            if let Some(beginning) = beginning.filter(|_| case.needs.rests) {
                rest(data, beginning)?;
            }
            match workload.measure(peer, plan, turn).await {
                Ok(figures) => {
                    println!("  {:<14} {}", peer.kind.name(), line(case, &figures));
                    measured.runs.push((peer.kind, figures));
                }
                Err(error) => miss(&mut measured, peer.kind, &error),
            }
        }
    }
    Ok(measured)
}

async fn begin(
    mut workload: Box<dyn Workload>,
    kind: Kind,
    programs: &Programs,
    plan: &Plan,
    setting: &Setting,
    below: &Path,
) -> Result<(Peer, Box<dyn Workload>, Option<String>)> {
    let mut peer = Peer::start(kind, programs, setting, below).await?;
    let note = workload.prepare(&mut peer, plan).await?;
    Ok((peer, workload, note))
}

fn miss(measured: &mut Measured, kind: Kind, error: &anyhow::Error) {
    println!("  {:<14} {error:#}", kind.name());
    measured.missing.push((kind, format!("{error:#}")));
}

fn line(case: &Case, figures: &Figures) -> String {
    let told = case.figures.iter().filter_map(|name| figures.get(*name).map(|value| format!("{name} {value:.2}")));
    told.collect::<Vec<_>>().join(" · ")
}

/// The processor, how many of it, the memory and the system.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kib: u64 = field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    let (model, system) = (field(&read("/proc/cpuinfo"), "model name"), read("/proc/sys/kernel/osrelease"));
    format!("{processors} × {model}, {} GiB, Linux {}", kib >> 20, system.trim())
}

fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let said = said.lines().next().unwrap_or("unknown");
    // Some begin with where they are, which says nothing elsewhere.
    said.trim_start_matches(&*program.to_string_lossy()).trim().to_owned()
}

fn now() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
