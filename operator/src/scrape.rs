//! Reads what a pod says of itself over plain HTTP on its port for health and metrics.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;

/// More than any of our pods says, in bytes. What runs in them is for the author of a Registry to choose.
const LARGEST: usize = 1 << 20;
/// Pods of all Registries that are asked at once: what they say is held in memory.
static AT_ONCE: Semaphore = Semaphore::const_new(16);
const CERTIFICATES: &str = "roadstead_certificates_loaded{";

/// Gets a path of a pod.
pub async fn get(address: SocketAddr, path: &str, patience: Duration) -> anyhow::Result<String> {
    let _turn = AT_ONCE.acquire().await?;
    tokio::time::timeout(patience, async {
        let socket = tokio::net::TcpStream::connect(address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        let running = tokio::spawn(connection);
        let request = http::Request::get(path).header("host", address.to_string()).body(Empty::<Bytes>::new())?;
        let answer = sender.send_request(request).await?;
        let body = Limited::new(answer.into_body(), LARGEST).collect().await.map_err(|error| anyhow::anyhow!(error))?;
        running.abort();
        Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
    })
    .await?
}

/// The certificates that a pod has loaded: the SHA-256 of each file, by its purpose.
pub fn certificates(metrics: &str) -> BTreeMap<String, String> {
    let labels = metrics.lines().filter_map(|line| line.strip_prefix(CERTIFICATES)?.split('}').next());
    labels.filter_map(|labels| Some((label(labels, "file")?, label(labels, "sha256")?))).collect()
}

/// What a pod says of the object storage in its `/readyz`: `ok`, or what is wrong; none: it did not say.
pub fn store(ready: &str) -> Option<String> {
    let report: serde_json::Value = serde_json::from_str(ready).ok()?;
    Some(report.get("store")?.as_str()?.to_owned())
}

fn label(labels: &str, name: &str) -> Option<String> {
    labels.split(',').find_map(|label| {
        let (found, value) = label.split_once('=')?;
        (found == name).then(|| value.trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pods_say_of_themselves_is_read() {
        let ready = r#"{"ready":false,"index":"ok","store":"it does not answer","space":"ok","process":"ok"}"#;
        assert_eq!(store(ready).as_deref(), Some("it does not answer"));
        assert_eq!(store("not ready"), None);
        let metrics = "roadstead_x 1\nroadstead_certificates_loaded{file=\"ca\",sha256=\"ab\"} 1\n";
        assert_eq!(certificates(metrics), BTreeMap::from([("ca".to_owned(), "ab".to_owned())]));
    }
}
