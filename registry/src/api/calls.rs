//! The API for whoever keeps the machine or has an administrator's certificate: carried by a call between processes.

use async_trait::async_trait;
use bytes::Bytes;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use super::operation::Operation;
use super::{By, Desk};
use crate::config::Anonymous;
use crate::error::ApiError;
use crate::http::error_json;
use crate::index::Index;
use crate::index::archive::calls::BackupCalls;
use crate::index::peers::Caller;
use crate::index::peers::listen::Answer;
use crate::index::peers::wire::{Fault, decode, encode};
use crate::index::raft::receive::collect;

pub const API: &str = "/admin/api";

/// A request to the API.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiCall {
    pub method: String,
    /// What follows `/api/v1/`.
    pub path: String,
    pub query: Option<String>,
    pub body: Bytes,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiReply {
    pub status: u16,
    pub body: Bytes,
}

/// Answers administrators: for the API, and for backups.
#[derive(Debug)]
pub struct Calls {
    pub index: Index,
    pub everyone: Anonymous,
    pub backups: BackupCalls,
}

#[async_trait]
impl Answer for Calls {
    async fn answer(&self, caller: &Caller, path: &str, body: Incoming) -> Result<Bytes, Fault> {
        if path != API {
            return self.backups.answer(caller, path, body).await;
        }
        if !self.index.leads() {
            let leader = self.index.local().and_then(|local| local.node().leader());
            return Err(Fault::NotLeader { leader: leader.map(|(_, name)| name) });
        }
        let call: ApiCall = decode(&collect(body).await?).map_err(|reason| Fault::Unreadable { reason })?;
        let (status, body) = match self.run(&call).await {
            Ok((status, value)) => (status, serde_json::to_vec(&value).unwrap_or_default()),
            Err(error) => (error.status, error_json(&error)),
        };
        let reply = ApiReply { status: status.as_u16(), body: body.into() };
        encode(&reply).map_err(|reason| Fault::Unavailable { reason })
    }
}

impl Calls {
    async fn run(&self, call: &ApiCall) -> super::Answer {
        let method = call.method.parse().map_err(|_| super::bad("this is no method"))?;
        let operation = Operation::parse(&method, &call.path, call.query.as_deref()).map_err(ApiError::from)?;
        let desk = Desk { index: &self.index, by: By::Machine, everyone: self.everyone };
        desk.admit(&operation).await?.run(&call.body).await
    }
}
