//! P9 and P10: many tags are made in one repository, and listed.

use std::time::Instant;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;

use super::{Case, Needs, Plan, Work, Workload, figures, fill};
use crate::figure::{Against, Figures, Good, Target};
use crate::http::{Ask, answer, whole};
use crate::load::{Until, micros_of, run};
use crate::peer::{Kind, Peer};
use crate::registry::{Manifest, items};

const CLIENTS: usize = 16;
const NEW: usize = 10_000;
const LISTED: usize = 100_000;
const PAGE: usize = 100;
const REPOSITORY: &str = "bench/tags";

pub const STORM: Case = Case {
    id: "P9",
    title: "10,000 new tags",
    how: "16 clients put one manifest under 10,000 new tags of a repository, which is new in each run",
    needs: Needs { pinned: true, ..Needs::NONE },
    kinds: &Kind::REGISTRIES,
    figures: &["tags/s", "first tenth, p50 µs", "last tenth, p50 µs", "p99, µs"],
    targets: &[
        Target { figure: "tags/s", good: Good::More, against: Against::Best, ratio: 10.0 },
        Target {
            figure: "last tenth, p50 µs",
            good: Good::Less,
            against: Against::Own("first tenth, p50 µs"),
            ratio: 1.2,
        },
    ],
    limit: None,
    work: Work::Registries(|| Box::new(Storm)),
};

pub const LIST: Case = Case {
    id: "P10",
    title: "The list of 100,000 tags",
    how: "one client walks all tags of a repository in pages of 100; then asks for the list without a size of pages",
    needs: Needs { pinned: true, ..Needs::NONE },
    kinds: &Kind::REGISTRIES,
    figures: &["pages/s", "page p50, µs", "whole list, first byte ms", "memory more, MiB"],
    targets: &[
        Target { figure: "pages/s", good: Good::More, against: Against::ZotCommit, ratio: 20.0 },
        Target { figure: "pages/s", good: Good::More, against: Against::Distribution, ratio: 10.0 },
        Target { figure: "memory more, MiB", good: Good::Less, against: Against::Itself, ratio: 8.0 },
    ],
    limit: None,
    work: Work::Registries(|| Box::new(List::default())),
};

struct Storm;

#[async_trait(?Send)]
impl Workload for Storm {
    async fn prepare(&mut self, _: &mut Peer, _: &Plan) -> Result<Option<String>> {
        Ok(None)
    }

    async fn measure(&mut self, peer: &mut Peer, plan: &Plan, turn: usize) -> Result<Figures> {
        let repository = format!("bench/storm-{turn}");
        let mut connections = peer.target.connect_many(CLIENTS).await?;
        let manifest = connections[0].prepare(&repository, 600).await?;
        let timings = run(&mut connections, Until::Done(plan.count(NEW)), async |it, number| {
            it.put_manifest(&repository, &fill::tag(number), &manifest).await
        })
        .await?;
        let tenth = (timings.each.len() / 10).max(1);
        let last = &timings.each[timings.each.len() - tenth..];
        Ok(figures([
            ("tags/s", timings.per_second()),
            ("first tenth, p50 µs", micros_of(&timings.each[..tenth], 0.5)),
            ("last tenth, p50 µs", micros_of(last, 0.5)),
            ("p99, µs", timings.micros(0.99)),
        ]))
    }
}

#[derive(Default)]
struct List {
    tags: usize,
}

#[async_trait(?Send)]
impl Workload for List {
    async fn prepare(&mut self, peer: &mut Peer, plan: &Plan) -> Result<Option<String>> {
        let manifest: Manifest = peer.target.connect().await?.prepare(REPOSITORY, 600).await?;
        let (tags, note) = fill::tags(peer, plan, REPOSITORY, &manifest, 0..plan.count(LISTED)).await?;
        self.tags = tags;
        Ok(note)
    }

    async fn measure(&mut self, peer: &mut Peer, plan: &Plan, _: usize) -> Result<Figures> {
        let mut connection = peer.target.connect().await?;
        let before = peer.process.resident()?;
        peer.process.forget_peak()?;
        let (began, mut each, mut seen) = (Instant::now(), Vec::new(), 0);
        let mut next = Some(format!("/v2/{REPOSITORY}/tags/list?n={PAGE}"));
        while let Some(path) = next.take() {
            let asked = Instant::now();
            let (page, following) = connection.page(&path).await?;
            each.push(asked.elapsed());
            let tags = items(&page, "tags")?;
            // In their order, and each once.
            for tag in &tags {
                ensure!(*tag == fill::tag(seen), "{tag} is number {seen}");
                seen += 1;
            }
            // Who takes minutes for the whole list is stopped within it.
            next = following.filter(|_| began.elapsed() < plan.time * 2);
        }
        ensure!(seen == self.tags || began.elapsed() >= plan.time * 2, "{seen} tags of {}", self.tags);
        let took = began.elapsed();
        let asked = Instant::now();
        let path = format!("/v2/{REPOSITORY}/tags/list");
        let response = connection.send(Ask::get(&path), 0, whole(Bytes::new())).await?;
        let first = asked.elapsed();
        answer(response).await?.expect(StatusCode::OK)?;
        let more = peer.process.peak()?.saturating_sub(before);
        Ok(figures([
            ("pages/s", each.len() as f64 / took.as_secs_f64()),
            ("page p50, µs", micros_of(&each, 0.5)),
            ("whole list, first byte ms", first.as_secs_f64() * 1e3),
            ("memory more, MiB", more as f64 / f64::from(1 << 20)),
        ]))
    }
}
