//! Reads what a pod says of itself over plain HTTP on its port for health and metrics.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;

/// More than any of our pods says, in bytes. What runs in them is for the author of a Registry to choose.
const LARGEST: usize = 256 << 10;
/// What is kept of an answer before it is read.
const BUFFER: usize = 32 << 10;
/// Pods of all Registries that are asked at once: what they say is held in memory.
static AT_ONCE: Semaphore = Semaphore::const_new(32);
const CERTIFICATES: &str = "roadstead_certificates_loaded{";

/// Gets a path of a pod.
pub async fn get(address: SocketAddr, path: &str, patience: Duration) -> anyhow::Result<String> {
    let _turn = AT_ONCE.acquire().await?;
    tokio::time::timeout(patience, async {
        let socket = tokio::net::TcpStream::connect(address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::Builder::new().max_buf_size(BUFFER).handshake(TokioIo::new(socket)).await?;
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
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    /// A pod that answers every request with so many bytes, or without end.
    async fn pod(length: Option<usize>) -> SocketAddr {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4096]).await;
            let head = length.map_or(String::new(), |length| format!("content-length: {length}\r\n"));
            let _ = socket.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes()).await;
            let mut left = length.unwrap_or(usize::MAX);
            while left > 0 {
                let part = left.min(1024);
                if socket.write_all(&vec![b'x'; part]).await.is_err() {
                    break;
                }
                left -= part;
            }
        });
        address
    }

    #[tokio::test]
    async fn no_more_is_read_than_a_pod_of_ours_says() {
        let patience = Duration::from_mins(1);
        assert_eq!(get(pod(Some(100 << 10)).await, "/metrics", patience).await.unwrap().len(), 100 << 10);
        for length in [Some(LARGEST + 1), Some(1 << 40), None] {
            let error = get(pod(length).await, "/metrics", patience).await.unwrap_err();
            assert!(error.to_string().contains("length limit"), "{error}");
        }
        assert_eq!(AT_ONCE.available_permits(), 32, "the places are given back");
    }

    #[test]
    fn what_pods_say_of_themselves_is_read() {
        let ready = r#"{"ready":false,"index":"ok","store":"it does not answer","space":"ok","process":"ok"}"#;
        assert_eq!(store(ready).as_deref(), Some("it does not answer"));
        assert_eq!(store("not ready"), None);
        let metrics = "roadstead_x 1\nroadstead_certificates_loaded{file=\"ca\",sha256=\"ab\"} 1\n";
        assert_eq!(certificates(metrics), BTreeMap::from([("ca".to_owned(), "ab".to_owned())]));
    }
}
