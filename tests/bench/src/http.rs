//! A connection to a server: HTTP/1.1, kept alive, plain or over TLS, as the clients of registries use it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Where a server is, and how to get there.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

pub struct Connection {
    host: String,
    sender: SendRequest<Body>,
}

/// An answer, all of it.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Target {
    pub async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.address).await.with_context(|| format!("connect {}", self.address))?;
        stream.set_nodelay(true)?;
        let mut builder = Builder::new();
        // One read takes what the kernel has, of a large body.
        builder.max_buf_size(1 << 20);
        let sender = match &self.tls {
            None => {
                let (sender, driver) = builder.handshake(TokioIo::new(stream)).await?;
                tokio::spawn(driver);
                sender
            }
            Some(config) => {
                let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
                let name = ServerName::IpAddress(self.address.ip().into());
                let stream = connector.connect(name, stream).await.context("TLS")?;
                let (sender, driver) = builder.handshake(TokioIo::new(stream)).await?;
                tokio::spawn(driver);
                sender
            }
        };
        Ok(Connection { host: self.address.to_string(), sender })
    }

    pub async fn connect_many(&self, count: usize) -> Result<Vec<Connection>> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push(self.connect().await?);
        }
        Ok(all)
    }
}

/// A request to be sent; the path has its query.
#[derive(Debug)]
pub struct Ask<'a> {
    pub method: Method,
    pub path: &'a str,
    pub content_type: Option<&'a str>,
    pub accept: Option<&'a str>,
    pub content_range: Option<String>,
}

impl<'a> Ask<'a> {
    pub const fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, content_type: None, accept: None, content_range: None }
    }

    pub const fn get(path: &'a str) -> Self {
        Self::new(Method::GET, path)
    }
}

impl Connection {
    /// Sends a request whose body is of so many bytes.
    pub async fn send(&mut self, ask: Ask<'_>, length: u64, body: Body) -> Result<Response<Incoming>> {
        let mut request = Request::builder().method(ask.method).uri(ask.path).header(HOST, &self.host);
        request = request.header(CONTENT_LENGTH, length);
        if let Some(text) = ask.content_type {
            request = request.header(CONTENT_TYPE, text);
        }
        if let Some(text) = ask.accept {
            request = request.header("accept", text);
        }
        if let Some(text) = &ask.content_range {
            request = request.header("content-range", text);
        }
        self.sender.ready().await?;
        Ok(self.sender.send_request(request.body(body)?).await?)
    }

    /// Sends a short request, and takes the whole answer.
    pub async fn call(&mut self, ask: Ask<'_>, body: Bytes) -> Result<Answer> {
        let response = self.send(ask, body.len() as u64, whole(body)).await?;
        answer(response).await
    }

    pub async fn get(&mut self, path: &str) -> Result<Answer> {
        self.call(Ask::get(path), Bytes::new()).await
    }
}

pub fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).boxed_unsync()
}

pub fn pieces(pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Body {
    let frames = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
}

pub async fn answer(response: Response<Incoming>) -> Result<Answer> {
    let (parts, mut body) = response.into_parts();
    let mut whole = BytesMut::new();
    let mut first: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        // Most answers come in one piece, which is not copied.
        if whole.is_empty() && first.is_none() {
            first = Some(data);
        } else {
            if let Some(first) = first.take() {
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&data);
        }
    }
    let body = first.unwrap_or_else(|| whole.freeze());
    Ok(Answer { status: parts.status, headers: parts.headers, body })
}

impl Answer {
    pub fn expect(self, status: StatusCode) -> Result<Self> {
        ensure!(self.status == status, "{} instead of {status}: {}", self.status, String::from_utf8_lossy(&self.body));
        Ok(self)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Where to go on, as it was said: with its query, without the server's name.
    pub fn location(&self) -> Result<String> {
        Ok(path_of(self.header("location").context("no Location")?))
    }
}

/// The path and the query of an address.
pub fn path_of(address: &str) -> String {
    match address.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]).to_owned(),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_followed_verbatim() {
        assert_eq!(
            path_of("http://127.0.0.1:5/v2/a/blobs/uploads/x?_state=a%2Fb"),
            "/v2/a/blobs/uploads/x?_state=a%2Fb"
        );
        assert_eq!(path_of("/v2/a?x=1"), "/v2/a?x=1");
    }
}
