//! Peers on a simulated network, without TLS: who may call whom is not what is simulated.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use async_trait::async_trait;
use roadstead::index::peers::dial::{Dial, Io};
use roadstead::index::peers::listen::Listen;
use roadstead::index::peers::{Caller, Role};
use turmoil::net::{TcpListener, TcpStream};

pub const PEERS: u16 = 5001;
pub const CLIENTS: u16 = 5000;

#[derive(Debug)]
pub struct SimulatedDial;

#[async_trait]
impl Dial for SimulatedDial {
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Io>> {
        let (host, port) = address.split_once(':').unwrap();
        Ok(Box::new(TcpStream::connect((host, port.parse::<u16>().unwrap())).await?))
    }
}

pub struct SimulatedListener {
    listener: TcpListener,
    role: Role,
}

impl SimulatedListener {
    pub async fn bind(port: u16, role: Role) -> io::Result<Self> {
        let listener = TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), port)).await?;
        Ok(Self { listener, role })
    }
}

#[async_trait]
impl Listen for SimulatedListener {
    type Raw = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        Ok(self.listener.accept().await?.0)
    }

    async fn shake(&self, raw: TcpStream) -> io::Result<(Box<dyn Io>, Caller)> {
        Ok((Box::new(raw), Caller { role: self.role, names: Vec::new() }))
    }
}
