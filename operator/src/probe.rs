//! `roadstead-operator probe`: pushes a small image to a registry and pulls it again, as `helm test` does.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use reqwest::{Certificate, Client, Response, StatusCode, header};
use serde_json::json;

use roadstead::oci::digest::Digest;

const PATIENCE: Duration = Duration::from_secs(30);
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

#[derive(Clone, Debug, Args)]
pub struct ProbeArgs {
    /// The registry, `https://host`.
    #[arg(long)]
    url: String,
    /// A file with the authorities to trust; one that is not there is left out.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Where to push to.
    #[arg(long, default_value = "roadstead/probe")]
    name: String,
}

/// Pushes and pulls.
pub async fn run(args: ProbeArgs) -> anyhow::Result<()> {
    let mut builder = Client::builder().timeout(PATIENCE);
    if let Some(path) = args.ca.as_ref().filter(|path| path.exists()) {
        let text = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
        let roots =
            Certificate::from_pem_bundle(&text).with_context(|| format!("{} holds no authorities", path.display()))?;
        builder = builder.tls_certs_merge(roots);
    }
    let client = builder.build().context("could not set up the client")?;
    let base = format!("{}/v2/{}", args.url.trim_end_matches('/'), args.name);

    // Never pushed before: a blob that is known already would prove nothing.
    let layer = ulid::Ulid::new().to_string().into_bytes();
    let layer_digest = push_blob(&client, &base, layer.clone()).await?;
    let config =
        json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [layer_digest] } });
    let config = config.to_string().into_bytes();
    let config_size = config.len();
    let config_digest = push_blob(&client, &base, config).await?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config_size },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": layer.len() }],
    });
    let manifest = manifest.to_string();
    let digest = Digest::of(manifest.as_bytes()).to_string();
    let put =
        client.put(format!("{base}/manifests/probe")).header(header::CONTENT_TYPE, MANIFEST).body(manifest.clone());
    expect(put.send().await.context("could not push the manifest")?, StatusCode::CREATED, "pushing the manifest")
        .await?;
    println!("pushed {}:probe, {digest}", args.name);

    for reference in ["probe", digest.as_str()] {
        let get = client.get(format!("{base}/manifests/{reference}")).header(header::ACCEPT, MANIFEST);
        let answer = get.send().await.with_context(|| format!("could not pull {reference}"))?;
        let text = expect(answer, StatusCode::OK, "pulling the manifest").await?;
        ensure!(text == manifest.as_bytes(), "{reference} is not what was pushed");
    }
    let answer = client.get(format!("{base}/blobs/{layer_digest}")).send().await.context("could not pull the layer")?;
    ensure!(expect(answer, StatusCode::OK, "pulling the layer").await? == layer, "the layer is not what was pushed");
    println!("pulled it again, by tag and by digest");
    Ok(())
}

async fn push_blob(client: &Client, base: &str, blob: Vec<u8>) -> anyhow::Result<String> {
    let digest = Digest::of(&blob).to_string();
    let post = client.post(format!("{base}/blobs/uploads/?digest={digest}"));
    let post = post.header(header::CONTENT_TYPE, "application/octet-stream").body(blob);
    let answer = post.send().await.context("could not push a blob")?;
    expect(answer, StatusCode::CREATED, "pushing a blob").await?;
    Ok(digest)
}

async fn expect(answer: Response, wanted: StatusCode, what: &str) -> anyhow::Result<Vec<u8>> {
    let status = answer.status();
    let body = answer.bytes().await.with_context(|| format!("{what}: the answer broke off"))?;
    ensure!(status == wanted, "{what}: {status}: {}", String::from_utf8_lossy(&body));
    Ok(body.to_vec())
}
