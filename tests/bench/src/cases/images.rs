//! P8: small images are pushed, by one client and by many.

use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;

use super::{Case, Needs, Plan, Work, Workload, figures};
use crate::content::Content;
use crate::figure::{Against, Figures, Good, Target};
use crate::http::Connection;
use crate::load::{Until, run};
use crate::peer::{Kind, Peer};
use crate::registry::Manifest;

const LAYER: u64 = 64 << 10;
const CLIENTS: usize = 32;

pub const SMALL: Case = Case {
    id: "P8",
    title: "Small images",
    how: "images of a layer of 64 KiB and a config of 1 KiB that nobody has seen, pushed by one client, then by 32",
    needs: Needs { rests: true, ..Needs::NONE },
    kinds: &Kind::REGISTRIES,
    figures: &["32 clients, images/s", "one client, images/s", "one client, p50 ms"],
    targets: &[
        Target { figure: "one client, images/s", good: Good::More, against: Against::Distribution, ratio: 4.0 },
        Target { figure: "32 clients, images/s", good: Good::More, against: Against::Distribution, ratio: 8.0 },
        Target { figure: "32 clients, images/s", good: Good::More, against: Against::ZotCommit, ratio: 2.0 },
    ],
    limit: None,
    work: Work::Registries(|| Box::new(Images)),
};

struct Images;

async fn push(connection: &mut Connection, repository: &str, tag: &str) -> Result<()> {
    let layer = Content::unique(LAYER);
    let bytes: Vec<u8> = layer.all().flatten().collect();
    let layer = connection.push_bytes(repository, bytes.into()).await?;
    let config = format!("{{\"of\":\"{}\",\"fill\":\"{}\"}}", layer.digest, "x".repeat(900));
    let config = connection.push_bytes(repository, Bytes::from(config)).await?;
    let manifest = Manifest::of(&config, &[layer], tag, 0);
    connection.put_manifest(repository, tag, &manifest).await
}

#[async_trait(?Send)]
impl Workload for Images {
    async fn prepare(&mut self, peer: &mut Peer, _: &Plan) -> Result<Option<String>> {
        push(&mut peer.target.connect().await?, "bench/images-0", "first").await?;
        Ok(None)
    }

    async fn measure(&mut self, peer: &mut Peer, plan: &Plan, turn: usize) -> Result<Figures> {
        let mut connections = peer.target.connect_many(CLIENTS).await?;
        let until = Until::Passed(plan.time);
        // Teams push to repositories of their own.
        let work = async |clients: &str, connection: &mut Connection, number: usize| {
            push(connection, &format!("bench/images-{}", number % 8), &format!("{clients}-{turn}-{number}")).await
        };
        let one = run(&mut connections[..1], until, async |it, number| work("one", it, number).await).await?;
        let many = run(&mut connections, until, async |it, number| work("many", it, number).await).await?;
        Ok(figures([
            ("32 clients, images/s", many.per_second()),
            ("one client, images/s", one.per_second()),
            ("one client, p50 ms", one.micros(0.5) / 1e3),
        ]))
    }
}
