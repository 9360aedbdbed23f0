//! [`Session`]: one request and who made it. Handlers and the push path ask the index only through it, so that each
//! question and each change goes with its caller and is judged where it is answered or applied.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

use super::authenticate::FORESEEN;
use super::caller::{Caller, Denial};
use super::policy::{Verb, of_everyone};
use crate::app::App;
use crate::index::access::{
    Asked, Asks, Authorize, Authorized, Guarded, Judged, OnBehalf, ReadableSources, VisibleRepositories,
};
use crate::index::client::Answer;
use crate::index::command::{Command, Outcome, Refusal, Time};
use crate::index::query::{BlobRepositories, ListRepositories, Page, Query};
use crate::index::{IndexError, level};
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;

/// A request and its caller.
#[derive(Debug)]
pub struct Session {
    pub app: Arc<App>,
    pub caller: Caller,
    /// What he came with counts only as long as it does at the moment of the question: a password.
    pub is_strict: bool,
    /// The feature level in force, once it is known; 0 before.
    level: AtomicU32,
}

/// What somebody is told who may not do something.
pub fn denied(denial: Denial) -> IndexError {
    IndexError::Refused { command: "request", refusal: Refusal::Forbidden { denial } }
}

impl Session {
    pub fn new(app: Arc<App>, caller: Caller, is_strict: bool) -> Self {
        Self { app, caller, is_strict, level: AtomicU32::new(0) }
    }

    /// For work that goes on although the client is gone.
    #[must_use]
    pub fn fork(&self) -> Self {
        let level = AtomicU32::new(self.level.load(Ordering::Relaxed));
        Self { app: Arc::clone(&self.app), caller: self.caller.clone(), is_strict: self.is_strict, level }
    }

    /// The text of who it is, for history.
    pub fn who(&self) -> Option<&str> {
        self.caller.subject.as_deref()
    }

    /// Where the request came from.
    pub fn from(&self) -> IpAddr {
        self.caller.from.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    /// Asks about a repository, if the caller may.
    pub async fn query<Q: Guarded + Clone>(&self, query: Q) -> Result<Q::Answer, IndexError> {
        let asked = Asked { caller: self.caller.clone(), is_strict: self.is_strict, query: query.clone() };
        match self.app.index.query(asked).await {
            Err(IndexError::Older { .. }) => {
                self.judge_alone(query.need().0)?;
                self.app.index.query(query).await
            }
            answer => answer?.map_err(denied),
        }
    }

    /// As [`Self::query`]; without a quorum, what is named by its digest and was found is answered too, and marked.
    pub async fn query_any<Q: Guarded + Clone>(&self, query: Q) -> Result<Answer<Q::Answer>, IndexError> {
        let asked = Asked { caller: self.caller.clone(), is_strict: self.is_strict, query: query.clone() };
        match self.app.index.query_any(asked).await {
            Err(IndexError::Older { .. }) => {
                self.judge_alone(query.need().0)?;
                self.app.index.query_any(query).await
            }
            answer => {
                let Answer { answer, stale } = answer?;
                Ok(Answer { answer: answer.map_err(denied)?, stale })
            }
        }
    }

    /// The repositories that the caller may read, after `last`.
    pub async fn repositories(&self, last: Option<String>, limit: usize) -> Result<Page<RepositoryName>, IndexError> {
        let ask = VisibleRepositories { caller: self.caller.clone(), last: last.clone(), limit };
        match self.judged(ask).await {
            Err(IndexError::Older { .. }) => {
                self.judge_alone(Verb::Pull)?;
                self.app.index.query(ListRepositories { last, limit }).await
            }
            answer => answer,
        }
    }

    /// Repositories that hold a blob and that the caller may read.
    pub async fn sources(&self, digest: Digest, limit: usize) -> Result<Vec<RepositoryName>, IndexError> {
        match self.judged(ReadableSources { caller: self.caller.clone(), digest, limit }).await {
            Err(IndexError::Older { .. }) => {
                self.judge_alone(Verb::Pull)?;
                self.app.index.query(BlobRepositories { digest, limit }).await
            }
            answer => answer,
        }
    }

    /// Asks something that judges the caller by itself.
    pub async fn judged<T, Q: Query<Answer = Judged<T>>>(&self, query: Q) -> Result<T, IndexError> {
        self.app.index.query(query).await?.map_err(denied)
    }

    /// An index node of an older version has no accounts and no policies, and its cluster neither: there is what everyone may do.
    fn judge_alone(&self, verb: Verb) -> Result<(), IndexError> {
        let is_allowed = self.caller.proof.is_none() && of_everyone(self.caller.everyone).has(verb);
        if is_allowed { Ok(()) } else { Err(denied(Denial::Unauthenticated)) }
    }

    /// Whether the caller may do this; strictly, by a view that is as new as the question.
    pub async fn authorize(&self, asks: Asks, is_strict: bool) -> Result<Authorized, IndexError> {
        let ask = Authorize { caller: self.caller.clone(), asks: asks.clone(), is_strict };
        let authorized = match (self.judged(ask).await, asks) {
            (Err(IndexError::Older { .. }), Asks::Nothing) => Authorized { level: level::FIRST },
            (Err(IndexError::Older { .. }), Asks::On(verb, _)) => {
                self.judge_alone(verb)?;
                Authorized { level: level::FIRST }
            }
            (answer, _) => answer?,
        };
        self.level.store(authorized.level, Ordering::Relaxed);
        Ok(authorized)
    }

    /// Whether an entry that follows at once will most likely be let through. That is judged in the entry: here is only seen to it
    /// that those who may not, which can be anybody, do not fill the log. So what was so lately need not be asked again, which
    /// spares a way to an index node and back.
    pub async fn foresee(&self, verb: Verb, repository: &RepositoryName) -> Result<(), IndexError> {
        let caller = Caller { from: None, at: Time::default(), ..self.caller.clone() };
        let place = serde_json::to_vec(&(caller, verb, repository)).ok().filter(|_| !self.is_strict);
        let foreseen = &self.app.auth.foreseen;
        if let Some((level, at)) = place.as_ref().and_then(|place| foreseen.get(place))
            && at.elapsed() < FORESEEN
        {
            self.level.store(level, Ordering::Relaxed);
            return Ok(());
        }
        let level = self.authorize(Asks::On(verb, repository.clone()), self.is_strict).await?.level;
        // Below that level, entries judge nobody or not all.
        if let Some(place) = place.filter(|_| level >= level::ISSUERS) {
            foreseen.insert(place, (level, Instant::now()));
        }
        Ok(())
    }

    /// The feature level in force, as this request has learnt it.
    pub async fn level(&self) -> Result<u32, IndexError> {
        match self.level.load(Ordering::Relaxed) {
            0 => Ok(self.authorize(Asks::Nothing, self.is_strict).await?.level),
            known => Ok(known),
        }
    }

    /// Proposes a command, which is applied if the caller may do it then.
    pub async fn submit(&self, command: Command) -> Result<Outcome, IndexError> {
        let known = self.level().await?;
        // Before that level entries know no callers; the handler has judged alone.
        let command = if known < level::ACCESS {
            command
        } else {
            let mut caller = self.caller.clone();
            // An older member would not know of it, and judge otherwise than the others.
            if known < level::ISSUERS {
                caller.grants.clear();
            }
            Command::OnBehalf(Box::new(OnBehalf { caller, command }))
        };
        self.app.index.submit(self.who(), command).await
    }
}
