//! What clients do with a registry, as the specification of OCI distribution says. Every answer is checked: its status, and all of its bytes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;

use crate::content::{Content, digest};
use crate::http::{Answer, Ask, Connection, answer, pieces};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A blob, by what a manifest says of it.
#[derive(Clone, Debug)]
pub struct Blob {
    pub digest: String,
    pub size: u64,
}

/// A manifest and its digest.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub digest: String,
    pub bytes: Bytes,
}

impl Manifest {
    /// Of about `size` bytes: filled up with an annotation.
    pub fn of(config: &Blob, layers: &[Blob], note: &str, size: usize) -> Self {
        let descriptor = |kind: &str, blob: &Blob| serde_json::json!({ "mediaType": kind, "digest": blob.digest, "size": blob.size });
        let mut manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor(CONFIG, config),
            "layers": layers.iter().map(|layer| descriptor(LAYER, layer)).collect::<Vec<_>>(),
            "annotations": { "note": note },
        });
        let short = manifest.to_string().len();
        manifest["annotations"]["fill"] = "x".repeat(size.saturating_sub(short + 10)).into();
        let bytes = Bytes::from(manifest.to_string());
        Self { digest: digest(&bytes), bytes }
    }
}

/// How a blob was pushed: how long all of it took, and from its last byte to the answer.
#[derive(Clone, Copy, Debug)]
pub struct Pushed {
    pub took: Duration,
    pub finish: Duration,
}

impl Connection {
    async fn begin(&mut self, repository: &str) -> Result<String> {
        let path = format!("/v2/{repository}/blobs/uploads/");
        self.call(Ask::new(Method::POST, &path), Bytes::new()).await?.expect(StatusCode::ACCEPTED)?.location()
    }

    /// POST, and PUT with all of the content.
    pub async fn push(&mut self, repository: &str, content: Content, digest: &str) -> Result<Pushed> {
        let began = Instant::now();
        let at = self.begin(repository).await?;
        let ended = std::sync::Arc::new(std::sync::Mutex::new(Instant::now()));
        let last = std::sync::Arc::clone(&ended);
        let body = pieces(content.all().inspect(move |_| {
            if let Ok(mut last) = last.lock() {
                *last = Instant::now();
            }
        }));
        let path = with_digest(&at, digest);
        let ask = Ask { content_type: Some("application/octet-stream"), ..Ask::new(Method::PUT, &path) };
        let response = self.send(ask, content.size, body).await?;
        let finish = ended.lock().map_or_else(|_| began.elapsed(), |last| last.elapsed());
        answer(response).await?.expect(StatusCode::CREATED)?;
        Ok(Pushed { took: began.elapsed(), finish })
    }

    /// POST, a PATCH for each chunk, and an empty PUT.
    pub async fn push_in_chunks(
        &mut self,
        repository: &str,
        content: Content,
        digest: &str,
        chunk: u64,
    ) -> Result<Pushed> {
        let began = Instant::now();
        let mut at = self.begin(repository).await?;
        let mut start = 0;
        while start < content.size {
            let length = chunk.min(content.size - start);
            let ask = Ask {
                content_type: Some("application/octet-stream"),
                content_range: Some(format!("{start}-{}", start + length - 1)),
                ..Ask::new(Method::PATCH, &at)
            };
            let response = self.send(ask, length, pieces(content.pieces(start, length))).await?;
            at = answer(response).await?.expect(StatusCode::ACCEPTED)?.location()?;
            start += length;
        }
        let last = Instant::now();
        let path = with_digest(&at, digest);
        self.call(Ask::new(Method::PUT, &path), Bytes::new()).await?.expect(StatusCode::CREATED)?;
        Ok(Pushed { took: began.elapsed(), finish: last.elapsed() })
    }

    /// Pushes some bytes.
    pub async fn push_bytes(&mut self, repository: &str, bytes: Bytes) -> Result<Blob> {
        let blob = Blob { digest: digest(&bytes), size: bytes.len() as u64 };
        let at = self.begin(repository).await?;
        let path = with_digest(&at, &blob.digest);
        let ask = Ask { content_type: Some("application/octet-stream"), ..Ask::new(Method::PUT, &path) };
        self.call(ask, bytes).await?.expect(StatusCode::CREATED)?;
        Ok(blob)
    }

    pub async fn put_manifest(&mut self, repository: &str, reference: &str, manifest: &Manifest) -> Result<()> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let ask = Ask { content_type: Some(MANIFEST), ..Ask::new(Method::PUT, &path) };
        let answer = self.call(ask, manifest.bytes.clone()).await?.expect(StatusCode::CREATED)?;
        let said = answer.header("docker-content-digest").context("no digest")?;
        ensure!(said == manifest.digest, "{said} instead of {}", manifest.digest);
        Ok(())
    }

    /// Makes a repository with a config, a layer, and a manifest of them that nothing names yet.
    pub async fn prepare(&mut self, repository: &str, size: usize) -> Result<Manifest> {
        let config = self.push_bytes(repository, format!("{{\"of\":\"{repository}\"}}").into()).await?;
        let layer = self.push_bytes(repository, format!("a layer of {repository}").into()).await?;
        Ok(Manifest::of(&config, &[layer], repository, size))
    }

    /// Pulls a manifest, which must be this one.
    pub async fn get_manifest(&mut self, path: &str, manifest: &Manifest) -> Result<()> {
        let ask = Ask { accept: Some(MANIFEST), ..Ask::get(path) };
        let answer = self.call(ask, Bytes::new()).await?.expect(StatusCode::OK)?;
        // The digest was computed of these very bytes.
        ensure!(answer.body == manifest.bytes, "{path}: other bytes than {}", manifest.digest);
        Ok(())
    }

    /// Asks for a manifest without its bytes.
    pub async fn head_manifest(&mut self, path: &str, manifest: &Manifest) -> Result<()> {
        let ask = Ask { accept: Some(MANIFEST), ..Ask::new(Method::HEAD, path) };
        let answer = self.call(ask, Bytes::new()).await?.expect(StatusCode::OK)?;
        let said = answer.header("docker-content-digest").context("no digest")?;
        ensure!(said == manifest.digest, "{path}: {said} instead of {}", manifest.digest);
        Ok(())
    }

    /// Pulls a blob, which must have this content.
    pub async fn get_blob(&mut self, repository: &str, digest: &str, content: Content) -> Result<()> {
        let path = format!("/v2/{repository}/blobs/{digest}");
        let response = self.send(Ask::get(&path), 0, crate::http::whole(Bytes::new())).await?;
        ensure!(response.status() == StatusCode::OK, "{path}: {}", response.status());
        let (mut body, mut at) = (response.into_body(), 0);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            ensure!(content.is_at(at, &data), "{path}: other bytes behind {at}");
            at += data.len() as u64;
        }
        ensure!(at == content.size, "{path}: {at} bytes of {}", content.size);
        Ok(())
    }

    /// A page of a list, and where the next is.
    pub async fn page(&mut self, path: &str) -> Result<(Answer, Option<String>)> {
        let answer = self.get(path).await?.expect(StatusCode::OK)?;
        let next = answer.header("link").map(next_of).transpose()?;
        Ok((answer, next))
    }
}

/// The items of a page.
pub fn items(answer: &Answer, field: &str) -> Result<Vec<String>> {
    let mut value: serde_json::Value = serde_json::from_slice(&answer.body)?;
    // The end of a list is told as none at all by some.
    Ok(serde_json::from_value::<Option<_>>(value[field].take())?.unwrap_or_default())
}

fn with_digest(at: &str, digest: &str) -> String {
    format!("{at}{}digest={digest}", if at.contains('?') { '&' } else { '?' })
}

fn next_of(link: &str) -> Result<String> {
    let address = link.strip_prefix('<').and_then(|rest| rest.split_once('>')).context("a Link without an address")?;
    Ok(crate::http::path_of(address.0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_as_long_as_is_asked_for() {
        let blob = Blob { digest: digest(b"x"), size: 1 };
        let manifest = Manifest::of(&blob, &[blob.clone(), blob.clone()], "n", 1500);
        assert_eq!(manifest.bytes.len(), 1500);
        assert_eq!(manifest.digest, digest(&manifest.bytes));
    }

    #[test]
    fn a_link_leads_to_the_next_page() {
        assert_eq!(next_of("</v2/a/tags/list?last=b&n=2>; rel=\"next\"").unwrap(), "/v2/a/tags/list?last=b&n=2");
        assert!(next_of("x").is_err());
    }

    #[test]
    fn a_digest_is_added_to_what_a_location_says() {
        assert_eq!(with_digest("/u", "sha256:a"), "/u?digest=sha256:a");
        assert_eq!(with_digest("/u?_state=x", "sha256:a"), "/u?_state=x&digest=sha256:a");
    }
}
