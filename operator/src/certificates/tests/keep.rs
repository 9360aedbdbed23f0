//! What is kept of certificates from pass to pass, whatever stands in their Secrets.

use super::*;
use crate::keep::{self, keep};
use crate::observe::Observed;

#[test]
fn an_authority_of_clients_that_cannot_be_read_does_not_hinder_peers() {
    let mut observed = Observed::default();
    let mut rubbish = Secret::default();
    rubbish.metadata.name = Some("r-clients-ca".into());
    observed.secrets.insert("r-clients-ca".into(), rubbish);
    let kept = keep(&registry(&json!({})), &observed, None, now());
    assert!(kept.failed.unwrap().contains("r-clients-ca"));
    assert!(kept.identity.is_some(), "nodes of the index can be asked");
    assert!(kept.objects.iter().any(|object| object.name == "r-index-peers"));
}

#[test]
fn a_renewal_of_the_clients_authority_never_waits_until_the_old_one_is_over() {
    let at = now();
    let made = |secret: &Object| (secret.name.clone(), live(secret));
    let step = |observed: &Observed, at: i64| {
        let kept = keep(&registry(&json!({})), observed, None, at);
        let mut next = observed.clone();
        next.secrets.extend(kept.objects.iter().map(made));
        let authority = secrets::read_authority(next.secrets.get("r-clients-ca")).unwrap().unwrap();
        (next, authority)
    };
    let (first, authority) = step(&Observed::default(), at);
    let until = authority.current.until;
    for (what, then, switches_by) in [
        ("in time", until - 60 * DAY, until - 46 * DAY),
        ("paused until ten days before the end", until - 10 * DAY, until - 7 * DAY + 60),
        ("paused until three days before the end", until - 3 * DAY, until - 3 * DAY + 60),
        ("paused until long after the end", until + 30 * DAY, until + 30 * DAY + 60),
        ("it was made by a clock that was ahead", at - 30 * DAY, at - 30 * DAY + 60),
    ] {
        let (mut observed, authority) = step(&first, then);
        assert_eq!(authority.stage, Stage::Trusting, "{what}");
        let mut authority = authority;
        for _ in 0..4 {
            (observed, authority) = step(&observed, switches_by);
        }
        assert_eq!(authority.stage, Stage::Stable, "{what}");
        assert!(authority.current.until > until || then < at, "{what}: the new one signs");
    }
    let (observed, _) = step(&first, until - 60 * DAY);
    let (_, authority) = step(&observed, until - 47 * DAY);
    assert_eq!(authority.stage, Stage::Trusting, "clients have two weeks to learn of it");
}

#[test]
fn what_nodes_are_told_to_trust_by_a_secret_of_ones_own_is_certificates_or_nothing() {
    let own = registry(&json!({ "tls": { "secretName": "own" } }));
    let good = issue::authority("test", now()).unwrap().certificate;
    for (what, text, trust) in [
        ("none", None, Some(None)),
        ("empty", Some(" \n".to_owned()), Some(None)),
        ("one", Some(good.clone()), Some(Some(good.clone()))),
        (
            "two, with words between them",
            Some(format!("# a\n{good}# b\n{good}")),
            Some(Some(format!("# a\n{good}# b\n{good}"))),
        ),
        ("no PEM", Some("MIIB".into()), None),
        (
            "a second one that is none",
            Some(format!("{good}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
            None,
        ),
    ] {
        let mut secret = Secret::default();
        secret.metadata.name = Some("own".into());
        secret.data = text.map(|text| [("ca.crt".to_owned(), ByteString(text.into_bytes()))].into());
        let mut observed = Observed::default();
        observed.secrets.insert("own".into(), secret);
        let before = json!({ "metadata": { "name": "r-ca" }, "data": { "ca.crt": "before" } });
        let map = crate::object::Kind::named("ConfigMap").unwrap();
        observed.objects.insert((map, "r-ca".into()), serde_json::from_value(before).unwrap());
        let kept = keep(&own, &observed, None, now());
        if let Some(trust) = trust {
            assert_eq!((kept.unusable_trust, kept.clients_trust), (None, trust), "{what}");
        } else {
            assert!(kept.unusable_trust.unwrap().contains("the Secret own"), "{what}");
            assert_eq!((kept.failed, kept.clients_trust), (None, Some("before".into())), "{what}");
        }
    }
}

#[test]
fn certificates_of_what_was_built_are_renewed_though_the_registry_is_wrong_now_and_nothing_else_is_touched() {
    let (at, registry) = (now(), registry(&json!({})));
    let built = keep(&registry, &Observed::default(), None, at).objects;
    let of = |owner: Option<&str>| {
        let mut secret = Secret::default();
        secret.metadata.owner_references = owner.map(|uid| {
            vec![k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
                uid: uid.into(),
                ..Default::default()
            }]
        });
        secret
    };
    let ours = registry.metadata.uid.clone().unwrap();
    let peers: &[&str] = &["r-peers-ca", "r-index-peers", "r-registry-peers"];
    for (what, there, renewed) in [
        ("it was never built", vec![], vec![]),
        ("only peers were", vec![("r-peers-ca", Some(ours.as_str()))], peers.to_vec()),
        (
            "all was",
            vec![("r-peers-ca", Some(ours.as_str())), ("r-clients-ca", Some(&ours))],
            [peers, &["r-clients-ca", "r-tls"]].concat(),
        ),
        ("a Secret without its authority", vec![("r-index-peers", Some(ours.as_str()))], vec![]),
        ("the authority is another's", vec![("r-peers-ca", Some("other"))], vec![]),
        ("a Secret is a user's", vec![("r-clients-ca", Some(ours.as_str())), ("r-tls", None)], vec!["r-clients-ca"]),
    ] {
        let mut observed = Observed::default();
        observed.secrets.extend(there.into_iter().map(|(name, owner)| (name.to_owned(), of(owner))));
        let names: Vec<String> =
            keep::renewed(&registry, &observed, &built).into_iter().map(|object| object.name).collect();
        assert_eq!(names, renewed, "{what}");
    }
}
