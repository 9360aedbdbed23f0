//! An API server and a registry that are maps, and what was written into each.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::client::Body;
use kube::runtime::events::Reporter;
use roadstead::api::calls::{ApiCall, ApiReply};
use roadstead::index::peers::connection::CallError;
use serde_json::{Value, json};

use crate::access::call::Door;
use crate::access::door::{Closed, Doors};
use crate::access::pull_secret::token_in;
use crate::access::work::Work;
use crate::access::{Access, Kept, Trouble};
use crate::apply::Applier;
use crate::build::Surroundings;
use crate::controller::Operator;
use crate::events::Events;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::optional::Optional;
use crate::shares::Shares;
use crate::turns::Turns;

/// What there is. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct World(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Objects by the end of their paths: `images/secrets/alice`.
    objects: BTreeMap<String, Value>,
    /// What is in the registry, by its path.
    registry: BTreeMap<String, Value>,
    refusal: Option<(String, u16, String)>,
    /// Where the operator may do nothing: how such paths begin.
    forbidden: Option<String>,
    writes: Vec<String>,
    tokens: u32,
    version: u32,
}

/// Objects without a namespace in their names here are in this one.
fn whole(path: &str) -> String {
    if path.matches('/').count() == 1 && !path.starts_with("namespaces/") {
        format!("images/{path}")
    } else {
        path.into()
    }
}

fn merge(target: &mut Value, change: &Value) {
    let Value::Object(fields) = change else {
        *target = change.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

impl World {
    pub fn object(&self, plural: &str, kind: &str, name: &str, spec: &Value) {
        let metadata = json!({ "name": name, "namespace": "images", "uid": format!("{name}-uid"), "generation": 1 });
        let object =
            json!({ "apiVersion": "roadstead.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec });
        self.0.lock().unwrap().objects.insert(format!("images/{plural}/{name}"), object);
    }

    pub fn secret(&self, namespace: &str, name: &str, version: &str, password: &str) {
        let metadata = json!({ "name": name, "namespace": namespace, "uid": "s", "resourceVersion": version });
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": { "password": password } });
        self.0.lock().unwrap().objects.insert(format!("{namespace}/secrets/{name}"), secret);
    }

    pub fn namespace(&self, name: &str, from: &str) {
        let metadata = json!({ "name": name, "labels": { "roadstead.dev/pull-secrets-from": from } });
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata });
        self.0.lock().unwrap().objects.insert(format!("namespaces/{name}"), namespace);
    }

    pub fn get(&self, path: &str) -> Value {
        self.0.lock().unwrap().objects.get(&whole(path)).cloned().unwrap_or_default()
    }

    pub fn change(&self, path: &str, change: &Value) {
        merge(self.0.lock().unwrap().objects.get_mut(&whole(path)).unwrap(), change);
    }

    pub fn delete(&self, path: &str) {
        self.0.lock().unwrap().objects.remove(path);
    }

    pub fn in_registry(&self, path: &str) -> Value {
        self.0.lock().unwrap().registry.get(path).cloned().unwrap_or_default()
    }

    pub fn make_in_registry(&self, path: &str, change: &Value) {
        let name = path.rsplit('/').next().unwrap();
        let mut value = json!({
            "name": name, "kind": "user", "description": "", "created": "2026-11-28T12:00:00Z", "disabled": false,
            "administrator": false, "groups": [], "grants": [], "hasPassword": true, "account": "nodes",
        });
        merge(&mut value, change);
        self.0.lock().unwrap().registry.insert(path.into(), value);
    }

    pub fn change_in_registry(&self, path: &str, change: &Value) {
        merge(self.0.lock().unwrap().registry.get_mut(path).unwrap(), change);
    }

    /// Answers this call so.
    pub fn refuse(&self, call: &str, status: u16, message: &str) {
        self.0.lock().unwrap().refusal = Some((call.into(), status, message.into()));
    }

    pub fn forbid(&self, path: &str) {
        self.0.lock().unwrap().forbidden = Some(path.into());
    }

    /// What was written since this was asked last; a status is none of it.
    pub fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().writes)
    }

    /// The token in the pull secret of a namespace.
    pub fn token(&self, namespace: &str) -> Option<String> {
        let secret = self.get(&format!("{namespace}/secrets/pull"));
        token_in(&serde_json::from_value::<Secret>(secret).ok()?)
    }

    pub fn is_good(&self, token: &str) -> bool {
        self.0.lock().unwrap().registry.values().any(|value| value["token"] == token)
    }

    /// How many tokens there are.
    pub fn tokens(&self) -> usize {
        self.0.lock().unwrap().registry.keys().filter(|path| path.contains("/tokens/")).count()
    }

    pub async fn look<K: Access>(&self, path: &str) -> Result<Kept, Trouble> {
        self.look_at::<K>(path, Ok(self.door())).await
    }

    pub async fn look_at<K: Access>(&self, path: &str, door: Result<Door, Closed>) -> Result<Kept, Trouble> {
        let (object, operator) = self.begin::<K>(path);
        let mut work = Work::new(&object, &operator);
        let looked = work.look(door).await;
        work.write().await.unwrap();
        looked
    }

    /// The object is deleted; `has_registry`: its registry is there.
    pub async fn end<K: Access>(&self, path: &str, has_registry: bool) -> Result<(), Trouble> {
        let gone = Closed::Gone(Trouble::new("RegistryMissing", "it is gone"));
        self.end_at::<K>(path, if has_registry { Ok(self.door()) } else { Err(gone) }).await
    }

    pub async fn end_at<K: Access>(&self, path: &str, door: Result<Door, Closed>) -> Result<(), Trouble> {
        let (object, operator) = self.begin::<K>(path);
        Work::new(&object, &operator).end(door).await
    }

    fn begin<K: Access>(&self, path: &str) -> (K, Operator) {
        (serde_json::from_value(self.get(path)).unwrap(), self.operator())
    }

    fn operator(&self) -> Operator {
        let world = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let world = world.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let (code, answer) = world.0.lock().unwrap().api(&parts.method, parts.uri.path(), &body);
                let answer = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
                Ok::<_, Infallible>(answer.unwrap())
            }
        });
        let client = Client::new(service, "images");
        let reporter = Reporter { controller: "roadstead-operator".into(), instance: None };
        Operator {
            applier: Arc::new(Applier::new(client.clone())),
            events: Arc::new(Events::new(client.clone(), reporter)),
            metrics: Metrics::new().unwrap(),
            memory: Memory::default(),
            turns: Arc::new(Turns::new(Instant::now())),
            doors: Doors::default(),
            optional: Optional::default(),
            around: Surroundings {
                image: String::new(),
                namespace: String::new(),
                nodes: None,
                hostnames: Vec::new(),
                certs_directories: Vec::new(),
                is_ipv6: false,
            },
            client,
            shares: Shares::default(),
        }
    }

    fn door(&self) -> Door {
        let world = self.clone();
        let way = move |call: ApiCall| -> BoxFuture<'static, Result<ApiReply, CallError>> {
            let (status, body) = world.0.lock().unwrap().registry(&call);
            let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
            Box::pin(async move { Ok(ApiReply { status, body: body.into() }) })
        };
        Door::new(Arc::new(way), "registry.example.com")
    }
}

impl State {
    /// The API server.
    fn api(&mut self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        if path.contains("/events") {
            self.writes.push(format!("event {}", body["reason"].as_str().unwrap_or_default()));
            return (201, body.clone());
        }
        let path = path.split("/namespaces").nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        let path = if path.contains('/') { path } else { format!("namespaces/{path}") };
        let (path, is_status) =
            path.strip_suffix("/status").map_or((path.clone(), false), |path| (path.to_owned(), true));
        self.version += 1;
        let missing =
            json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404 });
        if self.forbidden.as_ref().is_some_and(|forbidden| path.starts_with(forbidden)) {
            let status =
                json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "code": 403 });
            return (403, status);
        }
        match *method {
            Method::GET => self.objects.get(&path).map_or((404, missing), |object| (200, object.clone())),
            Method::POST => {
                let name = body["metadata"]["name"].as_str().unwrap();
                let path = format!("{path}/{name}");
                self.writes.push(format!("POST {path}"));
                let mut object = body.clone();
                object["metadata"]["uid"] = json!(format!("uid-{}", self.version));
                object["metadata"]["resourceVersion"] = json!(self.version.to_string());
                self.objects.insert(path, object.clone());
                (201, object)
            }
            Method::DELETE => {
                self.writes.push(format!("DELETE {path}"));
                self.objects.remove(&path).map_or((404, missing), |object| (200, object))
            }
            _ => {
                let Some(object) = self.objects.get_mut(&path) else { return (404, missing) };
                if is_status {
                    object["status"] = body["status"].clone();
                    self.writes.push(format!("status {path}"));
                } else {
                    merge(object, body);
                    self.writes.push(format!("PATCH {path}"));
                }
                (200, object.clone())
            }
        }
    }

    /// The registry.
    fn registry(&mut self, call: &ApiCall) -> (u16, Value) {
        let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        let (method, path) = (call.method.as_str(), call.path.as_str());
        let error = |message: &str| json!({ "errors": [{ "message": message }] });
        if let Some((_, status, message)) = self.refusal.as_ref().filter(|(of, ..)| *of == format!("{method} {path}")) {
            return (*status, error(message));
        }
        if method != "GET" {
            self.writes.push(format!("registry {method} {path}"));
        }
        let found = self.registry.get(path).cloned();
        match (method, path.split('/').collect::<Vec<_>>().as_slice()) {
            ("GET", ["robots", _, "tokens"]) => {
                let of = format!("{path}/");
                let tokens = self.registry.iter().filter(|(path, _)| path.starts_with(&of)).map(|(_, token)| token);
                (200, json!({ "tokens": tokens.collect::<Vec<_>>() }))
            }
            ("POST", ["robots", name, "tokens"]) => {
                self.tokens += 1;
                let id = format!("t{}", self.tokens);
                let token = json!({
                    "id": id, "account": name, "token": format!("rst_{id}"), "description": body["description"],
                    "created": "2026-11-28T12:00:00Z",
                });
                self.registry.insert(format!("{path}/{id}"), token.clone());
                (201, token)
            }
            ("GET", _) => found.map_or((404, error("there is none")), |found| (200, found)),
            ("DELETE", _) => {
                self.registry.retain(|known, _| known != path && !known.starts_with(&format!("{path}/")));
                found.map_or((404, error("there is none")), |_| (204, Value::Null))
            }
            ("POST", [kind]) => {
                let mut account = json!({
                    "kind": kind.trim_end_matches('s'), "description": "", "created": "2026-11-28T12:00:00Z", "disabled": false,
                    "administrator": false, "groups": [], "grants": [], "hasPassword": *kind == "users",
                });
                merge(&mut account, &body);
                self.registry.insert(format!("{path}/{}", body["name"].as_str().unwrap()), account.clone());
                (201, account)
            }
            ("PUT", ["users", name, "password"]) => {
                merge(self.registry.get_mut(&format!("users/{name}")).unwrap(), &body);
                (204, Value::Null)
            }
            ("PUT", ["policies", name]) => {
                let mut policy = body;
                policy["name"] = json!(name);
                self.registry.insert(path.into(), policy.clone());
                (200, policy)
            }
            ("PATCH", _) => {
                let account = self.registry.get_mut(path).unwrap();
                merge(account, &body);
                (200, account.clone())
            }
            _ => (405, error("no such call")),
        }
    }
}
