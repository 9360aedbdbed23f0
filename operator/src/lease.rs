//! Only one operator acts: the one that holds the lease. Whoever loses it ends at once, and begins again as a candidate.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::names::MANAGER;

/// How long a holder that says nothing keeps the lease; how often it says something; how long it tries.
/// An operator at rest should write next to nothing, so it is not often.
const LIFE: Duration = Duration::from_secs(45);
const RENEW: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_secs(2);
const LAST: Duration = Duration::from_secs(30);

/// The lease of the operators in one namespace.
#[derive(Clone, Debug)]
pub struct Holder {
    api: Api<Lease>,
    identity: String,
}

/// A lease as this process has seen it last. Its age is counted from when it was seen: clocks of others may be wrong.
#[derive(Debug)]
struct Seen {
    version: Option<String>,
    at: Instant,
}

impl Holder {
    pub fn new(client: Client, namespace: &str, identity: String) -> Self {
        Self { api: Api::namespaced(client, namespace), identity }
    }

    /// Waits until this process holds the lease.
    pub async fn acquire(&self) {
        let mut seen = Seen { version: None, at: Instant::now() };
        loop {
            match self.try_acquire(&mut seen).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "could not take the lease"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn try_acquire(&self, seen: &mut Seen) -> kube::Result<bool> {
        let Some(lease) = self.api.get_opt(MANAGER).await? else {
            let mut lease =
                Lease { metadata: ObjectMeta { name: Some(MANAGER.into()), ..ObjectMeta::default() }, spec: None };
            self.mark(&mut lease, true);
            return taken(self.api.create(&PostParams::default(), &lease).await);
        };
        if seen.version != lease.metadata.resource_version {
            *seen = Seen { version: lease.metadata.resource_version.clone(), at: Instant::now() };
        }
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
        if !holder.is_empty() && holder != self.identity && seen.at.elapsed() < LIFE {
            return Ok(false);
        }
        let mut lease = lease;
        self.mark(&mut lease, holder != self.identity);
        taken(self.api.replace(MANAGER, &PostParams::default(), &lease).await)
    }

    /// Keeps the lease, and returns when it is lost.
    pub async fn keep(&self) {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(if last.elapsed() < RENEW { RENEW } else { RETRY }).await;
            // A call that hangs must not make the lease look kept.
            match tokio::time::timeout(LAST.saturating_sub(last.elapsed()), self.renew()).await {
                Ok(Ok(true)) => last = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, "could not renew the lease"),
                Err(_) => tracing::warn!("the API server does not answer: the lease could not be renewed"),
            }
            if last.elapsed() > LAST {
                return;
            }
        }
    }

    async fn renew(&self) -> kube::Result<bool> {
        let mut lease = self.api.get(MANAGER).await?;
        if lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref()) != Some(&self.identity) {
            return Ok(false);
        }
        self.mark(&mut lease, false);
        taken(self.api.replace(MANAGER, &PostParams::default(), &lease).await)
    }

    /// Gives the lease back, so that the next one need not wait.
    pub async fn release(&self) {
        let given = async {
            let mut lease = self.api.get(MANAGER).await?;
            if let Some(spec) = &mut lease.spec
                && spec.holder_identity.as_ref() == Some(&self.identity)
            {
                spec.holder_identity = Some(String::new());
                self.api.replace(MANAGER, &PostParams::default(), &lease).await?;
            }
            Ok::<(), kube::Error>(())
        };
        if let Err(error) = given.await {
            tracing::debug!(%error, "could not give the lease back");
        }
    }

    fn mark(&self, lease: &mut Lease, is_new: bool) {
        let now = MicroTime(Timestamp::now());
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if is_new {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |count| count + 1));
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = Some(LIFE.as_secs() as i32);
        spec.renew_time = Some(now);
    }
}

/// A conflict says that another was faster.
fn taken(result: kube::Result<Lease>) -> kube::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
