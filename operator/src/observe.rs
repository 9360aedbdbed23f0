//! What there is of a registry: its objects as the API server has them, and its nodes as they tell themselves. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{ApiResource, DynamicObject, ListParams, ObjectList};
use kube::client::Body;
use kube::core::Status;
use kube::{Api, Client, Resource, ResourceExt};
use roadstead::index::answer::STATUS;
use roadstead::index::peers::connection::Peer;
use roadstead::index::peers::dial::{Dial, Tls};
use roadstead::index::peers::identity::Identity;
use roadstead::index::peers::wire::NodeStatus;

use crate::crd::Registry;
use crate::given;
use crate::names::{ADMIN, Component, MOST_NODES, Names, OF, PEERS};
use crate::nodes::objects::Said;
use crate::object::{KINDS, Kind, text_of};
use crate::optional::Optional;

/// How long one node may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest answer of a node that is read, in bytes: what runs in pods is for the author of a Registry to choose.
pub const ANSWER: usize = 256 << 10;
/// Pods that are asked at a time in one look, and how long all of them may take together: of those that are left nothing is
/// known this time.
const PODS_AT_ONCE: usize = 4;
const ALL_PODS: Duration = Duration::from_secs(15);
/// The longest list of objects that is read, in bytes, and the longest of pods: the label is for anybody to write.
const MOST: usize = 1 << 20;
const MOST_OF_PODS: usize = 4 << 20;
/// The most storage classes that are looked at: the claims of one Registry have one or two.
const MOST_CLASSES: usize = 8;
/// By which machines and their volumes belong together.
const HOST: &str = "kubernetes.io/hostname";
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// What there is.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Objects of ours, by kind and name.
    pub objects: BTreeMap<(Kind, String), DynamicObject>,
    pub pods: Vec<Pod>,
    pub claims: Vec<PersistentVolumeClaim>,
    /// Secrets of ours, and those that the Registry names.
    pub secrets: BTreeMap<String, Secret>,
    /// What each index node says, by its ordinal.
    pub said: BTreeMap<u32, Result<NodeStatus, String>>,
    /// The certificates that each pod has loaded, by the names of the files.
    pub loaded: BTreeMap<String, BTreeMap<String, String>>,
    /// Machines that volumes of ours are bound to, and that are no more or out of service; by claim.
    pub lost: BTreeMap<String, String>,
    /// Storage classes that claims of ours ask for; one that could not be asked for is not among them.
    pub classes: BTreeMap<String, Class>,
    /// What pods say of the object storage, by pod: `ok`, or what is wrong.
    pub stores: BTreeMap<String, String>,
    /// What the agents on nodes say, by node.
    pub reports: Vec<(String, Said)>,
}

/// What there is of a storage class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Missing,
    Fixed,
    Growing,
}

impl Class {
    /// Whether its volumes can grow.
    pub fn can_expand(&self) -> Option<bool> {
        (*self != Self::Missing).then_some(*self == Self::Growing)
    }
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    #[error("could not list {kind}")]
    List {
        kind: String,
        #[source]
        source: kube::Error,
    },
    #[error(
        "the {kind} with the label {OF}={name} take more than {most} bytes: take the label off what is not Roadstead's"
    )]
    TooLarge { kind: String, name: String, most: usize },
    #[error("could not read {kind} {name}")]
    Get {
        kind: &'static str,
        name: String,
        #[source]
        source: kube::Error,
    },
}

impl Observed {
    pub fn object(&self, kind: &str, name: &str) -> Option<&DynamicObject> {
        self.objects.get(&(Kind::named(kind)?, name.to_owned()))
    }

    /// The address of the Service of clients.
    pub fn service_address(&self, names: &Names) -> Option<IpAddr> {
        let service = text_of(self.object("Service", &names.registry())?);
        service.pointer("/spec/clusterIP")?.as_str()?.parse().ok()
    }

    pub fn pods_of(&self, names: &Names, component: Component) -> impl Iterator<Item = &Pod> {
        let selector = names.selector(component);
        self.pods.iter().filter(move |pod| selector.iter().all(|(name, value)| pod.labels().get(name) == Some(value)))
    }
}

/// Reads what belongs to a registry.
pub async fn objects(client: &Client, registry: &Registry, optional: &Optional) -> Result<Observed, ObserveError> {
    let names = Names::of(registry);
    let mut observed = Observed::default();
    let kinds = KINDS.into_iter().filter(|kind| kind.kind != "Secret" && optional.has(*kind));
    let listed = join_all(kinds.map(|kind| {
        let names = &names;
        async move { Ok((kind, list::<DynamicObject>(client, names, &kind.resource()).await?)) }
    }))
    .await;
    for list in listed {
        let (kind, list) = list?;
        observed.objects.extend(list.into_iter().map(|object| ((kind, object.name_any()), object)));
    }
    observed.pods = list(client, &names, &ApiResource::erase::<Pod>(&())).await?;
    observed.claims = list(client, &names, &ApiResource::erase::<PersistentVolumeClaim>(&())).await?;
    for secret in list::<Secret>(client, &names, &ApiResource::erase::<Secret>(&())).await? {
        observed.secrets.insert(secret.name_any(), secret);
    }
    let spec = &registry.spec;
    let given = given::secrets(spec);
    let of_cert_manager = spec.tls.cert_manager.is_some().then(|| names.tls());
    for name in given.iter().map(|given| given.name).chain(&of_cert_manager) {
        let secrets = Api::<Secret>::namespaced(client.clone(), &names.namespace);
        let secret = secrets.get_opt(name).await;
        let secret = secret.map_err(|source| ObserveError::Get { kind: "Secret", name: name.clone(), source })?;
        observed.secrets.extend(secret.map(|secret| (name.clone(), secret)));
    }
    machines(client, &mut observed).await;
    classes(client, &mut observed).await;
    Ok(observed)
}

/// Reads of a registry only what it takes to ask its index: its pods, and the authority that they trust.
pub async fn index(client: &Client, registry: &Registry) -> Result<Observed, ObserveError> {
    let names = Names::of(registry);
    let pods = list(client, &names, &ApiResource::erase::<Pod>(&())).await?;
    let mut observed = Observed { pods, ..Observed::default() };
    let name = names.peers_authority();
    let secret = Api::<Secret>::namespaced(client.clone(), &names.namespace).get_opt(&name).await;
    let secret = secret.map_err(|source| ObserveError::Get { kind: "Secret", name: name.clone(), source })?;
    observed.secrets.extend(secret.map(|secret| (name, secret)));
    Ok(observed)
}

/// The objects of a kind with our label.
async fn list<K>(client: &Client, names: &Names, kind: &ApiResource) -> Result<Vec<K>, ObserveError>
where
    K: Clone + for<'de> serde::Deserialize<'de>,
{
    let plural = kind.plural.clone();
    let failed = |source| ObserveError::List { kind: plural.clone(), source };
    let ours = ListParams::default().labels(&format!("{OF}={}", names.name));
    let path = DynamicObject::url_path(kind, Some(&names.namespace));
    let request = kube::core::Request::new(path).list(&ours).map_err(kube::Error::BuildRequest).map_err(&failed)?;
    let answer = client.send(request.map(Body::from)).await.map_err(&failed)?;
    let is_good = answer.status().is_success();
    let most = if plural == "pods" { MOST_OF_PODS } else { MOST };
    let body = Limited::new(answer.into_body(), most).collect().await;
    let body = body.map_err(|error| match error.downcast::<kube::Error>() {
        Ok(error) => failed(*error),
        Err(error) if error.is::<LengthLimitError>() => {
            ObserveError::TooLarge { kind: plural.clone(), name: names.name.clone(), most }
        }
        Err(error) => failed(kube::Error::Service(error)),
    })?;
    let body = body.to_bytes();
    if is_good {
        let list: ObjectList<K> = serde_json::from_slice(&body).map_err(kube::Error::SerdeError).map_err(&failed)?;
        return Ok(list.items);
    }
    let status: Status = serde_json::from_slice(&body).map_err(kube::Error::SerdeError).map_err(&failed)?;
    Err(failed(kube::Error::Api(status.boxed())))
}

/// Looks whether machines that volumes are bound to are gone. It needs rights on the whole cluster; without them nothing
/// is known to be lost, and nothing is given up.
async fn machines(client: &Client, observed: &mut Observed) {
    let unplaced = observed.pods.iter().filter(|pod| unschedulable(pod).is_some()).map(ResourceExt::name_any);
    let unplaced: Vec<String> = unplaced.collect();
    for claim in &observed.claims {
        let claim_name = claim.name_any();
        if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost") {
            observed.lost.insert(claim_name, "the volume is no more".into());
            continue;
        }
        if !unplaced.iter().any(|pod| claim_name == format!("data-{pod}")) {
            continue;
        }
        let Some(volume) = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()) else { continue };
        let Ok(Some(volume)) = Api::<PersistentVolume>::all(client.clone()).get_opt(&volume).await else { continue };
        let hosts = bound_to(&volume);
        if hosts.is_empty() {
            continue;
        }
        let mut gone = Vec::new();
        for host in &hosts {
            // By the label, as volumes have it: a machine may be called otherwise.
            let of_host = ListParams::default().labels(&format!("{HOST}={host}"));
            let Ok(nodes) = Api::<Node>::all(client.clone()).list(&of_host).await else { continue };
            if nodes.items.is_empty() {
                gone.push(format!("the machine {host} of its volume is no more"));
            } else if nodes.items.iter().all(is_out_of_service) {
                gone.push(format!("the machine {host} of its volume was declared out of service"));
            }
        }
        if gone.len() == hosts.len() {
            observed.lost.insert(claim_name, gone.join("; "));
        }
    }
}

/// Why a pod has no machine.
pub fn unschedulable(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let placed =
        conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some(placed.message.clone().unwrap_or_else(|| "it cannot be placed".into()))
}

fn is_out_of_service(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.is_some_and(|taints| taints.iter().any(|taint| taint.key == OUT_OF_SERVICE))
}

/// The machines that alone have a volume.
fn bound_to(volume: &PersistentVolume) -> Vec<String> {
    let required = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()?.required.as_ref());
    let terms = required.map(|required| required.node_selector_terms.as_slice()).unwrap_or_default();
    let expressions = terms.iter().flat_map(|term| term.match_expressions.iter().flatten());
    expressions
        .filter(|expression| expression.key == HOST && expression.operator == "In")
        .flat_map(|expression| expression.values.clone().unwrap_or_default())
        .collect()
}

async fn classes(client: &Client, observed: &mut Observed) {
    let asked = observed.claims.iter().filter_map(|claim| claim.spec.as_ref()?.storage_class_name.clone());
    // One that is empty is no class: it is for volumes that somebody made by hand.
    for name in asked.filter(|name| !name.is_empty()).collect::<BTreeSet<_>>().into_iter().take(MOST_CLASSES) {
        let class = match Api::<StorageClass>::all(client.clone()).get_opt(&name).await {
            Ok(None) => Class::Missing,
            Ok(Some(class)) if class.allow_volume_expansion == Some(true) => Class::Growing,
            Ok(Some(_)) => Class::Fixed,
            Err(_) => continue, // who may not ask does not know
        };
        observed.classes.insert(name, class);
    }
}

/// The way to the index nodes: by the addresses of their pods, which DNS may tell late, and by their names, which stand in
/// their certificates.
pub fn dialer(names: &Names, pods: &[Pod], identity: Arc<Identity>) -> Arc<dyn Dial> {
    let addresses = pods.iter().filter_map(|pod| {
        let ordinal = ordinal(&names.index(), &pod.name_any())?;
        let address: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
        Some((names.node(ordinal), SocketAddr::new(address, PEERS)))
    });
    Arc::new(Tls { identity, addresses: addresses.collect() })
}

/// The number at the end of a pod's name.
pub fn ordinal(workload: &str, pod: &str) -> Option<u32> {
    pod.strip_prefix(workload)?.strip_prefix('-')?.parse().ok()
}

/// Asks every index node how it is.
pub async fn nodes(names: &Names, observed: &mut Observed, dialer: &Arc<dyn Dial>) {
    let asked = observed.pods_of(names, Component::Index).filter_map(|pod| {
        let ordinal = ordinal(&names.index(), &pod.name_any())?;
        let has_address = pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some());
        let not_running = why_not_running(pod);
        let why = (!has_address).then(|| not_running.clone().unwrap_or_else(|| "its pod does not run yet".into()));
        // There are certificates for no more: whoever calls itself so is no node of ours.
        if ordinal >= MOST_NODES {
            return None;
        }
        let peer = Peer::limited(&names.node(ordinal), Arc::clone(dialer), ANSWER);
        Some(async move {
            let said = if let Some(why) = why {
                Err(why)
            } else {
                let said = peer.call::<(), NodeStatus>(STATUS, &(), PATIENCE).await;
                said.map_err(|error| not_running.unwrap_or_else(|| error.to_string()))
            };
            (ordinal, said)
        })
    });
    let said = join_all(asked.collect::<Vec<_>>()).await;
    observed.said = said.into_iter().collect();
}

/// Why a pod does not run, as kubelet or the scheduler say it; with its last words, if it ended.
pub fn why_not_running(pod: &Pod) -> Option<String> {
    if let Some(why) = unschedulable(pod) {
        return Some(why);
    }
    let status = pod.status.as_ref()?;
    let first = status.init_container_statuses.iter().flatten();
    let mut statuses = first.chain(status.container_statuses.iter().flatten());
    statuses.find_map(|status| {
        let waiting = status.state.as_ref()?.waiting.clone()?;
        let reason = waiting.reason.unwrap_or_default();
        // That others are waited for says nothing.
        if reason == "PodInitializing" || reason == "ContainerCreating" {
            return None;
        }
        let last = status.last_state.as_ref().and_then(|state| state.terminated.clone());
        let last_words = last.and_then(|ended| ended.message).map(|words| last_line(&words));
        Some(match last_words.or(waiting.message) {
            Some(words) => format!("{reason}: {words}"),
            None => reason,
        })
    })
}

/// The last line of a log, which says why it ended; of a line of JSON its message, and the error that stands beside it.
fn last_line(log: &str) -> String {
    let line = log.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let said: Option<serde_json::Value> = serde_json::from_str(line).ok();
    let word = |name: &str| said.as_ref()?.get(name)?.as_str().map(str::to_owned);
    match (word("message"), word("error")) {
        (Some(message), Some(error)) => format!("{message}: {error}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => line.to_owned(),
    }
}

/// Asks every pod which certificates it has loaded, and whether it reaches the store.
pub async fn loaded(observed: &mut Observed) {
    let asked = observed.pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).filter_map(|pod| {
        let address: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
        let name = pod.name_any();
        Some(async move {
            let ask = |path| crate::scrape::get(SocketAddr::new(address, ADMIN), path, PATIENCE);
            let (metrics, ready) = tokio::join!(ask("/metrics"), ask("/readyz"));
            let store = crate::scrape::store(&ready.unwrap_or_default());
            (name, crate::scrape::certificates(&metrics.unwrap_or_default()), store)
        })
    });
    let mut asked = futures::stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(PODS_AT_ONCE);
    let end = tokio::time::Instant::now() + ALL_PODS;
    while let Ok(Some((name, certificates, store))) = tokio::time::timeout_at(end, asked.next()).await {
        observed.stores.extend(store.map(|store| (name.clone(), store)));
        observed.loaded.insert(name, certificates);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use k8s_openapi::api::core::v1::{
        ContainerState, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, PodStatus,
    };
    use serde_json::json;

    use super::*;

    /// An API server that has so many bytes in each list.
    fn server(bytes: usize, code: u16) -> Client {
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let kind = request.uri().path().rsplit('/').next().unwrap().to_owned();
            let text = if code == 200 {
                let data = json!({ "x": "x".repeat(bytes) });
                json!({ "apiVersion": "v1", "kind": "List", "metadata": {}, "items": [{ "metadata": { "name": kind }, "data": data }] })
            } else {
                json!({ "apiVersion": "v1", "kind": "Status", "status": "Failure", "message": "no", "reason": "Forbidden", "code": code })
            };
            let answer = http::Response::builder().status(code).body(Body::from(text.to_string().into_bytes()));
            async move { Ok::<_, std::convert::Infallible>(answer.unwrap()) }
        });
        Client::new(service, "ns")
    }

    #[tokio::test]
    async fn no_more_is_read_of_what_has_our_label_than_ours_is_long() {
        let names = Names { name: "r".into(), namespace: "ns".into() };
        let (maps, pods) = (Kind::named("ConfigMap").unwrap().resource(), ApiResource::erase::<Pod>(&()));
        for (kind, bytes, is_read) in [
            (&maps, 10, true),
            (&maps, 900 << 10, true),
            (&maps, 2 << 20, false),
            (&pods, 3 << 20, true),
            (&pods, 5 << 20, false),
        ] {
            let client = server(bytes, 200);
            match list::<DynamicObject>(&client, &names, kind).await {
                Ok(list) => assert!(is_read && list[0].name_any() == kind.plural, "{bytes}"),
                Err(error) => assert!(!is_read && matches!(error, ObserveError::TooLarge { .. }), "{bytes}: {error:?}"),
            }
        }
        let refused = list::<DynamicObject>(&server(0, 403), &names, &maps).await.unwrap_err();
        assert!(matches!(&refused, ObserveError::List { source: kube::Error::Api(status), .. } if status.code == 403));
    }

    #[test]
    fn a_pod_that_ends_again_and_again_tells_its_last_words() {
        let waiting =
            ContainerStateWaiting { reason: Some("CrashLoopBackOff".into()), message: Some("back-off".into()) };
        let words = "starting\nroadstead: the store belongs to another cluster\n\n";
        let ended = ContainerStateTerminated { message: Some(words.into()), ..ContainerStateTerminated::default() };
        let container = ContainerStatus {
            state: Some(ContainerState { waiting: Some(waiting), ..ContainerState::default() }),
            last_state: Some(ContainerState { terminated: Some(ended), ..ContainerState::default() }),
            ..ContainerStatus::default()
        };
        let status = PodStatus { container_statuses: Some(vec![container]), ..PodStatus::default() };
        let pod = Pod { status: Some(status), ..Pod::default() };
        let why = why_not_running(&pod);
        assert_eq!(why.as_deref(), Some("CrashLoopBackOff: roadstead: the store belongs to another cluster"));
        assert_eq!(why_not_running(&Pod::default()), None);
    }

    #[test]
    fn of_a_line_of_json_it_is_told_what_it_says() {
        for (log, said) in [
            ("first\nlast\n\n", "last"),
            (r#"{"level":"ERROR","message":"the disk is full","target":"roadstead"}"#, "the disk is full"),
            (r#"{"message":"could not listen","error":"address in use"}"#, "could not listen: address in use"),
            (r#"{"error":"no key"}"#, "no key"),
            (r#"{"level":"ERROR"}"#, r#"{"level":"ERROR"}"#),
            (r#"{"message":"cut"#, r#"{"message":"cut"#),
            ("17", "17"),
            ("", ""),
        ] {
            assert_eq!(last_line(log), said, "{log}");
        }
    }
}
