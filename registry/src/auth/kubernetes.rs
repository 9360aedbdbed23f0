//! Asks the API of a Kubernetes cluster whose a token is (`TokenReview`), and whether its RBAC lets him do something to
//! `repositories.roadstead.dev` (`SubjectAccessReview`).
//!
//! What the cluster grants goes with the caller to the index as the grants of an account do: so a rule that denies still wins,
//! and the same function decides. Answers are remembered for half a minute at most; a token is sent to the cluster only if it
//! says itself that it is for this registry.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::caller::Caller;
use super::external::{claims_of, client, last_cause, text_of};
use super::issuer::{Known, groups_of, is_plain};
use super::pattern::Pattern;
use super::policy::{Grant, Verb, Verbs};
use super::turns::{Full, Turn, Turns};
use crate::config;
use crate::oci::name::RepositoryName;

/// How long an answer of the cluster holds here, and one that says no: somebody may wait for what was just granted.
const REMEMBERED: Duration = Duration::from_secs(30);
const REFUSED: Duration = Duration::from_secs(5);
const TOKENS: u64 = 20_000;
const DECISIONS: u64 = 100_000;
/// Questions to the cluster at once, and how many about one user may wait for their turn, and of all.
const ASKING: usize = 16;
const WAITING_OF_ONE: usize = 128;
const WAITING: usize = 1024;
/// The most bytes of the names of somebody's groups: a bearer token has them, and a header has room for that.
const GROUP_BYTES: usize = 8 << 10;
/// What subjects and groups of the cluster begin with here.
const KIND: &str = "kubernetes";
/// Where RBAC has repositories.
const GROUP: &str = "roadstead.dev";
const RESOURCE: &str = "repositories";

/// Why the cluster did not say. For the log.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    #[error(
        "could not read {path}: run in a Pod with its ServiceAccount's token mounted, or set access.kubernetes.ca and access.kubernetes.token"
    )]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("no client for {api} can be made of {ca}")]
    Client {
        api: String,
        ca: PathBuf,
        #[source]
        source: reqwest::Error,
    },
    #[error("the API of the cluster did not answer a {review}: {reason}")]
    Ask { review: &'static str, reason: String },
    #[error(
        "the API of the cluster refuses a {review}: bind the ClusterRole system:auth-delegator to the ServiceAccount of this process"
    )]
    Forbidden { review: &'static str },
    #[error("the API of the cluster answers {status} to a {review}")]
    Status { review: &'static str, status: u16 },
    #[error("too many questions wait for the API of the cluster")]
    Busy,
}

/// What RBAC is asked: the same for as long as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    user: String,
    groups: Vec<String>,
    verb: Verb,
    /// None: any.
    repository: Option<RepositoryName>,
}

/// A cluster that is asked.
#[allow(missing_debug_implementations, reason = "what it remembers is nobody's to read")]
pub struct Kubernetes {
    config: config::Kubernetes,
    audience: String,
    /// With the authority that it was made of, which may change.
    client: Mutex<Option<(Vec<u8>, reqwest::Client)>>,
    tokens: Cache<[u8; 32], (Instant, Option<Known>)>,
    decisions: Cache<Question, (Instant, bool)>,
    /// By the user whom a question is about; whose a token is, is asked by nobody yet.
    asking: Turns<Option<String>>,
}

impl Kubernetes {
    /// Of the configuration; none: no cluster is to be asked.
    pub fn new(config: &config::Kubernetes) -> Option<Self> {
        Some(Self {
            audience: config.audience.clone()?,
            config: config.clone(),
            client: Mutex::default(),
            tokens: Cache::builder().max_capacity(TOKENS).time_to_live(REMEMBERED).build(),
            decisions: Cache::builder().max_capacity(DECISIONS).time_to_live(REMEMBERED).build(),
            asking: Turns::new(ASKING, WAITING_OF_ONE, WAITING),
        })
    }

    /// Whether a token says that it is for this registry.
    pub fn is_meant(&self, token: &str) -> bool {
        match claims_of(token).as_ref().and_then(|claims| claims.get("aud")) {
            Some(Value::String(audience)) => *audience == self.audience,
            Some(Value::Array(audiences)) => audiences.iter().any(|audience| *audience == self.audience.as_str()),
            _ => false,
        }
    }

    /// What the cluster said of a token before: there is somebody who has it, or nobody.
    pub fn known(&self, token: &str) -> Option<Option<Known>> {
        let (asked, holder) = self.tokens.get(&place(token))?;
        (holder.is_some() || asked.elapsed() < REFUSED).then_some(holder)
    }

    /// Who has a token; none: nobody, as far as the cluster knows.
    pub async fn who(&self, token: &str) -> Result<Option<Known>, KubernetesError> {
        let _turn = self.turn(None).await?;
        if let Some(known) = self.known(token) {
            return Ok(known);
        }
        let spec = json!({ "token": token, "audiences": [self.audience] });
        let status = self.review("TokenReview", "authentication.k8s.io/v1", "tokenreviews", &spec).await?;
        let holder = holder(&status, &self.audience);
        if holder.is_none() {
            let reason = status.get("error").and_then(Value::as_str).unwrap_or("no reason given");
            tracing::info!(reason, "the cluster does not know who has a token");
        }
        self.tokens.insert(place(token), (Instant::now(), holder.clone()));
        Ok(holder)
    }

    /// Whether RBAC may grant something to a caller: he is one of the cluster's, and it is to be asked.
    pub fn grants_to(&self, caller: &Caller) -> bool {
        self.config.rbac_namespace.is_some() && user_of(caller).is_some()
    }

    /// What RBAC grants a caller of all that he may need; a repository of none stands for all.
    pub async fn grants(
        &self,
        caller: &Caller,
        wanted: &[(Option<RepositoryName>, Verbs)],
    ) -> Result<Vec<Grant>, KubernetesError> {
        let Some(user) = user_of(caller) else { return Ok(Vec::new()) };
        let groups: Vec<_> = caller.groups.iter().filter_map(|group| name_there(group)).map(str::to_owned).collect();
        let mut grants = Vec::new();
        for (repository, verbs) in wanted {
            let question =
                |verb| Question { user: user.to_owned(), groups: groups.clone(), verb, repository: repository.clone() };
            let answers = verbs.iter().map(|verb| async move { Ok((verb, self.may(question(verb)).await?)) });
            let answers: Vec<(Verb, bool)> = futures::future::try_join_all(answers).await?;
            let verbs = Verbs::of(answers.into_iter().filter(|(_, may)| *may).map(|(verb, _)| verb));
            if !verbs.is_empty() {
                let repositories = repository.as_ref().map_or_else(Pattern::any, Pattern::exactly);
                grants.push(Grant { repositories, verbs });
            }
        }
        Ok(grants)
    }

    async fn may(&self, question: Question) -> Result<bool, KubernetesError> {
        let known = || {
            let (asked, may) = self.decisions.get(&question)?;
            (may || asked.elapsed() < REFUSED).then_some(may)
        };
        if let Some(known) = known() {
            return Ok(known);
        }
        let _turn = self.turn(Some(question.user.clone())).await?;
        if let Some(known) = known() {
            return Ok(known);
        }
        let mut attributes = json!({
            "namespace": self.config.rbac_namespace, "verb": question.verb.as_str(), "group": GROUP, "resource": RESOURCE,
        });
        if let Some(repository) = &question.repository {
            attributes["name"] = json!(repository.as_str());
        }
        let spec = json!({ "user": question.user, "groups": question.groups, "resourceAttributes": attributes });
        let status =
            self.review("SubjectAccessReview", "authorization.k8s.io/v1", "subjectaccessreviews", &spec).await?;
        let says = |what: &str| status.get(what).and_then(Value::as_bool).unwrap_or(false);
        let may = says("allowed") && !says("denied");
        self.decisions.insert(question, (Instant::now(), may));
        Ok(may)
    }

    /// A turn to ask: many requests of one node ask the same, and all but the first then know the answer.
    async fn turn(&self, user: Option<String>) -> Result<Turn<'_, Option<String>>, KubernetesError> {
        self.asking.take(user).await.map_err(|Full| KubernetesError::Busy)
    }

    /// Creates a review, and returns its status.
    async fn review(
        &self,
        kind: &'static str,
        version: &str,
        path: &str,
        spec: &Value,
    ) -> Result<Value, KubernetesError> {
        let review = kind;
        let own = read(&self.config.token).await?;
        let own = String::from_utf8_lossy(&own).trim().to_owned();
        let client = self.client().await?;
        let address = format!("{}/apis/{version}/{path}", self.config.api.trim_end_matches('/'));
        let body = json!({ "apiVersion": version, "kind": kind, "spec": spec });
        let sent = client.post(&address).bearer_auth(own).json(&body).send().await;
        let answer = sent.map_err(|error| KubernetesError::Ask { review, reason: last_cause(&error) })?;
        match answer.status().as_u16() {
            200 | 201 => {}
            401 | 403 => return Err(KubernetesError::Forbidden { review }),
            status => return Err(KubernetesError::Status { review, status }),
        }
        let text = text_of(answer, &address).await.map_err(|reason| KubernetesError::Ask { review, reason })?;
        let mut whole: Value =
            serde_json::from_str(&text).map_err(|error| KubernetesError::Ask { review, reason: error.to_string() })?;
        Ok(whole["status"].take())
    }

    async fn client(&self) -> Result<reqwest::Client, KubernetesError> {
        let ca = read(&self.config.ca).await?;
        let mut known = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = known.as_ref().filter(|(before, _)| *before == ca) {
            return Ok(client.clone());
        }
        let made = client(Some(&String::from_utf8_lossy(&ca))).map_err(|source| KubernetesError::Client {
            api: self.config.api.clone(),
            ca: self.config.ca.clone(),
            source,
        })?;
        *known = Some((ca, made.clone()));
        Ok(made)
    }
}

/// Who a review says it is. One that is not for our audience says nothing to us.
fn holder(status: &Value, audience: &str) -> Option<Known> {
    let is_known = status.get("authenticated") == Some(&Value::Bool(true));
    let is_ours =
        status.get("audiences").and_then(Value::as_array).is_some_and(|all| all.iter().any(|it| it == audience));
    let user = status.get("user").filter(|_| is_known && is_ours)?;
    let name = user.get("username").and_then(Value::as_str).filter(|name| is_plain(name))?;
    let groups = user.get("groups").and_then(Value::as_array).into_iter().flatten();
    let groups = groups_of(KIND, groups.filter_map(Value::as_str));
    let groups = groups.filter(|groups| groups.iter().map(String::len).sum::<usize>() <= GROUP_BYTES);
    if groups.is_none() {
        tracing::warn!(
            name,
            "nobody is made known: the names of his groups are more than 8 KiB, or one has over 255 bytes or control characters"
        );
    }
    Some(Known { subject: format!("{KIND}:{name}"), name: None, groups: groups?, account: None })
}

/// What the cluster calls a caller.
fn user_of(caller: &Caller) -> Option<&str> {
    name_there(caller.subject.as_deref()?)
}

fn name_there(name_here: &str) -> Option<&str> {
    name_here.strip_prefix(KIND)?.strip_prefix(':')
}

fn place(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

async fn read(path: &Path) -> Result<Vec<u8>, KubernetesError> {
    tokio::fs::read(path).await.map_err(|source| KubernetesError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn review(change: &Value) -> Value {
        let mut status = json!({
            "authenticated": true, "audiences": ["registry"],
            "user": { "username": "system:serviceaccount:apps:puller", "groups": ["system:serviceaccounts:apps"] },
        });
        status.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        status
    }

    #[test]
    fn a_review_makes_known_whom_it_says_if_it_is_for_us() {
        let known = holder(&review(&json!({})), "registry").unwrap();
        assert_eq!(known.subject, "kubernetes:system:serviceaccount:apps:puller");
        assert_eq!(known.groups, ["kubernetes:system:serviceaccounts:apps".to_owned()].into());
        let many: Vec<_> = (0..1000).map(|n| format!("group {n}")).collect();
        for (what, change) in [
            ("not authenticated", json!({ "authenticated": false })),
            ("not said", json!({ "authenticated": null })),
            ("for somebody else", json!({ "audiences": ["https://kubernetes.default.svc"] })),
            ("by one who knows no audiences", json!({ "audiences": null })),
            ("without a name", json!({ "user": {} })),
            ("with more groups than a token has room for", json!({ "user": { "username": "a", "groups": many } })),
            ("with a group that cannot be told", json!({ "user": { "username": "a", "groups": ["b", "a\nb"] } })),
            ("with a name that breaks a line", json!({ "user": { "username": "a\nb" } })),
        ] {
            assert_eq!(holder(&review(&change), "registry"), None, "{what}");
        }
    }

    #[test]
    fn only_a_token_for_this_registry_is_shown_to_the_cluster() {
        use base64::Engine as _;
        let config = config::Kubernetes { audience: Some("registry".into()), ..config::Kubernetes::default() };
        let kubernetes = Kubernetes::new(&config).unwrap();
        let token = |claims: Value| {
            let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims.to_string());
            format!("eyJhbGciOiJSUzI1NiJ9.{payload}.c2ln")
        };
        assert!(kubernetes.is_meant(&token(json!({ "aud": "registry" }))));
        assert!(kubernetes.is_meant(&token(json!({ "aud": ["x", "registry"] }))));
        assert!(!kubernetes.is_meant(&token(json!({ "aud": ["x"] }))) && !kubernetes.is_meant(&token(json!({}))));
        assert!(!kubernetes.is_meant("eyJ") && !kubernetes.is_meant(""));
        assert!(Kubernetes::new(&config::Kubernetes::default()).is_none());
    }
}
