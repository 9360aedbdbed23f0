//! Reads what a pod says of itself over plain HTTP on its port for health and metrics.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;

/// More than any of our pods says.
const LARGEST: usize = 4 << 20;
const CERTIFICATES: &str = "roadstead_certificates_loaded{";

/// Gets a path of a pod.
pub async fn get(address: SocketAddr, path: &str, patience: Duration) -> anyhow::Result<String> {
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

fn label(labels: &str, name: &str) -> Option<String> {
    labels.split(',').find_map(|label| {
        let (found, value) = label.split_once('=')?;
        (found == name).then(|| value.trim_matches('"').to_owned())
    })
}
