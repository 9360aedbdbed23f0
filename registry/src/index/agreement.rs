//! What members compare with each other all the time: check sums of their states, how far their volumes are, and, when the
//! leader's clock is in doubt, their clocks. A node that finds itself to be the odd one out, or its volume to be an older
//! copy, ends; its next start sets the volume aside. A leader whose volume is full, or whose disk hangs, lets another one lead.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use super::answer::STATUS;
use super::command::Time;
use super::local::Local;
use super::peers::wire::{Member, NodeStatus};
use super::raft::refused::Reason;
use super::raft::witness::{self, Acknowledged, Judgement};
use super::state::sums::{self, Verdict};

const EVERY: Duration = Duration::from_secs(2);
/// How often a leader looks whether its clock is in doubt: what is begun before it is settled may expire at once.
const LOOK: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(1);
/// A disk that has made nothing durable for so long, though something waits for it, hangs.
const HANGS: Duration = Duration::from_secs(3);

/// Compares until the process ends.
pub async fn run(local: Local) {
    let mut due = Instant::now();
    // What was durable last while more waited, and since when.
    let mut waits: Option<(u64, Instant)> = None;
    loop {
        // Keeps the clock of a follower going, so that it goes on from there when it leads.
        local.time();
        waits = local.node().waits_for_disk().map(|durable| match waits {
            Some((before, since)) if before == durable => (before, since),
            _ => (durable, Instant::now()),
        });
        let doubtful = local.node().leads() && local.clock().is_doubtful();
        if doubtful || Instant::now() >= due {
            due = Instant::now() + EVERY;
            let members = local.node().members();
            // An answer may be older than what is seen while it is on its way.
            let seen = local.node().witness().seen();
            let others = ask(&local, &members).await;
            if doubtful {
                settle(&local, &members, &others);
            }
            if local.node().leads() {
                if !local.has_space() {
                    hand_over(&local, &members, &others, "too little is free on this node's volume").await;
                } else if waits.is_some_and(|(_, since)| since.elapsed() > HANGS) {
                    hand_over(&local, &members, &others, "the disk of this node hangs").await;
                }
            }
            if !others.is_empty() {
                compare_states(&local, &members, &others);
                compare_volumes(&local, &seen, &others);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Asks the others for their clocks once, if this node's is in doubt; whether it still is.
pub async fn is_in_doubt(local: &Local) -> bool {
    local.time();
    if local.clock().is_doubtful() {
        let members = local.node().members();
        let others = ask(local, &members).await;
        settle(local, &members, &others);
    }
    local.clock().is_doubtful()
}

/// How the other members are, as far as they answer.
async fn ask(local: &Local, members: &[Member]) -> Vec<NodeStatus> {
    let node = local.node();
    let asked = members.iter().filter(|member| member.id != node.id()).map(|member| async {
        let peer = node.network().peer(&member.name)?;
        let status = peer.call::<(), NodeStatus>(STATUS, &(), PATIENCE).await.ok()?;
        (status.id == member.id).then_some(status)
    });
    join_all(asked).await.into_iter().flatten().collect()
}

fn is_voter(members: &[Member], id: u64) -> bool {
    members.iter().any(|member| member.id == id && member.voter)
}

/// Lets a voter lead that has room, so that the full volume or the disk of one node does not keep all from writing.
async fn hand_over(local: &Local, members: &[Member], others: &[NodeStatus], why: &str) {
    let (_, matched) = local.node().progress();
    let Some(successor) = successor(members, others, &matched) else { return };
    tracing::warn!(to = successor.name, "{why}: another one shall lead");
    if let Err(error) = local.node().transfer(Some(successor.id)).await {
        tracing::warn!(%error, "leadership was not handed over");
    }
}

/// Of the voters with room, the one that has most of the log.
fn successor<'a>(members: &[Member], others: &'a [NodeStatus], matched: &[(u64, u64)]) -> Option<&'a NodeStatus> {
    let has = |id| matched.iter().find(|(other, _)| *other == id).map_or(0, |(_, has)| *has);
    let able = others.iter().filter(|status| status.has_space && is_voter(members, status.id));
    able.max_by_key(|status| has(status.id))
}

/// Compares the clocks of the voters.
fn settle(local: &Local, members: &[Member], others: &[NodeStatus]) {
    let voters = others.iter().filter(|status| is_voter(members, status.id));
    let mut walls: Vec<_> = voters.map(|status| Time(status.wall)).collect();
    walls.push(local.wall());
    local.clock().settle(&walls, members.iter().filter(|member| member.voter).count());
}

/// Ends this node if a majority of the voters has another state.
fn compare_states(local: &Local, members: &[Member], others: &[NodeStatus]) {
    let node = local.node();
    let theirs: Vec<_> =
        others.iter().filter(|status| is_voter(members, status.id)).map(|status| status.sums.as_slice()).collect();
    let voters = members.iter().filter(|member| member.voter).count();
    if let Verdict::OddOneOut { position, mine, theirs } = sums::judge(&node.sums(), &theirs, voters) {
        let detail =
            format!("at entry {position} its check sum is {mine:016x}, and that of a majority is {theirs:016x}");
        node.halt().refuse(Reason::Diverged, detail);
    }
}

/// Notes how far the others are, and ends this node if one of them has seen it further than its volume is.
/// `before` is what was seen of them when they were asked.
fn compare_volumes(local: &Local, before: &[(u64, Acknowledged)], others: &[NodeStatus]) {
    let node = local.node();
    let Ok(mine) = node.acknowledged() else { return };
    for status in others {
        if let Some(offered) = &status.acknowledged {
            let before = before.iter().find(|(id, _)| *id == status.id).map(|(_, seen)| *seen).unwrap_or_default();
            if let Judgement::RolledBack(proof) = witness::judge(&before, offered) {
                tracing::warn!(node = status.id, name = status.name, %proof, "a member's volume is an older copy of itself");
            } else {
                node.witness().judge(status.id, offered, node.certain(offered)); // notes it; meanwhile more may have been seen
            }
        }
        let seen = status.seen.iter().find(|(id, _)| *id == node.id());
        if let Some((_, seen)) = seen
            && let Judgement::RolledBack(proof) = witness::judge(seen, &mine)
        {
            node.halt().refuse(Reason::RolledBack, format!("{proof}, says {}", status.name));
        }
    }
}
