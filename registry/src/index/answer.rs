//! Speaks for the node of this process to others: letters of members, commands and queries of processes without an
//! index, and what an administrator asks. What a caller may do stands in its certificate.

mod rights;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;

use rights::{check, serves_clients};

use super::access;
use super::agreement;
use super::client::{IndexError, found};
use super::level::{FIRST, LEVEL};
use super::local::{self, Local};
use super::peers::listen::Answer;
use super::peers::wire::{
    Answered, Asked, Change, CommandReplies, Commands, Fault, Form, Join, Joined, NodeStatus, Queries, QueryReplies,
    Replace, Submitted, Welcome, decode, encode,
};
use super::peers::{Caller, Role};
use super::query::{
    BlobRepositories, DueObjects, GetBlob, GetManifest, GetStatus, GetUpload, KnownObjects, ListBackups, ListBlobs,
    ListReferrers, ListRepositories, ListTags, Query, TagHistory,
};
use super::raft::NodeError;
use super::raft::receive::{collect, receive};
use super::raise;
use super::remote::{COMMANDS, QUERIES, WELCOME};
use crate::index::command::Reply;

pub const STATUS: &str = "/node/status";
pub const REPLACE: &str = "/node/replace";
pub const JOIN: &str = "/admin/join";
pub const FORM: &str = "/admin/form";
pub const CHANGE: &str = "/admin/change";
pub const TRANSFER: &str = "/admin/transfer";
pub const SNAPSHOT: &str = "/admin/snapshot";
pub const ACCEPT_TIME: &str = "/admin/accept-time";
pub const RAISE: &str = "/admin/raise";

/// How long a new cluster may take to elect its first leader.
const FOUNDING: Duration = Duration::from_secs(30);

/// How long a node may take to say whether its cluster has begun.
const BEGUN: Duration = Duration::from_secs(3);

/// Bytes of answers to one batch of queries.
const ANSWER_BYTES: usize = 16 << 20;

/// Answers for a node.
#[derive(Debug)]
pub struct Answers {
    local: Local,
    /// The node's name, as its peers dial it.
    name: String,
    /// What else an administrator may ask of this process.
    extra: OnceLock<Arc<dyn Answer>>,
}

impl std::fmt::Debug for dyn Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}

/// What answers to a batch of queries may take: what does not fit is asked again, and waits nowhere.
#[derive(Debug, Default)]
struct Room(AtomicUsize);

impl Room {
    fn take(&self, answered: Answered) -> Result<Answered, Fault> {
        let taken = self.0.fetch_add(answered.answer.len(), Ordering::Relaxed);
        // One always fits, however large it is, or it would be asked for ever.
        if taken == 0 || taken + answered.answer.len() <= ANSWER_BYTES {
            return Ok(answered);
        }
        self.0.fetch_sub(answered.answer.len(), Ordering::Relaxed);
        Err(Fault::Unavailable { reason: "the answers to the others are too long".into() })
    }
}

impl Answers {
    pub fn new(local: Local, name: &str) -> Self {
        Self { local, name: name.to_owned(), extra: OnceLock::new() }
    }

    /// From now on other calls of administrators are answered by `extra`.
    pub fn with(&self, extra: Arc<dyn Answer>) {
        let _ = self.extra.set(extra); // said twice it stays what it was
    }

    async fn commands(&self, caller: Role, commands: Commands) -> Result<CommandReplies, Fault> {
        self.check_cluster(&commands.cluster, commands.epoch)?;
        let replies = join_all(commands.commands.into_iter().map(|submitted| async {
            if caller == Role::Registry && !serves_clients(&submitted.command) {
                return Err(Fault::Forbidden { needs: Role::Index.uri().into() });
            }
            self.command(submitted).await
        }));
        let replies = replies.await;
        Ok(CommandReplies { time: self.local.time(), replies })
    }

    async fn command(&self, submitted: Submitted) -> Result<Reply, Fault> {
        let node = self.local.node();
        let not_led = || {
            // Who led last is known also when nobody leads any more.
            if self.local.is_lost() {
                return no_quorum();
            }
            let leader = node.leader().filter(|(id, _)| *id != node.id());
            Fault::NotLeader { leader: leader.map(|(_, name)| name) }
        };
        if !node.leads() {
            return Err(not_led());
        }
        match self.local.propose(submitted.request, submitted.who, submitted.command).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(NodeError::NoLeader(_))) => Err(not_led()),
            // That it was discarded here does not mean that the next leader does not have it.
            Ok(Err(error)) => Err(Fault::Unavailable { reason: error.to_string() }),
            Err(error) => Err(fault(&error)),
        }
    }

    async fn queries(&self, queries: Queries) -> Result<QueryReplies, Fault> {
        self.check_cluster(&queries.cluster, queries.epoch)?;
        let room = Room::default();
        let replies = join_all(queries.queries.iter().map(|asked| async { room.take(self.any(asked).await?) })).await;
        Ok(QueryReplies { time: self.local.time(), replies })
    }

    async fn any(&self, asked: &Asked) -> Result<Answered, Fault> {
        match asked.name.as_str() {
            GetManifest::NAME => self.one::<GetManifest>(asked).await,
            GetBlob::NAME => self.one::<GetBlob>(asked).await,
            GetUpload::NAME => self.one::<GetUpload>(asked).await,
            ListTags::NAME => self.one::<ListTags>(asked).await,
            ListRepositories::NAME => self.one::<ListRepositories>(asked).await,
            ListReferrers::NAME => self.one::<ListReferrers>(asked).await,
            TagHistory::NAME => self.one::<TagHistory>(asked).await,
            BlobRepositories::NAME => self.one::<BlobRepositories>(asked).await,
            DueObjects::NAME => self.one::<DueObjects>(asked).await,
            KnownObjects::NAME => self.one::<KnownObjects>(asked).await,
            ListBackups::NAME => self.one::<ListBackups>(asked).await,
            ListBlobs::NAME => self.one::<ListBlobs>(asked).await,
            GetStatus::NAME => self.one::<GetStatus>(asked).await,
            name => match self.access(name, asked).await {
                Some(answered) => answered,
                None => Err(Fault::NoSuchCall),
            },
        }
    }

    /// Questions on behalf of somebody, and about accounts.
    async fn access(&self, name: &str, asked: &Asked) -> Option<Result<Answered, Fault>> {
        Some(match name {
            <access::Asked<GetManifest>>::NAME => self.one::<access::Asked<GetManifest>>(asked).await,
            <access::Asked<GetBlob>>::NAME => self.one::<access::Asked<GetBlob>>(asked).await,
            <access::Asked<GetUpload>>::NAME => self.one::<access::Asked<GetUpload>>(asked).await,
            <access::Asked<ListTags>>::NAME => self.one::<access::Asked<ListTags>>(asked).await,
            <access::Asked<ListReferrers>>::NAME => self.one::<access::Asked<ListReferrers>>(asked).await,
            <access::Asked<TagHistory>>::NAME => self.one::<access::Asked<TagHistory>>(asked).await,
            access::VisibleRepositories::NAME => self.one::<access::VisibleRepositories>(asked).await,
            access::ReadableSources::NAME => self.one::<access::ReadableSources>(asked).await,
            access::Authorize::NAME => self.one::<access::Authorize>(asked).await,
            access::Allowed::NAME => self.one::<access::Allowed>(asked).await,
            access::GetCredentials::NAME => self.one::<access::GetCredentials>(asked).await,
            access::GetToken::NAME => self.one::<access::GetToken>(asked).await,
            access::ListKeys::NAME => self.one::<access::ListKeys>(asked).await,
            access::GetAccount::NAME => self.one::<access::GetAccount>(asked).await,
            access::ListAccounts::NAME => self.one::<access::ListAccounts>(asked).await,
            access::ListTokens::NAME => self.one::<access::ListTokens>(asked).await,
            access::ListPolicies::NAME => self.one::<access::ListPolicies>(asked).await,
            access::ListIssuers::NAME => self.one::<access::ListIssuers>(asked).await,
            access::ListQuotas::NAME => self.one::<access::ListQuotas>(asked).await,
            access::ListAudit::NAME => self.one::<access::ListAudit>(asked).await,
            access::Explain::NAME => self.one::<access::Explain>(asked).await,
            access::GetFirst::NAME => self.one::<access::GetFirst>(asked).await,
            _ => return None,
        })
    }

    async fn one<Q: Query>(&self, asked: &Asked) -> Result<Answered, Fault> {
        let query: Q = read(&asked.query)?;
        let (answer, stale) = self
            .local
            .query(query)
            .await
            .map_err(|error| if self.local.is_lost() { no_quorum() } else { fault(&error) })?;
        Ok(Answered { answer: write(&answer)?, stale })
    }

    fn check_cluster(&self, cluster: &str, epoch: Option<u64>) -> Result<(), Fault> {
        let node = self.local.node();
        match node.cluster() {
            None => Err(Fault::Empty),
            Some(ours) if ours != cluster => Err(Fault::OtherCluster { ours }),
            Some(ours) => match (epoch, node.epoch()) {
                (Some(asked), Some(epoch)) if asked != epoch => {
                    Err(Fault::OtherCluster { ours: format!("{ours}, epoch {epoch}") })
                }
                _ => Ok(()),
            },
        }
    }

    /// How this node is, as far as it knows by itself.
    pub fn status(&self) -> NodeStatus {
        let node = self.local.node();
        let health = node.health();
        let (_, matched) = node.progress();
        node.note_progress();
        NodeStatus {
            id: node.id(),
            name: self.name.clone(),
            cluster: node.cluster(),
            epoch: node.epoch(),
            leader: health.leader,
            term: health.term,
            end: health.end,
            applied: health.applied,
            members: node.members(),
            level: LEVEL,
            level_in_force: node.level().unwrap_or(FIRST),
            wall: self.local.wall().0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sums: node.sums(),
            acknowledged: node.acknowledged().ok(),
            seen: node.witness().seen(),
            time_paused: self.local.clock().is_doubtful(),
            has_space: self.local.has_space(),
            matched,
        }
    }

    fn welcome(&self) -> Result<Welcome, Fault> {
        let node = self.local.node();
        if node.cluster().is_none() {
            return Err(Fault::Empty);
        }
        let status = local::answer(node, &GetStatus).map_err(|error| fault(&error))?;
        let cluster = status.cluster.ok_or(Fault::Empty)?;
        Ok(Welcome { cluster, time: self.local.time() })
    }

    /// Begins the cluster and waits until it stands.
    async fn form(&self, form: Form) -> Result<(), Fault> {
        if self.local.node().members().is_empty() {
            self.check_new(&form).await?;
        }
        self.local.node().form(&form).await?;
        let founded = async {
            loop {
                let status = local::answer(self.local.node(), &GetStatus).map_err(|error| fault(&error))?;
                if status.cluster.is_some() {
                    return Ok(());
                }
                let node = self.local.node();
                if let Some((_, leader)) = node.leader().filter(|(id, _)| *id != node.id() && !self.local.is_lost()) {
                    return Err(Fault::NotLeader { leader: Some(leader) }); // whoever leads begins it
                }
                // The first entry's time is where the time of the index begins.
                if self.local.node().leads() && !agreement::is_in_doubt(&self.local).await {
                    found(&self.local, form.cluster.clone())
                        .await
                        .map_err(|error| Fault::Unavailable { reason: error.to_string() })?;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let late = || Fault::Unavailable {
            reason: "the members did not elect a leader in time, or their clocks do not agree; try again".into(),
        };
        tokio::time::timeout(FOUNDING, founded).await.map_err(|_| late())?
    }

    /// Makes sure that the cluster has not begun: an empty node that began it again would replace what its members have.
    async fn check_new(&self, form: &Form) -> Result<(), Fault> {
        let node = self.local.node();
        for (_, name) in form.members.iter().filter(|(id, _)| *id != node.id()) {
            let silent = |reason: String| Fault::Unavailable { reason: format!("{reason}; every node must answer") };
            let peer = node.network().peer(name).ok_or_else(|| silent(format!("there is no way to {name}")))?;
            let status = peer.call::<(), NodeStatus>(STATUS, &(), BEGUN).await;
            let status = status.map_err(|error| silent(error.to_string()))?;
            if status.members.iter().any(|member| member.id == node.id()) {
                return Err(Fault::NotLeader { leader: Some(name.clone()) }); // it begins just now, there
            }
            if !status.members.is_empty() {
                return Err(Fault::Refused {
                    reason: format!(
                        "the cluster has begun already, says {name}, and this node is no member of it: `roadstead index add` takes it in"
                    ),
                });
            }
        }
        Ok(())
    }

    /// Lets a node take its own place under a new id: only one whose certificate is for the name that the old id has.
    async fn replace(&self, caller: &Caller, replace: &Replace) -> Result<(), Fault> {
        self.check_cluster(&replace.cluster, None)?;
        let host = replace.name.rsplit_once(':').map_or(replace.name.as_str(), |(host, _)| host);
        if !caller.names.iter().any(|name| name == host) {
            return Err(Fault::Forbidden { needs: host.to_owned() });
        }
        let node = self.local.node();
        if !node.leads() {
            return Err(Fault::NotLeader { leader: node.leader().map(|(_, name)| name) });
        }
        node.succeed(replace).await
    }

    async fn admin(&self, caller: &Caller, path: &str, body: Incoming) -> Result<Bytes, Fault> {
        let node = self.local.node();
        match path {
            JOIN => {
                let join: Join = read(&collect(body).await?)?;
                node.join(&join.cluster, join.epoch)?;
                write(&Joined { id: node.id(), name: self.name.clone() })
            }
            FORM => write(&self.form(read(&collect(body).await?)?).await?),
            CHANGE => {
                let change: Change = read(&collect(body).await?)?;
                node.change(&change).await?;
                write(&())
            }
            TRANSFER => {
                let to: Option<u64> = read(&collect(body).await?)?;
                if !node.leads() {
                    return Err(Fault::NotLeader { leader: node.leader().map(|(_, name)| name) });
                }
                let leader =
                    node.transfer(to).await.map_err(|error| Fault::Unavailable { reason: error.to_string() })?;
                write(&leader)
            }
            SNAPSHOT => {
                node.snapshot().await.map_err(|error| Fault::Unavailable { reason: error.to_string() })?;
                write(&())
            }
            ACCEPT_TIME => {
                if !node.leads() {
                    return Err(Fault::NotLeader { leader: node.leader().map(|(_, name)| name) });
                }
                let wall = self.local.wall();
                self.local.clock().accept(wall);
                write(&wall.0)
            }
            RAISE => {
                let level: Option<u32> = read(&collect(body).await?)?;
                write(&raise::raise(&self.local, level).await?)
            }
            _ => match self.extra.get() {
                Some(extra) => extra.answer(caller, path, body).await,
                None => Err(Fault::NoSuchCall),
            },
        }
    }
}

#[async_trait]
impl Answer for Answers {
    async fn answer(&self, caller: &Caller, path: &str, body: Incoming) -> Result<Bytes, Fault> {
        check(caller.role, path)?;
        match path {
            COMMANDS => write(&self.commands(caller.role, read(&collect(body).await?)?).await?),
            QUERIES => write(&self.queries(read(&collect(body).await?)?).await?),
            WELCOME => write(&self.welcome()?),
            STATUS => write(&self.status()),
            REPLACE => write(&self.replace(caller, &read(&collect(body).await?)?).await?),
            _ if path.starts_with("/raft/") => {
                let local = &self.local;
                receive(local.node(), path, body, || local.time(), || local.has_reserve()).await
            }
            _ => self.admin(caller, path, body).await,
        }
    }
}

fn no_quorum() -> Fault {
    Fault::Unavailable { reason: super::remote::NO_QUORUM.into() }
}

fn fault(error: &IndexError) -> Fault {
    match error {
        IndexError::Full { .. } => Fault::Full,
        error => Fault::Unavailable { reason: error.to_string() },
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    decode(bytes).map_err(|reason| Fault::Unreadable { reason })
}

fn write<T: Serialize>(message: &T) -> Result<Bytes, Fault> {
    encode(message).map_err(|reason| Fault::Unavailable { reason })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_too_long_together_are_asked_for_again() {
        let room = Room::default();
        let answered = |length| Answered { answer: vec![0; length].into(), stale: false };
        assert!(room.take(answered(2 * ANSWER_BYTES)).is_ok(), "one always fits");
        assert!(room.take(answered(1)).is_err());
        let room = Room::default();
        for _ in 0..4 {
            assert!(room.take(answered(ANSWER_BYTES / 4)).is_ok());
        }
        assert!(matches!(room.take(answered(1)), Err(Fault::Unavailable { .. })));
    }
}
