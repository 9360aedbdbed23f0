//! People whom a directory knows by name and password (LDAP, RFC 4511): asks it who somebody is and in which groups, and
//! remembers that for a minute.
//!
//! Called for names alone that no account of the index has. Nothing of what a client sends reaches a filter unescaped, no
//! password stands in a log, and no referral is followed: passwords go to the one directory that is configured.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ldap3::{LdapConnAsync, LdapConnSettings, Scope, SearchEntry, SearchOptions, ldap_escape};
use moka::sync::Cache;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::issuer::{Known, groups_of, is_plain};
use super::throttle::source;
use super::turns::{Full, Turns};
use crate::config;

/// What a subject and a group begin with.
const KIND: &str = "ldap";
/// How long one operation may take, and all that belong to a login, with the wait for those before it.
const OPERATION: Duration = Duration::from_secs(5);
const LOGIN: Duration = Duration::from_secs(10);
/// Logins that ask at once, and how many of one source may wait for their turn, and of all.
const ASKING: usize = 16;
const WAITING_OF_ONE: usize = 64;
const WAITING: usize = 1024;
/// How long a right password is remembered, and how many are.
const LIFE: Duration = Duration::from_mins(1);
const REMEMBERED: u64 = 20_000;
/// Groups of one person at most, and the bytes of their names: a bearer token has them, and a header has room for that.
const GROUPS: i32 = 200;
const GROUP_BYTES: usize = 8 << 10;
/// Result codes (RFC 4511, appendix A): all is well; there is more than was wanted.
const SUCCESS: u32 = 0;
const SIZE_LIMIT: u32 = 4;
/// What a directory says to a password that is not right, or to a person who may not log in: constraint violation,
/// inappropriate authentication, invalid credentials, insufficient rights, unwilling to perform.
const REFUSED: [u32; 5] = [19, 48, 49, 50, 53];

/// What went wrong with the directory. For the log: clients are told that it does not answer.
#[derive(Debug, thiserror::Error)]
pub enum LdapError {
    #[error("access.ldap.ca: could not read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("access.ldap.ca: {path} has no certificates as PEM: {reason}")]
    Pem { path: PathBuf, reason: String },
    #[error("could not set up TLS for the directory")]
    Tls(#[source] rustls::Error),
    #[error("could not connect to the directory {url}")]
    Connect {
        url: String,
        #[source]
        source: Box<ldap3::LdapError>,
    },
    #[error("could not log in to the directory as {dn}")]
    Bind {
        dn: String,
        #[source]
        source: Box<ldap3::LdapError>,
    },
    #[error("the directory could not search {base} for {filter}")]
    Search {
        base: String,
        filter: String,
        #[source]
        source: Box<ldap3::LdapError>,
    },
    #[error("the directory {url} took more than {} seconds for a login", LOGIN.as_secs())]
    Late { url: String },
    #[error("too many logins wait for the directory")]
    Busy,
}

/// A directory, and whom it has made known of late.
#[allow(missing_debug_implementations, reason = "what it remembers is nobody's to read")]
pub struct Ldap {
    config: config::Ldap,
    url: String,
    settings: LdapConnSettings,
    asking: Turns<IpAddr>,
    /// Under the name and the password, as [`super::authenticate`] makes it one.
    known: Cache<[u8; 32], Arc<Known>>,
}

/// A connection, which ends with this.
struct Connection {
    ldap: ldap3::Ldap,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Ldap {
    /// The directory of the configuration, if there is one; `config::check` has seen it.
    pub fn new(config: &config::Ldap) -> Result<Option<Self>, LdapError> {
        let Some(url) = config.url.clone() else { return Ok(None) };
        // The timeout covers the name, the connection and TLS. Without authorities of ours those of the system are taken.
        let mut settings = LdapConnSettings::new().set_conn_timeout(OPERATION).set_starttls(config.start_tls);
        if let Some(path) = &config.ca {
            settings = settings.set_config(Arc::new(tls(path)?));
        }
        let known = Cache::builder().max_capacity(REMEMBERED).time_to_live(LIFE).build();
        Ok(Some(Self {
            config: config.clone(),
            url,
            settings,
            asking: Turns::new(ASKING, WAITING_OF_ONE, WAITING),
            known,
        }))
    }

    /// Who came with this name and password less than a minute ago. What has changed since is not seen: a password, a group, and an
    /// account of the index with this name, which wins from the end of the minute on. He is not that account until then either: his
    /// subject is of another kind.
    pub fn remembered(&self, place: &[u8; 32]) -> Option<Arc<Known>> {
        self.known.get(place)
    }

    pub fn remember(&self, place: [u8; 32], known: &Arc<Known>) {
        self.known.insert(place, Arc::clone(known));
    }

    /// Asks the directory who this is; none: nobody who may log in, by its word.
    pub async fn login(&self, from: IpAddr, name: &str, password: &str) -> Result<Option<Known>, LdapError> {
        // A login without a password is one as nobody, which directories let succeed (RFC 4513, section 5.1.2).
        if password.is_empty() || !is_plain(name) {
            return Ok(None);
        }
        let late = |_| LdapError::Late { url: self.url.clone() };
        tokio::time::timeout(LOGIN, self.ask(from, name, password)).await.map_err(late)?
    }

    async fn ask(&self, from: IpAddr, name: &str, password: &str) -> Result<Option<Known>, LdapError> {
        let _turn = self.asking.take(source(from)).await.map_err(|Full| LdapError::Busy)?;
        let mut connection = self.connect().await?;
        self.bind_as_service(&mut connection).await?;
        let Some((dn, name)) = self.find(&mut connection, name).await? else { return Ok(None) };
        let code = bind(&mut connection, &dn, password).await?;
        if code != SUCCESS {
            tracing::info!(dn, code, "the directory refused a login");
            return Ok(None);
        }
        let Some(groups) = self.groups(&mut connection, &dn, &name).await? else { return Ok(None) };
        Ok(Some(Known {
            subject: format!("{KIND}:{name}"),
            name: self.config.owns_names.then(|| name.clone()),
            groups,
            account: None,
        }))
    }

    async fn connect(&self) -> Result<Connection, LdapError> {
        let connected = LdapConnAsync::with_settings(self.settings.clone(), &self.url).await;
        let (connection, ldap) =
            connected.map_err(|source| LdapError::Connect { url: self.url.clone(), source: Box::new(source) })?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "a connection to the directory broke");
            }
        });
        Ok(Connection { ldap, driver })
    }

    async fn bind_as_service(&self, connection: &mut Connection) -> Result<(), LdapError> {
        let (Some(dn), Some(password)) = (&self.config.bind_dn, &self.config.bind_password) else { return Ok(()) };
        let bound = connection.ldap.with_timeout(OPERATION).simple_bind(dn, password).await;
        let bound = bound.and_then(ldap3::LdapResult::success);
        bound.map(drop).map_err(|source| LdapError::Bind { dn: dn.clone(), source: Box::new(source) })
    }

    /// The entry of a person, and his name as the directory spells it.
    async fn find(&self, connection: &mut Connection, name: &str) -> Result<Option<(String, String)>, LdapError> {
        let filter = fill(&self.config.user_filter, None, name);
        let attribute = &self.config.name_attribute;
        let base = self.config.user_base.as_deref().unwrap_or_default();
        let (mut found, is_all) = search(connection, base, &filter, attribute, 2).await?;
        if found.len() > 1 || !is_all {
            tracing::warn!(
                filter,
                "nobody is logged in: the directory has several such people; narrow access.ldap.user_filter"
            );
            return Ok(None);
        }
        let Some(entry) = found.pop() else { return Ok(None) };
        let is_good = |name: &String| is_plain(name) && !name.contains([':', '/', '*']);
        // Without a DN anybody would be let in.
        if let [name] = values(&entry, attribute).as_slice()
            && is_good(name)
            && !entry.dn.is_empty()
        {
            return Ok(Some((entry.dn, name.clone())));
        }
        let dn = entry.dn;
        tracing::warn!(
            dn,
            attribute,
            "nobody is logged in: access.ldap.name_attribute must have one value, without : / *"
        );
        Ok(None)
    }

    /// The groups of a person; none: they are too many. To leave some out could be to leave out a rule that denies.
    async fn groups(
        &self,
        connection: &mut Connection,
        dn: &str,
        name: &str,
    ) -> Result<Option<BTreeSet<String>>, LdapError> {
        let Some(base) = &self.config.group_base else { return Ok(Some(BTreeSet::new())) };
        // Whoever may look up people may look up groups; without such an account, the person himself.
        self.bind_as_service(connection).await?;
        let filter = fill(&self.config.group_filter, Some(dn), name);
        let attribute = &self.config.group_attribute;
        let (found, is_all) = search(connection, base, &filter, attribute, GROUPS).await?;
        let said: BTreeSet<String> = found.iter().flat_map(|entry| values(entry, attribute)).collect();
        let is_small = said.iter().map(String::len).sum::<usize>() <= GROUP_BYTES;
        let groups = groups_of(KIND, said.iter().map(String::as_str)).filter(|_| is_all && is_small);
        if groups.is_none() {
            tracing::warn!(
                dn,
                "nobody is logged in: he has more than 200 groups, or 8 KiB of their names, or one with over 255 bytes or control \
                 characters; narrow access.ldap.group_filter"
            );
        }
        Ok(groups)
    }
}

/// Tries a password: the result code, if it says something about the password. All else is trouble with the directory.
async fn bind(connection: &mut Connection, dn: &str, password: &str) -> Result<u32, LdapError> {
    let failed = |source| LdapError::Bind { dn: dn.to_owned(), source: Box::new(source) };
    let result = connection.ldap.with_timeout(OPERATION).simple_bind(dn, password).await.map_err(failed)?;
    match result.rc {
        code if code == SUCCESS || REFUSED.contains(&code) => Ok(code),
        _ => Err(failed(result.into())),
    }
}

/// What is found below `base`, and whether that is all.
async fn search(
    connection: &mut Connection,
    base: &str,
    filter: &str,
    attribute: &str,
    most: i32,
) -> Result<(Vec<SearchEntry>, bool), LdapError> {
    let failed =
        |source| LdapError::Search { base: base.to_owned(), filter: filter.to_owned(), source: Box::new(source) };
    let options = SearchOptions::new().sizelimit(most).timelimit(OPERATION.as_secs() as i32);
    let ldap = connection.ldap.with_timeout(OPERATION).with_search_options(options);
    let ldap3::SearchResult(found, result) =
        ldap.search(base, Scope::Subtree, filter, vec![attribute]).await.map_err(failed)?;
    let is_all = match result.rc {
        SUCCESS => true,
        SIZE_LIMIT => false,
        _ => return Err(failed(result.into())),
    };
    // Where else somebody could look is left out.
    let entries = found.into_iter().filter(|entry| !entry.is_ref() && !entry.is_intermediate());
    Ok((entries.map(SearchEntry::construct).collect(), is_all))
}

/// What an entry says under an attribute, whose name directories spell as they like.
fn values(entry: &SearchEntry, attribute: &str) -> Vec<String> {
    let named = entry.attrs.iter().filter(|(name, _)| name.eq_ignore_ascii_case(attribute));
    named.flat_map(|(_, values)| values.iter().cloned()).collect()
}

/// A filter with what its places stand for, as text alone (RFC 4515, section 3). In one go: what is filled in has no places.
pub fn fill(filter: &str, dn: Option<&str>, user: &str) -> String {
    let mut filled = String::with_capacity(filter.len() + user.len());
    let mut rest = filter;
    while let Some(at) = rest.find('{') {
        let (before, after) = rest.split_at(at);
        filled.push_str(before);
        let places = [("{user}", Some(user)), ("{dn}", dn)];
        let place = places
            .into_iter()
            .find_map(|(place, text)| after.starts_with(place).then_some((ldap_escape(text?), place.len())));
        // What is no place stays as it is.
        let (text, length) = place.unwrap_or((Cow::Borrowed("{"), 1));
        filled.push_str(&text);
        rest = &after[length..];
    }
    filled + rest
}

/// TLS with a directory that these authorities vouch for, and no others.
fn tls(path: &Path) -> Result<ClientConfig, LdapError> {
    let text = std::fs::read(path).map_err(|source| LdapError::Read { path: path.to_owned(), source })?;
    let pem = |reason: String| LdapError::Pem { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(&text) {
        let root = root.map_err(|error| pem(error.to_string()))?;
        roots.add(root).map_err(|error| pem(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(pem("there is none in it".into()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(LdapError::Tls)?.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests;
