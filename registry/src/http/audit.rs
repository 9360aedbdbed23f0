//! The audit of requests: a JSON line for each that was answered, in a file. What changed something also stands in the index,
//! in its order (`index::state::access::audit`); here is all the rest, reads and refusals among it.
//!
//! A line that cannot be written is said in the log. Requests wait when lines come faster than the file takes them.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;

use serde::Serialize;
use tokio::sync::mpsc;

use crate::auth::authenticate::Credentials;

/// Lines that wait to be written.
const WAITING: usize = 4096;
/// Characters of a name that was tried.
const MOST_NAME: usize = 255;

/// Where lines go; none: nowhere.
#[derive(Clone, Debug)]
pub struct AuditLog(Option<mpsc::Sender<String>>);

/// What one line says.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    pub time: String,
    /// The `X-Request-Id` of the answer.
    pub id: &'a str,
    /// The subject; null: nobody known.
    pub who: Option<&'a str>,
    /// The name that was said, when nobody became known by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried: Option<&'a str>,
    pub from: IpAddr,
    pub action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<&'a str>,
    /// A tag, a digest, or the id of an upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The repository that a blob is to be mounted from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'a str>,
    /// The account, group, policy, quota or issuer in the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<&'a str>,
    pub status: u16,
    pub allowed: bool,
}

/// Who asked, as far as the request has come to know.
#[derive(Debug, Default)]
pub struct Asker {
    /// The subject.
    pub known: Option<String>,
    tried: Option<String>,
}

impl Asker {
    /// Keeps the name that somebody says; of a long one the beginning.
    pub fn says(&mut self, credentials: &Credentials) {
        if let Credentials::Basic { name, .. } = credentials {
            self.tried = Some(name.chars().take(MOST_NAME).collect());
        }
    }

    pub fn tried(&self) -> Option<&str> {
        self.tried.as_deref().filter(|_| self.known.is_none())
    }
}

impl AuditLog {
    pub const fn off() -> Self {
        Self(None)
    }

    /// Writes to `file`, which is opened for each batch of lines, so that it may be renamed at any time.
    ///
    /// # Errors
    /// When it cannot be opened now.
    pub fn to(file: &Path) -> std::io::Result<Self> {
        open(file)?;
        let (sender, mut lines) = mpsc::channel::<String>(WAITING);
        let file = file.to_owned();
        std::thread::spawn(move || {
            while let Some(first) = lines.blocking_recv() {
                let mut batch = first;
                while let Ok(next) = lines.try_recv() {
                    batch.push_str(&next);
                }
                write(&file, &batch);
            }
        });
        Ok(Self(Some(sender)))
    }

    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub async fn write(&self, line: &Line<'_>) {
        let Some(sender) = &self.0 else { return };
        match serde_json::to_string(line) {
            Ok(mut text) => {
                text.push('\n');
                let _ = sender.send(text).await; // the writer ends with the process
            }
            Err(error) => tracing::error!(%error, "a line of the audit could not be made"),
        }
    }
}

fn open(file: &Path) -> std::io::Result<std::fs::File> {
    OpenOptions::new().create(true).append(true).open(file)
}

fn write(file: &Path, batch: &str) {
    if let Err(error) = open(file).and_then(|mut opened| opened.write_all(batch.as_bytes())) {
        tracing::error!(file = %file.display(), %error, lines = batch.lines().count(), "could not write the audit");
    }
}
