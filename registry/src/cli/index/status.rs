//! `roadstead index status`: every node, as the leader and the node itself see it.

use anyhow::bail;
use serde_json::json;

use super::super::admin::Admin;
use super::name_of;
use crate::index::peers::wire::{Member, NodeStatus};

pub(super) async fn status(admin: &Admin, as_json: bool) -> anyhow::Result<()> {
    let statuses = admin.statuses().await;
    let answers: Vec<&NodeStatus> = statuses.iter().filter_map(|(_, status)| status.as_ref().ok()).collect();
    let claims = answers.iter().filter(|s| s.leader == Some(s.id)).max_by_key(|s| s.term).copied();
    // Who lost the majority may go on to think that he leads.
    let leader = claims.filter(|leader| has_quorum(leader, &answers));
    // The leader knows who belongs to the cluster; without one, whoever has seen most.
    let best = claims.or_else(|| answers.iter().max_by_key(|status| status.applied).copied());
    let members = best.map(|status| status.members.clone()).unwrap_or_default();
    let row = |member: &Member| {
        let status = answers.iter().find(|status| status.id == member.id);
        let matched = leader.and_then(|leader| leader.matched.iter().find(|(id, _)| *id == member.id));
        json!({
            "id": member.id,
            "name": member.name,
            "role": if member.voter { "voter" } else { "learner" },
            "leads": leader.is_some_and(|leader| leader.id == member.id),
            "answers": status.is_some(),
            "applied": status.map(|status| status.applied),
            "end": status.map(|status| status.end),
            "matched": matched.map(|(_, index)| index),
            "level": status.map(|status| status.level),
            "version": status.map(|status| status.version.clone()),
            "sum": status.and_then(|status| status.sums.last()),
            "has_space": status.map(|status| status.has_space),
            "time_paused": status.map(|status| status.time_paused),
        })
    };
    let mut rows: Vec<_> = members.iter().map(row).collect();
    for (name, status) in &statuses {
        if let Ok(status) = status
            && members.iter().all(|member| member.id != status.id)
        {
            let role = if status.cluster.is_none() { "empty" } else { "no member" };
            rows.push(json!({ "id": status.id, "name": name, "role": role, "leads": false, "answers": true,
                "applied": status.applied, "end": status.end, "level": status.level, "version": status.version }));
        }
    }
    let silent: Vec<_> = statuses
        .iter()
        .filter_map(|(name, status)| Some(json!({ "name": name, "reason": status.as_ref().err()? })))
        .collect();
    if as_json {
        let all = json!({
            "cluster": best.and_then(|status| status.cluster.clone()),
            "leader": leader.map(|leader| leader.id),
            "term": best.map(|status| status.term),
            "level": best.map(|status| status.level_in_force),
            "members": rows,
            "silent": silent,
        });
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    println!(
        "cluster {}, term {}, level {}",
        best.and_then(|status| status.cluster.clone()).unwrap_or_else(|| "-".into()),
        best.map_or(0, |status| status.term),
        best.map_or(0, |status| status.level_in_force)
    );
    println!(
        "{:<28} {:>15} {:<9} {:<6} {:>10} {:>10} {:>5}  VERSION",
        "NAME", "ID", "ROLE", "LEADS", "APPLIED", "END", "LEVEL"
    );
    for row in &rows {
        let text = |key: &str| match &row[key] {
            serde_json::Value::Null => "-".to_owned(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let leads = if row["leads"] == true { "yes" } else { "" };
        println!(
            "{:<28} {:>15} {:<9} {:<6} {:>10} {:>10} {:>5}  {}",
            text("name"),
            text("id"),
            text("role"),
            leads,
            text("applied"),
            text("end"),
            text("level"),
            text("version")
        );
    }
    for silent in &silent {
        println!(
            "{} does not answer: {}",
            silent["name"].as_str().unwrap_or("?"),
            silent["reason"].as_str().unwrap_or("?")
        );
    }
    match (leader, claims) {
        (Some(_), _) => Ok(()),
        (None, Some(claims)) => bail!(
            "there is no quorum: {} led last, and no majority of the voters follows it. Start nodes again until there is one",
            name_of(&members, claims.id)
        ),
        (None, None) => bail!("there is no leader"),
    }
}

/// Whether a majority of the voters follows a leader. Pure.
fn has_quorum(leader: &NodeStatus, answers: &[&NodeStatus]) -> bool {
    let voters: Vec<_> = leader.members.iter().filter(|member| member.voter).collect();
    let follows = |id| answers.iter().any(|status| status.id == id && status.leader == Some(leader.id));
    voters.iter().filter(|voter| follows(voter.id)).count() > voters.len() / 2
}
