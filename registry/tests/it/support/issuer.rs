//! An issuer of tokens, as an OpenID provider is one: it publishes its keys, and signs what it is told to.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// Keys by their ids.
type Keys = Vec<(String, rcgen::KeyPair)>;

pub struct Issuer {
    pub url: String,
    keys: Arc<Mutex<Keys>>,
    /// It answers nobody.
    pub is_down: Arc<AtomicBool>,
    /// How often its keys were fetched.
    pub fetched: Arc<AtomicUsize>,
}

impl Issuer {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Self { url: url.clone(), keys: Arc::default(), is_down: Arc::default(), fetched: Arc::default() };
        issuer.new_key("first");
        let (keys, is_down, fetched) =
            (Arc::clone(&issuer.keys), Arc::clone(&issuer.is_down), Arc::clone(&issuer.fetched));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (keys, is_down, fetched, url) =
                    (Arc::clone(&keys), Arc::clone(&is_down), Arc::clone(&fetched), url.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let body = match request.uri().path() {
                        _ if is_down.load(Ordering::SeqCst) => None,
                        "/.well-known/openid-configuration" => {
                            Some(json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }))
                        }
                        "/keys" => {
                            fetched.fetch_add(1, Ordering::SeqCst);
                            Some(published(&keys.lock().unwrap()))
                        }
                        _ => None,
                    };
                    let status = if body.is_some() { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
                    let body = Full::new(Bytes::from(body.unwrap_or_default().to_string()));
                    std::future::ready(Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap()))
                });
                tokio::spawn(
                    hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(socket), service)
                        .into_owned(),
                );
            }
        });
        issuer
    }

    /// Signs with a new key from now on; the ones before stay.
    pub fn new_key(&self, id: &str) {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        self.keys.lock().unwrap().insert(0, (id.to_owned(), pair));
    }

    /// What it publishes, as a text.
    pub fn published(&self) -> String {
        published(&self.keys.lock().unwrap()).to_string()
    }

    /// A token with these claims, and those that every token has unless they are given; null takes one away.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(claims, Algorithm::ES256, None)
    }

    pub fn sign_with(&self, claims: &Value, algorithm: Algorithm, id: Option<&str>) -> String {
        let keys = self.keys.lock().unwrap();
        let (own, pair) = &keys[0];
        let mut header = Header::new(algorithm);
        header.kid = Some(id.unwrap_or(own).to_owned());
        let key = match algorithm {
            // The public key as a secret: what everybody knows.
            Algorithm::HS256 => EncodingKey::from_secret(pair.public_key_raw()).unwrap(),
            _ => EncodingKey::from_ec_der(&pair.serialize_der()),
        };
        jsonwebtoken::encode(&header, &self.claims(claims), &key).unwrap()
    }

    pub fn claims(&self, change: &Value) -> Value {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({ "iss": self.url, "aud": "registry", "sub": "somebody", "iat": now, "exp": now + 600 });
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }
}

fn published(keys: &Keys) -> Value {
    let keys: Vec<_> = keys
        .iter()
        .map(|(id, pair)| {
            // An uncompressed point: 4, x, y.
            let point = pair.public_key_raw();
            json!({ "kid": id, "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": text(&point[1..33]), "y": text(&point[33..]) })
        })
        .collect();
    // One of a kind that nobody knows is there as well.
    let mut keys = keys;
    keys.push(json!({ "kid": "x", "kty": "NEW" }));
    json!({ "keys": keys })
}

/// Base64 for addresses, without padding.
pub fn text(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
