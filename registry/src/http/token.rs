//! `/token`: bearer tokens for those who can say who they are, and for everyone else what everyone may do.
//!
//! Both forms of the token specification of distribution: `GET` with Basic credentials, and the OAuth 2 `POST`. What is not
//! allowed of the scopes that were asked for is left out, without a word about what there is.

use bytes::BytesMut;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use serde::Serialize;

use super::audit::Asker;
use super::reply::{self, Reply};
use super::{Connection, access};
use crate::app::App;
use crate::auth::authenticate::{AuthError, Credentials, Identified, credentials};
use crate::auth::caller::Caller;
use crate::auth::claims::{Access, Claims};
use crate::date;
use crate::error::{ApiError, Code};
use crate::index::access::Allowed;
use crate::index::command::Time;
use crate::push::receive::RequestBody;

/// How long a token is good.
pub const LIFE_SECONDS: u64 = 300;
/// The same, of somebody whom only others know. Clients take less for a minute all the same.
const SHORT_SECONDS: u64 = 60;
/// Scopes of one request, and bytes of its form.
const MAX_SCOPES: usize = 64;
const MAX_FORM: usize = 64 << 10;
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

#[derive(Serialize)]
#[allow(clippy::struct_field_names)] // they are the specification's
struct Issued {
    token: String,
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    issued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// RFC 8693, section 2.2.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
}

/// What a client asks for, from the query or the form.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    service: Option<String>,
    scopes: Vec<Access>,
    grant_type: Option<String>,
    username: Option<String>,
    password: Option<String>,
    refresh_token: Option<String>,
    subject_token: Option<String>,
}

fn bad(message: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, Code::Unsupported, message)
}

impl Asked {
    fn parse(text: &[u8]) -> Result<Self, ApiError> {
        let mut asked = Self::default();
        let mut scopes = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            let value = value.into_owned();
            match name.as_ref() {
                // Several as several parameters, and several in one.
                "scope" => scopes.extend(value.split_ascii_whitespace().map(str::to_owned)),
                "service" => asked.service = Some(value),
                "grant_type" => asked.grant_type = Some(value),
                "username" => asked.username = Some(value),
                "password" => asked.password = Some(value),
                "subject_token" => asked.subject_token = Some(value),
                "refresh_token" => asked.refresh_token = Some(value),
                _ => {}
            }
        }
        if scopes.len() > MAX_SCOPES {
            return Err(bad("at most 64 scopes can be asked for at once"));
        }
        asked.scopes = scopes.iter().filter_map(|scope| Access::parse(scope)).collect();
        Ok(asked)
    }

    /// What an OAuth 2 form says who its sender is.
    fn credentials(&self) -> Result<Credentials, ApiError> {
        match (self.grant_type.as_deref(), &self.username, &self.password, &self.refresh_token) {
            (Some("password"), Some(name), Some(secret), _) => {
                Ok(Credentials::Basic { name: name.clone(), secret: secret.clone() })
            }
            // A token of ours is its own refresh token: it is good until it expires or is taken back.
            (Some("refresh_token"), _, _, Some(token)) => Ok(Credentials::Bearer(token.clone())),
            (Some("password" | "refresh_token"), ..) => {
                Err(bad("grant_type=password needs username and password, grant_type=refresh_token a refresh_token"))
            }
            // RFC 8693: a token of an issuer that is trusted, for one of ours.
            (Some(TOKEN_EXCHANGE), ..) => match &self.subject_token {
                Some(token) => Ok(Credentials::Bearer(token.clone())),
                None => Err(bad("a token exchange needs a subject_token")),
            },
            _ => Err(bad("use grant_type=password, refresh_token or urn:ietf:params:oauth:grant-type:token-exchange")),
        }
    }
}

/// Answers a request for a token.
pub async fn issue(
    app: &App,
    headers: &HeaderMap,
    query: Option<&str>,
    post: bool,
    body: RequestBody,
    connection: &Connection,
    asker: &mut Asker,
) -> Reply {
    let (asked, who) = if post {
        let asked = Asked::parse(&form(body).await?)?;
        let who = asked.credentials()?;
        (asked, who)
    } else {
        (Asked::parse(query.unwrap_or_default().as_bytes())?, credentials(headers)?)
    };
    let service = &app.index.cluster().id;
    if asked.service.as_ref().is_some_and(|asked| asked != service) {
        return Err(bad("this service issues tokens for itself alone: use the service of the challenge"));
    }
    asker.says(&who);
    let (identified, access) = allowed(app, &who, &asked.scopes, connection).await?;
    asker.known.clone_from(&identified.caller.subject);
    let key = app.auth.signing_key(&app.index).await?;
    let now = app.index.time();
    let expires_in = life(&identified, now);
    let claims = claims(service, identified.caller, access, now, expires_in)?;
    let token = claims.sign(&key).map_err(|error| reply::internal().cause(error))?;
    let is_exchange = asked.grant_type.as_deref() == Some(TOKEN_EXCHANGE);
    let refresh_token = match who {
        Credentials::Bearer(_) if is_exchange => None,
        Credentials::Bearer(token) => Some(token),
        Credentials::Basic { .. } | Credentials::None => None,
    };
    let issued = Issued {
        access_token: token.clone(),
        token,
        token_type: "Bearer",
        expires_in,
        issued_at: date::rfc3339(now),
        refresh_token,
        issued_token_type: is_exchange.then_some(ACCESS_TOKEN),
    };
    let builder = Response::builder().header(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply::json(builder, "application/json", &issued)
}

/// Who asks, and what of the scopes he may have. What was remembered of him is looked at once more when it no longer holds.
async fn allowed(
    app: &App,
    who: &Credentials,
    scopes: &[Access],
    connection: &Connection,
) -> Result<(Identified, Vec<Access>), ApiError> {
    let wanted: Vec<_> = scopes.iter().filter_map(Access::on_repository).collect();
    let mut round = 1;
    loop {
        let mut identified = access::identify(app, who, connection).await?;
        // A bearer token is not exchanged for another: else it would have no end.
        if matches!(who, Credentials::Bearer(_)) && !identified.is_strict {
            return Err(AuthError::Wrong.into());
        }
        let may_need = || wanted.iter().map(|(name, verbs)| (Some(name.clone()), *verbs)).collect();
        app.auth.grant(&mut identified.caller, may_need).await?;
        let ask = Allowed { caller: identified.caller.clone(), wanted: wanted.clone() };
        match (app.index.query(ask).await?, identified.remembered) {
            (Ok(allowed), _) => {
                let mut access: Vec<_> = allowed
                    .iter()
                    .filter(|(_, verbs)| !verbs.is_empty())
                    .map(|(name, verbs)| Access::of(name, *verbs))
                    .collect();
                if scopes.iter().any(Access::is_catalog) {
                    match &identified.caller.limits {
                        None => access.push(Access::catalog()),
                        // Whoever came with a token that is limited sees no more with one that he gets for it.
                        Some(limits) => access.extend(Access::catalog_of(&limits.grants)),
                    }
                }
                return Ok((identified, access));
            }
            (Err(_), Some(remembered)) if round < access::ROUNDS => {
                app.auth.forget(remembered);
                round += 1;
            }
            (Err(denial), _) => {
                let error = access::denied(denial);
                access::note_refused(&identified.caller, &error);
                return Err(error);
            }
        }
    }
}

/// How long a token for somebody is good, in seconds: never longer than what he came with. Whom the index itself knows nothing of,
/// it cannot judge anew each time.
fn life(identified: &Identified, now: Time) -> u64 {
    let caller = &identified.caller;
    let is_of_others = caller.subject.is_some() && caller.proof.is_none() && caller.vouched.is_none();
    let life = if is_of_others { SHORT_SECONDS } else { LIFE_SECONDS };
    identified.expires.map_or(life, |expires| life.min(expires.saturating_sub(now.0 / 1000)))
}

fn claims(service: &str, caller: Caller, access: Vec<Access>, now: Time, life: u64) -> Result<Claims, ApiError> {
    let mut id = [0; 16];
    crate::random::fill(&mut id).map_err(|error| reply::internal().cause(error))?;
    let seconds = now.0 / 1000;
    Ok(Claims {
        iss: service.to_owned(),
        aud: service.to_owned(),
        sub: caller.subject.unwrap_or_default(),
        exp: seconds + life,
        nbf: seconds,
        iat: seconds,
        jti: hex::encode(id),
        access,
        name: caller.name,
        groups: caller.groups,
        proof: caller.proof,
        vouched: caller.vouched,
    })
}

async fn form(mut body: RequestBody) -> Result<BytesMut, ApiError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| bad("the form ended early"))?;
        bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
        if bytes.len() > MAX_FORM {
            return Err(bad("the form is too long"));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_each_client_writes_them() {
        let scopes = |text: &str| Asked::parse(text.as_bytes()).unwrap().scopes;
        let expected = vec![
            Access {
                kind: "repository".into(),
                name: "a/b".into(),
                actions: vec!["pull".into(), "push".into()],
                verbs: None,
            },
            Access { kind: "repository".into(), name: "c".into(), actions: vec!["pull".into()], verbs: None },
        ];
        assert_eq!(scopes("scope=repository:a/b:pull,push&scope=repository:c:pull&service=x"), expected);
        assert_eq!(scopes("scope=repository%3Aa%2Fb%3Apull%2Cpush+repository%3Ac%3Apull"), expected);
        assert_eq!(scopes("scope=repository(plugin):c:pull"), expected[1..]);
        assert!(scopes("scope=&scope=nothing&scope=a:b").is_empty());
        let many = "scope=repository:a:pull&".repeat(65);
        assert!(Asked::parse(many.as_bytes()).is_err());
    }

    #[test]
    fn a_form_says_who_its_sender_is_or_what_is_missing() {
        let credentials = |text: &str| Asked::parse(text.as_bytes()).unwrap().credentials();
        let basic = Credentials::Basic { name: "alice".into(), secret: "a b&c".into() };
        assert_eq!(credentials("grant_type=password&username=alice&password=a+b%26c").unwrap(), basic);
        let bearer = Credentials::Bearer("x".into());
        assert_eq!(credentials("grant_type=refresh_token&refresh_token=x").unwrap(), bearer);
        for text in ["", "grant_type=password&username=alice", "grant_type=refresh_token", "grant_type=magic"] {
            assert_eq!(credentials(text).unwrap_err().status, StatusCode::BAD_REQUEST, "{text}");
        }
    }
}
