//! The socket in the data directory of a whole registry: an administrator of the machine speaks to it as to an index node.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use crate::index::answer::Answers;
use crate::index::local::Local;
use crate::index::peers::listen::{self, SocketListener};

const NAME: &str = "admin.sock";

/// The socket, open.
pub(super) struct AdminSocket {
    listener: UnixListener,
    pub answers: Arc<Answers>,
}

/// Where the socket of a data directory is.
pub(super) fn path(data: &Path) -> PathBuf {
    data.join(NAME)
}

impl AdminSocket {
    /// Opens the socket; the data directory is ours, so one that is there was left by a process that has ended. Without
    /// it the registry serves all the same: a path may be too long for a socket.
    pub fn new(data: &Path, local: Local) -> Option<Self> {
        let path = path(data);
        let _ = std::fs::remove_file(&path);
        let opened = UnixListener::bind(&path).and_then(|listener| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        });
        match opened {
            Ok(listener) => Some(Self { listener, answers: Arc::new(Answers::new(local, "self")) }),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "no socket for administrators: commands to this process will not work");
                None
            }
        }
    }

    /// Answers until `stop`.
    pub async fn serve(self, stop: CancellationToken) {
        listen::run(SocketListener(self.listener), self.answers, stop).await;
    }
}
