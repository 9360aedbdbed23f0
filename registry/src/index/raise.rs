//! Raising the feature level: asked of the leader by an administrator, and done only when every member knows it.

use std::time::Duration;

use futures::future::join_all;

use super::answer::STATUS;
use super::client::new_request;
use super::command::{Command, RaiseLevel};
use super::level::LEVEL;
use super::local::Local;
use super::peers::wire::{Fault, Member, NodeStatus};

/// How long a member may take to say what it knows.
const PATIENCE: Duration = Duration::from_secs(3);

/// Puts `wanted` in force, or else the highest level that every member knows. Returns the level in force then.
pub async fn raise(local: &Local, wanted: Option<u32>) -> Result<u32, Fault> {
    let node = local.node();
    let leader = || node.leader().filter(|(id, _)| *id != node.id()).map(|(_, name)| name);
    if !node.leads() {
        return Err(Fault::NotLeader { leader: leader() });
    }
    let unavailable = |error: &dyn std::fmt::Display| Fault::Unavailable { reason: error.to_string() };
    let members = node.members();
    let others = members.iter().filter(|member| member.id != node.id());
    let known = join_all(others.map(|member| async move { (member, known(local, member).await) })).await;
    let level = decide(wanted, &known).map_err(|reason| Fault::Refused { reason })?;
    let request = new_request(local.time()).map_err(|error| unavailable(&error))?;
    let reply = local.submit(request, None, Command::RaiseLevel(RaiseLevel { level })).await;
    match reply.map_err(|error| unavailable(&error))? {
        Ok(_) => node.level().map_err(|error| unavailable(&error)),
        Err(refusal) => Err(Fault::Refused { reason: refusal.to_string() }),
    }
}

/// The highest level that a member knows; none when it does not say.
async fn known(local: &Local, member: &Member) -> Option<u32> {
    let peer = local.node().network().peer(&member.name)?;
    let status = peer.call::<(), NodeStatus>(STATUS, &(), PATIENCE).await.ok()?;
    (status.id == member.id).then_some(status.level)
}

/// Which level can be put in force, by what the others know; this member knows [`LEVEL`]. Pure.
fn decide(wanted: Option<u32>, others: &[(&Member, Option<u32>)]) -> Result<u32, String> {
    let mut highest = LEVEL;
    for (member, level) in others {
        let level = level.ok_or_else(|| {
            format!("{} does not say which level it knows: start it, or remove it, and try again", member.name)
        })?;
        highest = highest.min(level);
    }
    match wanted {
        Some(wanted) if wanted > highest => {
            let who: Vec<_> = others
                .iter()
                .filter(|(_, level)| *level < Some(wanted))
                .map(|(member, _)| member.name.clone())
                .collect();
            let who = if who.is_empty() { "the leader".into() } else { who.join(", ") };
            Err(format!("level {wanted} is not known to {who}: upgrade every member first"))
        }
        wanted => Ok(wanted.unwrap_or(highest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_raised_only_when_every_member_says_that_it_knows_it() {
        let member = Member { id: 2, name: "index-2:5001".into(), voter: false };
        assert_eq!(decide(None, &[]), Ok(LEVEL));
        assert_eq!(decide(None, &[(&member, Some(LEVEL + 1))]), Ok(LEVEL));
        assert_eq!(decide(Some(1), &[(&member, Some(1))]), Ok(1));
        let old = decide(Some(LEVEL + 1), &[(&member, Some(LEVEL))]);
        assert!(old.is_err_and(|reason| reason.contains("index-2:5001")));
        let silent = decide(None, &[(&member, None)]);
        assert!(silent.is_err_and(|reason| reason.contains("does not say")));
    }
}
