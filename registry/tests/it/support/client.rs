//! A client that speaks the API as plainly as possible: what is sent is what the test says.

use http::{HeaderMap, Method, StatusCode};
use roadstead::oci::digest::Digest;
use serde_json::Value;

use super::{OCI_IMAGE, digest_of, image};

/// Speaks to the registry at one address. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of the one error in the answer.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        self.json()["errors"][0]["code"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{:?}: {}", self.headers, String::from_utf8_lossy(&self.body));
        self
    }

    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.code(), code, "{}", String::from_utf8_lossy(&answer.body));
        answer
    }
}

/// A request that is being put together.
pub struct Ask(reqwest::RequestBuilder);

impl Ask {
    pub fn header(self, name: &str, value: impl AsRef<str>) -> Self {
        Self(self.0.header(name, value.as_ref()))
    }

    pub fn body(self, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.body(body))
    }

    pub async fn send(self) -> Answer {
        self.try_send().await.unwrap()
    }

    pub async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let response = self.0.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    }
}

impl Client {
    /// A client of the registry at `base`, such as `http://127.0.0.1:5000`.
    pub fn new(base: &str) -> Self {
        Self::with(base, reqwest::Client::builder())
    }

    pub fn with(base: &str, builder: reqwest::ClientBuilder) -> Self {
        let http = builder.redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { base: base.to_owned(), http }
    }

    /// The same, by who says so in each request.
    pub fn authorized(&self, authorization: &str) -> Self {
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, authorization.parse().unwrap())]);
        Self::with(&self.base, reqwest::Client::builder().default_headers(headers))
    }

    /// The same, by a user with a password or a token.
    pub fn by(&self, name: &str, secret: &str) -> Self {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{secret}"));
        self.authorized(&format!("Basic {text}"))
    }

    pub fn ask(&self, method: &str, path: &str) -> Ask {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Ask(self.http.request(method, format!("{}{path}", self.base)))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).send().await
    }

    pub async fn head(&self, path: &str) -> Answer {
        self.ask("HEAD", path).send().await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path).send().await
    }

    /// Begins an upload and gives the path to go on with.
    pub async fn begin(&self, name: &str) -> String {
        let answer = self.ask("POST", &format!("/v2/{name}/blobs/uploads/")).send().await.expect(202);
        answer.header("location").to_owned()
    }

    /// Appends to an upload and gives the path to go on with.
    pub async fn append(&self, upload: &str, content: &[u8]) -> String {
        let answer = self.ask("PATCH", upload).body(content.to_vec()).send().await.expect(202);
        answer.header("location").to_owned()
    }

    pub async fn finish(&self, upload: &str, digest: &Digest, content: &[u8]) -> Answer {
        self.ask("PUT", &format!("{upload}?digest={digest}")).body(content.to_vec()).send().await
    }

    pub async fn push_blob(&self, name: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let upload = self.begin(name).await;
        self.finish(&upload, &digest, content).await.expect(201);
        digest
    }

    pub async fn put_manifest(&self, name: &str, reference: &str, manifest: &Value) -> Answer {
        let media_type = manifest["mediaType"].as_str().unwrap_or(OCI_IMAGE).to_owned();
        self.put_bytes(name, reference, &media_type, serde_json::to_vec(manifest).unwrap()).await
    }

    pub async fn put_bytes(&self, name: &str, reference: &str, media_type: &str, bytes: Vec<u8>) -> Answer {
        let path = format!("/v2/{name}/manifests/{reference}");
        self.ask("PUT", &path).header("content-type", media_type).body(bytes).send().await
    }

    /// Pushes an image of one layer with `content` and gives the digest of its manifest.
    pub async fn push_image(&self, name: &str, tag: &str, content: &str) -> Digest {
        let manifest = self.image(name, content).await;
        self.put_manifest(name, tag, &manifest).await.expect(201);
        digest_of(&manifest)
    }

    /// The same where blobs have no grace, so that they may be gone before the manifest comes: then all is pushed again.
    pub async fn push_image_without_grace(&self, name: &str, tag: &str, content: &str) -> Digest {
        for _ in 0..20 {
            let manifest = self.image(name, content).await;
            let answer = self.put_manifest(name, tag, &manifest).await;
            if answer.status != 400 {
                answer.expect(201);
                return digest_of(&manifest);
            }
        }
        panic!("the blobs of {name}:{tag} are never there long enough")
    }

    /// Pushes the blobs of an image of one layer with `content` and gives its manifest.
    pub async fn image(&self, name: &str, content: &str) -> Value {
        self.push_blob(name, b"{}").await;
        self.push_blob(name, content.as_bytes()).await;
        image(content)
    }
}
