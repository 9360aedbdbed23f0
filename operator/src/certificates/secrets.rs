//! The Secrets that hold certificates: read, judged, and made anew where they do not do any more.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use roadstead::metrics::sum_of;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::authority::{Authority, DAY, LEAF_DAYS, is_old};
use super::issue::{self, IssueError};
use super::{Leaf, Wanted};
use crate::build::object;
use crate::crd::Registry;
use crate::names::Names;
use crate::object::Object;

/// The key of a Secret that holds an authority.
const AUTHORITY: &str = "authority.json";
/// Beside it, for people and programs that only trust.
const TRUST: &str = "ca.crt";
/// What certificates of a Secret were issued for.
const ISSUED: &str = "roadstead.dev/issued";

/// What stands in the annotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    issuer: String,
    #[serde(rename = "for")]
    whom: String,
    from: i64,
    until: i64,
    /// Of the certificates and keys: others are not ours.
    #[serde(default)]
    sum: String,
}

/// The authority in a Secret; an error says that it is there and cannot be read.
pub fn read_authority(secret: Option<&Secret>) -> Result<Option<Authority>, String> {
    let Some(secret) = secret else { return Ok(None) };
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let bytes = secret.data.as_ref().and_then(|data| data.get(AUTHORITY));
    let bytes = bytes
        .ok_or_else(|| format!("the Secret {name} has no {AUTHORITY}: restore it, or delete it for a new authority"))?;
    serde_json::from_slice(&bytes.0).map(Some).map_err(|error| {
        format!(
            "{AUTHORITY} of the Secret {name} cannot be read ({error}): restore it, or delete it for a new authority"
        )
    })
}

/// The Secret that keeps an authority.
pub fn authority(registry: &Registry, name: &str, authority: &Authority) -> Result<Object, serde_json::Error> {
    let text = serde_json::to_string(authority)?;
    Ok(secret(
        registry,
        name,
        "Opaque",
        &BTreeMap::new(),
        [(AUTHORITY.into(), text), (TRUST.into(), authority.trust())].into(),
    ))
}

/// Until when the certificates of a Secret hold, in seconds since 1970; none: they are not ours.
pub fn until(secret: &Secret) -> Option<i64> {
    note(secret).map(|note| note.until)
}

fn note(secret: &Secret) -> Option<Note> {
    serde_json::from_str(secret.metadata.annotations.as_ref()?.get(ISSUED)?).ok()
}

/// The Secret with certificates as it should be: the one that is there, or with others, if those do not do.
pub fn leaves(
    registry: &Registry,
    wanted: &Wanted,
    authority: &Authority,
    live: Option<&Secret>,
    now: i64,
) -> Result<Object, IssueError> {
    let whom = whom(&wanted.leaves);
    let files: Vec<String> =
        wanted.leaves.iter().flat_map(|leaf| [certificate(wanted, leaf), key(wanted, leaf)]).collect();
    let kept = live.and_then(|secret| Some((note(secret)?, secret.data.as_ref()?))).filter(|(note, data)| {
        note.issuer == authority.current.name
            && note.whom == whom
            // One that would not hold any longer is not worth it.
            && (!is_old(note.from, note.until, now) || note.until >= (now + LEAF_DAYS * DAY).min(authority.current.until))
            && files.iter().all(|file| data.contains_key(file))
            && note.sum == sum(files.iter().filter_map(|file| data.get(file)).map(|file| file.0.as_slice()))
    });
    let (note, mut data) = if let Some((note, data)) = kept {
        let text = |bytes: &ByteString| String::from_utf8_lossy(&bytes.0).into_owned();
        (note, files.iter().filter_map(|file| Some((file.clone(), text(data.get(file)?)))).collect())
    } else {
        let mut data = BTreeMap::new();
        let mut until = i64::MAX;
        for leaf in &wanted.leaves {
            let (issued, end) = issue::leaf(&authority.current, leaf, now)?;
            until = until.min(end);
            data.insert(certificate(wanted, leaf), issued.certificate);
            data.insert(key(wanted, leaf), issued.key);
        }
        let sum = sum(files.iter().filter_map(|file| data.get(file)).map(String::as_bytes));
        (Note { issuer: authority.current.name.clone(), whom, from: now, until, sum }, data)
    };
    data.insert(if wanted.is_web { TRUST } else { "ca.pem" }.into(), authority.trust());
    let kind = if wanted.is_web { "kubernetes.io/tls" } else { "Opaque" };
    let annotations = [(ISSUED.to_owned(), json!(note).to_string())].into();
    Ok(secret(registry, &wanted.secret, kind, &annotations, data))
}

fn sum<'a>(files: impl Iterator<Item = &'a [u8]>) -> String {
    sum_of(&files.flat_map(|file| sum_of(file).into_bytes()).collect::<Vec<u8>>())
}

fn certificate(wanted: &Wanted, leaf: &Leaf) -> String {
    if wanted.is_web { "tls.crt".into() } else { format!("{}.pem", leaf.file) }
}

fn key(wanted: &Wanted, leaf: &Leaf) -> String {
    if wanted.is_web { "tls.key".into() } else { format!("{}-key.pem", leaf.file) }
}

fn whom(leaves: &[Leaf]) -> String {
    sum_of(format!("{leaves:?}").as_bytes())
}

pub fn secret(
    registry: &Registry,
    name: &str,
    kind: &str,
    annotations: &BTreeMap<String, String>,
    data: BTreeMap<String, String>,
) -> Object {
    let names = Names::of(registry);
    let data: BTreeMap<String, ByteString> =
        data.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))).collect();
    let mut value = object(registry, &names, "v1", "Secret", name, json!({ "type": kind, "data": data }));
    if !annotations.is_empty() {
        value["metadata"]["annotations"] = json!(annotations);
    }
    Object::new(value)
}

/// The text of a file of a Secret.
pub fn text(secret: &Secret, file: &str) -> Option<String> {
    String::from_utf8(secret.data.as_ref()?.get(file)?.0.clone()).ok()
}

/// The authority that signed the certificates of a Secret, by its name.
pub fn issuer(secret: &Secret) -> Option<String> {
    note(secret).map(|note| note.issuer)
}
