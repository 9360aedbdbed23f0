//! Looks after RegistryBackups: asks the node that leads for backups when they are due, deletes those that are no longer
//! kept, and tells what there is. A backup itself is written by the registry into its bucket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::EventType;
use kube::runtime::{Config, watcher};
use kube::{Api, ResourceExt};
use roadstead::index::archive::calls::{BackupNow, DELETE, LIST, NOW, WRITING};
use roadstead::index::peers::connection::{CallError, Peer};
use roadstead::index::peers::wire::Fault;
use roadstead::index::query::PinnedBackup;

use crate::controller::{BUSY, Operator, PAGE, PassError, chain, forget};
use crate::crd::backup::{Backup, RegistryBackupStatus};
use crate::crd::{Registry, RegistryBackup};
use crate::names::Names;
use crate::status::Say;
use crate::watches::Watches;
use crate::{keep, look, memory, observe, schedule};

/// Until a backup is looked at again: while one is written, when nothing can be done, and at rest at most.
const WRITING_LOOK: Duration = Duration::from_secs(2);
const STUCK: Duration = Duration::from_secs(10);
const AT_REST: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_secs(20);
/// A look that takes longer hangs.
const LONGEST: Duration = Duration::from_mins(2);
/// The longest list of backups that is read, in bytes.
const LARGEST: usize = 4 << 20;
const NOT_MADE: &str = "no backup is begun while spec.suspend is set or spec.retention.count is 0";
/// A backup that is due for longer, in seconds, is late.
const LATE: i64 = 3600;

type Watched = PartialObjectMeta<RegistryBackup>;
type Read = DeserializeGuard<RegistryBackup>;

/// Runs until the process is told to end.
pub async fn run(operator: Operator, namespace: Option<String>) {
    let client = operator.client.clone();
    let within = namespace.clone();
    let api: Api<Watched> =
        namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), &namespace));
    let metrics = operator.metrics.clone();
    let watches = Watches::new("backups", &metrics);
    let controller = Controller::new(api, watcher::Config::default().page_size(PAGE));
    let forgetting = forget(controller.store(), |is_there| metrics.keep_backups(is_there), within);
    let looks = controller
        .with_config(Config::default().debounce(Duration::from_millis(100)).concurrency(16))
        .shutdown_on_signal()
        .run(reconcile, failed, Arc::new(operator))
        .for_each(|result| {
            watches.look(result.err());
            std::future::ready(())
        });
    tokio::select! { () = looks => {}, () = forgetting => {} }
}

async fn reconcile(watched: Arc<Watched>, operator: Arc<Operator>) -> Result<Action, PassError> {
    let Some(_share) = operator.shares.take(&watched.namespace().unwrap_or_default()) else {
        return Ok(Action::requeue(BUSY));
    };
    tokio::time::timeout(LONGEST, Box::pin(pass(&watched, &operator))).await.unwrap_or(Err(PassError::Slow))
}

async fn pass(watched: &Watched, operator: &Operator) -> Result<Action, PassError> {
    let (name, namespace) = (watched.name_any(), watched.namespace().unwrap_or_default());
    let api = Api::<Read>::namespaced(operator.client.clone(), &namespace);
    let Some(fresh) = api.get_opt(&name).await.map_err(PassError::Read)? else { return Ok(Action::await_change()) };
    let backup = fresh.0.map_err(|invalid| PassError::Unreadable(invalid.error))?;
    if backup.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change()); // what is in the bucket stays
    }
    let mut work = Work { status: backup.status.clone().unwrap_or_default(), backup: &backup, operator };
    let looked = work.look().await;
    let overdue = work.measure(Timestamp::now().as_second());
    let (least, stuck) = match looked {
        Ok(wait) => (wait, None),
        Err(Trouble { reason, message, again }) => {
            let late =
                if overdue > LATE { format!("; a backup is due for {} minutes", overdue / 60) } else { String::new() };
            work.say("False", reason, &format!("{message}{late}"));
            (again, Some((reason, message)))
        }
    };
    let (uid, now) = (backup.uid().unwrap_or_default(), Instant::now());
    if let Some((reason, message)) = &stuck {
        let said = memory::Trouble::counting(reason, "", message, message.clone());
        for news in operator.memory.news(&uid, &[said], now) {
            work.tell(EventType::Warning, &news.reason, &news.message).await;
        }
    }
    work.write().await?;
    let stuck = stuck.map(|(_, message)| message);
    Ok(Action::requeue(operator.memory.wait(&uid, stuck, least, AT_REST, now)))
}

fn failed(watched: Arc<Watched>, error: &PassError, operator: Arc<Operator>) -> Action {
    let (backup, namespace) = (watched.name_any(), watched.namespace());
    tracing::warn!(backup, namespace, error = chain(error), "could not look after a backup");
    let uid = watched.uid().unwrap_or_default();
    Action::requeue(operator.memory.wait(&uid, Some(chain(error)), STUCK, AT_REST, Instant::now()))
}

/// Why a backup cannot be looked after now.
struct Trouble {
    reason: &'static str,
    message: String,
    again: Duration,
}

fn trouble(reason: &'static str, message: impl Into<String>) -> Trouble {
    Trouble { reason, message: message.into(), again: STUCK }
}

struct Work<'a> {
    backup: &'a RegistryBackup,
    operator: &'a Operator,
    status: RegistryBackupStatus,
}

impl Work<'_> {
    async fn look(&mut self) -> Result<Duration, Trouble> {
        let spec = &self.backup.spec;
        let name = self.backup.name_any();
        let cron = spec.schedule.as_ref().map(|text| schedule::read(text)).transpose();
        let cron = cron.map_err(|error| trouble("InvalidSchedule", error))?;
        let (leader, theirs) = self.leader().await?;
        let now = Timestamp::now().as_second();
        // One clock alone does not decide what is no longer kept.
        let kept_by = now.min(theirs);
        let all: Vec<PinnedBackup> = ask(&leader, LIST, &()).await?;
        let ours = |pin: &&PinnedBackup| match cron {
            Some(_) => schedule::due_time(&pin.name, &name).is_some(),
            None => pin.name == name,
        };
        let mut mine: Vec<&PinnedBackup> = all.iter().filter(ours).collect();
        mine.sort_by_key(|pin| std::cmp::Reverse(pin.time.0));

        if cron.is_none()
            && !spec.retention.is_none()
            && let Some(other) = mine.iter().find(|pin| self.is_anothers(pin))
        {
            let made =
                Timestamp::from_millisecond(other.time.0 as i64).map(|time| time.to_string()).unwrap_or_default();
            let message = format!(
                "the bucket has a backup {name} of {made}, from before this object: give this one another name, or delete that one by \
                 spec.retention.count 0"
            );
            return Err(Trouble { reason: "NameTaken", message, again: AT_REST });
        }

        // What is due: of a schedule the last time that passed, else the one backup, once.
        let due = match &cron {
            Some(cron) => {
                // By the names, which tell the time of this clock: that of the index may be ahead. And this one may have been.
                let times = mine.iter().filter_map(|pin| schedule::due_time(&pin.name, &name));
                let last = times.filter(|time| *time <= now).max();
                let created = self.created().unwrap_or(now);
                let next = schedule::next(cron, now).and_then(|next| Timestamp::from_second(next).ok());
                self.status.next = next.map(Time);
                schedule::due(cron, last.unwrap_or(created).max(created), now).map(|time| schedule::name(&name, time))
            }
            None => (mine.is_empty() && self.status.last.is_none()).then(|| name.clone()),
        };
        if let Some(due) = due.filter(|due| self.makes_any() && mine.iter().all(|pin| pin.name != *due)) {
            let days = if cron.is_none() { spec.retention.days } else { None };
            let keep = days.map(|days| u64::from(days.unsigned_abs()) * 86_400_000);
            let begun = ask::<_, String>(&leader, NOW, &BackupNow { name: Some(due.clone()), keep }).await?;
            self.tell(EventType::Normal, "BackupBegun", &format!("the backup {begun} is being written")).await;
            self.say("False", "Writing", &format!("the backup {begun} is being written"));
            return Ok(WRITING_LOOK);
        }

        let whole: Vec<Backup> = mine.iter().filter(|pin| pin.snapshot.is_some()).map(|pin| told(pin)).collect();
        if let Some(newest) = whole.first()
            && self.status.last.as_ref() != Some(newest)
        {
            self.tell(EventType::Normal, "BackupMade", &format!("the backup {} is whole", newest.name)).await;
            self.status.last = Some(newest.clone());
        }
        if cron.is_some() || spec.retention.is_none() {
            let kept: Vec<(&str, i64)> = mine
                .iter()
                .filter(|pin| pin.snapshot.is_some())
                .map(|pin| (pin.name.as_str(), (pin.time.0 / 1000) as i64))
                .collect();
            let surplus = schedule::surplus(&kept, &spec.retention, kept_by);
            for gone in &surplus {
                ask::<_, ()>(&leader, DELETE, gone).await?;
                self.tell(EventType::Normal, "BackupDeleted", &format!("the backup {gone} is no longer kept")).await;
            }
            self.status.kept = whole.into_iter().filter(|backup| !surplus.contains(&backup.name.as_str())).collect();
        } else {
            self.status.kept = whole;
        }
        self.verdict(&leader, &mine).await
    }

    fn makes_any(&self) -> bool {
        !self.backup.spec.suspend && !self.backup.spec.retention.is_none()
    }

    /// Since when the object is there, in seconds since 1970.
    fn created(&self) -> Option<i64> {
        self.backup.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second())
    }

    /// Whether a backup of this name was made for an object that had the name before.
    fn is_anothers(&self, pin: &PinnedBackup) -> bool {
        let before = self.backup.status.as_ref();
        let is_written = |status: &RegistryBackupStatus| {
            status.last.is_some() || status.conditions.iter().any(|condition| condition.reason == "Writing")
        };
        let made = (pin.time.0 / 1000) as i64;
        self.created().is_some_and(|created| schedule::is_anothers(made, created, before.is_some_and(is_written)))
    }

    /// Measures for how long a backup of a schedule is due, and gives it. What cannot be looked after is measured too.
    fn measure(&self, now: i64) -> i64 {
        let spec = &self.backup.spec;
        let Some(cron) = spec.schedule.as_ref().and_then(|text| schedule::read(text).ok()) else { return 0 };
        let last = self.status.last.as_ref().and_then(|last| schedule::due_time(&last.name, &self.backup.name_any()));
        let last = last.filter(|time| *time <= now);
        let since = last.max(self.created()).unwrap_or(now);
        let overdue = if self.makes_any() { schedule::overdue(&cron, since, now) } else { 0 };
        self.operator.metrics.overdue(&self.backup.namespace().unwrap_or_default(), &self.backup.name_any(), overdue);
        overdue
    }

    /// Says how it is, and when to look again.
    async fn verdict(&mut self, leader: &Peer, mine: &[&PinnedBackup]) -> Result<Duration, Trouble> {
        if let Some(unfinished) = mine.iter().find(|pin| pin.snapshot.is_none()) {
            let writing: Vec<String> = ask(leader, WRITING, &()).await?;
            if !writing.contains(&unfinished.name) {
                // Whoever wrote it died: begun anew, since one under this name cannot be begun while it is there.
                ask::<_, ()>(leader, DELETE, &unfinished.name).await?;
            }
            self.say("False", "Writing", &format!("the backup {} is being written", unfinished.name));
            return Ok(WRITING_LOOK);
        }
        if self.backup.spec.schedule.is_none() {
            let is_kept = !self.status.kept.is_empty();
            let (status, reason, message) = match (&self.status.last, is_kept) {
                (Some(last), true) => ("True", "Made", format!("the backup {} is whole and kept", last.name)),
                (Some(last), false) => ("False", "Gone", format!("the backup {} is kept no longer", last.name)),
                (None, _) => ("False", "Suspended", NOT_MADE.into()),
            };
            self.say(status, reason, &message);
            return Ok(AT_REST);
        }
        let (reason, message) = match (self.makes_any(), &self.status.last) {
            (false, _) => ("Suspended", NOT_MADE.to_owned()),
            (true, Some(last)) => ("Scheduled", format!("the last backup is {}", last.name)),
            (true, None) => ("Scheduled", "no backup was due yet".into()),
        };
        self.say("True", reason, &message);
        let until_next = self.status.next.as_ref().map(|next| next.0.as_second() - Timestamp::now().as_second());
        let wait = until_next.map_or(AT_REST, |seconds| Duration::from_secs(seconds.max(1) as u64).min(AT_REST));
        Ok(wait)
    }

    /// The node that leads the registry that is meant, and its clock in seconds since 1970.
    async fn leader(&self) -> Result<(Peer, i64), Trouble> {
        let client = &self.operator.client;
        let namespace = self.backup.namespace().unwrap_or_default();
        let name = &self.backup.spec.registry;
        let registry = Api::<Registry>::namespaced(client.clone(), &namespace).get_opt(name).await;
        let registry = registry.map_err(|error| trouble("ReadFailed", error.to_string()))?;
        let registry = registry
            .ok_or_else(|| trouble("RegistryMissing", format!("there is no Registry {name} in {namespace}")))?;
        if registry.spec.is_single() {
            return Err(trouble(
                "NotPossible",
                "a registry on storage.claim has no backups: snapshot its volume instead",
            ));
        }
        let names = Names::of(&registry);
        let observed = observe::objects(client, &registry, &self.operator.optional).await;
        let mut observed = observed.map_err(|error| trouble("ReadFailed", error.to_string()))?;
        let identity = keep::identity(&registry, &observed, Timestamp::now().as_second());
        let identity = identity.map_err(|error| trouble("CertificatesFailed", error))?;
        let dialer = observe::dialer(&names, &observed.pods, identity);
        observe::nodes(&names, &mut observed, &dialer).await;
        let view = look::view(&registry, &observed, "", Timestamp::now());
        let leader = view
            .leader()
            .ok_or_else(|| trouble("NoLeader", format!("no majority of the index of {name} follows a leader")))?;
        Ok((Peer::limited(&leader.name, dialer, LARGEST), (leader.wall / 1000) as i64))
    }

    fn say(&mut self, status: &'static str, reason: &str, message: &str) {
        let before = self.backup.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        let said = Say::new("Ready", status, reason, message);
        self.status.conditions = vec![said.since(before, self.backup.metadata.generation, &Time(Timestamp::now()))];
        self.status.observed_generation = self.backup.metadata.generation;
    }

    async fn write(&self) -> Result<(), PassError> {
        if self.backup.status.as_ref() == Some(&self.status) {
            return Ok(());
        }
        self.operator.write_status(self.backup, &self.status).await
    }

    async fn tell(&self, kind: EventType, reason: &str, note: &str) {
        self.operator.tell(self.backup, "Backup", kind, reason, note).await;
    }
}

fn told(pin: &PinnedBackup) -> Backup {
    Backup {
        name: pin.name.clone(),
        made: Timestamp::from_millisecond(pin.time.0 as i64).ok().map(Time),
        position: pin.snapshot.as_ref().map(|snapshot| snapshot.position as i64),
    }
}

async fn ask<Q: serde::Serialize, A: serde::de::DeserializeOwned>(
    leader: &Peer,
    path: &str,
    message: &Q,
) -> Result<A, Trouble> {
    leader.call(path, message, PATIENCE).await.map_err(|error| match &error {
        CallError::Fault { fault: Fault::Refused { reason }, .. } => trouble("Refused", reason.clone()),
        _ => trouble("CallFailed", error.to_string()),
    })
}
