//! `roadstead certificates`: makes an authority and certificates for the processes of a cluster, where nothing else does
//! (in Kubernetes the operator does).

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use rcgen::{Issuer, KeyPair};

use crate::index::peers::{Role, issue};

const AUTHORITY: &str = "roadstead peers";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where the files go: ca.pem and ca-key.pem (kept when they are there), and NAME.pem with NAME-key.pem.
    #[arg(long, value_name = "DIRECTORY")]
    dir: PathBuf,
    /// Hosts of index nodes; each gets a certificate.
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    index: Vec<String>,
    /// Names for certificates of registry processes.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    registry: Vec<String>,
    /// Names for certificates of administrators.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    admin: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let dir = &arguments.dir;
    if [&arguments.index, &arguments.registry, &arguments.admin].iter().all(|names| names.is_empty()) {
        bail!("nobody to make a certificate for: name hosts with --index, or names with --registry or --admin");
    }
    fs::create_dir_all(dir).with_context(|| format!("could not make {}", dir.display()))?;
    let issuer = authority(dir)?;
    let kinds =
        [(Role::Index, &arguments.index), (Role::Registry, &arguments.registry), (Role::Admin, &arguments.admin)];
    for (role, names) in kinds {
        for name in names {
            if name.is_empty() || name.contains(['/', ':']) || name.contains(char::is_whitespace) {
                bail!("{name:?} is no host name");
            }
            let params = issue::leaf(name, vec![name.clone()], Some(role));
            let params = params.with_context(|| format!("{name:?} is no host name"))?;
            let key = KeyPair::generate().context("could not make a key")?;
            let certificate = params.signed_by(&key, &issuer).context("could not sign a certificate")?;
            write(&dir.join(format!("{name}.pem")), &certificate.pem(), 0o644)?;
            write(&dir.join(format!("{name}-key.pem")), &key.serialize_pem(), 0o600)?;
        }
    }
    Ok(())
}

/// The authority of the directory, made when there is none.
fn authority(dir: &Path) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let params = issue::authority(AUTHORITY);
    let (certificate, key_file) = (dir.join("ca.pem"), dir.join("ca-key.pem"));
    if certificate.exists() {
        let pem = fs::read_to_string(&key_file)
            .with_context(|| format!("there is an authority, but its key {} cannot be read", key_file.display()))?;
        let key = KeyPair::from_pem(&pem).with_context(|| format!("{} is no key", key_file.display()))?;
        return Ok(Issuer::new(params, key));
    }
    let key = KeyPair::generate().context("could not make a key")?;
    let own = params.self_signed(&key).context("could not sign the authority")?;
    write(&key_file, &key.serialize_pem(), 0o600)?;
    write(&certificate, &own.pem(), 0o644)?;
    Ok(Issuer::new(params, key))
}

fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("could not write {}", path.display()))
}
