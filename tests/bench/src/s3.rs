//! An S3 server behind a proxy of our own that counts requests and bytes, and can make each answer late.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::http::{Ask, Target};
use crate::peer::{Process, S3, free_port};

const BUCKET: &str = "bench";
const KEY: &str = "bench";
const SECRET: &str = "benchbench";
const COUNTS: &str = "/_counts";
const PATIENCE: Duration = Duration::from_secs(20);

/// What clients of the store asked of it, since they were last forgotten.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    pub requests: u64,
    /// Bytes of bodies that were sent to it.
    pub written: u64,
    /// Bytes that it copied by itself are not among them: so many requests said COPY.
    pub copies: u64,
    /// How long it worked on the request that took it longest, in microseconds, without what it was made late.
    pub slowest: u64,
}

/// A store that runs, until this is dropped.
pub struct Store {
    pub access: S3,
    data: PathBuf,
    proxy: Target,
    _processes: [Process; 2],
}

impl Store {
    /// Starts it with this program of versitygw, below a directory.
    pub async fn start(versitygw: &Path, below: &Path, late: Duration) -> Result<Self> {
        let (upstream, listen) = (free_port()?, free_port()?);
        let data = below.join("s3");
        std::fs::create_dir_all(data.join(BUCKET))?;
        std::fs::create_dir_all(below.join("metadata"))?;
        let mut server = Command::new(versitygw);
        server.env("ROOT_ACCESS_KEY", KEY).env("ROOT_SECRET_KEY", SECRET);
        server.args(["--port", &format!("127.0.0.1:{upstream}"), "posix", "--sidecar"]);
        server.arg(below.join("metadata")).arg(&data);
        let server = Process::start(server, &below.join("s3.log"), false)?;
        let mut proxy = Command::new(std::env::current_exe()?);
        proxy.args(["s3-proxy", &listen.to_string(), &upstream.to_string(), &late.as_millis().to_string()]);
        let proxy = Process::start(proxy, &below.join("s3-proxy.log"), false)?;
        let access = S3 {
            endpoint: format!("http://127.0.0.1:{listen}"),
            bucket: BUCKET.to_owned(),
            access_key: KEY.to_owned(),
            secret_key: SECRET.to_owned(),
        };
        let target = Target { address: SocketAddr::from((Ipv4Addr::LOCALHOST, listen)), tls: None };
        let store = Self { access, data, proxy: target, _processes: [server, proxy] };
        let began = Instant::now();
        while !store.answers().await {
            if began.elapsed() > PATIENCE {
                bail!("versitygw does not answer: see {}", below.join("s3.log").display());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(store)
    }

    async fn answers(&self) -> bool {
        let Ok(mut connection) = self.proxy.connect().await else { return false };
        connection.get("/").await.is_ok_and(|answer| answer.status != StatusCode::BAD_GATEWAY)
    }

    pub async fn counts(&self) -> Result<Counts> {
        let answer = self.proxy.connect().await?.get(COUNTS).await?.expect(StatusCode::OK)?;
        Ok(serde_json::from_slice(&answer.body)?)
    }

    pub async fn forget_counts(&self) -> Result<()> {
        let ask = Ask::new(Method::DELETE, COUNTS);
        self.proxy.connect().await?.call(ask, Bytes::new()).await?.expect(StatusCode::OK)?;
        Ok(())
    }

    /// Removes the content of large objects, which nobody reads again, so that runs need no more space than one.
    pub fn drop_large(&self) -> Result<()> {
        let mut directories = vec![self.data.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    directories.push(entry.path());
                } else if entry.metadata()?.len() > 1 << 20 {
                    std::fs::write(entry.path(), [])?;
                }
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Counting {
    requests: AtomicU64,
    written: AtomicU64,
    copies: AtomicU64,
    slowest: AtomicU64,
}

/// Serves on `listen`, for the server on `upstream`, until the process is ended.
pub async fn proxy(listen: u16, upstream: u16, late: Duration) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, listen)).await?;
    let counting = Arc::new(Counting::default());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let counting = Arc::clone(&counting);
        tokio::spawn(async move {
            // A connection of a client has one to the server, and asks it in its order.
            let ahead = Arc::new(tokio::sync::Mutex::new(None));
            let service =
                service_fn(move |request| answer(request, Arc::clone(&counting), Arc::clone(&ahead), upstream, late));
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.max_buf_size(1 << 20);
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Ahead = Arc<tokio::sync::Mutex<Option<hyper::client::conn::http1::SendRequest<Counted>>>>;
type Counted = UnsyncBoxBody<Bytes, hyper::Error>;

async fn answer(
    request: Request<Incoming>,
    counting: Arc<Counting>,
    ahead: Ahead,
    upstream: u16,
    late: Duration,
) -> Result<Response<Counted>, Infallible> {
    if request.uri().path() == COUNTS {
        return Ok(counts(&request, &counting));
    }
    counting.requests.fetch_add(1, Ordering::Relaxed);
    if request.headers().contains_key("x-amz-copy-source") {
        counting.copies.fetch_add(1, Ordering::Relaxed);
    }
    tokio::time::sleep(late).await;
    let began = Instant::now();
    let answered = forward(request, &counting, &ahead, upstream).await;
    counting.slowest.fetch_max(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    Ok(answered.unwrap_or_else(|error| {
        let mut response = Response::new(full(error.to_string()));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    }))
}

async fn forward(
    request: Request<Incoming>,
    counting: &Arc<Counting>,
    ahead: &Ahead,
    upstream: u16,
) -> Result<Response<Counted>> {
    let counting = Arc::clone(counting);
    let request = request.map(|body| {
        let counted = body.map_frame(move |frame| {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            counting.written.fetch_add(bytes, Ordering::Relaxed);
            frame
        });
        counted.boxed_unsync()
    });
    let mut ahead = ahead.lock().await;
    if ahead.as_ref().is_none_or(hyper::client::conn::http1::SendRequest::is_closed) {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await?;
        stream.set_nodelay(true)?;
        let mut builder = hyper::client::conn::http1::Builder::new();
        builder.max_buf_size(1 << 20);
        let (sender, driver) = builder.handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        *ahead = Some(sender);
    }
    let sender = ahead.as_mut().context("no connection")?;
    sender.ready().await?;
    Ok(sender.send_request(request).await?.map(http_body_util::BodyExt::boxed_unsync))
}

fn counts(request: &Request<Incoming>, counting: &Counting) -> Response<Counted> {
    let all = [&counting.requests, &counting.written, &counting.copies, &counting.slowest];
    if request.method() == Method::DELETE {
        for count in all {
            count.store(0, Ordering::Relaxed);
        }
        return Response::new(full(String::new()));
    }
    let [requests, written, copies, slowest] = all.map(|count| count.load(Ordering::Relaxed));
    let counts = Counts { requests, written, copies, slowest };
    Response::new(full(serde_json::to_string(&counts).unwrap_or_default()))
}

fn full(text: String) -> Counted {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}
