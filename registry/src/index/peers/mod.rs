//! The way between processes of one cluster: HTTP/2 under mutual TLS, MessagePack inside.
//!
//! [`identity`] says who may speak, [`dial`] where somebody is, [`connection`] calls, [`listen`] is called, and [`wire`]
//! is what is said. Nothing here knows what a call means: `raft::network` and `remote` call, [`super::answer`] answers.

pub mod connection;
pub mod dial;
pub mod identity;
pub mod issue;
pub mod listen;
pub mod wire;

/// What a certificate allows its holder, told by a name in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// May vote, append, and answer.
    Index,
    /// May send commands and queries.
    Registry,
    /// May change the membership.
    Admin,
}

impl Role {
    const ALL: [Self; 3] = [Self::Index, Self::Registry, Self::Admin];

    /// The URI among a certificate's names that stands for the role.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Index => "roadstead://index",
            Self::Registry => "roadstead://registry",
            Self::Admin => "roadstead://admin",
        }
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub role: Role,
    /// The names of its certificate; empty on the socket of the machine itself.
    pub names: Vec<String>,
}
