//! Bearer tokens: JSON Web Tokens (RFC 7519) signed with Ed25519 (RFC 8037), as the token specification of distribution
//! describes them. A token says who its holder is, what made him known, and what he asked to do; what he may do is
//! decided anew each time.

use std::collections::BTreeSet;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::caller::{Caller, Limits, Proof, Vouched};
use super::pattern::Pattern;
use super::policy::{Grant, Verb, Verbs};
use crate::config::Anonymous;
use crate::index::access::SigningKey;
use crate::index::command::Time;
use crate::oci::name::RepositoryName;

/// The longest text that is looked at.
const MAX_LENGTH: usize = 16 << 10;
/// Characters of patterns in one token at most, so that it stays well below that.
const MAX_PATTERNS: usize = 4 << 10;
/// What an [`Access`] is of whose name is a pattern of repositories. Clients neither ask for it nor read it.
const PATTERN: &str = "pattern";
/// Seconds that the clock of the process that signed may be ahead.
const LEEWAY: u64 = 5;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub sub: String,
    pub aud: String,
    pub exp: u64,
    pub nbf: u64,
    pub iat: u64,
    pub jti: String,
    pub access: Vec<Access>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched: Option<Vouched>,
}

/// One scope: `repository:<name>:pull,push` or `registry:catalog:*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    pub actions: Vec<String>,
    /// Exactly what it allows, of a token of ours: `actions` are the words that clients know, which say less. A tag that exists
    /// is moved with the same `push` that makes a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbs: Option<Verbs>,
}

/// Why a text is no token of ours. For the log: the client is told that it must log in.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    #[error("it is no JSON Web Token")]
    Form,
    #[error("its header names another key than ours, or another way to sign")]
    Header,
    #[error("no key of ours has its id")]
    Key,
    #[error("it is not signed by our key: {0}")]
    Signature(jsonwebtoken::errors::Error),
    #[error("it is for another registry")]
    Audience,
    #[error("it is not valid at this time")]
    Time,
}

impl Access {
    /// Reads one scope; none when it is nothing that we know.
    pub fn parse(scope: &str) -> Option<Self> {
        let (kind, rest) = scope.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        // `repository(plugin)` is how docker asks for plugins.
        let kind = kind.split_once('(').map_or(kind, |(kind, _)| kind);
        let actions = actions.split(',').filter(|action| !action.is_empty()).map(str::to_owned).collect();
        Some(Self { kind: kind.to_owned(), name: name.to_owned(), actions, verbs: None })
    }

    /// The repository and the verbs it is about.
    pub fn on_repository(&self) -> Option<(RepositoryName, Verbs)> {
        let name = self.name.parse().ok().filter(|_| self.kind == "repository")?;
        if let Some(verbs) = self.verbs {
            return Some((name, verbs));
        }
        let verbs = self.actions.iter().map(|action| match action.as_str() {
            "pull" => Verbs::of([Verb::Pull]),
            "push" => Verbs::of([Verb::Push, Verb::Overwrite]),
            "delete" => Verbs::of([Verb::Delete]),
            "*" => Verbs::ALL,
            _ => Verbs::NONE,
        });
        Some((name, verbs.fold(Verbs::NONE, Verbs::and)))
    }

    pub fn is_catalog(&self) -> bool {
        self.kind == "registry" && self.name == "catalog"
    }

    /// What it says when only these verbs are left.
    pub fn of(repository: &RepositoryName, verbs: Verbs) -> Self {
        let mut actions = Vec::new();
        for (verb, name) in [(Verb::Pull, "pull"), (Verb::Push, "push"), (Verb::Delete, "delete")] {
            if verbs.has(verb) {
                actions.push(name.to_owned());
            }
        }
        if verbs == Verbs::ALL {
            actions.push("*".into());
        }
        Self { kind: "repository".into(), name: repository.as_str().to_owned(), actions, verbs: Some(verbs) }
    }

    /// The list of repositories as one sees it whose token is limited to these grants: what of them may be read, as far as there is room.
    pub fn catalog_of(grants: &[Grant]) -> impl Iterator<Item = Self> {
        let mut room = MAX_PATTERNS;
        grants.iter().filter(|grant| grant.verbs.has(Verb::Pull)).map_while(move |grant| {
            let name = grant.repositories.to_string();
            room = room.checked_sub(name.len())?;
            Some(Self { kind: PATTERN.into(), name, actions: Vec::new(), verbs: Some(Verbs::of([Verb::Pull])) })
        })
    }

    /// What it allows on repositories.
    fn grant(&self) -> Option<Grant> {
        if self.kind == PATTERN {
            return Some(Grant { repositories: self.name.parse().ok()?, verbs: self.verbs? });
        }
        self.on_repository().map(|(name, verbs)| Grant { repositories: Pattern::exactly(&name), verbs })
    }

    /// The list of repositories.
    pub fn catalog() -> Self {
        Self { kind: "registry".into(), name: "catalog".into(), actions: vec!["*".into()], verbs: None }
    }
}

impl Claims {
    /// Signs them.
    pub fn sign(&self, key: &SigningKey) -> Result<String, jsonwebtoken::errors::Error> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key.id.clone());
        jsonwebtoken::encode(&header, self, &EncodingKey::from_ed_der(&key.private))
    }

    /// The caller that a checked token makes of a request.
    pub fn caller(&self, everyone: Anonymous, from: Option<std::net::IpAddr>, at: Time) -> Caller {
        let grants = self.access.iter().filter_map(Access::grant).collect();
        Caller {
            subject: Some(self.sub.clone()).filter(|subject| !subject.is_empty()),
            name: self.name.clone(),
            groups: self.groups.clone(),
            proof: self.proof.clone(),
            vouched: self.vouched.clone(),
            limits: Some(Limits { catalog: self.access.iter().any(Access::is_catalog), grants }),
            ..Caller::anonymous(everyone, from, at)
        }
    }

    pub fn is_valid_at(&self, now: Time) -> bool {
        let now = now.0 / 1000;
        now < self.exp && self.nbf <= now + LEEWAY
    }
}

/// The id of the key that a token says it is signed with, if it has the form of one of ours.
///
/// Only the header is read. It must not bring a key of its own (CVE-2025-24976), and say nothing that we do not know.
pub fn key_of(token: &str) -> Result<String, ClaimsError> {
    // Counted first, so that dots alone make no work (CVE-2025-30204).
    if token.len() > MAX_LENGTH || token.bytes().filter(|b| *b == b'.').take(3).count() != 2 {
        return Err(ClaimsError::Form);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| ClaimsError::Form)?;
    let brings_a_key = header.jwk.is_some() || header.jku.is_some() || header.x5u.is_some() || header.x5c.is_some();
    if header.alg != Algorithm::EdDSA || brings_a_key || header.crit.is_some() {
        return Err(ClaimsError::Header);
    }
    header.kid.ok_or(ClaimsError::Header)
}

/// Checks a token that says it is signed with `key`; `service` is who it must be for and from.
pub fn check(token: &str, key: &SigningKey, service: &str, now: Time) -> Result<Claims, ClaimsError> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    // By the time of the index, below: that of this machine may be another.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
    let data = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ed_der(&key.public), &validation)
        .map_err(ClaimsError::Signature)?;
    let claims = data.claims;
    if claims.aud != service || claims.iss != service {
        return Err(ClaimsError::Audience);
    }
    if claims.is_valid_at(now) { Ok(claims) } else { Err(ClaimsError::Time) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_allows_exactly_what_it_was_made_for() {
        let repository: RepositoryName = "team/app".parse().unwrap();
        for bits in 0..32_u32 {
            let all = [Verb::Pull, Verb::Push, Verb::Overwrite, Verb::Delete, Verb::Admin];
            let verbs =
                Verbs::of(all.into_iter().zip(0..).filter(|(_, bit)| bits >> bit & 1 == 1).map(|(verb, _)| verb));
            let said = serde_json::to_string(&Access::of(&repository, verbs)).unwrap();
            let read: Access = serde_json::from_str(&said).unwrap();
            assert_eq!(read.on_repository(), Some((repository.clone(), verbs)), "{said}");
        }
    }

    #[test]
    fn the_list_of_a_limited_token_names_what_it_may_read_and_leaves_room() {
        let grant = |pattern: &str, verb| Grant { repositories: pattern.parse().unwrap(), verbs: Verbs::of([verb]) };
        let grants = [grant("team/**", Verb::Pull), grant("other/*", Verb::Push), grant("app", Verb::Pull)];
        let listed: Vec<_> = Access::catalog_of(&grants).filter_map(|access| access.grant()).collect();
        assert_eq!(listed, [grants[0].clone(), grants[2].clone()]);
        let long = vec![grant(&"x".repeat(200), Verb::Pull); 100];
        assert_eq!(Access::catalog_of(&long).count(), 20);
    }
}
