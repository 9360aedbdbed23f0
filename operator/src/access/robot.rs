//! A RegistryRobot: an account with tokens, and the Secrets by which pods pull with one of them.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, ResourceExt};
use roadstead::api::body::{ChangeAccountFields, GrantBody, IssuedToken, NewAccount, NewToken, Token};
use serde::Deserialize;

use super::call::Door;
use super::pull_secret::{self, Wanted};
use super::token::{self, Facts, Next, ROTATE};
use super::work::Work;
use super::{Access, Kept, Trouble, user};
use crate::controller::AT_REST;
use crate::crd::robot::{PullSecret, RobotToken, SecretPlace};
use crate::crd::{RegistryRobot, RegistryRobotStatus};

impl Access for RegistryRobot {
    type Status = RegistryRobotStatus;
    const WATCH: &'static str = "robots";

    fn registry(&self) -> &str {
        &self.spec.registry
    }

    fn status(&self) -> Option<&Self::Status> {
        self.status.as_ref()
    }

    async fn keep(work: &mut Work<'_, Self>, door: &Door) -> Result<Kept, Trouble> {
        let name = work.object.robot_name();
        let fields = fields(work.object, &work.title()).map_err(|why| Trouble::new("Refused", why))?;
        if let Some(found) = user::account(work, door, "robot", &name, &fields).await? {
            user::change(work, door, "robot", &found, &fields).await?;
        } else {
            work.note(&name).await?;
            let new = NewAccount { name: name.clone(), password: None, change: fields.clone() };
            door.send("POST", "robots", &new).await?.done()?;
            work.made(&name, &fields);
            work.did("Created", &format!("the robot {name} of {}", work.object.spec.registry)).await;
        }
        Keys { work, door, name }.keep().await
    }

    async fn apart(work: &mut Work<'_, Self>) -> Result<(), Trouble> {
        // What nobody wants any more goes, and nothing comes.
        let Some(wanted) = work.object.spec.pull_secret.clone() else {
            return one(withdraw(work, |_| true).await);
        };
        let secret = work.object.pull_secret_name(&wanted);
        places(work, &wanted, &secret).await;
        Ok(())
    }

    async fn remove(work: &mut Work<'_, Self>, door: Option<&Door>) -> Result<(), Trouble> {
        one(withdraw(work, |_| true).await)?;
        user::delete(work, door, "robot").await
    }
}

/// What is said of the account.
fn fields(robot: &RegistryRobot, title: &str) -> Result<ChangeAccountFields, String> {
    let grants = serde_json::to_value(&robot.spec.grants).map_err(|error| error.to_string())?;
    let grants: Vec<GrantBody> = serde_json::from_value(grants).map_err(|error| error.to_string())?;
    roadstead::api::body::grants(&grants)?;
    Ok(ChangeAccountFields {
        description: Some(title.to_owned()),
        disabled: Some(robot.spec.disabled),
        administrator: None,
        expires: Some(None),
        groups: None,
        grants: Some(grants),
    })
}

/// All troubles as one, under the reason of the first.
fn one(troubles: Vec<Trouble>) -> Result<(), Trouble> {
    let Some(reason) = troubles.first().map(|trouble| trouble.reason) else { return Ok(()) };
    let messages: Vec<String> = troubles.into_iter().map(|trouble| trouble.message).collect();
    Err(Trouble::new(reason, messages.join("; ")))
}

/// Takes back the pull secrets that nobody wants any more. One that cannot be taken hinders none of the others.
async fn withdraw(work: &mut Work<'_, RegistryRobot>, is_unwanted: impl Fn(&SecretPlace) -> bool) -> Vec<Trouble> {
    let (of, mut troubles) = (of(work), Vec::new());
    for place in work.status.secrets.clone().into_iter().filter(is_unwanted) {
        match pull_secret::remove(&work.operator.client, &place.namespace, &place.name, &of).await {
            Ok(was_there) => {
                if was_there {
                    work.operator.metrics.writes.with_label_values(&["Secret"]).inc();
                    work.did("Deleted", &format!("the Secret {} in {}", place.name, place.namespace)).await;
                }
                work.status.secrets.retain(|noted| *noted != place);
            }
            Err(trouble) => troubles.push(trouble),
        }
    }
    troubles
}

/// Whose pull secrets are, as they say it.
fn of(work: &Work<'_, RegistryRobot>) -> String {
    format!("{}/{}/{}", work.namespace(), work.object.name_any(), work.object.uid().unwrap_or_default())
}

/// A namespace that is to have the Secret and may, with the Secret that it has.
type Place = (String, Option<Secret>);

/// The namespaces that are to have the Secret and may, and what is wrong with the others. From those that may not any more it
/// is taken back.
async fn places(work: &mut Work<'_, RegistryRobot>, wanted: &PullSecret, secret: &str) -> (Vec<Place>, Vec<Trouble>) {
    let own = work.namespace();
    let namespaces = if wanted.namespaces.is_empty() { vec![own.clone()] } else { wanted.namespaces.clone() };
    let (mut places, mut troubles, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for namespace in &namespaces {
        match place(work, &own, namespace, secret).await {
            Ok(live) => places.push((namespace.clone(), live)),
            Err(trouble) => {
                lost.extend(["NoConsent", "NamespaceMissing"].contains(&trouble.reason).then(|| namespace.clone()));
                troubles.push(trouble);
            }
        }
    }
    let is_unwanted = |place: &SecretPlace| {
        place.name != secret || !namespaces.contains(&place.namespace) || lost.contains(&place.namespace)
    };
    troubles.extend(withdraw(work, is_unwanted).await);
    (places, troubles)
}

/// Notes where the Secret is going to be, so that it is found again when the robot goes.
async fn note(work: &mut Work<'_, RegistryRobot>, places: &[Place], secret: &str) -> Result<(), Trouble> {
    for (namespace, _) in places {
        let place = SecretPlace { namespace: namespace.clone(), name: secret.to_owned() };
        if !work.status.secrets.contains(&place) {
            work.status.secrets.push(place);
        }
    }
    work.status.secrets.sort();
    work.save().await
}

/// What a namespace has under the name of the Secret, if it may have it.
async fn place(
    work: &Work<'_, RegistryRobot>,
    own: &str,
    namespace: &str,
    secret: &str,
) -> Result<Option<Secret>, Trouble> {
    let client = &work.operator.client;
    if namespace != own {
        let found = Api::<Namespace>::all(client.clone()).get_opt(namespace).await;
        let found = found.map_err(|error| {
            let trouble = Trouble::api(&format!("read the namespace {namespace}, which is to consent"), &error);
            Trouble { message: format!("{} (the operator needs rbac.clusterReads for it)", trouble.message), ..trouble }
        })?;
        pull_secret::consent(own, namespace, found.as_ref())?;
    }
    let live = Api::<Secret>::namespaced(client.clone(), namespace).get_opt(secret).await;
    let live = live.map_err(|error| Trouble::api(&format!("read the Secret {secret} in {namespace}"), &error))?;
    if live.as_ref().is_some_and(|live| !pull_secret::is_of(live, &of(work))) {
        let message = format!(
            "there is a Secret {secret} in {namespace} that is not of this robot: delete it, or give spec.pullSecret.name"
        );
        return Err(Trouble::new("SecretTaken", message));
    }
    Ok(live)
}

/// The tokens of a robot, and where they are.
struct Keys<'a, 'w> {
    work: &'a mut Work<'w, RegistryRobot>,
    door: &'a Door,
    /// The account.
    name: String,
}

impl Keys<'_, '_> {
    async fn keep(mut self) -> Result<Kept, Trouble> {
        let Some(wanted) = self.work.object.spec.pull_secret.clone() else {
            one(withdraw(self.work, |_| true).await)?;
            // Only what was made for pull secrets: others may have made tokens for themselves.
            if self.work.status.token.take().is_some() {
                self.tidy(&self.tokens().await?, &[]).await?;
            }
            return Ok(Kept::new(format!("the robot {} is as this object says", self.name)));
        };
        let rotate = token::duration(&wanted.rotate).ok_or_else(|| {
            Trouble::new("Refused", format!("spec.pullSecret.rotate: {:?} is no time", wanted.rotate))
        })?;
        let secret = self.work.object.pull_secret_name(&wanted);
        let (places, mut troubles) = places(self.work, &wanted, &secret).await;
        note(self.work, &places, &secret).await?;
        let mut due = AT_REST;
        if !places.is_empty() {
            let failed = self.token(&places, &secret, rotate).await?;
            troubles.extend(failed);
            if let Some(token) = &self.work.status.token {
                let left = token::until(token.issued.0, rotate).as_second() - Timestamp::now().as_second();
                due = due.min(Duration::from_secs(left.max(1).unsigned_abs()));
            }
        }
        one(troubles)?;
        let namespaces: Vec<&str> = places.iter().map(|(namespace, _)| namespace.as_str()).collect();
        let message =
            format!("the robot {} is as this object says, and its Secret is in {}", self.name, namespaces.join(", "));
        Ok(Kept { message, due })
    }

    /// Sees to it that the places have a token that is fresh. Gives what is wrong with single ones.
    async fn token(&mut self, places: &[Place], secret: &str, rotate: Duration) -> Result<Vec<Trouble>, Trouble> {
        let tokens = self.tokens().await?;
        let good: Vec<String> = tokens.iter().map(|token| token.id.clone()).collect();
        let found: Vec<String> =
            places.iter().filter_map(|(_, live)| live.as_ref().and_then(pull_secret::token_in)).collect();
        let asked = self.work.object.annotations().get(ROTATE).cloned();
        let noted = self.work.status.token.clone();
        // To the second, as the API server keeps it.
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        let facts = Facts { noted: noted.as_ref(), good: &good, found: &found, rotate, asked: asked.as_deref(), now };
        match facts.next() {
            Next::Keep { token, until } => {
                let (_, troubles) = self.put(places, secret, &token, until).await;
                let kept = noted.map(|noted| [Some(noted.id), noted.previous]).unwrap_or_default();
                self.tidy(&tokens, &kept.into_iter().flatten().collect::<Vec<_>>()).await?;
                Ok(troubles)
            }
            Next::Issue(why) => {
                let path = format!("robots/{}/tokens", self.name);
                let new = NewToken { description: self.work.title(), ..NewToken::default() };
                let issued: IssuedToken = self.door.send("POST", &path, &new).await?.read()?;
                let (written, troubles) = self.put(places, secret, &issued.token, token::until(now, rotate)).await;
                if written == 0 {
                    // Nobody has it: the one before is not to be pushed out by it.
                    self.door.delete(&format!("{path}/{}", issued.id)).await?;
                    return Ok(troubles);
                }
                let previous = noted.map(|noted| noted.id).filter(|id| good.contains(id));
                let kept: Vec<String> = previous.iter().cloned().collect();
                let sum = token::sum(&issued.token);
                self.work.status.token = Some(RobotToken { id: issued.id, issued: Time(now), sum, previous, asked });
                self.work.save().await?;
                self.work.did("TokenIssued", &format!("a token of the robot {}, since {why}", self.name)).await;
                // All older ones are good for nothing from now on.
                self.tidy(&tokens, &kept).await?;
                Ok(troubles)
            }
        }
    }

    /// Writes a token into all places. Gives how many have it.
    async fn put(&self, places: &[Place], secret: &str, token: &str, until: Timestamp) -> (usize, Vec<Trouble>) {
        let wanted = Wanted {
            name: secret.to_owned(),
            robot: self.work.object.name_any(),
            of: of(self.work),
            config: pull_secret::config(&self.door.hostname, &self.name, token),
            until,
        };
        let (mut written, mut troubles) = (0, Vec::new());
        for (namespace, live) in places {
            match wanted.put(&self.work.operator.client, namespace, live.as_ref()).await {
                Ok(change) => {
                    written += 1;
                    if let Some(reason) = change {
                        self.work.operator.metrics.writes.with_label_values(&["Secret"]).inc();
                        self.work.did(reason, &format!("the Secret {secret} in {namespace}")).await;
                    }
                }
                Err(trouble) => troubles.push(trouble),
            }
        }
        (written, troubles)
    }

    /// The tokens of the robot that were made for pull secrets.
    async fn tokens(&self) -> Result<Vec<Token>, Trouble> {
        #[derive(Deserialize)]
        struct Tokens {
            tokens: Vec<Token>,
        }
        let tokens = self.door.get::<Tokens>(&format!("robots/{}/tokens", self.name)).await?;
        let mut tokens = tokens.map(|tokens| tokens.tokens).unwrap_or_default();
        tokens.retain(|token| token.description == self.work.title());
        Ok(tokens)
    }

    /// Deletes those tokens that are not kept.
    async fn tidy(&self, tokens: &[Token], kept: &[String]) -> Result<(), Trouble> {
        for token in tokens.iter().filter(|token| !kept.contains(&token.id)) {
            self.door.delete(&format!("robots/{}/tokens/{}", self.name, token.id)).await?;
        }
        Ok(())
    }
}
