//! Our own registry: a whole one in one process, as it is without configuration.

use tokio::process::Command;

use super::Start;

pub fn command(start: &Start) -> Command {
    let mut command = Command::new(&start.program);
    command.arg("serve").arg("--data").arg(&start.data).args(["--listen", &format!("127.0.0.1:{}", start.port)]);
    command.args(["--admin-listen", "127.0.0.1:0", "--set", "log.filter=error"]);
    let mut set = |key: &str, value: &str| {
        command.arg("--set").arg(format!("{key}={value}"));
    };
    if let Some(certificate) = &start.setting.certificate {
        set("tls.certificate", &certificate.path.to_string_lossy());
        set("tls.key", &certificate.key_path.to_string_lossy());
    }
    if let Some(s3) = &start.s3 {
        set("storage.kind", "s3");
        set("storage.s3.endpoint", &s3.endpoint);
        set("storage.s3.bucket", &s3.bucket);
        set("storage.s3.prefix", "roadstead");
        set("storage.s3.region", "us-east-1");
        set("storage.s3.path_style", "true");
        set("storage.s3.access_key_id", &s3.access_key);
        set("storage.s3.secret_access_key", &s3.secret_key);
    }
    if start.setting.reclaims {
        set("reclaim.grace_seconds", "1");
        set("reclaim.reader_pause_seconds", "1");
        set("reclaim.interval_seconds", "1");
    }
    command
}
