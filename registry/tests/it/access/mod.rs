//! Who may do what: accounts, tokens and policies, seen from outside.

mod a_directory_takes_no_account_over;
mod accounts_are_administered;
mod every_process_knows;
mod issuers_are_believed;
mod known_attacks_on_access;
mod kubernetes_is_asked;
mod nothing_leaks;
mod passwords_and_tokens_hold_until_they_do_not;
mod proxies_are_believed_if_trusted;
mod rights_are_judged;
mod the_matrix_agrees;

use roadstead::api::body::{ChangeAccountFields, GrantBody, NewAccount};
use roadstead::auth::policy::Policy;
use roadstead::config::{Anonymous, Config};
use roadstead::index::access::{AccessChange, Kind, PutAccount};
use roadstead::index::command::Command;
use serde_json::{Value, json};

use crate::support::{Client, Registry};

pub const ROOT: &str = "the administrator's";
pub const BOB: &str = "the password of bob";
pub const CAROL: &str = "the password of carol";

/// A registry in which nobody may do anything but: root everything, bob of group dev what the policy says, carol nothing.
pub struct Team {
    pub registry: Registry,
    pub root: Client,
    pub bob: Client,
    pub carol: Client,
}

/// What dev may do: push to `team/**`, make tags in `kept/**` that then stay, read `read/**`, and all at home.
pub fn policy() -> Policy {
    serde_json::from_value(json!({ "rules": [
        { "subjects": ["group:dev"], "repositories": ["team/**"], "role": "push" },
        { "subjects": ["group:dev"], "repositories": ["kept/**"], "role": "create" },
        { "subjects": ["group:dev"], "repositories": ["read/**"], "role": "pull" },
        { "subjects": ["authenticated"], "repositories": ["home/{user}/**"], "role": "delete" },
        { "subjects": ["anonymous"], "repositories": ["public/**"], "role": "pull" },
        { "subjects": ["everyone"], "repositories": ["team/secret/**"], "deny": ["pull", "push", "overwrite", "delete"] },
    ]}))
    .unwrap()
}

impl Team {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same, with a configuration that `change` has changed.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let registry = Registry::with(|config| {
            config.access.anonymous = Some(Anonymous::Nothing);
            change(config);
        })
        .await;
        let change = |change: AccessChange| registry.index.submit(None, Command::Access(Box::new(change)));
        let user = |name: &str, password: &str, is_administrator, groups: &[&str]| {
            AccessChange::PutAccount(PutAccount {
                is_administrator: Some(is_administrator),
                groups: Some(groups.iter().map(|group| (*group).to_owned()).collect()),
                password: Some(roadstead::auth::secret::PasswordHash::new(password).unwrap()),
                ..PutAccount::of(name, Kind::User, true)
            })
        };
        change(user("root", ROOT, true, &[])).await.unwrap();
        change(user("bob", BOB, false, &["dev"])).await.unwrap();
        change(user("carol", CAROL, false, &[])).await.unwrap();
        change(AccessChange::PutPolicy { name: "team".into(), policy: policy() }).await.unwrap();
        let (root, bob) = (registry.by("root", ROOT), registry.by("bob", BOB));
        let carol = registry.by("carol", CAROL);
        Self { registry, root, bob, carol }
    }

    /// Makes a robot that may do this, and gives its token.
    pub async fn robot(&self, name: &str, grants: &[(&str, &str)]) -> String {
        let grants = grants.iter().map(|(repositories, role)| GrantBody {
            repositories: (*repositories).to_owned(),
            role: Some(role.parse().unwrap()),
            verbs: Vec::new(),
        });
        let change = ChangeAccountFields { grants: Some(grants.collect()), ..ChangeAccountFields::default() };
        let new = NewAccount { name: name.to_owned(), password: None, change };
        api(&self.root, "POST", "robots", &json!(new)).await.expect(201);
        self.token(&format!("robots/{name}"), &json!({})).await["token"].as_str().unwrap().to_owned()
    }

    /// Makes a token of an account.
    pub async fn token(&self, account: &str, new: &Value) -> Value {
        api(&self.root, "POST", &format!("{account}/tokens"), new).await.expect(201).json()
    }
}

/// Asks the administrators' API for something.
pub async fn api(client: &Client, method: &str, path: &str, body: &Value) -> crate::support::Answer {
    let ask = client.ask(method, &format!("/api/v1/{path}"));
    if body.is_null() {
        ask.send().await
    } else {
        ask.header("content-type", "application/json").body(body.to_string()).send().await
    }
}

/// A bearer token for these scopes.
pub async fn bearer(client: &Client, scopes: &[&str]) -> String {
    let scopes: Vec<_> = scopes.iter().map(|scope| format!("scope={scope}")).collect();
    let answer = client.get(&format!("/token?{}", scopes.join("&"))).await.expect(200).json();
    assert_eq!(answer["token"], answer["access_token"]);
    answer["token"].as_str().unwrap().to_owned()
}
