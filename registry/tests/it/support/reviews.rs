//! The API of a Kubernetes cluster, as far as it says whose a token is and what RBAC lets him do.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use roadstead::config::{Config, Kubernetes};
use serde_json::{Value, json};

/// What its own programs show to it.
const OWN: &str = "the token of the process";
pub const AUDIENCE: &str = "registry.example.com";

#[derive(Default)]
struct State {
    /// Who has a token.
    holders: BTreeMap<String, String>,
    /// Who may do which verb to which repository; of none, to all.
    bound: BTreeSet<(String, String, Option<String>)>,
    /// It answers with this instead.
    fails: Option<StatusCode>,
    asked: Vec<Value>,
}

pub struct Reviews {
    url: String,
    directory: tempfile::TempDir,
    state: Arc<Mutex<State>>,
}

impl Reviews {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let directory = tempfile::tempdir().unwrap();
        let authority = rcgen::generate_simple_self_signed(["kubernetes".to_owned()]).unwrap();
        std::fs::write(directory.path().join("ca.crt"), authority.cert.pem()).unwrap();
        std::fs::write(directory.path().join("token"), format!("{OWN}\n")).unwrap();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                tokio::spawn(
                    hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(socket), service)
                        .into_owned(),
                );
            }
        });
        Self { url, directory, state }
    }

    /// Lets a registry ask it, also what RBAC grants if `rbac`.
    pub fn configure(&self, config: &mut Config, rbac: bool) {
        config.access.kubernetes = Kubernetes {
            audience: Some(AUDIENCE.into()),
            rbac_namespace: rbac.then(|| "images".into()),
            api: self.url.clone(),
            ca: self.directory.path().join("ca.crt"),
            token: self.directory.path().join("token"),
        };
    }

    pub fn knows(&self, token: &str, user: &str) {
        self.state.lock().unwrap().holders.insert(token.to_owned(), user.to_owned());
    }

    pub fn binds(&self, user: &str, verb: &str, repository: Option<&str>) {
        let bound = (user.to_owned(), verb.to_owned(), repository.map(str::to_owned));
        self.state.lock().unwrap().bound.insert(bound);
    }

    pub fn fails(&self, with: Option<StatusCode>) {
        self.state.lock().unwrap().fails = with;
    }

    /// What was asked so far, of this kind.
    pub fn asked(&self, kind: &str) -> Vec<Value> {
        self.state.lock().unwrap().asked.iter().filter(|asked| asked["kind"] == kind).cloned().collect()
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
    let mut state = state.lock().unwrap();
    state.asked.push(body.clone());
    let is_own = parts.headers.get("authorization").is_some_and(|value| *value == format!("Bearer {OWN}").as_str());
    let (status, answer) = match (state.fails, parts.uri.path()) {
        (Some(status), _) => (status, json!({})),
        (None, _) if !is_own => (StatusCode::UNAUTHORIZED, json!({})),
        (None, "/apis/authentication.k8s.io/v1/tokenreviews") => (StatusCode::CREATED, token_review(&state, &body)),
        (None, "/apis/authorization.k8s.io/v1/subjectaccessreviews") => {
            (StatusCode::CREATED, access_review(&state, &body))
        }
        (None, _) => (StatusCode::NOT_FOUND, json!({})),
    };
    Ok(Response::builder().status(status).body(Full::new(Bytes::from(answer.to_string()))).unwrap())
}

fn token_review(state: &State, body: &Value) -> Value {
    let user = state.holders.get(body["spec"]["token"].as_str().unwrap());
    let status = match user {
        Some(user) => json!({
            "authenticated": true, "audiences": body["spec"]["audiences"],
            "user": { "username": user, "uid": "1", "groups": ["system:serviceaccounts", "system:authenticated"] },
        }),
        None => json!({ "authenticated": false, "error": "token has been invalidated" }),
    };
    json!({ "kind": "TokenReview", "status": status })
}

fn access_review(state: &State, body: &Value) -> Value {
    let (spec, attributes) = (&body["spec"], &body["spec"]["resourceAttributes"]);
    let is_ours = attributes["group"] == "roadstead.dev"
        && attributes["resource"] == "repositories"
        && attributes["namespace"] == "images";
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let bound = |name| (text(&spec["user"]).unwrap(), text(&attributes["verb"]).unwrap(), name);
    let is_bound = state.bound.contains(&bound(None)) || state.bound.contains(&bound(text(&attributes["name"])));
    json!({ "kind": "SubjectAccessReview", "status": { "allowed": is_ours && is_bound } })
}
