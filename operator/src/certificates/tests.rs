//! The life of an authority as a table, and that nobody ever meets a certificate that he does not trust: with keys and
//! handshakes as they are.

#![allow(clippy::unwrap_used, reason = "a test")]

mod keep;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use roadstead::index::peers::Role;
use roadstead::index::peers::identity::{Identity, Pem, caller};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConnection, RootCertStore, ServerConnection};
use serde_json::{Value, json};

use super::authority::{AUTHORITY_DAYS, Authority, DAY, Facts, LEAF_DAYS, Next, Pair, Stage, is_due};
use super::issue::{self, Issued};
use super::*;
use crate::object::Object;

const SECOND: &str = "the second word";

/// A pair without keys, for what does not look at them.
fn pair(name: &str, from: i64) -> Pair {
    let certificate = format!("certificate of {name}");
    Pair { name: name.into(), certificate, key: format!("key of {name}"), from, until: from + AUTHORITY_DAYS * DAY }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

fn registry(spec: &Value) -> Registry {
    let mut value = json!({
        "apiVersion": "roadstead.dev/v1alpha1",
        "kind": "Registry",
        "metadata": { "name": "r", "namespace": "ns", "uid": "1" },
        "spec": { "hostname": "r.example.com", "storage": { "s3": { "bucket": "images" } } },
    });
    for (name, field) in spec.as_object().unwrap() {
        value["spec"][name] = field.clone();
    }
    serde_json::from_value(value).unwrap()
}

#[test]
fn each_step_of_a_renewal_waits_for_the_one_before() {
    let stable = || Authority::new(pair("one", 0), Some("first".into()));
    let trusting = || stable().begin(pair("two", 1), None);
    let issuing = || trusting().switch();
    let due = AUTHORITY_DAYS * DAY / 3 * 2;
    let wait = |what: &str| Next::Wait(format!("{what}: the pod r-index-1 has not loaded it"));
    let no = || Err("the pod r-index-1 has not loaded it".to_owned());
    let untrusted = "not every pod trusts the new authority yet";
    let unshown = "not every pod shows a certificate of the new authority yet";
    for (what, authority, at, asked, all_trust, all_show, next) in [
        ("at rest", stable(), 0, Some("first"), Ok(()), Ok(()), Next::Nothing),
        ("nobody asks", stable(), 0, None, Ok(()), Ok(()), Next::Nothing),
        ("a new word", stable(), 0, Some(SECOND), Ok(()), Ok(()), Next::Begin),
        ("a first word", Authority::new(pair("one", 0), None), 0, Some("first"), Ok(()), Ok(()), Next::Begin),
        ("a second before two thirds", stable(), due - 1, Some("first"), Ok(()), Ok(()), Next::Nothing),
        ("two thirds", stable(), due, Some("first"), Ok(()), Ok(()), Next::Begin),
        ("long past", stable(), due * 9, None, Ok(()), Ok(()), Next::Begin),
        ("a renewal begins though a pod is down", stable(), due, None, no(), no(), Next::Begin),
        ("not all trust", trusting(), 0, None, no(), Ok(()), wait(untrusted)),
        ("all trust", trusting(), 0, None, Ok(()), no(), Next::Switch),
        ("no third authority", trusting(), due * 9, Some(SECOND), no(), no(), wait(untrusted)),
        ("not all show", issuing(), 0, None, Ok(()), no(), wait(unshown)),
        ("somebody has lost the trust", issuing(), 0, None, no(), Ok(()), wait(unshown)),
        ("all show", issuing(), 0, None, Ok(()), Ok(()), Next::GiveUp),
        ("not before it is over", issuing(), due * 9, Some(SECOND), Ok(()), no(), wait(unshown)),
    ] {
        let facts = Facts { now: at, asked, all_trust, all_show };
        assert_eq!(authority.next(&facts), next, "{what}");
    }
}

#[test]
fn a_renewal_ends_with_the_new_authority_alone_and_is_done_once_a_word() {
    let mut authority = Authority::new(pair("one", 0), None);
    let mut stages = Vec::new();
    for passes in 0..9 {
        let facts = Facts { now: passes, asked: Some("please"), all_trust: Ok(()), all_show: Ok(()) };
        authority = match authority.next(&facts) {
            Next::Nothing | Next::Wait(_) => authority,
            Next::Begin => authority.begin(pair(&format!("made in pass {passes}"), passes), Some("please".into())),
            Next::Switch => authority.switch(),
            Next::GiveUp => authority.give_up(),
        };
        stages.push((authority.stage, authority.current.name.clone()));
    }
    let expected = [(Stage::Trusting, "one"), (Stage::Issuing, "made in pass 0"), (Stage::Stable, "made in pass 0")];
    assert_eq!(stages[..3], expected.map(|(stage, name)| (stage, name.to_owned())));
    assert!(stages[3..].iter().all(|stage| *stage == stages[2]), "it goes on: {stages:?}");
    assert_eq!(authority.other, None);
    // One that is due by its age keeps the word for which the last one was made.
    assert_eq!(authority.begin(pair("by age", 9), None).asked.as_deref(), Some("please"));
}

#[test]
fn a_stage_that_lost_its_other_half_does_not_lose_the_one_it_has() {
    let broken = Authority { other: None, ..Authority::new(pair("one", 0), None).begin(pair("two", 1), None) };
    let mended = broken.switch();
    assert_eq!((mended.stage, mended.current.name.as_str()), (Stage::Stable, "one"));
}

#[test]
fn a_life_is_over_for_two_thirds_after_two_thirds() {
    let authority = pair("one", 1000);
    let due = 1000 + AUTHORITY_DAYS * DAY / 3 * 2;
    assert!(!is_due(&authority, 1000) && !is_due(&authority, due - 1));
    assert!(is_due(&authority, due) && is_due(&authority, authority.until + 1));
}

/// An authority in each stage of a renewal that begins now.
fn stages(at: i64) -> [Authority; 4] {
    let stable = Authority::new(issue::authority("test", at - 1).unwrap(), None);
    let trusting = stable.clone().begin(issue::authority("test", at).unwrap(), None);
    let issuing = trusting.clone().switch();
    let over = issuing.clone().give_up();
    [stable, trusting, issuing, over]
}

fn node_leaf(ordinal: u32) -> Leaf {
    of_peers(&registry(&json!({})))[0].leaves[ordinal as usize].clone()
}

fn host(ordinal: u32) -> String {
    node_leaf(ordinal).hosts[0].clone()
}

fn leaf_of(authority: &Authority, leaf: &Leaf, at: i64) -> Issued {
    issue::leaf(&authority.current, leaf, at).unwrap().0
}

/// Whether somebody who trusts these believes that certificate to be of a host, at a time.
fn verify(issued: &Issued, trust: &str, host: &str, at: i64) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trust.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at as u64));
    let host = ServerName::try_from(host.to_owned()).unwrap();
    verifier.verify_server_cert(&certificate, &[], &host, &[], at).map(drop)
}

#[test]
fn every_certificate_that_may_be_shown_is_trusted_by_all_at_every_stage() {
    let at = now();
    let [stable, trusting, issuing, over] = stages(at);
    let leaf = |authority: &Authority| leaf_of(authority, &node_leaf(0), at);
    let (old, new) = (leaf(&stable), leaf(&over));
    // While a step goes on, pods have loaded what was before it or what is after it.
    for (what, shown, trusted, is_good) in [
        ("at rest", vec![&old], vec![&stable], true),
        ("the new one is being trusted", vec![&old], vec![&stable, &trusting], true),
        ("the new one begins to sign", vec![&old, &new], vec![&trusting, &issuing], true),
        ("the old one is being given up", vec![&new], vec![&issuing, &over], true),
        ("it is over", vec![&new], vec![&over], true),
        ("why there is a stage between: too early", vec![&new], vec![&stable], false),
        ("why there is a stage between: too late", vec![&old], vec![&over], false),
    ] {
        for trust in &trusted {
            for shown in &shown {
                let result = verify(shown, &trust.trust(), &host(0), at);
                assert_eq!(result.is_ok(), is_good, "{what}: {:?} {result:?}", trust.stage);
            }
        }
    }
    let issuer = |authority: &Authority| authority.current.certificate.trim_end().to_owned();
    for authority in [&stable, &trusting, &issuing, &over] {
        assert!(
            authority.trust().contains(&issuer(authority)),
            "{:?} does not trust whom it lets sign",
            authority.stage
        );
    }
}

#[test]
fn whom_to_trust_is_the_same_text_before_and_after_the_switch() {
    // Otherwise every pod would have to load it again before the old authority is given up.
    let [_, trusting, issuing, _] = stages(now());
    assert_eq!(trusting.trust(), issuing.trust());
}

#[test]
fn a_certificate_is_for_its_host_and_its_time_alone() {
    let at = now();
    let [authority, ..] = stages(at);
    let leaf = leaf_of(&authority, &node_leaf(1), at);
    let holds = |host: &str, at: i64| verify(&leaf, &authority.trust(), host, at).is_ok();
    assert!(holds(&host(1), at));
    assert!(holds(&host(1), at - 3000), "clocks differ");
    assert!(holds(&host(1), at + LEAF_DAYS * DAY - 1));
    assert!(!holds(&host(1), at + LEAF_DAYS * DAY + 1), "it is over");
    assert!(!holds(&host(1), at - DAY), "it has not begun");
    assert!(!holds(&host(0), at), "it is another node's");
    assert!(!holds("r-index-1", at) && !holds("localhost", at));
    let stranger = Authority::new(issue::authority("test", at).unwrap(), None);
    assert!(verify(&leaf, &stranger.trust(), &host(1), at).is_err());
}

#[test]
fn no_certificate_outlives_its_authority() {
    let at = now();
    let authority = issue::authority("test", at).unwrap();
    let late = authority.until - DAY;
    assert_eq!(issue::leaf(&authority, &node_leaf(0), at).unwrap().1, at + LEAF_DAYS * DAY);
    assert_eq!(issue::leaf(&authority, &node_leaf(0), late).unwrap().1, authority.until);
}

#[test]
fn every_authority_has_a_name_and_every_certificate_a_key_of_its_own() {
    let at = now();
    let [stable, trusting, ..] = stages(at);
    let other = trusting.other.unwrap();
    assert_ne!(stable.current.name, other.name);
    assert_ne!(stable.current.key, other.key);
    let keys = [leaf_of(&stable, &node_leaf(0), at).key, leaf_of(&stable, &node_leaf(0), at).key];
    assert!(keys[0] != keys[1] && keys[0] != stable.current.key);
}

fn identity(leaf: &Leaf, authority: &Authority) -> Identity {
    let issued = leaf_of(authority, leaf, now());
    let (certificate, key) = (issued.certificate.into_bytes(), issued.key.into_bytes());
    Identity::fixed(&Pem { certificate, key, ca: authority.trust().into_bytes() }).unwrap()
}

/// Both sides of a connection within this process; gives who called.
fn shake_hands(server: &Identity, client: &Identity, host: &str) -> Result<Role, String> {
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.client(), name).unwrap();
    let mut server = ServerConnection::new(server.server()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(|error| format!("the server refuses: {error}"))?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(|error| format!("the client refuses: {error}"))?;
    }
    Ok(caller(server.peer_certificates()).map_err(|error| error.to_string())?.role)
}

#[test]
fn peers_shake_hands_and_know_each_others_roles() {
    let [authority, ..] = stages(now());
    let process = of_peers(&registry(&json!({})))[1].leaves[0].clone();
    let operator =
        Leaf { file: String::new(), hosts: vec!["operator".into()], addresses: Vec::new(), role: Some(Role::Admin) };
    let node = identity(&node_leaf(0), &authority);
    for (leaf, role) in [(node_leaf(1), Role::Index), (process, Role::Registry), (operator, Role::Admin)] {
        assert_eq!(shake_hands(&node, &identity(&leaf, &authority), &host(0)), Ok(role));
    }
    let elsewhere = shake_hands(&node, &identity(&node_leaf(1), &authority), &host(2));
    assert!(elsewhere.unwrap_err().starts_with("the client refuses"), "node 0 is not node 2");
    let stranger = Authority::new(issue::authority("test", now()).unwrap(), None);
    assert!(shake_hands(&node, &identity(&node_leaf(1), &stranger), &host(0)).is_err());
}

#[test]
fn peers_shake_hands_whatever_each_of_them_has_loaded_of_a_renewal() {
    let [stable, trusting, issuing, over] = stages(now());
    for step in [[&stable, &trusting], [&trusting, &issuing], [&issuing, &over]] {
        for server in step {
            for client in step {
                let hands = shake_hands(&identity(&node_leaf(0), server), &identity(&node_leaf(1), client), &host(0));
                assert_eq!(hands, Ok(Role::Index), "{:?} calls {:?}", client.stage, server.stage);
            }
        }
    }
}

#[test]
fn what_clients_see_is_for_every_name_by_which_they_come() {
    let at = now();
    let [authority, ..] = stages(at);
    let wanted = of_clients(&registry(&json!({})), Some("10.96.0.7".parse().unwrap())).unwrap();
    assert!(wanted.is_web);
    let leaf = leaf_of(&authority, &wanted.leaves[0], at);
    for host in ["r.example.com", "r.ns.svc", "r.ns", "r", "r.ns.svc.cluster.local", "10.96.0.7"] {
        assert_eq!(verify(&leaf, &authority.trust(), host, at), Ok(()), "{host}");
    }
    assert!(verify(&leaf, &authority.trust(), "10.96.0.8", at).is_err());
    assert_eq!(wanted.leaves[0].role, None, "it opens no way to peers");
    let not_ours = [json!({ "secretName": "s" }), json!({ "certManager": { "issuerRef": { "name": "i" } } })];
    for tls in not_ours {
        assert_eq!(of_clients(&registry(&json!({ "tls": tls })), None), None);
    }
}

#[test]
fn a_host_of_any_length_has_a_certificate() {
    let at = now();
    let long = format!("{}.example.com", ["a"; 60].join("."));
    let [authority, ..] = stages(at);
    let wanted = of_clients(&registry(&json!({ "hostname": long })), None).unwrap();
    assert_eq!(verify(&leaf_of(&authority, &wanted.leaves[0], at), &authority.trust(), &long, at), Ok(()));
}

#[test]
fn every_node_that_there_may_be_has_a_certificate_and_a_registry_on_a_claim_has_none() {
    let wanted = of_peers(&registry(&json!({})));
    let secrets: Vec<&str> = wanted.iter().map(|wanted| wanted.secret.as_str()).collect();
    assert_eq!(secrets, ["r-index-peers", "r-registry-peers"]);
    let files: Vec<&str> = wanted[0].leaves.iter().map(|leaf| leaf.file.as_str()).collect();
    assert_eq!(files, ["r-index-0", "r-index-1", "r-index-2", "r-index-3", "r-index-4"]);
    assert!(wanted[0].leaves.iter().all(|leaf| leaf.role == Some(Role::Index) && leaf.hosts.len() == 1));
    assert!(wanted[1].leaves.iter().all(|leaf| leaf.role == Some(Role::Registry)));
    assert_eq!(of_peers(&registry(&json!({ "storage": { "claim": {} } }))), []);
}

fn live(object: &Object) -> Secret {
    serde_json::from_value(object.value.clone()).unwrap()
}

fn file(object: &Object, file: &str) -> String {
    secrets::text(&live(object), file).unwrap()
}

#[test]
fn certificates_are_kept_while_nothing_has_changed_and_issued_anew_when_something_has() {
    let at = now();
    let [stable, trusting, issuing, _] = stages(at);
    let registry = registry(&json!({}));
    let wanted = |host: &str| {
        let mut wanted = of_clients(&registry, None).unwrap();
        wanted.leaves[0].hosts[0] = host.into();
        wanted
    };
    let with_address = || of_clients(&registry, Some("10.96.0.7".parse().unwrap())).unwrap();
    let leaves = |wanted: &Wanted, authority: &Authority, live: Option<&Secret>, at: i64| {
        secrets::leaves(&registry, wanted, authority, live, at).unwrap()
    };
    let same = wanted("r.example.com");
    let first = leaves(&same, &stable, None, at);
    assert_eq!(secrets::until(&live(&first)), Some(at + LEAF_DAYS * DAY));
    let due = LEAF_DAYS * DAY / 3 * 2;
    let without = |key: &str| {
        let mut secret = live(&first);
        secret.data.as_mut().unwrap().remove(key).unwrap();
        secret
    };
    let unreadable = || {
        let mut secret = live(&first);
        secret.metadata.annotations = Some([("roadstead.dev/issued".into(), "?".into())].into());
        secret
    };
    for (what, wanted, authority, secret, at, is_kept) in [
        ("nothing has changed", same.clone(), &stable, live(&first), at + 1, true),
        ("a second before two thirds", same.clone(), &stable, live(&first), at + due - 1, true),
        ("two thirds", same.clone(), &stable, live(&first), at + due, false),
        ("another is to be trusted", same.clone(), &trusting, live(&first), at + 1, true),
        ("another signs", same.clone(), &issuing, live(&first), at + 1, false),
        ("another host", wanted("other.example.com"), &stable, live(&first), at + 1, false),
        ("an address more", with_address(), &stable, live(&first), at + 1, false),
        ("its key is gone", same.clone(), &stable, without("tls.key"), at + 1, false),
        ("it is gone itself", same.clone(), &stable, without("tls.crt"), at + 1, false),
        ("what it is for is not known", same.clone(), &stable, unreadable(), at + 1, false),
        ("only the trust is gone", same.clone(), &stable, without("ca.crt"), at + 1, true),
    ] {
        let next = leaves(&wanted, authority, Some(&secret), at);
        assert_eq!(file(&next, "tls.crt") == file(&first, "tls.crt"), is_kept, "{what}");
        assert_eq!(file(&next, "tls.key") == file(&first, "tls.key"), is_kept, "{what}");
        assert_eq!(file(&next, "ca.crt"), authority.trust(), "{what}");
        assert_eq!(leaves(&wanted, authority, Some(&live(&next)), at), next, "{what}: it does not come to rest");
    }
}

#[test]
fn all_certificates_of_a_secret_are_issued_together() {
    let at = now();
    let [stable, _, issuing, _] = stages(at);
    let registry = registry(&json!({}));
    let wanted = &of_peers(&registry)[0];
    let first = secrets::leaves(&registry, wanted, &stable, None, at).unwrap();
    let next = secrets::leaves(&registry, wanted, &issuing, Some(&live(&first)), at).unwrap();
    for ordinal in 0..MOST_NODES {
        let issued = |object: &Object| Issued {
            certificate: file(object, &format!("r-index-{ordinal}.pem")),
            key: file(object, &format!("r-index-{ordinal}-key.pem")),
        };
        assert_eq!(verify(&issued(&first), &file(&first, "ca.pem"), &host(ordinal), at), Ok(()));
        assert_eq!(verify(&issued(&next), &file(&next, "ca.pem"), &host(ordinal), at), Ok(()));
        assert_ne!(issued(&first), issued(&next));
    }
    assert_eq!(secrets::text(&live(&next), "ca.pem"), Some(issuing.trust()));
    assert_eq!(secrets::text(&live(&next), "none"), None);
}

#[test]
fn an_authority_is_read_as_it_was_written() {
    let registry = registry(&json!({}));
    for authority in stages(now()) {
        let object = secrets::authority(&registry, "r-peers-ca", &authority).unwrap();
        assert_eq!(secrets::read_authority(Some(&live(&object))), Ok(Some(authority.clone())));
        assert_eq!(file(&object, "ca.crt"), authority.trust());
    }
    assert_eq!(secrets::read_authority(None), Ok(None), "there is none yet");
}

#[test]
fn an_authority_that_cannot_be_read_is_never_taken_for_none() {
    let whole = serde_json::to_string(&Authority::new(pair("one", 0), None)).unwrap();
    for (what, data) in [
        ("no data", None),
        ("another key", Some(("ca.crt", String::new()))),
        ("nothing", Some(("authority.json", String::new()))),
        ("half of it", Some(("authority.json", whole[..whole.len() / 2].to_owned()))),
        ("a stage of a later version", Some(("authority.json", whole.replace("Stable", "Resting")))),
        ("no key", Some(("authority.json", whole.replace("\"key\"", "\"clef\"")))),
    ] {
        let mut secret = Secret::default();
        secret.metadata.name = Some("r-peers-ca".into());
        secret.data = data.map(|(key, text)| [(key.to_owned(), ByteString(text.into_bytes()))].into());
        let error = secrets::read_authority(Some(&secret)).unwrap_err();
        assert!(error.contains("the Secret r-peers-ca"), "{what}: {error}");
        assert!(error.contains("restore it, or delete it for a new authority"), "{what}: {error}");
        assert!(!error.contains("key of one"), "{what}: a key is nothing for a message");
        let mut observed = crate::observe::Observed::default();
        observed.secrets.insert("r-peers-ca".into(), secret);
        let kept = crate::keep::keep(&registry(&json!({})), &observed, None, now());
        assert!(kept.failed.unwrap().contains("restore it"), "{what}");
        let others: Vec<_> = kept.objects.iter().map(|object| object.name.as_str()).collect();
        assert_eq!(others, ["r-clients-ca", "r-tls"], "{what}: what clients see is renewed all the same");
    }
}
