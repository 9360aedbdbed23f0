//! `roadstead login`: people log in with a provider that the registry believes, in a browser here or on any other device. What comes of it is
//! kept for `docker-credential-roadstead` ([`helper`]), and is not a password of the registry.

pub(super) mod helper;
mod provider;
mod store;

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde::Deserialize;

use super::Failure;
use super::api::warn_of_plain_http;
use super::terminal::plain;
use provider::{Client, Provider};
use store::{Login, Logins};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The registry: `registry.example.com`, with its port if it has one.
    registry: String,
    /// Which provider, if the registry believes several.
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Show a code to type on another device, instead of opening a browser on this one.
    #[arg(long)]
    device: bool,
    /// Trust the authorities in this PEM file too, of the registry and of the provider.
    #[arg(long, value_name = "FILE", env = "ROADSTEAD_CA")]
    ca: Option<PathBuf>,
    /// Also tell docker, and what reads its configuration, to ask `docker-credential-roadstead` about this registry.
    #[arg(long)]
    docker: bool,
}

#[derive(Debug, Args)]
pub(super) struct LogoutArguments {
    /// The registry: `registry.example.com`, with its port if it has one.
    registry: String,
}

/// What a registry says about logging in.
#[derive(Debug, Deserialize)]
struct Offers {
    issuers: Vec<Offer>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Offer {
    name: String,
    issuer: String,
    client_id: String,
    #[serde(default)]
    client_secret: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new().context("could not start the runtime").map_err(Failure::Run)?;
    runtime.block_on(login(arguments)).map_err(Failure::Run)
}

pub(super) fn logout(arguments: &LogoutArguments) -> Result<(), Failure> {
    let host = host_of(&arguments.registry);
    let gone = Logins::change(|logins| logins.remove(&host)).map_err(Failure::Run)?;
    println!("{}", if gone { "logged out" } else { "nobody was logged in" });
    store::untell_docker(&host).map_err(Failure::Run)
}

async fn login(arguments: &Arguments) -> anyhow::Result<()> {
    let ca = arguments.ca.as_ref().map(std::fs::read_to_string).transpose().context("could not read --ca")?;
    let http = provider::http(ca.as_deref())?;
    let host = host_of(&arguments.registry);
    let base = if arguments.registry.contains("://") {
        arguments.registry.trim_end_matches('/').to_owned()
    } else {
        format!("https://{host}")
    };
    warn_of_plain_http(&base);
    let offers: Offers =
        provider::json(http.get(format!("{base}/api/v1/login"))).await.context("could not ask the registry")?;
    let offer = chosen(&offers.issuers, arguments.issuer.as_deref(), &host)?;
    let provider = Provider::discover(http, &offer.issuer).await?;
    let client = Client {
        id: offer.client_id.clone(),
        secret: offer.client_secret.clone(),
        scope: if offer.scopes.is_empty() { "openid offline_access".into() } else { offer.scopes.join(" ") },
    };
    let tokens =
        if arguments.device { provider.by_device(&client).await? } else { provider.by_browser(&client).await? };
    let login = Login {
        issuer: offer.issuer.clone(),
        client_id: client.id,
        client_secret: client.secret,
        ca,
        id_token: tokens.id_token.context("the provider gave no ID token: its client needs the scope openid")?,
        refresh_token: tokens.refresh_token,
    };
    Logins::change(|logins| logins.put(&host, login))?;
    println!("logged in to {host} with {}", plain(&offer.name));
    if arguments.docker {
        store::tell_docker(&host)?;
    } else {
        println!(
            "docker and others use it with {{\"credHelpers\": {{\"{host}\": \"roadstead\"}}}} in ~/.docker/config.json, which --docker writes,\n\
             and a link to this program that is called docker-credential-roadstead"
        );
    }
    Ok(())
}

fn chosen<'o>(offers: &'o [Offer], name: Option<&str>, host: &str) -> anyhow::Result<&'o Offer> {
    ensure!(
        !offers.is_empty(),
        "{host} believes no provider with which people log in: use docker login with a password or a token"
    );
    let names = || plain(&offers.iter().map(|offer| offer.name.as_str()).collect::<Vec<_>>().join(", "));
    match (name, offers) {
        (Some(name), _) => offers
            .iter()
            .find(|offer| offer.name == name)
            .with_context(|| format!("{host} believes no {name}, but {}", names())),
        (None, [only]) => Ok(only),
        (None, _) => bail!("{host} believes several providers: choose one with --issuer: {}", names()),
    }
}

/// How credentials of a registry are filed: as docker names it.
fn host_of(registry: &str) -> String {
    let rest = registry.split_once("://").map_or(registry, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest).to_ascii_lowercase()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_filed_under_its_host_however_it_is_written() {
        for text in [
            "registry.example.com",
            "https://registry.example.com",
            "https://Registry.example.com/v2/",
            "registry.example.com/",
        ] {
            assert_eq!(host_of(text), "registry.example.com", "{text}");
        }
        assert_eq!(host_of("http://localhost:5000"), "localhost:5000");
    }

    #[test]
    fn one_of_several_providers_is_chosen_by_its_name() {
        let offer = |name: &str| Offer {
            name: name.into(),
            issuer: "https://x".into(),
            client_id: "c".into(),
            client_secret: None,
            scopes: Vec::new(),
        };
        let (none, one, two) = (vec![], vec![offer("a")], vec![offer("a"), offer("b")]);
        assert!(chosen(&none, None, "h").unwrap_err().to_string().contains("docker login"));
        assert_eq!(chosen(&one, None, "h").unwrap().name, "a");
        assert_eq!(chosen(&two, Some("b"), "h").unwrap().name, "b");
        assert!(chosen(&two, None, "h").unwrap_err().to_string().contains("a, b"));
        assert!(chosen(&two, Some("c"), "h").is_err());
    }
}
