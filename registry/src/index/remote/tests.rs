//! What is certain of a command that was tried several times.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::index::peers::dial::Io;

#[derive(Debug)]
struct Nowhere;

#[async_trait::async_trait]
impl Dial for Nowhere {
    async fn dial(&self, _address: &str) -> std::io::Result<Box<dyn Io>> {
        Err(std::io::ErrorKind::NotConnected.into())
    }
}

/// What somebody hears whose question is answered so, one try after the other.
async fn heard(tries: Vec<Result<Result<u8, Fault>, CallError>>) -> Result<u8, Trouble> {
    let options = RemoteOptions {
        index: vec!["index-1:5001".into()],
        addresses: BTreeMap::new(),
        dialer: Arc::new(Nowhere),
        held_bytes: 0,
        first: 0,
    };
    let cluster = Cluster { id: "c".into(), epoch: 1, upload_key: bytes::Bytes::new(), owned: vec![], claim: None };
    let inner = Inner {
        cluster,
        replaced: OnceLock::new(),
        nodes: Nodes::new(&options),
        clock: Clock::from(Time(0)),
        metrics: IndexMetrics::register(&prometheus::Registry::new()).unwrap(),
        held: HeldManifests::new(0),
    };
    let (done, wait) = oneshot::channel();
    let tries = std::sync::Mutex::new(tries.into_iter());
    let attempt = |_: Peer, _: Vec<()>| {
        let answer = tries.lock().unwrap().next().unwrap();
        async { answer.map(|answer| vec![answer]) }
    };
    until_answered(&inner, vec![Waiting::new((), 0, done)], true, attempt).await;
    wait.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn full_is_certain_only_when_no_earlier_try_may_have_been_taken() {
    let address = || "index-1:5001".to_owned();
    let unanswered = CallError::Unanswered { address: address(), reason: "killed".into() };
    let unreachable = CallError::Unreachable { address: address(), source: std::io::ErrorKind::NotConnected.into() };
    let full = || Ok(Err(Fault::Full));
    assert_eq!(heard(vec![full()]).await, Err(Trouble::Full));
    assert_eq!(heard(vec![Err(unreachable), full()]).await, Err(Trouble::Full));
    assert_eq!(heard(vec![Ok(Err(Fault::NotLeader { leader: None })), full()]).await, Err(Trouble::Full));
    let uncertain = Err(Trouble::Unavailable(FULL_NOW.into()));
    assert_eq!(heard(vec![Err(unanswered), full()]).await, uncertain);
    let discarded = Fault::Unavailable { reason: "another node began to lead".into() };
    assert_eq!(heard(vec![Ok(Err(discarded)), full()]).await, uncertain);
    let late = CallError::Unanswered { address: address(), reason: "late".into() };
    assert_eq!(heard(vec![Err(late), Ok(Ok(7))]).await, Ok(7));
}
