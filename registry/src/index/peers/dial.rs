//! Where somebody is, and the way there. A name is resolved at each dial, so a peer may come back at another address.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::Role;
use super::identity::{Identity, caller};

/// Bytes both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Makes connections to addresses such as `index-1:5001`.
#[async_trait]
pub trait Dial: Debug + Send + Sync {
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Io>>;
}

/// Mutual TLS to an index node: its certificate must be for the host that was dialed, and say that it is one.
#[derive(Debug)]
pub struct Tls {
    pub identity: Arc<Identity>,
    /// Where the names are that DNS does not know.
    pub addresses: BTreeMap<String, SocketAddr>,
}

#[async_trait]
impl Dial for Tls {
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Io>> {
        let (address, found) = address.split_once(FOUND).map_or((address, None), |(name, found)| (name, Some(found)));
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
        let socket = match (self.addresses.get(address), found) {
            (Some(address), _) => TcpStream::connect(address).await?,
            (None, Some(found)) => TcpStream::connect(found).await?,
            (None, None) => TcpStream::connect(address).await?,
        };
        socket.set_nodelay(true)?;
        let stream = TlsConnector::from(self.identity.client()).connect(name, socket).await?;
        let peer = caller(stream.get_ref().1.peer_certificates()).map_err(io::Error::other)?;
        if peer.role != Role::Index {
            return Err(io::Error::other(format!("{address} is no index node by its certificate")));
        }
        Ok(Box::new(stream))
    }
}

/// The socket of a process on this machine, whatever the address says.
#[derive(Debug)]
pub struct Socket(pub PathBuf);

#[async_trait]
impl Dial for Socket {
    async fn dial(&self, _address: &str) -> io::Result<Box<dyn Io>> {
        Ok(Box::new(UnixStream::connect(&self.0).await?))
    }
}

/// Stands between a name and the one of its addresses that is meant: `index:5001@10.0.0.7:5001`.
const FOUND: char = '@';

/// The nodes that names stand for: a headless service is one name for all of them. A name that nobody knows at the
/// moment stands for none.
pub async fn resolve(names: &[String], known: &BTreeMap<String, SocketAddr>) -> Vec<String> {
    let mut nodes = Vec::new();
    for name in names {
        if known.contains_key(name) {
            nodes.push(name.clone());
            continue;
        }
        match tokio::net::lookup_host(name).await {
            Ok(found) => match found.collect::<Vec<_>>().as_slice() {
                [_] => nodes.push(name.clone()),
                several => nodes.extend(several.iter().map(|address| format!("{name}{FOUND}{address}"))),
            },
            Err(error) => tracing::debug!(name, %error, "the name of an index node is not known"),
        }
    }
    nodes
}
