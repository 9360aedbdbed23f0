//! Which configurations are refused, and that the message says what to change.

#![allow(clippy::unwrap_used)]

use super::super::load::{Sources, load};
use super::*;

fn problems(set: &[&str]) -> Vec<String> {
    check(&load(&Sources { set: set.iter().map(ToString::to_string).collect(), ..Sources::default() }).unwrap())
}

#[test]
fn the_defaults_are_good() {
    assert_eq!(problems(&[]), Vec::<String>::new());
}

#[test]
fn each_rule_says_what_to_change() {
    let s3 = "storage.kind=s3";
    let bucket = "storage.s3.bucket=images";
    for (set, named) in [
        (&["server.listen=0.0.0.0:5000"][..], "access.anonymous"),
        (&["server.listen=[::]:5000"], "access.anonymous"),
        (&["server.listen=192.0.2.1:5000"], "access.anonymous"),
        (&["server.admin_listen=127.0.0.1:5000"], "server.admin_listen"),
        (&["server.data="], "server.data"),
        (&["server.max_connections=0"], "server.max_connections"),
        (&["server.header_seconds=0"], "server.header_seconds"),
        (&["server.idle_seconds=0"], "server.idle_seconds"),
        (&["tls.certificate=/tls.crt"], "tls.key"),
        (&["tls.key=/tls.key"], "tls.certificate"),
        (&[s3], "storage.s3.bucket"),
        (&[bucket], "storage.kind"),
        (&[s3, bucket, "storage.s3.part_bytes=5242879"], "storage.s3.part_bytes"),
        (
            &[s3, bucket, "storage.s3.part_bytes=6000000000", "uploads.budget_bytes=20000000000"],
            "storage.s3.part_bytes",
        ),
        (&[s3, bucket, "uploads.budget_bytes=16777215"], "uploads.budget_bytes"),
        (&["uploads.budget_bytes=1000"], "uploads.budget_bytes"),
        (&[s3, bucket, "storage.s3.endpoint=minio:9000"], "storage.s3.endpoint"),
        (&[s3, bucket, "storage.s3.access_key_id=AKIA"], "storage.s3.secret_access_key"),
        (&["blobs.redirect=true", "blobs.public_endpoint=https://s3.example.com"], "storage.kind"),
        (&[s3, bucket, "blobs.redirect=true"], "blobs.public_endpoint"),
        (
            &[
                s3,
                bucket,
                "blobs.redirect=true",
                "blobs.public_endpoint=https://s3.example.com",
                "reclaim.reader_pause_seconds=1199",
            ],
            "reclaim.reader_pause_seconds",
        ),
        (&["blobs.inline_limit=5000000"], "blobs.inline_limit"),
        (&["manifests.max_bytes=4194303"], "manifests.max_bytes"),
        (&["log.filter=a=b=c"], "log.filter"),
        (&["access.ldap.owns_names=true"], "access.ldap.url"),
        (&["access.ldap.url=ldaps://directory.example.com"], "access.ldap.user_base"),
    ] {
        let problems = problems(set);
        assert_eq!(problems.len(), 1, "{set:?}: {problems:?}");
        assert!(problems[0].contains(named), "{set:?}: {problems:?}");
    }
}

#[test]
fn a_directory_is_asked_over_tls_and_for_somebody() {
    let good = "access.ldap.url=ldaps://directory.example.com";
    let base = "access.ldap.user_base=dc=example,dc=com";
    for (set, named) in [
        (&["access.ldap.url=directory.example.com", base][..], "access.ldap.url is no address"),
        (&["access.ldap.url=ldaps://", base], "access.ldap.url is no address"),
        (&["access.ldap.url=ldaps://a@b", base], "access.ldap.url is no address"),
        (&["access.ldap.url=ldaps://a/dc=b", base], "access.ldap.url is no address"),
        (&["access.ldap.url=ldaps://a:b", base], "access.ldap.url is no address"),
        (&["access.ldap.url=ldap://directory.example.com", base], "set access.ldap.start_tls"),
        (&["access.ldap.url=ldap://192.0.2.1:389", base], "set access.ldap.start_tls"),
        (&["access.ldap.url=ldap://localhost.example.com", base], "set access.ldap.start_tls"),
        (&[good, base, "access.ldap.start_tls=true"], "access.ldap.start_tls is for ldap://"),
        (&["access.ldap.url=ldap://localhost", base, "access.ldap.ca=/ca.pem"], "access.ldap.ca"),
        (&[good, base, "access.ldap.bind_dn=cn=a"], "access.ldap.bind_password"),
        (&[good, base, "access.ldap.bind_password=a"], "access.ldap.bind_dn"),
        (&[good, base, "access.ldap.bind_dn=cn=a", "access.ldap.bind_password="], "access.ldap.bind_password"),
        (&[good, base, "access.ldap.user_filter=(uid=alice)"], "access.ldap.user_filter"),
        (&[good, base, "access.ldap.user_filter=(uid={user}"], "access.ldap.user_filter"),
        (&[good, base, "access.ldap.group_filter=(objectClass=group)"], "access.ldap.group_filter"),
        (&[good, base, "access.ldap.name_attribute="], "access.ldap.name_attribute"),
        (&[good, base, "access.ldap.group_attribute=a b"], "access.ldap.group_attribute"),
    ] {
        let problems = problems(set);
        assert_eq!(problems.len(), 1, "{set:?}: {problems:?}");
        assert!(problems[0].contains(named), "{set:?}: {problems:?}");
    }
    for set in [
        &[good, base][..],
        &["access.ldap.url=ldaps://directory.example.com:3269/", base],
        &["access.ldap.url=ldap://directory.example.com", base, "access.ldap.start_tls=true", "access.ldap.ca=/ca.pem"],
        &["access.ldap.url=ldap://127.0.0.1:3890", base],
        &["access.ldap.url=ldap://[::1]", base],
        &[good, base, "access.ldap.bind_dn=cn=a", "access.ldap.bind_password=12345"],
        &[
            good,
            base,
            "access.ldap.user_filter=(&(objectClass=user)(sAMAccountName={user}))",
            "access.ldap.group_filter=(member:1.2.840.113556.1.4.1941:={dn})",
        ],
    ] {
        assert_eq!(problems(set), Vec::<String>::new(), "{set:?}");
    }
}

#[test]
fn every_broken_rule_is_told_at_once() {
    assert_eq!(problems(&["server.listen=0.0.0.0:5000", "tls.key=/k", "storage.kind=s3"]).len(), 3);
}

#[test]
fn good_configurations_pass() {
    for set in [
        &["server.listen=0.0.0.0:5000", "access.anonymous=nothing"][..],
        &["server.listen=[::1]:5000"],
        &["server.listen=127.0.0.1:0", "server.admin_listen=127.0.0.1:0"],
        &["tls.key=/k", "tls.certificate=/c"],
        &["storage.kind=s3", "storage.s3.bucket=images", "storage.s3.endpoint=http://127.0.0.1:9000"],
        &[
            "storage.kind=s3",
            "storage.s3.bucket=b",
            "blobs.redirect=true",
            "blobs.public_endpoint=https://s3.example.com",
        ],
    ] {
        assert_eq!(problems(set), Vec::<String>::new(), "{set:?}");
    }
}
