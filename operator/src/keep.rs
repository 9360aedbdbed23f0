//! Keeps the certificates of a registry: reads what there is, takes the next step of a renewal if it is due, and gives the
//! Secrets as they should be.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use roadstead::index::peers::Role;
use roadstead::index::peers::identity::{Identity, Pem};
use roadstead::metrics::sum_of;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::certificates::authority::{Authority, DAY, Facts, Next, SKEW};
use crate::certificates::secrets::{self, text};
use crate::certificates::{Leaf, Wanted, issue, of_clients, of_peers};
use crate::crd::Registry;
use crate::names::{Component, Names};
use crate::nodes::objects::Said;
use crate::object::{Object, text_of};
use crate::observe::Observed;

/// On a Registry: asks for new authorities, once for each word.
pub const ROTATE: &str = "roadstead.dev/rotate";

/// How long clients outside have to learn of a new authority: when it is due, and when somebody asked for it. Files that
/// pods mount are up to date within two minutes.
const PATIENCE: i64 = 14 * DAY;
const ASKED_PATIENCE: i64 = 120;
/// So long before the end of an authority nobody is waited for any more.
const PRESSED: i64 = 7 * DAY;

/// The certificates of a registry.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    pub objects: Vec<Object>,
    /// Whom clients are to trust; none: that is not the operator's to say.
    pub clients_trust: Option<String>,
    /// The operator's own way to the nodes.
    pub identity: Option<Arc<Identity>>,
    /// What a renewal waits for.
    pub waiting: Option<String>,
    /// What happened, for events.
    pub news: Vec<String>,
    /// What cannot be read or made. The rest is there all the same: those of peers have nothing to do with those of clients.
    pub failed: Option<String>,
    /// Why it is left at what clients were told before.
    pub unusable_trust: Option<String>,
}

impl Certificates {
    fn ok<T>(&mut self, result: Result<T, String>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(why) => {
                let before = self.failed.take().map(|before| format!("{before}; ")).unwrap_or_default();
                self.failed = Some(before + &why);
                None
            }
        }
    }
}

/// Judges what there is, and makes what is missing.
pub fn keep(registry: &Registry, observed: &Observed, service: Option<IpAddr>, now: i64) -> Certificates {
    let names = Names::of(registry);
    let mut kept = Certificates::default();
    let peers = of_peers(registry);
    if !peers.is_empty() {
        let authority = group(&mut kept, registry, observed, &names.peers_authority(), "roadstead peers", &peers, now);
        let identity = authority.and_then(|authority| own_identity(&authority, now));
        kept.identity = kept.ok(identity).map(Arc::new);
    }
    if let Some(wanted) = of_clients(registry, service) {
        let authority = group(&mut kept, registry, observed, &names.clients_authority(), "roadstead", &[wanted], now);
        kept.clients_trust = kept.ok(authority).map(|authority| authority.trust());
    } else {
        let trust = observed.secrets.get(&names.tls_of(registry)).map_or(Ok(None), trust_of);
        kept.clients_trust = trust.unwrap_or_else(|why| {
            kept.unusable_trust = Some(why);
            told(&names, observed)
        });
    }
    kept
}

/// Whom clients are to trust by a Secret that is not ours; none: those whom they trust anyway. What is no certificate would make
/// container runtimes refuse the host altogether.
fn trust_of(secret: &Secret) -> Result<Option<String>, String> {
    let Some(trust) = text(secret, "ca.crt").filter(|trust| !trust.trim().is_empty()) else { return Ok(None) };
    let is_good = |certificate: CertificateDer<'_>| webpki::anchor_from_trusted_cert(&certificate).is_ok();
    let all = CertificateDer::pem_slice_iter(trust.as_bytes()).map(|certificate| certificate.is_ok_and(is_good));
    let all: Vec<bool> = all.collect();
    if !all.is_empty() && all.iter().all(|is_good| *is_good) {
        return Ok(Some(trust));
    }
    let name = secret.name_any();
    Err(format!(
        "ca.crt of the Secret {name} is to be certificates as PEM, and is not: put them there, or leave it out"
    ))
}

/// Whom clients were told to trust.
fn told(names: &Names, observed: &Observed) -> Option<String> {
    let map = text_of(observed.object("ConfigMap", &names.trust())?);
    Some(map.pointer("/data/ca.crt")?.as_str()?.to_owned())
}

/// Of the Secrets as they should be, those that may be written though the Registry is not built as it is now: of what was
/// built before, by an authority that is there, and into nothing that is somebody else's.
pub fn renewed(registry: &Registry, observed: &Observed, objects: &[Object]) -> Vec<Object> {
    let names = Names::of(registry);
    let is_ours = |secret: &Secret| {
        secret.owner_references().iter().any(|owner| registry.uid().is_some_and(|uid| owner.uid == uid))
    };
    let may = |name: &str| {
        let authority = if [names.clients_authority(), names.tls()].iter().any(|of_clients| of_clients == name) {
            names.clients_authority()
        } else {
            names.peers_authority()
        };
        observed.secrets.get(&authority).is_some_and(is_ours) && observed.secrets.get(name).is_none_or(is_ours)
    };
    objects.iter().filter(|object| may(&object.name)).cloned().collect()
}

/// The operator's own way to the nodes of a registry that is there.
pub fn identity(registry: &Registry, observed: &Observed, now: i64) -> Result<Arc<Identity>, String> {
    let name = Names::of(registry).peers_authority();
    let authority = secrets::read_authority(observed.secrets.get(&name))?;
    let authority = authority.ok_or_else(|| format!("the Secret {name} is not there yet"))?;
    own_identity(&authority, now).map(Arc::new)
}

/// An authority and what is its.
fn group(
    kept: &mut Certificates,
    registry: &Registry,
    observed: &Observed,
    name: &str,
    purpose: &str,
    wanted: &[Wanted],
    now: i64,
) -> Result<Authority, String> {
    let asked = registry.annotations().get(ROTATE).cloned();
    let sign = |error: issue::IssueError| format!("{error:?}");
    let purpose = format!("{purpose} {}/{}", registry.namespace().unwrap_or_default(), registry.name_any());
    let mut authority = if let Some(authority) = secrets::read_authority(observed.secrets.get(name))? {
        authority
    } else {
        kept.news.push(format!("a new authority in the Secret {name}"));
        Authority::new(issue::authority(&purpose, now).map_err(sign)?, asked.clone())
    };
    // Before nobody trusts anything any more, those who do not answer are waited for no longer.
    let latest = authority.current.until - PRESSED;
    let is_pressed = now > latest || now + SKEW < authority.current.from;
    if is_pressed {
        authority.switch_after = None;
    }
    let wait_for = |is_trust: bool| {
        if is_pressed { Ok(()) } else { everybody(registry, observed, wanted, &authority, is_trust) }
    };
    let facts = Facts { now, asked: asked.as_deref(), all_trust: wait_for(true), all_show: wait_for(false) };
    match authority.next(&facts) {
        Next::Nothing => {}
        Next::Begin => {
            kept.news.push(format!("a new authority in the Secret {name}, which everybody is to trust first"));
            let is_asked = asked.is_some() && asked != authority.asked;
            authority = authority.begin(issue::authority(&purpose, now).map_err(sign)?, asked);
            if wanted.iter().any(|wanted| wanted.is_web) && !is_pressed {
                let patience = if is_asked { ASKED_PATIENCE } else { PATIENCE };
                authority = authority.waiting_until((now + patience).min(latest));
            }
        }
        Next::Switch => {
            kept.news.push(format!("the new authority in the Secret {name} signs, since everybody trusts it"));
            authority = authority.switch();
        }
        Next::GiveUp => {
            kept.news.push(format!(
                "the old authority in the Secret {name} is trusted no more, since nobody shows its certificates"
            ));
            authority = authority.give_up();
        }
        Next::Wait(why) => kept.waiting = Some(format!("{name}: {why}")),
    }
    kept.objects.push(secrets::authority(registry, name, &authority).map_err(|error| error.to_string())?);
    for wanted in wanted {
        let live = observed.secrets.get(&wanted.secret);
        kept.objects.push(secrets::leaves(registry, wanted, &authority, live, now).map_err(sign)?);
    }
    Ok(authority)
}

/// Whether every pod that uses these Secrets has loaded what is in them now, and that is what the authority says.
fn everybody(
    registry: &Registry,
    observed: &Observed,
    wanted: &[Wanted],
    authority: &Authority,
    is_trust: bool,
) -> Result<(), String> {
    let names = Names::of(registry);
    for wanted in wanted {
        let live = observed.secrets.get(&wanted.secret);
        let live = live.ok_or_else(|| format!("the Secret {} is not there", wanted.secret))?;
        let trust_file = if wanted.is_web { "ca.crt" } else { "ca.pem" };
        if text(live, trust_file).as_deref() != Some(&authority.trust()) {
            return Err(format!("the Secret {} is being written", wanted.secret));
        }
        if !is_trust && secrets::issuer(live).as_ref() != Some(&authority.current.name) {
            return Err(format!("the certificates in {} are being issued", wanted.secret));
        }
        let component = if wanted.secret == names.peers(Component::Index) {
            Component::Index
        } else if registry.spec.is_single() {
            Component::All
        } else {
            Component::Registry
        };
        if wanted.is_web && is_trust {
            nodes_trust(registry, observed, authority)?;
        }
        for pod in observed.pods_of(&names, component).filter(|pod| is_running(pod)) {
            let pod_name = pod.name_any();
            let file = match (is_trust, wanted.is_web, component) {
                // Whom clients trust is not known of them: nodes say so themselves.
                (true, true, _) => continue,
                (true, false, _) => ("ca", "ca.pem".to_owned()),
                (false, true, _) => ("tls", "tls.crt".to_owned()),
                (false, false, Component::Index) => ("peer", format!("{pod_name}.pem")),
                (false, false, _) => ("peer", "registry.pem".to_owned()),
            };
            let expected = text(live, &file.1).map(|text| sum_of(text.as_bytes()));
            let loaded = observed.loaded.get(&pod_name).and_then(|loaded| loaded.get(file.0));
            if expected.is_none() || loaded != expected.as_ref() {
                return Err(format!("the pod {pod_name} has not loaded it"));
            }
        }
    }
    Ok(())
}

/// One that does not run takes what there is when it does.
fn is_running(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
}

/// Whether every node that is told of the registry trusts what the authority says.
fn nodes_trust(registry: &Registry, observed: &Observed, authority: &Authority) -> Result<(), String> {
    if !registry.spec.tells_nodes() {
        return Ok(());
    }
    let wanted = sum_of(authority.trust().as_bytes());
    let trusts = |said: &Said| said.as_ref().is_ok_and(|said| !said.ok || said.trust == wanted);
    match observed.reports.iter().find(|(_, said)| !trusts(said)) {
        Some((node, _)) => Err(format!("the node {node} does not trust it")),
        None => Ok(()),
    }
}

/// The operator issues a certificate to itself, which nobody keeps.
fn own_identity(authority: &Authority, now: i64) -> Result<Identity, String> {
    let leaf =
        Leaf { file: String::new(), hosts: vec!["operator".into()], addresses: Vec::new(), role: Some(Role::Admin) };
    let (issued, _) = issue::leaf(&authority.current, &leaf, now).map_err(|error| format!("{error:?}"))?;
    let pem = Pem {
        certificate: issued.certificate.into_bytes(),
        key: issued.key.into_bytes(),
        ca: authority.trust().into_bytes(),
    };
    Identity::fixed(&pem).map_err(|error| error.to_string())
}
