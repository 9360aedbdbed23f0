//! zot, without extensions; whether it syncs what it acknowledges is its `commit`.

use anyhow::Result;
use serde_json::json;
use tokio::process::Command;

use super::Start;

pub fn command(start: &Start, commit: bool) -> Result<Command> {
    let mut storage = json!({
        "rootDirectory": start.data, "commit": commit, "dedupe": true, "gc": start.setting.reclaims,
    });
    if start.setting.reclaims {
        storage["gcDelay"] = json!("1s");
        storage["gcInterval"] = json!("1s");
    }
    if let Some(s3) = &start.s3 {
        storage["storageDriver"] = json!({
            "name": "s3", "rootdirectory": "/zot", "region": "us-east-1", "bucket": s3.bucket, "regionendpoint": s3.endpoint,
            "accesskey": s3.access_key, "secretkey": s3.secret_key, "secure": false, "skipverify": true, "forcepathstyle": true,
        });
        storage["dedupe"] = json!(false);
    }
    let mut http = json!({ "address": "127.0.0.1", "port": start.port.to_string() });
    if let Some(certificate) = &start.setting.certificate {
        http["tls"] = json!({ "cert": certificate.path, "key": certificate.key_path });
    }
    let config = json!({
        "distSpecVersion": "1.1.1", "storage": storage, "http": http,
        "log": { "level": "error", "output": "/dev/null" },
    });
    let path = start.directory.path().join("config.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
    let mut command = Command::new(&start.program);
    command.arg("serve").arg(path);
    Ok(command)
}
