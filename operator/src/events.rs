//! Events, each with its own words: what is said once more is counted, and what is new is not taken for it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, Recorder, Reporter};

/// So long after it was said last, the same is another event: no less than a recorder counts for.
const KNOWN: Duration = Duration::from_mins(10);
/// The longest note that the API server takes, in bytes.
const NOTE: usize = 1024;

/// Publishes events. A recorder takes all of one reason about one object for the same, whatever they say: so each text has
/// its own.
#[allow(missing_debug_implementations, reason = "a client of the API server has none")]
pub struct Events {
    client: Client,
    reporter: Reporter,
    recorders: Mutex<HashMap<String, (Recorder, Instant)>>,
}

impl Events {
    pub fn new(client: Client, reporter: Reporter) -> Self {
        Self { client, reporter, recorders: Mutex::default() }
    }

    pub async fn publish(&self, mut event: Event, about: &ObjectReference) {
        event.note = event.note.map(|note| short(&note));
        let recorder = self.recorder(event.note.as_deref().unwrap_or_default(), Instant::now());
        if let Err(error) = recorder.publish(&event, about).await {
            tracing::debug!(%error, "could not publish an event");
        }
    }

    fn recorder(&self, note: &str, now: Instant) -> Recorder {
        let mut recorders = self.recorders.lock().unwrap_or_else(PoisonError::into_inner);
        recorders.retain(|_, (_, last)| now.saturating_duration_since(*last) < KNOWN);
        let fresh = || (Recorder::new(self.client.clone(), self.reporter.clone()), now);
        let (recorder, last) = recorders.entry(note.to_owned()).or_insert_with(fresh);
        *last = now;
        recorder.clone()
    }
}

fn short(note: &str) -> String {
    if note.len() <= NOTE { note.to_owned() } else { format!("{}…", &note[..note.floor_char_boundary(NOTE - 3)]) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use http::{Request, Response};
    use kube::client::Body;
    use kube::runtime::events::EventType;

    use super::*;

    /// What came to an API server that takes everything, and the events that speak there.
    fn events() -> (Events, Arc<Mutex<Vec<String>>>) {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&calls);
        let service = tower::service_fn(move |request: Request<Body>| {
            let noted = Arc::clone(&noted);
            async move {
                let method = request.method().clone();
                let body = request.into_body().collect_bytes().await.unwrap();
                let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
                noted.lock().unwrap().push(format!("{method} {}", event["note"].as_str().unwrap()));
                Ok::<_, Infallible>(Response::new(Body::from(body)))
            }
        });
        (Events::new(Client::new(service, "ns"), Reporter { controller: "r".into(), instance: None }), calls)
    }

    #[tokio::test]
    async fn what_says_something_else_is_another_event() {
        let (events, calls) = events();
        let about =
            ObjectReference { name: Some("r".into()), namespace: Some("ns".into()), ..ObjectReference::default() };
        for note in ["Service r", "ConfigMap r", "Service r"] {
            let (reason, action) = ("Created".into(), "Reconcile".into());
            let event = Event { type_: EventType::Normal, reason, note: Some(note.into()), action, secondary: None };
            events.publish(event, &about).await;
        }
        assert_eq!(*calls.lock().unwrap(), ["POST Service r", "POST ConfigMap r", "PATCH Service r"]);
    }

    #[test]
    fn a_note_is_no_longer_than_the_api_server_takes() {
        for (note, length) in [("é".repeat(100), 200), ("é".repeat(512), 1024), ("é".repeat(600), 1023)] {
            assert_eq!(short(&note).len(), length);
        }
    }
}
