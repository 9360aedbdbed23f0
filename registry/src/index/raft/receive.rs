//! What members say to this node: letters become openraft's calls. A letter that is not meant for this node, or comes
//! from one that was removed, is refused with the reason.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use openraft::raft::AppendEntriesResponse;
use openraft::{Snapshot, SnapshotMeta};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::machine::StateSnapshot;
use super::node::Node;
use super::stream::{PIECES, read_with};
use super::transfer::{self, TransferError};
use super::types::StoredVote;
use super::wire::{
    self, Append, AppendOfAny, Appended, AskRead, AskVote, Letter, SnapshotHead, Transfer, Transferred, Voted,
};
use crate::index::level;
use crate::index::peers::wire::{Fault, decode, encode};
use crate::index::snapshot::SnapshotError;

/// The longest letter: entries come in pieces of at most 8 MiB, or one alone.
const LARGEST: usize = 64 << 20;
/// The longest head of a snapshot.
const LARGEST_HEAD: usize = 1 << 20;

/// Answers the letter to `path`; `time` is asked only for reads, `has_reserve` only for what is written.
pub async fn receive(
    node: &Node,
    path: &str,
    body: Incoming,
    time: impl Fn() -> crate::index::command::Time,
    has_reserve: impl Fn() -> bool,
) -> Result<Bytes, Fault> {
    let stopped = |error: &dyn std::fmt::Display| Fault::Unavailable { reason: error.to_string() };
    if path == wire::SNAPSHOT {
        return snapshot(node, body, has_reserve).await;
    }
    let bytes = collect(body).await?;
    match path {
        wire::APPEND => {
            let append = append(node, &bytes)?;
            if !append.entries.is_empty() && !has_reserve() {
                return Err(Fault::Full);
            }
            if let Some(position) = contradiction(node, &append) {
                node.contradicted(position);
                return Err(Fault::Refused {
                    reason: format!(
                        "entry {position} would be replaced, and it is applied here: these are two histories"
                    ),
                });
            }
            let committed = append.committed.filter(|_| append.leads).map(|position| position.index);
            let appended = node.raft().append_entries(append.into()).await.map_err(|error| stopped(&error))?;
            if !matches!(appended, AppendEntriesResponse::HigherVote(_)) {
                node.heard_leader(committed);
            }
            answer(&Appended::from(appended))
        }
        wire::VOTE => {
            let ask: AskVote = open(node, &bytes)?;
            let voted = node.raft().vote(ask.into()).await.map_err(|error| stopped(&error))?;
            answer(&Voted::from(voted))
        }
        wire::PRE_VOTE => {
            let ask: AskVote = open(node, &bytes)?;
            let voted = node.raft().pre_vote(ask.into()).await.map_err(|error| stopped(&error))?;
            answer(&Voted::from(voted))
        }
        wire::TRANSFER => {
            let transfer: Transfer = open(node, &bytes)?;
            let done = node.raft().handle_transfer_leader(transfer.into()).await.map_err(|error| stopped(&error))?;
            answer(&Transferred::from(done))
        }
        wire::READ => {
            let _: AskRead = open(node, &bytes)?;
            let index = node.confirm_lead().await.map_err(|error| node.not_leader(&error))?;
            answer(&wire::ReadAt { index, time: time() })
        }
        _ => Err(Fault::NoSuchCall),
    }
}

/// The first position at which a letter would replace what is applied here. No leader of this history sends such a letter; one of
/// a cluster that was begun again on empty volumes does, and openraft would cut the log.
fn contradiction(node: &Node, append: &Append) -> Option<u64> {
    let applied = node.applied()?;
    let ours = |index| Some(node.log().stored(index..index + 1, 1).ok()??.first()?.position);
    let sent = append.before.iter().chain(append.entries.iter().map(|entry| &entry.position));
    let mut behind = sent.filter(|position| position.index <= applied.index);
    let other = behind.find(|position| {
        let here = if position.index == applied.index { Some(applied) } else { ours(position.index) };
        position.leader() > applied.leader() || here.is_some_and(|here| here != **position)
    });
    other.map(|position| position.index)
}

/// Reads a body up to the longest letter.
pub async fn collect(body: Incoming) -> Result<Bytes, Fault> {
    let unreadable = |reason: String| Fault::Unreadable { reason };
    Ok(Limited::new(body, LARGEST).collect().await.map_err(|error| unreadable(error.to_string()))?.to_bytes())
}

fn answer<T: Serialize>(message: &T) -> Result<Bytes, Fault> {
    encode(message).map_err(|reason| Fault::Unavailable { reason })
}

/// Opens a letter that is meant for this node.
fn open<T: DeserializeOwned>(node: &Node, bytes: &[u8]) -> Result<T, Fault> {
    let letter: Letter<T> = decode(bytes).map_err(|reason| Fault::Unreadable { reason })?;
    node.admits(&letter.cluster, letter.from, letter.to)?;
    Ok(letter.content)
}

/// Opens a letter with entries. Entries that only a newer roadstead can read end this node, before it takes any of them.
fn append(node: &Node, bytes: &[u8]) -> Result<Append, Fault> {
    let append = open::<Append>(node, bytes);
    let level = match &append {
        Ok(append) => append.entries.iter().map(|entry| entry.level).max(),
        Err(Fault::Unreadable { .. }) => {
            open::<AppendOfAny>(node, bytes)?.entries.iter().map(|entry| entry.level).max()
        }
        Err(_) => None,
    };
    if let Err(newer) = level::check("an entry", level.unwrap_or_default()) {
        node.halt().newer(newer);
        return Err(Fault::Unavailable { reason: newer.to_string() });
    }
    append
}

async fn snapshot(node: &Node, mut body: Incoming, has_reserve: impl Fn() -> bool) -> Result<Bytes, Fault> {
    let unreadable = |reason: String| Fault::Unreadable { reason };
    let mut begun = BytesMut::new();
    let head: SnapshotHead = loop {
        if let Some(length) = begun.first_chunk::<4>().map(|length| u32::from_le_bytes(*length) as usize) {
            if length > LARGEST_HEAD {
                return Err(unreadable("the head of the snapshot is too long".into()));
            }
            if begun.len() >= 4 + length {
                let head = open(node, &begun[4..4 + length])?;
                begun.advance(4 + length);
                break head;
            }
        }
        let more = piece(&mut body).await.map_err(|error| unreadable(error.to_string()))?;
        begun.extend_from_slice(&more.ok_or_else(|| unreadable("the snapshot ends before its beginning".into()))?);
    };
    let busy = || Fault::Unavailable { reason: "another snapshot is being received".into() };
    let _receiving = node.begin_receiving().ok_or_else(busy)?;
    let (sender, channel) = mpsc::channel::<io::Result<Bytes>>(PIECES);
    let (states, cluster) = (node.states(), node.cluster().unwrap_or_default());
    let reading = read_with(channel, move |input| transfer::receive(input, &cluster, &states));
    let _ = sender.send(Ok(begun.freeze())).await; // a reader that gave up says why below
    loop {
        // What this node itself must still write would not fit any more, and that would end it.
        if !has_reserve() {
            return Err(Fault::Full);
        }
        let Some(next) = piece(&mut body).await.transpose() else { break };
        let broken = next.is_err();
        if sender.send(next).await.is_err() || broken {
            break;
        }
    }
    drop(sender);
    let failed = |error: &dyn std::fmt::Display| Fault::Unavailable { reason: error.to_string() };
    let store = reading.await.map_err(|error| failed(&error))?.map_err(|error| {
        if let TransferError::Snapshot(SnapshotError::NewerLevel(newer)) = &error {
            node.halt().newer(*newer);
        }
        failed(&error)
    })?;
    let meta = SnapshotMeta { last_log_id: head.position.map(Into::into), last_membership: (&head.members).into() };
    let snapshot = Snapshot { meta, snapshot: StateSnapshot::Received(store) };
    let response =
        node.raft().install_full_snapshot(head.vote.into(), snapshot).await.map_err(|error| failed(&error))?;
    answer(&StoredVote::from(&response.vote))
}

/// The next bytes of a body; none at its end.
async fn piece(body: &mut Incoming) -> io::Result<Option<Bytes>> {
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.map_err(io::Error::other)?.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}
