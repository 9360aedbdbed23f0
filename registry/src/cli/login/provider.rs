//! A provider of OpenID Connect, as a program on somebody's machine uses it: the device flow (RFC 8628), and the code flow with a
//! redirection to this machine (RFC 8252) and a proof that it was asked for here (RFC 7636).

use std::borrow::Cow;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::cli::api::trust_hint;
use crate::cli::terminal;

/// How long somebody may take to log in.
const PATIENCE: Duration = Duration::from_mins(10);
/// Between two questions whether it is done, if the provider does not say.
const INTERVAL: u64 = 5;
/// The longest line of a browser that is looked at, in bytes.
const LONGEST_LINE: u64 = 16 << 10;
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// How this program is known to the provider.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub id: String,
    /// No secret, but some want one of programs that everybody can read.
    pub secret: Option<String>,
    pub scope: String,
}

#[derive(Debug)]
pub(super) struct Provider {
    http: reqwest::Client,
    found: Discovered,
}

#[derive(Debug, Deserialize)]
struct Discovered {
    issuer: String,
    token_endpoint: String,
    #[serde(default)]
    authorization_endpoint: Option<String>,
    #[serde(default)]
    device_authorization_endpoint: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Tokens {
    #[serde(default)]
    pub id_token: Option<String>,
    #[serde(default)]
    pub refresh_token: Option<String>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    error_description: Option<String>,
}

#[derive(Debug, Deserialize)]
#[allow(clippy::struct_field_names)] // they are the specification's
struct Device {
    device_code: String,
    user_code: String,
    verification_uri: String,
    #[serde(default)]
    verification_uri_complete: Option<String>,
    #[serde(default)]
    interval: Option<u64>,
    #[serde(default)]
    expires_in: Option<u64>,
}

pub(super) fn http(ca: Option<&str>) -> anyhow::Result<reqwest::Client> {
    crate::auth::external::client(ca).context("--ca is no PEM file")
}

pub(super) async fn json<A: DeserializeOwned>(request: reqwest::RequestBuilder) -> anyhow::Result<A> {
    let answer = request.send().await.map_err(hinted)?;
    let (status, address) = (answer.status(), answer.url().to_string());
    ensure!(status.is_success(), "{address} answers {status}");
    answer.json().await.with_context(|| format!("{address} does not answer as expected"))
}

fn hinted(error: reqwest::Error) -> anyhow::Error {
    let hint = trust_hint(&error);
    let error = anyhow::Error::from(error);
    if hint.is_empty() { error } else { error.context(format!("it did not prove who it is{hint}")) }
}

impl Provider {
    pub async fn discover(http: reqwest::Client, issuer: &str) -> anyhow::Result<Self> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let found: Discovered = json(http.get(&address)).await.context("could not ask the provider")?;
        ensure!(found.issuer == issuer, "{address} describes {}", plain(&found.issuer));
        Ok(Self { http, found })
    }

    /// Somebody types a code on another device.
    pub async fn by_device(&self, client: &Client) -> anyhow::Result<Tokens> {
        let endpoint = self.found.device_authorization_endpoint.as_ref();
        let endpoint = endpoint.context("this provider knows no other devices: log in without --device")?;
        let form = [("client_id", client.id.as_str()), ("scope", client.scope.as_str())];
        let device: Device = json(self.form(endpoint, client, &form)).await.context("could not begin to log in")?;
        eprintln!("Open {} and type {}", plain(&device.verification_uri), plain(&device.user_code));
        if let Some(whole) = &device.verification_uri_complete {
            eprintln!("or open {}", plain(whole));
        }
        let end = tokio::time::Instant::now() + device.expires_in.map_or(PATIENCE, Duration::from_secs).min(PATIENCE);
        let mut interval = device.interval.unwrap_or(INTERVAL);
        loop {
            tokio::time::sleep(Duration::from_secs(interval)).await;
            ensure!(tokio::time::Instant::now() < end, "nobody logged in: begin again");
            let form = [
                ("grant_type", DEVICE),
                ("device_code", device.device_code.as_str()),
                ("client_id", client.id.as_str()),
            ];
            let tokens = self.tokens(client, &form).await?;
            match tokens.error.as_deref() {
                None => return Ok(tokens),
                Some("authorization_pending") => {}
                Some("slow_down") => interval += 5,
                Some(_) => return tokens.or_refused(),
            }
        }
    }

    /// In a browser on this machine.
    pub async fn by_browser(&self, client: &Client) -> anyhow::Result<Tokens> {
        let endpoint = self.found.authorization_endpoint.as_ref().context("this provider has no page to log in")?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("could not listen for the browser")?;
        let redirect = format!("http://127.0.0.1:{}/callback", listener.local_addr()?.port());
        let (state, verifier) = (random()?, random()?);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let mut address = reqwest::Url::parse(endpoint).context("the provider names no address to log in")?;
        address.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", client.id.as_str()),
            ("redirect_uri", redirect.as_str()),
            ("scope", client.scope.as_str()),
            ("state", state.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ]);
        eprintln!("Open this in a browser on this machine:\n{address}");
        let code = tokio::time::timeout(PATIENCE, redirected(&listener, &state)).await;
        let code = code.map_err(|_| anyhow::anyhow!("nobody logged in: begin again"))??;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", redirect.as_str()),
            ("client_id", client.id.as_str()),
            ("code_verifier", verifier.as_str()),
        ];
        self.tokens(client, &form).await?.or_refused()
    }

    pub async fn refresh(&self, client: &Client, token: &str) -> anyhow::Result<Tokens> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", client.id.as_str())];
        self.tokens(client, &form).await?.or_refused()
    }

    async fn tokens(&self, client: &Client, form: &[(&str, &str)]) -> anyhow::Result<Tokens> {
        let endpoint = &self.found.token_endpoint;
        let answer = self.form(endpoint, client, form).send().await.map_err(hinted);
        let answer = answer.context("could not ask the provider for tokens")?;
        // What is refused is told in the same form (RFC 6749, section 5.2).
        answer.json().await.with_context(|| format!("{endpoint} does not answer as expected"))
    }

    fn form(&self, endpoint: &str, client: &Client, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.post(endpoint).header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = match &client.secret {
            Some(secret) => request.basic_auth(&client.id, Some(secret)),
            None => request,
        };
        request.body(body)
    }
}

impl Tokens {
    fn or_refused(self) -> anyhow::Result<Self> {
        match (&self.error, &self.error_description) {
            (None, _) => Ok(self),
            (Some(error), Some(why)) => bail!("the provider says {}: {}", plain(error), plain(why)),
            (Some(error), None) => bail!("the provider says {}", plain(error)),
        }
    }
}

/// Waits for the browser to come back with a code, and says to it that this was all.
async fn redirected(listener: &TcpListener, state: &str) -> anyhow::Result<String> {
    loop {
        let (mut socket, _) = listener.accept().await.context("could not wait for the browser")?;
        let (reader, mut writer) = socket.split();
        let mut line = String::new();
        // Browsers ask for other things, too, and open connections that they do not use.
        let mut reader = BufReader::new(reader.take(LONGEST_LINE));
        let read = tokio::time::timeout(Duration::from_secs(5), reader.read_line(&mut line)).await;
        let query = line.split(' ').nth(1).and_then(|path| path.strip_prefix("/callback?"));
        let (Ok(Ok(_)), Some(result)) = (read, query.and_then(|query| code_in(query, state))) else { continue };
        let says =
            if result.is_ok() { "Logged in: this page can be closed." } else { "This did not work: see the terminal." };
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{says}",
            says.len()
        );
        let _ = writer.write_all(answer.as_bytes()).await;
        let _ = writer.shutdown().await;
        return result;
    }
}

/// The code that the provider gave; none: this is no answer to what was asked, and any page can send one.
fn code_in(query: &str, state: &str) -> Option<anyhow::Result<String>> {
    let find =
        |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value);
    if find("state").as_deref() != Some(state) {
        return None;
    }
    if let Some(error) = find("error") {
        let why = find("error_description").unwrap_or_default();
        return Some(Err(anyhow::anyhow!("the provider says {}: {}", plain(&error), plain(&why))));
    }
    Some(find("code").map(Cow::into_owned).context("the provider gave no code"))
}

/// What somebody else says, as a terminal may show it.
fn plain(text: &str) -> String {
    terminal::plain(&text.chars().take(500).collect::<String>())
}

fn random() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    crate::random::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_that_was_asked_for_is_taken() {
        assert_eq!(code_in("code=a%20b&state=s", "s").unwrap().unwrap(), "a b");
        for query in ["code=a", "code=a&state=x", "", "error=access_denied", "error=access_denied&state=x"] {
            assert!(code_in(query, "s").is_none(), "{query}");
        }
        for query in ["state=s", "error=access_denied&state=s&code=a"] {
            assert!(code_in(query, "s").unwrap().is_err(), "{query}");
        }
        let refused = code_in("state=s&error=no%1b%5b2J&error_description=a%0ab", "s").unwrap().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the provider says no\\u{1b}[2J: a\\u{a}b",
            "a terminal takes no orders from it"
        );
    }
}
