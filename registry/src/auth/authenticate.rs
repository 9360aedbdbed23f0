//! Finds out who makes a request, from its `Authorization`. What took work is remembered, and holds only as long as the
//! index still says the same when the request is judged: so nothing here has to be told of changes.

mod directory;
mod keys;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::caller::{By, Caller, Limits, Proof};
use super::claims::{self, Claims};
use super::external::{Checked, External, ExternalError, is_external};
use super::issuer::Known;
use super::kubernetes::{Kubernetes, KubernetesError};
use super::ldap::{Ldap, LdapError};
use super::policy::Verbs;
use super::secret::{PasswordHash, TokenText};
use super::throttle::{self, Throttle, Try, source};
use super::turns::{Full, Turns};
use crate::config::{self, Anonymous};
use crate::index::access::{self, AccessChange, GetCredentials, GetToken, Kind, TokenCredentials};
use crate::index::command::{Command, Time};
use crate::index::{Index, IndexError};
use crate::oci::name::RepositoryName;
use crate::random::RandomError;

/// Passwords, tokens and bearer tokens that were checked and are remembered.
const REMEMBERED: u64 = 20_000;
/// How long it is taken for likely that somebody may change what he could change before.
pub(super) const FORESEEN: Duration = Duration::from_secs(5);
/// Passwords that are hashed at once, each with 19 MiB and a core; and how many requests of one source may wait for that, and of all.
const HASHING: usize = 2;
const WAITING_OF_ONE: usize = 32;
const WAITING: usize = 4096;
/// The longest header that is looked at.
const MAX_HEADER: usize = 16 << 10;

/// What a client came with.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    None,
    Basic { name: String, secret: String },
    Bearer(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Basic { name, .. } => write!(f, "basic {name:?}"),
            Self::Bearer(_) => f.write_str("bearer"),
        }
    }
}

/// Why it is not known who a client is.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Not a word more: it must not show which part was wrong.
    #[error("the credentials are not right, or no longer")]
    Wrong,
    #[error("too many attempts from this address: wait a little")]
    TooMany,
    #[error("too many passwords wait to be checked: try again in some seconds")]
    Busy,
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("whoever issued the token cannot be asked for its keys")]
    Issuer(#[source] ExternalError),
    #[error("the cluster cannot be asked whose the token is and what it may do")]
    Kubernetes(#[from] KubernetesError),
    #[error("the directory that knows people here cannot be asked")]
    Directory(#[from] LdapError),
    #[error("there are no random numbers")]
    Random(#[from] RandomError),
    #[error("the hashing of a password broke off")]
    Hash(#[from] tokio::task::JoinError),
}

/// Why nobody can be made known at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("there are no random numbers")]
    Random(#[from] RandomError),
    #[error(transparent)]
    Directory(#[from] LdapError),
}

/// Who a client is, and how that was found out.
#[derive(Debug)]
pub struct Identified {
    pub caller: Caller,
    /// It is a password: it must hold at the moment of each question.
    pub is_strict: bool,
    /// It may be out of date, and is remembered under this: to be forgotten when it no longer holds.
    pub remembered: Option<[u8; 32]>,
    /// Until when what he came with is good, in seconds, if somebody else than the index says so.
    pub expires: Option<u64>,
}

/// Checks credentials.
pub struct Authenticator {
    /// Under this what is remembered is named, so that a dump of it is of no use elsewhere.
    secret: [u8; 32],
    /// The account's password version.
    passwords: Cache<[u8; 32], u64>,
    tokens: Cache<String, Arc<TokenCredentials>>,
    bearers: Cache<[u8; 32], Arc<Claims>>,
    /// What callers could change lately, and the feature level then. By the clock of the runtime, which simulations have in hand.
    pub(super) foreseen: Cache<Vec<u8>, (u32, tokio::time::Instant)>,
    keys: Mutex<keys::Keys>,
    asking: tokio::sync::Mutex<()>,
    hashing: Turns<IpAddr>,
    throttle: Throttle,
    external: External,
    kubernetes: Option<Kubernetes>,
    ldap: Option<Ldap>,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

impl Authenticator {
    pub fn new(access: &config::Access) -> Result<Self, SetupError> {
        let mut secret = [0; 32];
        crate::random::fill(&mut secret)?;
        Ok(Self {
            secret,
            passwords: Cache::new(REMEMBERED),
            tokens: Cache::new(REMEMBERED),
            bearers: Cache::new(REMEMBERED),
            foreseen: Cache::new(REMEMBERED),
            keys: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            hashing: Turns::new(HASHING, WAITING_OF_ONE, WAITING),
            throttle: Throttle::default(),
            external: External::default(),
            kubernetes: Kubernetes::new(&access.kubernetes),
            ldap: Ldap::new(&access.ldap)?,
        })
    }

    /// Says who a client is, by what he came with.
    pub async fn identify(
        &self,
        index: &Index,
        credentials: &Credentials,
        everyone: Anonymous,
        from: IpAddr,
    ) -> Result<Identified, AuthError> {
        match credentials {
            Credentials::None => Ok(Identified {
                caller: Caller::anonymous(everyone, Some(from), index.time()),
                is_strict: false,
                remembered: None,
                expires: None,
            }),
            Credentials::Bearer(text) => match TokenText::parse(text) {
                Some(token) => self.token(index, &token, None, everyone, from).await,
                None => self.bearer(index, text, everyone, from).await,
            },
            Credentials::Basic { name, secret } => match TokenText::parse(secret) {
                Some(token) => self.token(index, &token, Some(name), everyone, from).await,
                // Clients that know of passwords alone bring it as one, under any name.
                None if is_external(secret, &index.cluster().id) => self.external(index, secret, everyone, from).await,
                None => self.password(index, name, secret, everyone, from).await,
            },
        }
    }

    /// Forgets what no longer holds.
    pub fn forget(&self, remembered: [u8; 32]) {
        self.passwords.invalidate(&remembered);
        self.external.forget(&remembered);
    }

    async fn password(
        &self,
        index: &Index,
        name: &str,
        password: &str,
        everyone: Anonymous,
        from: IpAddr,
    ) -> Result<Identified, AuthError> {
        let identified = |version, remembered| Identified {
            caller: Caller {
                subject: Some(format!("{}:{name}", Kind::User.as_str())),
                name: Some(name.to_owned()),
                proof: Some(Proof { account: name.to_owned(), by: By::Password(version) }),
                ..Caller::anonymous(everyone, Some(from), index.time())
            },
            is_strict: true,
            remembered,
            expires: None,
        };
        let place = self.place(name, password);
        if let Some(version) = self.passwords.get(&place) {
            return Ok(identified(version, Some(place)));
        }
        let vouched = |known: Arc<Known>| of_another(index, Arc::unwrap_or_clone(known), everyone, from);
        if let Some(known) = self.ldap.as_ref().and_then(|ldap| ldap.remembered(&place)) {
            return Ok(vouched(known));
        }
        let _try = self.begin(from, name).await?;
        let credentials = index.query(GetCredentials { account: name.to_owned() }).await?;
        // Whoever has an account here is that one, though it be shut: no directory takes its name over.
        if let (None, Some(ldap)) = (&credentials, &self.ldap) {
            return self.by_directory(index, ldap, name, password, from).await.map(vouched);
        }
        let now = index.time();
        let is_usable = |it: &access::Credentials| access::is_usable(it.is_disabled, it.ends, now);
        let kept = credentials.filter(is_usable).and_then(|credentials| credentials.password);
        // Unknown users take as long as known ones.
        let is_known = kept.is_some();
        let kept = kept.unwrap_or_else(PasswordHash::of_nobody);
        let version = kept.version();
        let password = password.to_owned();
        if self.hash(from, move || kept.is(&password)).await? && is_known {
            self.throttle.was_right(from, name);
            self.passwords.insert(place, version);
            // While it was hashed, the same may have been set again.
            return Ok(identified(version, Some(place)));
        }
        self.throttle.was_wrong(from, name);
        Err(AuthError::Wrong)
    }

    /// Does what takes a hash of a password, in turns of those who ask and away from the threads that serve connections.
    ///
    /// # Errors
    /// [`AuthError::Busy`] when too many wait, and [`AuthError::Hash`] when the work broke off.
    pub async fn hash<T: Send + 'static>(
        &self,
        from: IpAddr,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AuthError> {
        let _turn = self.hashing.take(source(from)).await.map_err(|Full| AuthError::Busy)?;
        Ok(tokio::task::spawn_blocking(work).await?)
    }

    /// Lets somebody try what may be a guess and takes work; [`Self::was_no_guess`] says that it was none.
    pub fn admit(&self, from: IpAddr) -> Result<(), AuthError> {
        if self.throttle.may_try(from) { Ok(()) } else { Err(AuthError::TooMany) }
    }

    pub fn was_no_guess(&self, from: IpAddr) {
        self.throttle.give_back(from);
    }

    /// Grants a caller what RBAC of his cluster does, of all that he may need; a repository of none stands for all.
    pub async fn grant(
        &self,
        caller: &mut Caller,
        wanted: impl FnOnce() -> Vec<(Option<RepositoryName>, Verbs)>,
    ) -> Result<(), AuthError> {
        if let Some(kubernetes) = self.kubernetes.as_ref().filter(|kubernetes| kubernetes.grants_to(caller)) {
            caller.grants = kubernetes.grants(caller, &wanted()).await?;
        }
        Ok(())
    }

    /// By the word of an issuer who is trusted.
    async fn external(
        &self,
        index: &Index,
        text: &str,
        everyone: Anonymous,
        from: IpAddr,
    ) -> Result<Identified, AuthError> {
        let cluster = self.kubernetes.as_ref().filter(|kubernetes| kubernetes.is_meant(text));
        if let Some(known) = cluster.and_then(|kubernetes| kubernetes.known(text)) {
            return known.map(|holder| of_another(index, holder, everyone, from)).ok_or(AuthError::Wrong);
        }
        let checked = match self.external.known(index, text) {
            Some(known) => Ok(known),
            None if !self.throttle.may_try(from) => return Err(AuthError::TooMany),
            None => {
                let checked = self.external.check(index, text).await;
                // Nodes behind one address come with as many tokens as they have pods.
                if checked.is_ok() {
                    self.throttle.give_back(from);
                }
                checked
            }
        };
        if let (Err(ExternalError::Issuer { .. }), Some(kubernetes)) = (&checked, cluster) {
            let holder = kubernetes.who(text).await?.ok_or(AuthError::Wrong)?;
            self.throttle.give_back(from);
            return Ok(of_another(index, holder, everyone, from));
        }
        let Checked { voucher, remembered } = match checked {
            Ok(checked) => checked,
            Err(ExternalError::Index(error)) => return Err(error.into()),
            Err(error @ ExternalError::Keys { .. }) => return Err(AuthError::Issuer(error)),
            Err(error) => {
                tracing::info!(%error, "a token of another issuer was refused");
                return Err(AuthError::Wrong);
            }
        };
        let known = voucher.known.clone();
        let proof = known.account.map(|account| Proof { account, by: By::Word });
        Ok(Identified {
            caller: Caller {
                subject: Some(known.subject),
                name: known.name,
                groups: known.groups,
                proof,
                vouched: Some(voucher.vouched.clone()),
                ..Caller::anonymous(everyone, Some(from), index.time())
            },
            is_strict: true,
            remembered,
            expires: Some(voucher.expires),
        })
    }

    /// Before something is tried that may be a guess.
    async fn begin(&self, from: IpAddr, account: &str) -> Result<Try, AuthError> {
        self.admit(from)?;
        self.throttle.begin(from, account).await.map_err(|throttle::Full| AuthError::TooMany)
    }

    /// What is remembered of a name and a password is under this.
    fn place(&self, name: &str, password: &str) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else { return [0; 32] };
        mac.update(&(name.len() as u64).to_be_bytes());
        mac.update(name.as_bytes());
        mac.update(password.as_bytes());
        mac.finalize().into_bytes().into()
    }

    async fn token(
        &self,
        index: &Index,
        token: &TokenText,
        name: Option<&str>,
        everyone: Anonymous,
        from: IpAddr,
    ) -> Result<Identified, AuthError> {
        // What may not be any more may be again: that is asked.
        let is_usable = |known: &TokenCredentials| access::is_usable(known.is_disabled, known.ends, index.time());
        let known = if let Some(known) = self.tokens.get(&token.id).filter(|known| is_usable(known)) {
            known
        } else {
            let _try = self.begin(from, &token.id).await?;
            let found = index.query(GetToken { id: token.id.clone() }).await?;
            // Who has no such token learns nothing else than who has the wrong secret.
            let Some(found) = found.filter(|found| token.is(&found.hash)) else {
                self.throttle.was_wrong(from, &token.id);
                return Err(AuthError::Wrong);
            };
            self.throttle.was_right(from, &token.id);
            let found = Arc::new(found);
            self.tokens.insert(token.id.clone(), Arc::clone(&found));
            found
        };
        let is_named = name.is_none_or(|name| name == known.account || name == "token");
        if !token.is(&known.hash) || !is_usable(&known) || !is_named {
            return Err(AuthError::Wrong);
        }
        self.note_use(index, &token.id, &known);
        let limits = known.limits.clone().map(|grants| Limits { catalog: false, grants });
        Ok(Identified {
            caller: Caller {
                subject: Some(format!("{}:{}", known.kind.as_str(), known.account)),
                name: Some(known.account.clone()),
                proof: Some(Proof { account: known.account.clone(), by: By::Token(token.id.clone()) }),
                limits,
                ..Caller::anonymous(everyone, Some(from), index.time())
            },
            is_strict: true,
            remembered: None,
            expires: None,
        })
    }

    /// Notes that a token is in use; nobody waits for it, and the time is exact to some minutes.
    fn note_use(&self, index: &Index, id: &str, known: &TokenCredentials) {
        let now = index.time();
        if known.last_used.is_some_and(|last| now < last.after(access::USE_STEP)) {
            return;
        }
        let noted = TokenCredentials { last_used: Some(now), ..known.clone() };
        self.tokens.insert(id.to_owned(), Arc::new(noted));
        let (index, id) = (index.clone(), id.to_owned());
        tokio::spawn(async move {
            let change = AccessChange::NoteUse { tokens: vec![(id, now)] };
            if let Err(error) = index.submit(None, Command::Access(Box::new(change))).await {
                tracing::debug!(%error, "could not note that a token was used");
            }
        });
    }

    /// By a token that is signed: by us, or by an issuer who is trusted.
    async fn bearer(
        &self,
        index: &Index,
        text: &str,
        everyone: Anonymous,
        from: IpAddr,
    ) -> Result<Identified, AuthError> {
        let now = index.time();
        let place: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        // What is remembered is ours: only of others must be read who issued it.
        let claims = match self.bearers.get(&place).filter(|claims| claims.is_valid_at(now)) {
            Some(claims) => claims,
            None if is_external(text, &index.cluster().id) => {
                return self.external(index, text, everyone, from).await;
            }
            None => {
                let claims = Arc::new(self.check(index, text, now).await?);
                self.bearers.insert(place, Arc::clone(&claims));
                claims
            }
        };
        let caller = claims.caller(everyone, Some(from), now);
        Ok(Identified { caller, is_strict: false, remembered: None, expires: None })
    }

    async fn check(&self, index: &Index, text: &str, now: Time) -> Result<Claims, AuthError> {
        let wrong = |error: claims::ClaimsError| {
            tracing::debug!(%error, "a bearer token was refused");
            AuthError::Wrong
        };
        let id = claims::key_of(text).map_err(wrong)?;
        let key = self.key(index, &id).await?.ok_or_else(|| wrong(claims::ClaimsError::Key))?;
        claims::check(text, &key, &index.cluster().id, now).map_err(wrong)
    }
}

/// Somebody of a directory or a cluster: that is asked again before long, and the index knows nothing of him that could change.
fn of_another(index: &Index, known: Known, everyone: Anonymous, from: IpAddr) -> Identified {
    let Known { subject, name, groups, .. } = known;
    let caller =
        Caller { subject: Some(subject), name, groups, ..Caller::anonymous(everyone, Some(from), index.time()) };
    Identified { caller, is_strict: true, remembered: None, expires: None }
}

/// Reads what a client came with. What cannot be read is wrong, not absent: else a mistyped header would be somebody
/// unknown, who may do less, and nobody would see why.
pub fn credentials(headers: &HeaderMap) -> Result<Credentials, AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(Credentials::None) };
    if values.next().is_some() || value.len() > MAX_HEADER {
        return Err(AuthError::Wrong);
    }
    let text = value.to_str().map_err(|_| AuthError::Wrong)?;
    let (scheme, rest) = text.split_once(' ').ok_or(AuthError::Wrong)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty() {
        return Ok(Credentials::Bearer(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(AuthError::Wrong);
    }
    let bytes = base64_decode(rest).ok_or(AuthError::Wrong)?;
    let text = String::from_utf8(bytes).map_err(|_| AuthError::Wrong)?;
    let (name, secret) = text.split_once(':').ok_or(AuthError::Wrong)?;
    if name.is_empty() && secret.is_empty() {
        return Ok(Credentials::None);
    }
    Ok(Credentials::Basic { name: name.to_owned(), secret: secret.to_owned() })
}

fn base64_decode(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}
