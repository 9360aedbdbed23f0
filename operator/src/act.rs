//! Does the one step that the plan names. Each may be done again: the answer to the first may have been lost.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use roadstead::index::answer::{CHANGE, FORM, JOIN, RAISE, TRANSFER};
use roadstead::index::peers::connection::{CallError, Peer};
use roadstead::index::peers::dial::Dial;
use roadstead::index::peers::wire::{Change, Form, Join, Joined};
use serde_json::json;

use crate::crd::Registry;
use crate::names::{LEFT, MANAGER, Names};
use crate::observe::ANSWER;
use crate::plan::{Step, View};

/// How long a node may take to do what it is asked.
const PATIENCE: Duration = Duration::from_secs(20);
/// A cluster that begins elects its first leader.
const FOUNDING: Duration = Duration::from_secs(40);

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("could not {what}")]
    Api {
        what: String,
        #[source]
        source: kube::Error,
    },
    /// It is not possible at the moment, and will be tried again.
    #[error("{0}")]
    NotNow(String),
    #[error("nobody leads")]
    NoLeader,
}

/// What acts.
#[allow(missing_debug_implementations, reason = "a client of the API server has none")]
pub struct Actor<'a> {
    pub client: &'a Client,
    pub registry: &'a Registry,
    pub dialer: Option<&'a Arc<dyn Dial>>,
    pub view: &'a View,
}

impl Actor<'_> {
    pub async fn act(&self, step: &Step) -> Result<(), ActError> {
        let names = Names::of(self.registry);
        match step {
            Step::Name { adopted, begun, .. } => {
                let cluster = adopted.clone().unwrap_or_else(|| ulid::Ulid::new().to_string().to_lowercase());
                // Together: a cluster that volumes brought must not begin again on those that are empty.
                self.note(json!({ "cluster": cluster, "bootstrapped": begun.then_some(true) })).await
            }
            Step::Found { leader, members } => {
                let cluster = self.view.cluster.clone().ok_or(ActError::NoLeader)?;
                let form = Form { cluster, members: members.clone() };
                self.call::<_, ()>(leader, FORM, &form, FOUNDING).await?;
                self.note(json!({ "bootstrapped": true })).await
            }
            Step::NoteBegun => self.note(json!({ "bootstrapped": true })).await,
            Step::Begin { ordinals } => {
                self.begin(&names, ordinals).await?;
                self.note(json!({ "bootstrapped": true })).await
            }
            Step::Add { ordinal } => {
                let leader = self.view.leader().ok_or(ActError::NoLeader)?;
                let cluster = leader.cluster.clone().ok_or(ActError::NoLeader)?;
                let join = Join { cluster, epoch: leader.epoch };
                // It is empty: whoever left with this volume, or was to leave, is not on it.
                if self.view.claim(*ordinal).is_some_and(|claim| claim.left.is_some()) {
                    let note = json!({ "metadata": { "annotations": { LEFT: null } } });
                    self.patch_claim(&names.claim(*ordinal), note).await?;
                }
                let joined: Joined = self.call(&names.node(*ordinal), JOIN, &join, PATIENCE).await?;
                self.change(&Change::Add { id: joined.id, name: joined.name }).await
            }
            Step::Promote { id, replace, .. } => self.change(&Change::Promote { id: *id, replace: *replace }).await,
            Step::Remove { id, name } => {
                // Said of its volume first: a node that is refused for ever may never answer again.
                if let Some(ordinal) =
                    self.view.ordinal_of(name).filter(|ordinal| self.view.may_be_on_volume(*ordinal, *id))
                {
                    let note = json!({ "metadata": { "annotations": { LEFT: id.to_string() } } });
                    self.patch_claim(&names.claim(ordinal), note).await?;
                }
                self.change(&Change::Remove { id: *id }).await
            }
            Step::Transfer { ordinal } => {
                let leader = self.view.leader().ok_or(ActError::NoLeader)?;
                // To one that stays: who is next is well, or the guards would have refused.
                let stays =
                    leader.members.iter().filter(|member| member.voter && member.id != leader.id).find(|member| {
                        let at = self.view.ordinal_of(&member.name);
                        at.is_some_and(|at| at < self.view.wanted && at != *ordinal)
                            && self.view.is_well(member).is_ok()
                    });
                let to: Option<u64> = stays.map(|member| member.id);
                let _: Option<u64> = self.call(&leader.name, TRANSFER, &to, PATIENCE).await?;
                Ok(())
            }
            Step::Raise { level } => {
                let leader = self.view.leader().ok_or(ActError::NoLeader)?;
                let _: u32 = self.call(&leader.name, RAISE, &Some(*level), PATIENCE).await?;
                Ok(())
            }
            Step::Restart { ordinal, uid, .. } => self.evict(&names, &names.pod(*ordinal), uid).await,
            Step::DeleteClaim { ordinal, uid, pod } => {
                self.delete_claim(&names, *ordinal, &exactly(uid), pod.as_deref()).await
            }
            Step::RemakeClaim { ordinal, uid, version, pod, .. } => {
                // As it was seen: by now it may have a volume.
                let mut params = exactly(uid);
                if let Some(preconditions) = &mut params.preconditions {
                    preconditions.resource_version = Some(version.clone());
                }
                self.delete_claim(&names, *ordinal, &params, pod.as_deref()).await
            }
            Step::Expand { ordinal } => {
                let size = &self.registry.spec.volume().size;
                let patch = json!({ "spec": { "resources": { "requests": { "storage": size } } } });
                self.patch_claim(&names.claim_of(self.registry, *ordinal), patch).await
            }
            Step::RecreateSet => {
                let sets = Api::<StatefulSet>::namespaced(self.client.clone(), &names.namespace);
                let name = names.set_of(self.registry);
                found(&format!("recreate the StatefulSet {name}"), sets.delete(&name, &DeleteParams::orphan()).await)
            }
        }
    }

    async fn begin(&self, names: &Names, ordinals: &[u32]) -> Result<(), ActError> {
        let cluster = self.view.cluster.clone().ok_or(ActError::NoLeader)?;
        let mut members = Vec::new();
        for ordinal in ordinals {
            let join = Join { cluster: cluster.clone(), epoch: None };
            let joined: Joined = self.call(&names.node(*ordinal), JOIN, &join, PATIENCE).await?;
            members.push((joined.id, joined.name));
        }
        let form = Form { cluster, members };
        // Any of them begins it; one that says another leads is right.
        let mut last = None;
        for ordinal in ordinals {
            match self.call::<_, ()>(&names.node(*ordinal), FORM, &form, FOUNDING).await {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(ActError::NoLeader))
    }

    /// Deletes a claim, and with it the pod that holds it.
    async fn delete_claim(
        &self,
        names: &Names,
        ordinal: u32,
        params: &DeleteParams,
        pod: Option<&str>,
    ) -> Result<(), ActError> {
        let claims = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), &names.namespace);
        let claim = names.claim_of(self.registry, ordinal);
        found(&format!("delete the claim {claim}"), claims.delete(&claim, params).await)?;
        let Some(uid) = pod else { return Ok(()) };
        let pods = Api::<Pod>::namespaced(self.client.clone(), &names.namespace);
        let pod = format!("{}-{ordinal}", names.set_of(self.registry));
        found(&format!("delete the pod {pod}"), pods.delete(&pod, &exactly(uid)).await)
    }

    async fn patch_claim(&self, claim: &str, patch: serde_json::Value) -> Result<(), ActError> {
        let namespace = self.registry.namespace().unwrap_or_default();
        let claims = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), &namespace);
        let patched = claims.patch(claim, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(|_| ()).map_err(|source| ActError::Api { what: format!("change the claim {claim}"), source })
    }

    async fn change(&self, change: &Change) -> Result<(), ActError> {
        let leader = self.view.leader().ok_or(ActError::NoLeader)?;
        self.call::<_, ()>(&leader.name, CHANGE, change, PATIENCE).await
    }

    async fn call<Q: serde::Serialize, A: serde::de::DeserializeOwned>(
        &self,
        node: &str,
        path: &str,
        message: &Q,
        patience: Duration,
    ) -> Result<A, ActError> {
        let dialer =
            self.dialer.ok_or_else(|| ActError::NotNow("there is no certificate to call nodes with yet".into()))?;
        Ok(Peer::limited(node, Arc::clone(dialer), ANSWER).call(path, message, patience).await?)
    }

    /// By eviction, so that the budgets of disruption are kept, and exactly the pod that was seen.
    async fn evict(&self, names: &Names, pod: &str, uid: &str) -> Result<(), ActError> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), &names.namespace);
        let params = EvictParams { delete_options: Some(exactly(uid)), ..EvictParams::default() };
        match pods.evict(pod, &params).await {
            Err(kube::Error::Api(status)) if status.code == 429 => {
                Err(ActError::NotNow(format!("the pod {pod} may not be disrupted now: {}", status.message)))
            }
            result => found(&format!("evict the pod {pod}"), result),
        }
    }

    /// Writes a fact about the index into the status, on condition that nobody wrote since it was read.
    async fn note(&self, fact: serde_json::Value) -> Result<(), ActError> {
        let namespace = self.registry.namespace().unwrap_or_default();
        let api = Api::<Registry>::namespaced(self.client.clone(), &namespace);
        let patch = json!({
            "metadata": { "resourceVersion": self.registry.metadata.resource_version },
            "status": { "index": fact },
        });
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let patched = api.patch_status(&self.registry.name_any(), &params, &Patch::Merge(patch)).await;
        patched.map(|_| ()).map_err(|source| ActError::Api { what: "write the status".into(), source })
    }
}

/// Deletes the one that was looked at: another may have come in its place.
pub(crate) fn exactly(uid: &str) -> DeleteParams {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
}

/// That it is gone already, or another one by now, is as good.
fn found<T>(what: &str, result: Result<T, kube::Error>) -> Result<(), ActError> {
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(source) => Err(ActError::Api { what: what.into(), source }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use std::convert::Infallible;
    use std::io;
    use std::pin::Pin;
    use std::sync::Mutex;

    use http::{Request, Response};
    use http_body_util::Full;
    use hyper::body::{Bytes, Incoming};
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use kube::client::Body;
    use roadstead::index::peers::dial::Io;
    use roadstead::index::peers::wire::{Member, NodeStatus, encode};

    use super::*;
    use crate::plan;
    use crate::plan::tests::empty_node;

    /// An index node that answers everything with a text of so many bytes.
    #[derive(Debug)]
    struct Talks(usize);

    impl Dial for Talks {
        fn dial<'a, 'b, 'c>(
            &'a self,
            _address: &'b str,
        ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send + 'c>>
        where
            'a: 'c,
            'b: 'c,
        {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let answer = encode(&"x".repeat(self.0)).unwrap();
            tokio::spawn(async move {
                let service = service_fn(move |_: Request<Incoming>| {
                    let answer: Bytes = answer.clone();
                    async move { Ok::<_, Infallible>(Response::new(Full::new(answer))) }
                });
                let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = connection.serve_connection(TokioIo::new(theirs), service).await;
            });
            Box::pin(async move { Ok(Box::new(ours) as Box<dyn Io>) })
        }
    }

    /// A node that leads alone.
    fn leads(names: &Names) -> NodeStatus {
        NodeStatus {
            cluster: Some("01ours".into()),
            epoch: Some(1),
            leader: Some(1),
            term: 1,
            end: 1,
            applied: 1,
            members: vec![Member { id: 1, name: names.node(0), voter: true }],
            ..empty_node(1, 0)
        }
    }

    #[tokio::test]
    async fn an_empty_node_that_joins_is_not_taken_for_who_left_with_its_volume() {
        let registry: Registry = serde_json::from_value(json!({
            "apiVersion": "roadstead.dev/v1alpha1", "kind": "Registry",
            "metadata": { "name": "r", "namespace": "ns", "uid": "u" },
            "spec": { "hostname": "r.example.com", "storage": { "s3": { "bucket": "b" } } },
        }))
        .unwrap();
        let names = Names::of(&registry);
        for (left, patched) in [
            (Some(7), vec!["data-r-index-1 {\"metadata\":{\"annotations\":{\"roadstead.dev/member-left\":null}}}"]),
            (None, vec![]),
        ] {
            let (calls, noted) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
            let into = Arc::clone(&noted);
            let service = tower::service_fn(move |request: Request<Body>| {
                let into = Arc::clone(&into);
                async move {
                    let name = request.uri().path().rsplit('/').next().unwrap().to_owned();
                    let body = request.into_body().collect_bytes().await.unwrap();
                    into.lock().unwrap().push(format!("{name} {}", String::from_utf8_lossy(&body)));
                    Ok::<_, Infallible>(Response::new(Body::from(b"{\"metadata\":{\"name\":\"x\"}}".to_vec())))
                }
            });
            let client = Client::new(service, "ns");
            let pod = plan::Pod { said: plan::Said::Status(Box::new(leads(&names))), ..plan::Pod::default() };
            let claim = plan::Claim { ordinal: 1, left, ..plan::Claim::default() };
            let view = View {
                cluster: Some("01ours".into()),
                pods: vec![pod],
                claims: vec![claim],
                addresses: names.all_nodes(),
                ..View::default()
            };
            let dialer: Arc<dyn Dial> = Arc::new(Silent(Arc::clone(&calls)));
            let actor = Actor { client: &client, registry: &registry, dialer: Some(&dialer), view: &view };
            assert!(matches!(actor.act(&Step::Add { ordinal: 1 }).await, Err(ActError::Call(_))));
            assert_eq!(*noted.lock().unwrap(), patched, "{left:?}");
            assert_eq!(*calls.lock().unwrap(), [names.node(1)], "and then it is asked to join");
        }
    }

    /// Nobody answers; notes who was called.
    #[derive(Debug)]
    struct Silent(Arc<Mutex<Vec<String>>>);

    impl Dial for Silent {
        fn dial<'a, 'b, 'c>(
            &'a self,
            address: &'b str,
        ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send + 'c>>
        where
            'a: 'c,
            'b: 'c,
        {
            self.0.lock().unwrap().push(address.to_owned());
            Box::pin(std::future::ready(Err(io::ErrorKind::ConnectionRefused.into())))
        }
    }

    #[tokio::test]
    async fn of_a_node_that_talks_without_end_no_more_is_read_than_one_of_ours_says() {
        for (length, is_read) in [(100, true), (200 << 10, true), (2 << 20, false), (300 << 20, false)] {
            let dialer: Arc<dyn Dial> = Arc::new(Talks(length));
            let said = Peer::limited("node", dialer, ANSWER).call::<(), String>("/", &(), Duration::from_mins(1)).await;
            match said {
                Ok(text) => assert!(is_read && text.len() == length, "{length}"),
                Err(error) => assert!(!is_read && error.to_string().contains("length limit"), "{length}: {error}"),
            }
        }
    }
}
