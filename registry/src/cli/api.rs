//! The way to the administrators' API: over HTTP to a registry anywhere, or by the ways of an administrator of the machine
//! or the cluster (see [`super::admin`]), which need no account.

use std::error::Error;
use std::io::{BufRead, IsTerminal};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::admin::Admin;
use super::terminal::plain;
use super::{ConfigArgs, Failure};
use crate::api::calls::{API, ApiCall, ApiReply};

const PATIENCE: Duration = Duration::from_secs(30);

/// Variables of the environment that belong to this and are no keys of the configuration.
const VARIABLES: [&str; 6] = [
    "ROADSTEAD_URL",
    "ROADSTEAD_USER",
    "ROADSTEAD_PASSWORD",
    "ROADSTEAD_TOKEN",
    "ROADSTEAD_FIRST_TOKEN",
    "ROADSTEAD_CA",
];

pub(super) fn is_variable(name: &str) -> bool {
    VARIABLES.contains(&name)
}

/// Which registry, and as whom.
#[derive(Clone, Debug, Args)]
pub(super) struct ApiArgs {
    /// The registry, such as `https://registry.example.com`; without it, the one on this machine, or the cluster that the
    /// configuration names, where the keeper of the machine or of an administrator's certificate needs no account. With --data it
    /// is the one there, whatever the environment says.
    #[arg(long, value_name = "URL", env = "ROADSTEAD_URL")]
    url: Option<String>,
    /// Log in with --url as this user; the password is asked for, or is in ROADSTEAD_PASSWORD. A token in
    /// ROADSTEAD_TOKEN needs no user.
    #[arg(long, value_name = "NAME", env = "ROADSTEAD_USER")]
    user: Option<String>,
    /// With --url: trust the authorities in this PEM file too.
    #[arg(long, value_name = "FILE", env = "ROADSTEAD_CA")]
    ca: Option<PathBuf>,
    /// For programs.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(flatten)]
    config: ConfigArgs,
    /// What is sent is secret though nobody logs in.
    #[arg(skip)]
    brings_secret: bool,
}

/// The way, open.
pub(super) enum Api {
    Http { client: reqwest::Client, base: String, secret: Secret },
    Admin(Admin),
}

pub(super) enum Secret {
    Token(String),
    Password { user: String, password: String },
    None,
}

impl ApiArgs {
    /// As nobody: what is asked for brings its own proof.
    pub fn by_nobody(self) -> Self {
        Self { user: None, brings_secret: true, ..self }
    }

    /// Runs `work` with the way open.
    pub fn run<F: Future<Output = anyhow::Result<()>>>(&self, work: impl FnOnce(Api) -> F) -> Result<(), Failure> {
        let runtime = tokio::runtime::Runtime::new().context("could not start the runtime").map_err(Failure::Run)?;
        // Who names a directory means it, whatever the environment says.
        let api = if let Some(url) = self.url.as_ref().filter(|_| self.config.data.is_none()) {
            self.http(url).map_err(Failure::Run)?
        } else {
            let config = self.config.clone().load()?;
            Api::Admin(runtime.block_on(Admin::new(&config)).map_err(Failure::Run)?)
        };
        runtime.block_on(work(api)).map_err(Failure::Run)
    }

    fn http(&self, url: &str) -> anyhow::Result<Api> {
        let mut builder = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &self.ca {
            let pem = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
            for certificate in reqwest::Certificate::from_pem_bundle(&pem).context("--ca is no PEM file")? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build().context("could not set up HTTP")?;
        let token = std::env::var("ROADSTEAD_TOKEN").ok().filter(|token| !token.is_empty());
        // Before a password is asked for.
        if token.is_some() || self.user.is_some() || self.brings_secret {
            warn_of_plain_http(url);
        }
        let secret = match (token, &self.user) {
            (Some(token), _) => Secret::Token(token),
            (None, Some(user)) => {
                let password = match std::env::var("ROADSTEAD_PASSWORD") {
                    Ok(password) => password,
                    Err(_) => ask_secret(&format!("Password of {user}: "))?,
                };
                Secret::Password { user: user.clone(), password }
            }
            (None, None) => Secret::None,
        };
        Ok(Api::Http { client, base: url.trim_end_matches('/').to_owned(), secret })
    }
}

impl Api {
    /// Asks for something; the answer is null when it has no body.
    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let bytes = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let (status, bytes) = match self {
            Self::Http { client, base, secret } => {
                let mut request = client.request(method.parse()?, format!("{base}/api/v1/{path}"));
                request = match secret {
                    Secret::Token(token) => request.bearer_auth(token),
                    Secret::Password { user, password } => request.basic_auth(user, Some(password)),
                    Secret::None => request,
                };
                let request = request.header(http::header::CONTENT_TYPE, "application/json");
                let reached = request.body(bytes).send().await;
                let response = reached.map_err(|error| {
                    let hint = trust_hint(&error);
                    anyhow::Error::from(error).context(format!("could not reach {base}{hint}"))
                })?;
                (response.status().as_u16(), response.bytes().await.context("the answer broke off")?)
            }
            Self::Admin(admin) => {
                let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
                let (method, path, query) = (method.to_owned(), path.to_owned(), query.map(str::to_owned));
                let reply: ApiReply =
                    admin.ask_leader(API, &ApiCall { method, path, query, body: bytes.into() }).await?;
                (reply.status, reply.body)
            }
        };
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if (200..300).contains(&status) {
            return Ok(value);
        }
        match value["errors"][0]["message"].as_str() {
            Some(message) if status == 401 => bail!("{} (--user, or a token in ROADSTEAD_TOKEN)", plain(message)),
            Some(message) => bail!("{}", plain(message)),
            None => bail!("the registry answered {status}"),
        }
    }

    pub async fn get<A: DeserializeOwned>(&self, path: &str) -> anyhow::Result<A> {
        Ok(serde_json::from_value(self.call("GET", path, None).await?)?)
    }

    pub async fn send<B: Serialize>(&self, method: &str, path: &str, body: &B) -> anyhow::Result<Value> {
        self.call(method, path, Some(&serde_json::to_value(body)?)).await
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.call("DELETE", path, None).await.map(drop)
    }
}

/// What to do when nobody here trusts who signed the other side's certificate; nothing for what else goes wrong.
pub(super) fn trust_hint(error: &reqwest::Error) -> &'static str {
    if is_of_unknown_issuer(error) {
        " (no authority that is trusted here signed its certificate: name the one that did with --ca FILE or ROADSTEAD_CA)"
    } else {
        ""
    }
}

fn is_of_unknown_issuer(error: &(dyn Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref::<rustls::Error>() {
        return matches!(why, rustls::CertificateError::UnknownIssuer);
    }
    // The source of an error of IO is not what is in it, but the source of that.
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    inner.is_some_and(|inner| is_of_unknown_issuer(inner)) || error.source().is_some_and(is_of_unknown_issuer)
}

/// Tells who sends secrets to another machine without TLS.
pub(super) fn warn_of_plain_http(url: &str) {
    if is_in_the_clear(url) {
        eprintln!(
            "roadstead: {url} is plain HTTP: whoever is in between reads the secrets that go there; use https://"
        );
    }
}

fn is_in_the_clear(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    url.scheme() == "http" && !is_here
}

/// One part of a path, or a value of a query.
pub(super) fn part(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Reads a secret that somebody gives himself: from a terminal twice, since he does not see it.
pub(super) fn ask_new_secret(prompt: &str) -> anyhow::Result<String> {
    let secret = ask_secret(prompt)?;
    if std::io::stdin().is_terminal() && ask_secret("Once more: ")? != secret {
        bail!("these are two different ones: nothing was changed");
    }
    Ok(secret)
}

/// Reads a secret from the terminal without showing it, or a line from what stdin is.
pub(super) fn ask_secret(prompt: &str) -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    let mut line = String::new();
    if stdin.is_terminal() {
        eprint!("{prompt}");
        let before = rustix::termios::tcgetattr(&stdin).context("could not ask for a secret")?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(rustix::termios::LocalModes::ECHO);
        rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Now, &quiet)?;
        let read = stdin.lock().read_line(&mut line);
        rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Now, &before)?;
        eprintln!();
        read?;
    } else {
        stdin.lock().read_line(&mut line).context("could not read a secret from stdin")?;
    }
    let secret = line.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        bail!("no secret was given to \"{}\"", prompt.trim_end_matches([':', ' ']));
    }
    Ok(secret.to_owned())
}

/// Prints an answer as JSON.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn secrets_go_in_the_clear_over_plain_http_to_another_machine() {
        for (url, is_clear) in [
            ("http://registry.example.com", true),
            ("HTTP://192.0.2.1:5000/", true),
            ("http://[2001:db8::1]:5000", true),
            ("http://localhost.example.com", true),
            ("https://registry.example.com", false),
            ("http://localhost:5000", false),
            ("http://127.0.0.1:5000", false),
            ("http://[::1]:5000", false),
        ] {
            assert_eq!(is_in_the_clear(url), is_clear, "{url}");
        }
    }

    #[test]
    fn an_unknown_authority_is_found_however_deep_it_stands_in_an_error() {
        let tls = rustls::Error::InvalidCertificate;
        let unknown = || tls(rustls::CertificateError::UnknownIssuer);
        assert!(is_of_unknown_issuer(&unknown()));
        assert!(is_of_unknown_issuer(&io::Error::other(io::Error::other(unknown()))));
        assert!(!is_of_unknown_issuer(&io::Error::other(tls(rustls::CertificateError::Expired))));
        assert!(!is_of_unknown_issuer(&io::Error::from(io::ErrorKind::ConnectionRefused)));
    }
}
