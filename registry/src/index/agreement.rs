//! What members compare with each other all the time: a leader whose clock is in doubt asks the others for theirs.

use std::time::Duration;

use futures::future::join_all;

use super::answer::STATUS;
use super::command::Time;
use super::local::Local;
use super::peers::wire::NodeStatus;

const EVERY: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(1);

/// Compares until the process ends.
pub async fn run(local: Local) {
    loop {
        // Keeps the clock of a follower going, so that it goes on from there when it leads.
        local.time();
        if local.node().leads() && local.clock().is_doubtful() {
            settle(&local).await;
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Asks the other voters for their clocks.
async fn settle(local: &Local) {
    let node = local.node();
    let voters: Vec<_> = node.members().into_iter().filter(|member| member.voter).collect();
    let others = voters.iter().filter(|member| member.id != node.id()).map(|member| async {
        let peer = node.network().peer(&member.name)?;
        let status = peer.call::<(), NodeStatus>(STATUS, &(), PATIENCE).await.ok()?;
        (status.id == member.id).then_some(Time(status.wall))
    });
    let mut walls: Vec<_> = join_all(others).await.into_iter().flatten().collect();
    walls.push(local.wall());
    local.clock().settle(&walls, voters.len());
}
