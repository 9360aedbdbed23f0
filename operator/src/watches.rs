//! What goes wrong between the operator and the API server before any object is looked at: said, and counted, so that an
//! operator that sees nothing is not taken for one with nothing to do.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::Client;
use kube::runtime::{controller, watcher};
use prometheus::IntCounter;

use crate::controller::chain;
use crate::crd::{API_VERSION, all};
use crate::metrics::Metrics;

/// The same is said again after this time.
const QUIET: Duration = Duration::from_mins(5);
/// How often it is asked whether our kinds are there, while they are not.
const AGAIN: Duration = Duration::from_secs(10);

/// The errors of a controller.
#[derive(Debug)]
pub struct Watches {
    what: &'static str,
    errors: IntCounter,
    said: Mutex<BTreeMap<String, Instant>>,
}

impl Watches {
    pub fn new(what: &'static str, metrics: &Metrics) -> Self {
        Self { what, errors: metrics.watch_errors.with_label_values(&[what]), said: Mutex::default() }
    }

    /// Says and counts what came out of a controller, unless somebody else does or it is nothing.
    pub fn look<E: Error + 'static>(&self, error: Option<controller::Error<E, watcher::Error>>) {
        let error = match error {
            None | Some(controller::Error::ObjectNotFound(_) | controller::Error::ReconcilerFailed(..)) => return,
            Some(error) => chain(&error),
        };
        self.errors.inc();
        if self.is_news(&error, Instant::now()) {
            tracing::warn!(
                watch = self.what,
                error,
                "the API server does not let the operator see everything: without it, changes are seen late or never"
            );
        }
    }

    fn is_news(&self, error: &str, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|_, at| now.saturating_duration_since(*at) < QUIET);
        if said.contains_key(error) {
            return false;
        }
        said.insert(error.to_owned(), now);
        true
    }
}

/// Waits until the API server has our kinds, and says what to do as long as it has not.
pub async fn kinds(client: &Client) {
    let mut before = None;
    loop {
        let there = match client.list_api_group_resources(API_VERSION).await {
            Ok(list) => list.resources.into_iter().map(|resource| resource.kind).collect(),
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(error) => {
                // Whoever may not ask may still watch.
                tracing::warn!(error = chain(&error), "could not ask whether the kinds of Roadstead are there");
                return;
            }
        };
        let Some(missing) = missing(&there) else { return };
        if before.as_ref() != Some(&missing) {
            tracing::error!("{missing}");
        }
        before = Some(missing);
        tokio::time::sleep(AGAIN).await;
    }
}

/// What to do when the API server knows only some kinds of the version that this operator speaks.
fn missing(there: &[String]) -> Option<String> {
    let ours = all();
    let missing = ours.iter().filter(|crd| !there.contains(&crd.spec.names.kind));
    let missing: Vec<&str> = missing.filter_map(|crd| crd.metadata.name.as_deref()).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "the API server does not serve {API_VERSION} of {}: install the chart with crds.enabled, or apply crds/ of version {}, and \
             nothing is run until then",
            missing.join(" and "),
            env!("CARGO_PKG_VERSION"),
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use kube::core::Status;
    use kube::runtime::reflector::ObjectRef;

    use super::*;
    use crate::controller::PassError;
    use crate::crd::Registry;

    type Failed = controller::Error<PassError, watcher::Error>;

    #[test]
    fn what_the_api_server_refuses_is_counted_and_what_is_gone_is_not() {
        let metrics = Metrics::new().unwrap();
        let watches = Watches::new("registries", &metrics);
        let forbidden = || watcher::Error::WatchError(Box::new(Status::failure("no", "Forbidden").with_code(403)));
        let gone = ObjectRef::<Registry>::new("r").within("ns").erase();
        watches.look::<PassError>(None);
        watches.look(Some(Failed::ObjectNotFound(Box::new(gone.clone()))));
        watches.look(Some(Failed::ReconcilerFailed(PassError::Slow, Box::new(gone))));
        assert_eq!(watches.errors.get(), 0);
        watches.look(Some(Failed::QueueError(forbidden())));
        watches.look(Some(Failed::QueueError(forbidden())));
        assert_eq!(metrics.watch_errors.with_label_values(&["registries"]).get(), 2);
    }

    #[test]
    fn the_same_error_is_said_once_in_a_while() {
        let (watches, now) = (Watches::new("registries", &Metrics::new().unwrap()), Instant::now());
        let said: Vec<bool> = [("a", 0), ("a", 10), ("b", 11), ("a", 299), ("a", 301), ("a", 302)]
            .map(|(error, seconds)| watches.is_news(error, now + Duration::from_secs(seconds)))
            .to_vec();
        assert_eq!(said, [true, false, true, false, true, false]);
    }

    #[test]
    fn kinds_that_are_missing_are_named_with_what_to_do() {
        let there = |kinds: &[&str]| missing(&kinds.iter().map(ToString::to_string).collect::<Vec<_>>());
        let access = ["RegistryUser", "RegistryRobot", "RegistryPolicy"];
        assert_eq!(there(&[&["Registry", "RegistryBackup", "Other"], &access[..]].concat()), None);
        let one = there(&[&["Registry"], &access[..]].concat()).unwrap();
        assert!(one.contains("registrybackups.roadstead.dev") && !one.contains("registries."), "{one}");
        assert!(one.contains("crds.enabled") && one.contains("v1alpha1"), "{one}");
        let none = there(&[]).unwrap();
        assert!(
            none.contains("registries.roadstead.dev and registrybackups.roadstead.dev and registryusers.roadstead.dev"),
            "{none}"
        );
    }
}
