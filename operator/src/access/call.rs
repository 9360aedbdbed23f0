//! The administrators' API of a registry, as its keeper calls it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use roadstead::api::calls::{API, ApiCall, ApiReply};
use roadstead::index::peers::connection::{CallError, Peer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Trouble;

/// How long a node may take to answer. A password is hashed meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a call reaches whoever answers.
pub type Way = dyn Fn(ApiCall) -> BoxFuture<'static, Result<ApiReply, CallError>> + Send + Sync;

/// The way into one registry. Clones share it.
#[derive(Clone)]
pub struct Door {
    way: Arc<Way>,
    /// The name by which clients reach the registry.
    pub hostname: String,
    /// Somebody was not answered: who comes next finds out anew who leads.
    broken: Arc<AtomicBool>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("hostname", &self.hostname).finish_non_exhaustive()
    }
}

/// What the registry answered.
#[derive(Clone, Debug)]
pub struct Answered {
    pub status: u16,
    body: Vec<u8>,
}

impl Door {
    /// To the node that leads.
    pub fn to(leader: Peer, hostname: &str) -> Self {
        let way = move |call: ApiCall| -> BoxFuture<'static, Result<ApiReply, CallError>> {
            let leader = leader.clone();
            Box::pin(async move { leader.call(API, &call, PATIENCE).await })
        };
        Self::new(Arc::new(way), hostname)
    }

    pub fn new(way: Arc<Way>, hostname: &str) -> Self {
        Self { way, hostname: hostname.to_owned(), broken: Arc::default() }
    }

    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    async fn call(&self, method: &str, path: &str, body: Vec<u8>) -> Result<Answered, Trouble> {
        let call = ApiCall { method: method.into(), path: path.into(), query: None, body: body.into() };
        match (self.way)(call).await {
            Ok(ApiReply { status, body }) if status < 500 => Ok(Answered { status, body: body.to_vec() }),
            Ok(ApiReply { status, body }) => {
                let said = Answered { status, body: body.to_vec() }.message();
                Err(Trouble::new("RegistryNotReady", format!("the registry cannot do it now: {said}")))
            }
            Err(error) => {
                self.broken.store(true, Ordering::Relaxed);
                Err(Trouble::new("RegistryNotReady", format!("the registry did not answer: {error}")))
            }
        }
    }

    /// Something of the registry; none: it is not there.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Trouble> {
        let answered = self.call("GET", path, Vec::new()).await?;
        if answered.status == 404 { Ok(None) } else { answered.read().map(Some) }
    }

    pub async fn send(&self, method: &str, path: &str, body: &impl Serialize) -> Result<Answered, Trouble> {
        let body = serde_json::to_vec(body).map_err(|error| Trouble::new("Refused", error.to_string()))?;
        self.call(method, path, body).await
    }

    /// Deletes something. Gives whether it was there.
    pub async fn delete(&self, path: &str) -> Result<bool, Trouble> {
        let answered = self.call("DELETE", path, Vec::new()).await?;
        if answered.status == 404 { Ok(false) } else { answered.done().map(|()| true) }
    }
}

impl Answered {
    /// That it was done, or why it was not.
    pub fn done(self) -> Result<(), Trouble> {
        if self.status < 300 { Ok(()) } else { Err(Trouble::new("Refused", self.message())) }
    }

    pub fn read<T: DeserializeOwned>(self) -> Result<T, Trouble> {
        if self.status >= 300 {
            return Err(Trouble::new("Refused", self.message()));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Trouble::new("RegistryNotReady", format!("the registry's answer cannot be read: {error}")))
    }

    /// The registry's own words.
    pub fn message(&self) -> String {
        let said: Option<Value> = serde_json::from_slice(&self.body).ok();
        let words = said.as_ref().and_then(|said| said.pointer("/errors/0/message")).and_then(Value::as_str);
        words.map_or_else(|| format!("{}: {}", self.status, String::from_utf8_lossy(&self.body)), str::to_owned)
    }
}
