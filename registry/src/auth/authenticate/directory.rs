//! Passwords that the directory of the configuration judges: those of names that no account of the index has.

use std::net::IpAddr;
use std::sync::Arc;

use super::{AuthError, Authenticator};
use crate::auth::issuer::Known;
use crate::auth::ldap::Ldap;
use crate::auth::secret::PasswordHash;
use crate::index::Index;
use crate::index::access::GetCredentials;

impl Authenticator {
    /// Whom the directory knows by this name and password, of which no account of the index has the name.
    pub(super) async fn by_directory(
        &self,
        index: &Index,
        ldap: &Ldap,
        name: &str,
        password: &str,
        from: IpAddr,
    ) -> Result<Arc<Known>, AuthError> {
        // It takes as long as the password of an account would, so that its time does not tell which names are accounts; nor, with a
        // directory that is as quick, whom it knows.
        let text = password.to_owned();
        let hashed = self.hash(from, move || PasswordHash::of_nobody().is(&text));
        let (known, hashed) = tokio::join!(ldap.login(from, name, password), hashed);
        hashed?;
        let Some(known) = self.free(index, known?, name).await? else {
            self.throttle.was_wrong(from, name);
            return Err(AuthError::Wrong);
        };
        self.throttle.was_right(from, name);
        let known = Arc::new(known);
        ldap.remember(self.place(name, password), &known);
        Ok(known)
    }

    /// Nobody, where the directory calls him otherwise than he did himself, and as an account of the index.
    async fn free(&self, index: &Index, known: Option<Known>, name: &str) -> Result<Option<Known>, AuthError> {
        let Some(known) = known else { return Ok(None) };
        let own = known.subject.split_once(':').map_or_else(String::new, |(_, own)| own.trim().to_lowercase());
        if own == name || index.query(GetCredentials { account: own }).await?.is_none() {
            return Ok(Some(known));
        }
        tracing::warn!(subject = known.subject, "nobody is logged in: an account of the index has that name");
        Ok(None)
    }
}
