//! What a configuration must fulfil beyond the types of its keys. Pure; called by every verb that reads the
//! configuration. Each message says what to change.

use tracing_subscriber::EnvFilter;

use super::{Config, Ldap, PRESIGNED_LIFE, Role, StorageKind};
use crate::auth::ldap::fill;

const MIB: u64 = 1 << 20;

/// The smallest part that S3 takes, but for the last of an upload.
const MIN_PART_BYTES: u64 = 5 * MIB;
/// The largest part that S3 takes.
const MAX_PART_BYTES: u64 = 5 << 30;
/// What fits into one entry of the log with room to spare.
const MAX_INLINE_BYTES: u64 = 4 * MIB;

/// Every rule that is broken, as a sentence for the person who wrote the configuration; empty when all is good.
pub fn check(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    let mut rule = |broken: bool, message: &str| {
        if broken {
            problems.push(message.to_owned());
        }
    };

    let server = &config.server;
    let open = !server.listen.ip().is_loopback();
    rule(
        open && config.access.anonymous.is_none(),
        "server.listen is reachable from other machines, and access.anonymous does not say what anyone there may do: set it to \"nothing\", \"pull\", \"push\" or \"delete\" (each includes those before it), or listen on 127.0.0.1",
    );
    rule(
        server.listen == server.admin_listen && server.listen.port() != 0,
        "server.listen and server.admin_listen are the same address: give them different ports",
    );
    rule(server.data.as_os_str().is_empty(), "server.data is empty: name the directory that keeps the data");
    for (key, value) in [
        ("server.max_connections", server.max_connections as u64),
        ("server.header_seconds", server.header_seconds),
        ("server.idle_seconds", server.idle_seconds),
        ("server.min_body_rate", server.min_body_rate),
        ("storage.s3.attempt_seconds", config.storage.s3.attempt_seconds),
        ("storage.s3.attempts", config.storage.s3.attempts.into()),
        ("uploads.ttl_seconds", config.uploads.ttl_seconds),
        ("reclaim.interval_seconds", config.reclaim.interval_seconds),
        ("history.per_tag", config.history.per_tag),
        ("archive.seconds", config.archive.seconds),
        ("archive.snapshot_entries", config.archive.snapshot_entries),
        ("archive.snapshot_bytes", config.archive.snapshot_bytes),
        ("archive.snapshot_seconds", config.archive.snapshot_seconds),
    ] {
        rule(value == 0, &format!("{key} is 0: it must be at least 1"));
    }

    let kubernetes = &config.access.kubernetes;
    rule(
        kubernetes.audience.is_none() && kubernetes.rbac_namespace.is_some(),
        "access.kubernetes.rbac_namespace is set without access.kubernetes.audience: set the audience, the host name of this registry, to know who has a token",
    );
    rule(
        kubernetes.audience.as_deref() == Some(""),
        "access.kubernetes.audience is empty: set it to the host name of this registry, or leave it out",
    );
    rule(
        !crate::auth::issuer::is_address(&kubernetes.api),
        "access.kubernetes.api is no address that can be asked: write https://…; plain http is for this machine alone",
    );

    let cluster = &config.cluster;
    let peers = [&cluster.certificate, &cluster.key, &cluster.ca];
    let some = peers.iter().filter(|file| file.is_some()).count();
    rule(
        some != 0 && some != peers.len(),
        "only some of cluster.certificate, cluster.key and cluster.ca are set: peers need all three (`roadstead certificates` makes them)",
    );
    let apart = server.role != Role::All;
    rule(
        apart && some == 0,
        "server.role needs cluster.certificate, cluster.key and cluster.ca: peers know each other by them (`roadstead certificates` makes them)",
    );
    rule(
        apart && config.storage.kind == StorageKind::Directory && config.storage.directory.is_none(),
        "server.role needs a store that all processes share: set storage.kind = \"s3\", or storage.directory to a directory that each of them sees",
    );
    rule(
        server.role == Role::Index && cluster.name.as_deref().is_none_or(|name| !is_host_and_port(name)),
        "server.role = \"index\" needs cluster.name: how its peers dial this node, as host:port",
    );
    rule(
        server.role == Role::Registry && cluster.index.is_empty(),
        "server.role = \"registry\" needs cluster.index: where the index nodes are, as host:port each",
    );
    rule(
        !cluster.index.iter().all(|name| is_host_and_port(name)),
        "cluster.index names something that is no host:port",
    );
    rule(
        !(100..=60_000).contains(&cluster.election_milliseconds),
        "cluster.election_milliseconds must be between 100 and 60000",
    );
    rule(cluster.snapshot_entries < 10, "cluster.snapshot_entries must be at least 10");
    rule(
        config.tls.certificate.is_some() != config.tls.key.is_some(),
        "only one of tls.certificate and tls.key is set: set both for HTTPS, or none for HTTP",
    );
    rule(
        config.tls.client_ca.is_some() && config.tls.certificate.is_none(),
        "tls.client_ca needs tls.certificate and tls.key: clients show certificates over HTTPS alone",
    );

    ldap(&config.access.ldap, &mut rule);

    let s3 = &config.storage.s3;
    match config.storage.kind {
        StorageKind::Directory => {
            rule(
                !s3.bucket.is_empty(),
                "storage.s3.bucket is set, but storage.kind is \"directory\": set storage.kind to \"s3\", or remove storage.s3",
            );
            rule(config.uploads.budget_bytes < 4 * MIB, "uploads.budget_bytes is less than 4 MiB (4194304)");
        }
        StorageKind::S3 => {
            rule(s3.bucket.is_empty(), "storage.kind is \"s3\", but storage.s3.bucket is not set: name the bucket");
            rule(
                config.uploads.budget_bytes < s3.part_bytes.saturating_mul(2),
                "uploads.budget_bytes is less than two parts of storage.s3.part_bytes: uploads would wait for each part; raise it",
            );
        }
    }
    rule(
        !(MIN_PART_BYTES..=MAX_PART_BYTES).contains(&s3.part_bytes),
        "storage.s3.part_bytes must be between 5 MiB (5242880) and 5 GiB (5368709120), the limits of S3",
    );
    for (key, address) in
        [("storage.s3.endpoint", &s3.endpoint), ("blobs.public_endpoint", &config.blobs.public_endpoint)]
    {
        let bad = address.as_deref().is_some_and(|address| !is_http_address(address));
        rule(bad, &format!("{key} is no address: write it as http://host:port or https://host"));
    }
    rule(
        s3.access_key_id.is_some() != s3.secret_access_key.is_some(),
        "only one of storage.s3.access_key_id and storage.s3.secret_access_key is set: set both, or none to use the credentials of the environment",
    );

    let blobs = &config.blobs;
    rule(
        blobs.redirect && config.storage.kind != StorageKind::S3,
        "blobs.redirect needs storage.kind = \"s3\": a directory has no addresses to send clients to",
    );
    rule(
        blobs.redirect && blobs.public_endpoint.is_none(),
        "blobs.redirect needs blobs.public_endpoint: the address at which clients reach the object storage",
    );
    let presigned = PRESIGNED_LIFE.as_secs();
    rule(
        blobs.redirect && config.reclaim.reader_pause_seconds < presigned,
        &format!(
            "reclaim.reader_pause_seconds is less than the {presigned} seconds that clients may use an address of blobs.redirect"
        ),
    );
    rule(blobs.inline_limit > MAX_INLINE_BYTES, "blobs.inline_limit is more than 4 MiB (4194304)");
    rule(
        !(4 * MIB..=8 * MIB).contains(&config.manifests.max_bytes),
        "manifests.max_bytes must be between 4 MiB (4194304), which the specification asks for, and 8 MiB (8388608), which fits into the log",
    );
    rule(
        config.archive.snapshots < 2,
        "archive.snapshots is less than 2: when the only snapshot turned out to be damaged, nothing could be restored",
    );
    rule(
        EnvFilter::try_new(&config.log.filter).is_err(),
        "log.filter cannot be read: write it as info, or as warn,roadstead=debug",
    );
    problems
}

fn ldap(ldap: &Ldap, rule: &mut impl FnMut(bool, &str)) {
    let Some(url) = &ldap.url else {
        return rule(
            *ldap != Ldap::default(),
            "access.ldap.url is not set, but other keys of access.ldap are: name the directory, or remove them",
        );
    };
    let is_plain = url.starts_with("ldap://");
    let is_encrypted = !is_plain || ldap.start_tls;
    rule(!is_ldap_address(url), "access.ldap.url is no address: write it as ldaps://host or ldaps://host:port");
    rule(
        !is_encrypted && is_ldap_address(url) && !is_loopback(url),
        "access.ldap.url is ldap:// to another machine without access.ldap.start_tls: whoever is in between could read all passwords; use ldaps://, or set access.ldap.start_tls",
    );
    rule(
        ldap.start_tls && !is_plain,
        "access.ldap.start_tls is for ldap://: ldaps:// is encrypted from the first byte; remove one of them",
    );
    rule(
        ldap.ca.is_some() && !is_encrypted,
        "access.ldap.ca is set, but the connection is not encrypted: use ldaps://, or remove it",
    );
    let is_empty = |text: &Option<String>| text.as_ref().is_some_and(String::is_empty);
    rule(
        ldap.bind_dn.is_some() != ldap.bind_password.is_some()
            || is_empty(&ldap.bind_dn)
            || is_empty(&ldap.bind_password),
        "only one of access.ldap.bind_dn and access.ldap.bind_password is set: set both, or none to look people up as nobody",
    );
    rule(
        ldap.user_base.as_ref().is_none_or(String::is_empty),
        "access.ldap.user_base is not set: name the entry below which people are, such as ou=people,dc=example,dc=com",
    );
    let is_filter = |filter: &str| ldap3::parse_filter(fill(filter, Some("x"), "x")).is_ok();
    rule(
        !ldap.user_filter.contains("{user}") || !is_filter(&ldap.user_filter),
        "access.ldap.user_filter is no filter with {user} in it: write it as (uid={user})",
    );
    let is_about_somebody = ldap.group_filter.contains("{dn}") || ldap.group_filter.contains("{user}");
    rule(
        !is_about_somebody || !is_filter(&ldap.group_filter),
        "access.ldap.group_filter is no filter with {dn} or {user} in it: write it as (member={dn})",
    );
    for (key, attribute) in [("name_attribute", &ldap.name_attribute), ("group_attribute", &ldap.group_attribute)] {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-.;".contains(&b);
        rule(
            attribute.is_empty() || !attribute.bytes().all(is_name),
            &format!("access.ldap.{key} is no name of an attribute, such as uid or cn"),
        );
    }
}

/// Whether it is the address of a directory: a host, and a port if need be; nothing else is looked at.
fn is_ldap_address(text: &str) -> bool {
    let host = |scheme: &str| text.strip_prefix(scheme).map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    host("ldaps://").or_else(|| host("ldap://")).is_some_and(|rest| {
        let is_plain = rest.parse::<http::uri::Authority>().is_ok_and(|it| !it.host().is_empty());
        is_plain
            && !rest.contains('@')
            && rest
                .rsplit_once(':')
                .is_none_or(|(_, port)| port.ends_with(']') || port.parse::<u16>().is_ok_and(|port| port > 0))
    })
}

fn is_loopback(address: &str) -> bool {
    let uri = address.parse::<http::Uri>();
    let host = uri.as_ref().ok().and_then(http::Uri::host).unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn is_http_address(text: &str) -> bool {
    let is_http = |uri: &http::Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    text.parse::<http::Uri>().as_ref().is_ok_and(is_http)
}

#[cfg(test)]
mod tests;
