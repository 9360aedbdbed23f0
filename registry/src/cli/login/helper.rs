//! Programs that other programs run to log in: `docker-credential-roadstead`, by the protocol of docker's credential helpers, for people
//! who did `roadstead login`; and `roadstead credential-provider`, which the kubelet runs, and which passes on the token of the ServiceAccount
//! whose Pod is to be started (KEP-4412).

use std::io::Read;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::Failure;
use super::host_of;
use super::provider::{self, Client, Provider};
use super::store::{Login, Logins};

/// What docker is told where there is nothing for it: it takes these words for that.
const NOTHING: &str = "credentials not found in native keychain";
/// Under this name tokens of issuers are brought; any would do.
const NAME: &str = "oidc";
/// Seconds that a token must still be good to be worth giving away.
const LEFT: u64 = 60;
/// What the kubelet speaks.
const API: &str = "credentialprovider.kubelet.k8s.io/v1";
/// The longest request that is read, in bytes.
const REQUEST: u64 = 1 << 20;

/// Does what docker asks, if this program was run under the name of the helper.
pub(in super::super) fn docker() -> Option<ExitCode> {
    let mut arguments = std::env::args();
    let program = arguments.next()?;
    let name = std::path::Path::new(&program).file_stem()?.to_str()?;
    (name == "docker-credential-roadstead").then(|| answer_docker(arguments.next().as_deref()))
}

fn answer_docker(verb: Option<&str>) -> ExitCode {
    let mut input = String::new();
    let read = std::io::stdin().take(REQUEST).read_to_string(&mut input);
    let done = read.context("could not read stdin").and_then(|_| match verb {
        Some("get") => get(input.trim()),
        Some("list") => list(),
        Some("erase") => Logins::change(|logins| logins.remove(&host_of(input.trim()))).map(|_| String::new()),
        Some("store") => bail!("use `roadstead login` instead of docker login for this registry"),
        _ => bail!("use get, list, store or erase"),
    });
    match done {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            // Docker reads what is wrong from stdout.
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn get(server: &str) -> anyhow::Result<String> {
    let host = host_of(server);
    let Some(login) = Logins::read()?.get(&host).cloned() else { bail!("{NOTHING}") };
    let token = if is_good(&login.id_token, now()) { login.id_token } else { renewed(&host, login)? };
    Ok(json!({ "ServerURL": server, "Username": NAME, "Secret": token }).to_string())
}

fn list() -> anyhow::Result<String> {
    let logins = Logins::read()?;
    Ok(json!(logins.hosts().map(|host| (host.clone(), NAME)).collect::<std::collections::BTreeMap<_, _>>()).to_string())
}

/// A new token in the place of one that is over.
fn renewed(host: &str, login: Login) -> anyhow::Result<String> {
    let again = || format!("the login to {host} is over: run `roadstead login {host}` again");
    let refresh = login.refresh_token.clone().with_context(again)?;
    let client = Client { id: login.client_id.clone(), secret: login.client_secret.clone(), scope: String::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tokens = runtime.block_on(async {
        let provider = Provider::discover(provider::http(login.ca.as_deref())?, &login.issuer).await?;
        provider.refresh(&client, &refresh).await
    });
    let tokens = tokens.with_context(again)?;
    let token = tokens.id_token.with_context(again)?;
    // Many providers take each only once.
    let refresh_token = tokens.refresh_token.or(Some(refresh));
    let kept = Login { id_token: token.clone(), refresh_token, ..login };
    Logins::change(|logins| logins.put(host, kept))?;
    Ok(token)
}

fn is_good(token: &str, now: u64) -> bool {
    let payload =
        token.split('.').nth(1).and_then(|part| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Value> = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
    claims.and_then(|claims| claims.get("exp")?.as_u64()).is_some_and(|end| now + LEFT < end)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    api_version: String,
    image: String,
    #[serde(default)]
    service_account_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    api_version: &'static str,
    kind: &'static str,
    cache_key_type: &'static str,
    cache_duration: &'static str,
    auth: Value,
}

/// Answers the kubelet.
pub(in super::super) fn kubelet() -> Result<(), Failure> {
    let mut input = String::new();
    std::io::stdin().take(REQUEST).read_to_string(&mut input).context("could not read stdin").map_err(Failure::Run)?;
    println!("{}", answer(&input).map_err(Failure::Run)?);
    Ok(())
}

fn answer(input: &str) -> anyhow::Result<String> {
    let request: Request = serde_json::from_str(input).context("stdin is no request of the kubelet")?;
    anyhow::ensure!(request.api_version == API, "this speaks {API}, and the kubelet {}", request.api_version);
    let host = host_of(&request.image);
    // Without a token there is nobody to log in as: what everyone may pull is pulled.
    let auth = request.service_account_token.filter(|token| !token.is_empty());
    let auth =
        auth.map_or_else(|| json!({}), |token| json!({ host: { "username": "serviceaccount", "password": token } }));
    Ok(serde_json::to_string(&Answer {
        api_version: API,
        kind: "CredentialProviderResponse",
        cache_key_type: "Registry",
        // The kubelet asks again for each Pod: the token is that Pod's.
        cache_duration: "0s",
        auth,
    })?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelet_is_given_the_token_of_the_pod_for_the_registry_of_the_image() {
        let ask = |token: Value| {
            let request = json!({
                "apiVersion": API, "kind": "CredentialProviderRequest",
                "image": "registry.example.com:8443/team/app:v1", "serviceAccountToken": token,
                "serviceAccountAnnotations": {},
            });
            serde_json::from_str::<Value>(&answer(&request.to_string()).unwrap()).unwrap()
        };
        let said = ask(json!("a.b.c"));
        assert_eq!(
            said["auth"],
            json!({ "registry.example.com:8443": { "username": "serviceaccount", "password": "a.b.c" } })
        );
        assert_eq!((&said["cacheDuration"], &said["kind"]), (&json!("0s"), &json!("CredentialProviderResponse")));
        assert_eq!(ask(json!(""))["auth"], json!({}));
        assert!(answer("{}").is_err() && answer("").is_err());
        let old = json!({ "apiVersion": "credentialprovider.kubelet.k8s.io/v1alpha1", "image": "x" });
        assert!(answer(&old.to_string()).unwrap_err().to_string().contains(API));
    }

    #[test]
    fn a_token_is_given_away_while_it_is_good_for_a_minute() {
        let token = |end: Value| {
            let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json!({ "exp": end }).to_string());
            format!("e30.{claims}.x")
        };
        assert!(is_good(&token(json!(1000)), 900));
        assert!(!is_good(&token(json!(1000)), 940) && !is_good(&token(json!("1000")), 0) && !is_good("x", 0));
    }
}
