//! distribution, with the settings of its own example: a cache of descriptors in memory, deleting allowed.

use anyhow::Result;
use serde_json::json;
use tokio::process::Command;

use super::Start;

pub fn command(start: &Start) -> Result<Command> {
    let mut storage = json!({
        "delete": { "enabled": true },
        "cache": { "blobdescriptor": "inmemory" },
        "maintenance": { "uploadpurging": { "enabled": false } },
    });
    match &start.s3 {
        None => storage["filesystem"] = json!({ "rootdirectory": start.data }),
        Some(s3) => {
            // As it proxies the bytes, so do we: nobody is sent to the bucket.
            storage["redirect"] = json!({ "disable": true });
            storage["s3"] = json!({
                "regionendpoint": s3.endpoint, "region": "us-east-1", "bucket": s3.bucket, "rootdirectory": "/distribution",
                "accesskey": s3.access_key, "secretkey": s3.secret_key, "secure": false, "forcepathstyle": true,
            });
        }
    }
    let mut http = json!({ "addr": format!("127.0.0.1:{}", start.port), "secret": "a secret of the benchmark" });
    if let Some(certificate) = &start.setting.certificate {
        http["tls"] = json!({ "certificate": certificate.path, "key": certificate.key_path });
    }
    let config = json!({
        "version": 0.1, "storage": storage, "http": http,
        "log": { "level": "error", "accesslog": { "disabled": true } },
    });
    // JSON is YAML.
    let path = start.directory.path().join("config.yml");
    std::fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
    let mut command = Command::new(&start.program);
    command.arg("serve").arg(path).env("OTEL_TRACES_EXPORTER", "none");
    Ok(command)
}
