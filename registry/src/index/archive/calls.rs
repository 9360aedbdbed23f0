//! What an administrator asks of the process that leads: a backup now, the list, the end of one.

use async_trait::async_trait;
use bytes::Bytes;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::backups::{BackupError, Backups};
use crate::index::peers::Caller;
use crate::index::peers::listen::Answer;
use crate::index::peers::wire::{Fault, decode, encode};
use crate::index::raft::receive::collect;

pub const NOW: &str = "/admin/backup/now";
pub const LIST: &str = "/admin/backup/list";
/// Asks which backups this process writes.
pub const WRITING: &str = "/admin/backup/writing";
pub const DELETE: &str = "/admin/backup/delete";

/// Asks for a backup. It is begun when the answer comes, and complete when the list shows its snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupNow {
    pub name: Option<String>,
    /// Milliseconds; none: until it is deleted.
    pub keep: Option<u64>,
}

/// Answers for backups.
#[derive(Debug)]
pub struct BackupCalls(pub Backups);

#[async_trait]
impl Answer for BackupCalls {
    async fn answer(&self, _caller: &Caller, path: &str, body: Incoming) -> Result<Bytes, Fault> {
        if !self.0.index().leads() {
            let leader = self.0.index().local().and_then(|local| local.node().leader());
            return Err(Fault::NotLeader { leader: leader.map(|(_, name)| name) });
        }
        match path {
            NOW => {
                let BackupNow { name, keep } = read(&collect(body).await?)?;
                let begun = self.0.begin(name, keep).await.map_err(|error| fault(&error))?;
                let name = begun.name.clone();
                self.0.write(begun);
                write(&name)
            }
            WRITING => write(&self.0.writing()),
            LIST => write(&self.0.list().await.map_err(|error| fault(&error))?),
            DELETE => {
                let name: String = read(&collect(body).await?)?;
                self.0.delete(&name).await.map_err(|error| fault(&error))?;
                write(&())
            }
            _ => Err(Fault::NoSuchCall),
        }
    }
}

fn fault(error: &BackupError) -> Fault {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    match error {
        BackupError::NotLeading => Fault::NotLeader { leader: None },
        BackupError::Archive(_) => Fault::Unavailable { reason },
        BackupError::Name { .. }
        | BackupError::Exists { .. }
        | BackupError::Unknown { .. }
        | BackupError::Foreign { .. } => Fault::Refused { reason },
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    decode(bytes).map_err(|reason| Fault::Unreadable { reason })
}

fn write<T: Serialize>(message: &T) -> Result<Bytes, Fault> {
    encode(message).map_err(|reason| Fault::Unavailable { reason })
}
