//! S3 servers: one in this process that keeps everything in memory and does wrong on demand, and a real one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tempfile::TempDir;

use super::wait::{PATIENCE, within};

/// What is done wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered with this status, nothing done.
    Status(u16),
    /// Never answered.
    Stall,
    /// Done, and answered with a failure.
    DoneAndFailed,
    /// The body of a download breaks off in the middle.
    Truncated,
    /// One byte of a download is flipped.
    Flipped,
    /// A download is the whole object, whatever range was asked for.
    RangeIgnored,
    /// The end of a multipart upload fails under a status of success, as S3 may do.
    FailedInside,
}

/// Decides what goes wrong with a request, by its method and whether it has a key.
pub type Faults = Box<dyn FnMut(&Method, &str) -> Option<Fault> + Send>;

/// A multipart upload: its key, and the parts by number.
type Multipart = (String, BTreeMap<u32, Bytes>);

#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Bytes>>,
    uploads: Mutex<BTreeMap<String, Multipart>>,
    faults: Mutex<Option<Faults>>,
    requests: AtomicU64,
    written: AtomicU64,
    ids: AtomicU64,
}

/// An S3 server in memory.
#[derive(Clone)]
pub struct FakeS3 {
    bucket: Arc<Bucket>,
    endpoint: String,
}

impl FakeS3 {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let bucket = Arc::new(Bucket::default());
        let serving = bucket.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let bucket = serving.clone();
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| answer(bucket.clone(), request));
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(connection), service).await;
                });
            }
        });
        Self { bucket, endpoint }
    }

    /// The settings that make a registry use it.
    pub fn settings(&self) -> Vec<String> {
        settings(&self.endpoint)
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// From now on `faults` is asked of each request.
    pub fn fail(&self, faults: impl FnMut(&Method, &str) -> Option<Fault> + Send + 'static) {
        *self.bucket.faults.lock().unwrap() = Some(Box::new(faults));
    }

    /// From now on nothing goes wrong.
    pub fn heal(&self) {
        *self.bucket.faults.lock().unwrap() = None;
    }

    pub fn keys(&self) -> Vec<String> {
        self.bucket.objects.lock().unwrap().keys().cloned().collect()
    }

    pub fn unfinished(&self) -> usize {
        self.bucket.uploads.lock().unwrap().len()
    }

    /// Bytes that were sent to it in bodies.
    pub fn written(&self) -> u64 {
        self.bucket.written.load(Ordering::Relaxed)
    }

    pub fn requests(&self) -> u64 {
        self.bucket.requests.load(Ordering::Relaxed)
    }

    /// Does something to what is stored, behind the back of everybody.
    pub fn edit<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Bytes>) -> T) -> T {
        change(&mut self.bucket.objects.lock().unwrap())
    }

    /// Flips one byte of an object.
    pub fn corrupt_one(&self, key: &str) {
        self.edit(|objects| {
            let content = objects.get_mut(key).unwrap();
            *content = flipped(content);
        });
    }

    /// Flips one byte of every object but `OWNER`, as a disk that lies.
    pub fn corrupt(&self) {
        for (key, content) in self.bucket.objects.lock().unwrap().iter_mut() {
            if !key.ends_with("OWNER") {
                *content = flipped(content);
            }
        }
    }
}

fn settings(endpoint: &str) -> Vec<String> {
    [
        "storage.kind=s3",
        "storage.s3.bucket=registry",
        &format!("storage.s3.endpoint={endpoint}"),
        "storage.s3.region=us-east-1",
        "storage.s3.path_style=true",
        "storage.s3.access_key_id=test",
        "storage.s3.secret_access_key=testtest",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn flipped(content: &Bytes) -> Bytes {
    let mut content = content.to_vec();
    let middle = content.len() / 2;
    if let Some(byte) = content.get_mut(middle) {
        *byte ^= 1;
    }
    content.into()
}

type Body = BoxBody<Bytes, std::io::Error>;

fn reply(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed();
    Response::builder().status(status).header("content-type", "application/xml").body(body).unwrap()
}

fn failed(status: u16, code: &str) -> Response<Body> {
    reply(status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>"))
}

async fn answer(bucket: Arc<Bucket>, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
    bucket.requests.fetch_add(1, Ordering::Relaxed);
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    bucket.written.fetch_add(body.len() as u64, Ordering::Relaxed);
    let key = parts.uri.path().trim_start_matches('/').split_once('/').map_or("", |(_, key)| key).to_owned();
    let fault = bucket.faults.lock().unwrap().as_mut().and_then(|faults| faults(&parts.method, &key));
    match fault {
        Some(Fault::Status(status)) => {
            return Ok(failed(status, if status == 503 { "SlowDown" } else { "InternalError" }));
        }
        Some(Fault::Stall) => std::future::pending::<()>().await,
        _ => {}
    }
    let query: BTreeMap<String, String> =
        parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
    let range = parts.headers.get("range").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let response = act(&bucket, &parts.method, &key, &query, range.as_deref(), body, fault);
    Ok(if fault == Some(Fault::DoneAndFailed) { failed(500, "InternalError") } else { response })
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
}

fn act(
    bucket: &Bucket,
    method: &Method,
    key: &str,
    query: &BTreeMap<String, String>,
    range: Option<&str>,
    body: Bytes,
    fault: Option<Fault>,
) -> Response<Body> {
    let mut objects = bucket.objects.lock().unwrap();
    let mut uploads = bucket.uploads.lock().unwrap();
    let upload = query.get("uploadId");
    match (method.as_str(), upload) {
        ("GET", _) if key.is_empty() && query.contains_key("uploads") => {
            let prefix = query.get("prefix").map_or("", String::as_str);
            let listed = uploads
                .iter()
                .filter(|(_, (key, _))| key.starts_with(prefix))
                .map(|(id, (key, _))| {
                    let began = "<Initiated>2020-01-01T00:00:00.000Z</Initiated>";
                    format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId>{began}</Upload>")
                })
                .collect::<Vec<_>>()
                .concat();
            reply(
                200,
                format!(
                    "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{listed}</ListMultipartUploadsResult>"
                ),
            )
        }
        ("GET", _) if key.is_empty() => list(&objects, query),
        ("GET", _) => match objects.get(key) {
            Some(content) => download(content, range, fault),
            None => failed(404, "NoSuchKey"),
        },
        ("PUT", Some(id)) => {
            let number = query["partNumber"].parse().unwrap();
            match uploads.get_mut(id) {
                Some((_, parts)) => {
                    parts.insert(number, body);
                    let mut response = reply(200, "");
                    response.headers_mut().insert("etag", format!("\"{number}\"").parse().unwrap());
                    response
                }
                None => failed(404, "NoSuchUpload"),
            }
        }
        ("PUT", None) => {
            objects.insert(key.to_owned(), body);
            reply(200, "")
        }
        ("POST", None) => {
            let id = bucket.ids.fetch_add(1, Ordering::Relaxed).to_string();
            uploads.insert(id.clone(), (key.to_owned(), BTreeMap::new()));
            reply(
                200,
                format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"),
            )
        }
        ("POST", Some(_)) if fault == Some(Fault::FailedInside) => {
            let mut response = failed(500, "InternalError");
            *response.status_mut() = StatusCode::OK;
            response
        }
        ("POST", Some(id)) => match uploads.get(id).map(|(_, parts)| join(parts, &body)) {
            Some(Some(content)) => {
                uploads.remove(id);
                objects.insert(key.to_owned(), content);
                reply(200, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")
            }
            Some(None) => failed(400, "InvalidPart"),
            None => failed(404, "NoSuchUpload"),
        },
        ("HEAD", _) => match objects.get(key) {
            Some(content) => Response::builder().header("content-length", content.len()).body(empty()).unwrap(),
            None => Response::builder().status(404).body(empty()).unwrap(),
        },
        ("DELETE", Some(id)) => {
            uploads.remove(id);
            reply(204, "")
        }
        ("DELETE", None) => {
            objects.remove(key);
            reply(204, "")
        }
        _ => failed(405, "MethodNotAllowed"),
    }
}

fn empty() -> Body {
    Full::default().map_err(|never: Infallible| match never {}).boxed()
}

/// The parts that the client names, if they are in order and each is what was stored.
fn join(parts: &BTreeMap<u32, Bytes>, named: &[u8]) -> Option<Bytes> {
    let named = String::from_utf8_lossy(named);
    let mut content = Vec::new();
    let mut last = 0;
    for part in named.split("</Part>").filter(|part| part.contains("<Part>")) {
        let field = |name: &str| part.split_once(&format!("<{name}>"))?.1.split('<').next();
        let number: u32 = field("PartNumber")?.parse().ok()?;
        let tag = field("ETag")?.replace("&quot;", "");
        if number <= last || tag.trim_matches('"') != number.to_string() {
            return None;
        }
        content.extend_from_slice(parts.get(&number)?);
        last = number;
    }
    (last as usize == parts.len()).then_some(content.into())
}

/// ListObjectsV2, two keys a page, so that paging is always tried.
fn list(objects: &BTreeMap<String, Bytes>, query: &BTreeMap<String, String>) -> Response<Body> {
    let prefix = query.get("prefix").map_or("", String::as_str);
    let after = query.get("continuation-token").map_or("", String::as_str);
    let mut keys = objects.keys().filter(|key| key.starts_with(prefix) && key.as_str() > after);
    let page: Vec<_> = keys.by_ref().take(2).collect();
    let more = keys.next().is_some();
    let contents: Vec<_> =
        page.iter().map(|key| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>")).collect();
    let next = if more { format!("<NextContinuationToken>{}</NextContinuationToken>", page[1]) } else { String::new() };
    reply(
        200,
        format!("<ListBucketResult><IsTruncated>{more}</IsTruncated>{next}{}</ListBucketResult>", contents.concat()),
    )
}

fn download(content: &Bytes, range: Option<&str>, fault: Option<Fault>) -> Response<Body> {
    if fault == Some(Fault::RangeIgnored) {
        return reply(200, content.clone());
    }
    let range = range.and_then(|text| text.strip_prefix("bytes=")?.split_once('-'));
    let (from, to) = match range {
        Some((from, last)) => (from.parse().unwrap(), (last.parse::<usize>().unwrap() + 1).min(content.len())),
        None => (0, content.len()),
    };
    if from >= to {
        return failed(416, "InvalidRange");
    }
    let part = content.slice(from..to);
    let response = Response::builder()
        .status(StatusCode::PARTIAL_CONTENT)
        .header("content-length", part.len())
        .header("content-range", format!("bytes {from}-{}/{}", to - 1, content.len()));
    let body = match fault {
        Some(Fault::Truncated) => {
            let half = part.slice(..part.len() / 2);
            // The first half is on its way before the connection breaks.
            let broken = futures::stream::once(async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(std::io::Error::other("broken on purpose"))
            });
            let frames = futures::stream::once(std::future::ready(Ok(Frame::data(half))));
            BodyExt::boxed(StreamBody::new(futures::StreamExt::chain(frames, broken)))
        }
        Some(Fault::Flipped) => Full::new(flipped(&part)).map_err(|never: Infallible| match never {}).boxed(),
        _ => Full::new(part).map_err(|never: Infallible| match never {}).boxed(),
    };
    response.body(body).unwrap()
}

/// versitygw, a real S3 server, on a directory of its own. Killed when it is dropped.
pub struct Versitygw {
    child: Child,
    endpoint: String,
    _directory: TempDir,
}

impl Versitygw {
    pub async fn start() -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
        let program = cache.join("roadstead/bin/versitygw");
        assert!(program.exists(), "{} is missing: run tests/tools versitygw", program.display());
        let directory = tempfile::tempdir().unwrap();
        let (data, meta) = (directory.path().join("data"), directory.path().join("meta"));
        std::fs::create_dir_all(data.join("registry")).unwrap();
        std::fs::create_dir_all(&meta).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .args(["--port", &format!("127.0.0.1:{port}"), "posix", "--sidecar"])
            .args([&meta, &data])
            .env("ROOT_ACCESS_KEY", "test")
            .env("ROOT_SECRET_KEY", "testtest")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let endpoint = format!("http://127.0.0.1:{port}");
        within(PATIENCE, "versitygw answers", async || reqwest::get(&endpoint).await.is_ok()).await;
        Self { child, endpoint, _directory: directory }
    }

    pub fn settings(&self) -> Vec<String> {
        settings(&self.endpoint)
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for Versitygw {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a registry in a test is told not to wait long for a store that does not answer.
pub fn impatient() -> Vec<String> {
    ["storage.s3.attempt_seconds=1", "storage.s3.attempts=2"].map(str::to_owned).to_vec()
}

/// The longest such a registry may take to give up on the store.
pub const GIVES_UP: Duration = Duration::from_secs(20);
