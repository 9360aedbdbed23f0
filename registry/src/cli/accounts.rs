//! `roadstead user | robot | group | token`.

mod shown;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Failure;
use super::api::{Api, ApiArgs, ask_new_secret, ask_secret, part, print_json};
use super::backup::duration;
use super::terminal::{plain, say};
use crate::api::body::{
    Account, ChangeAccountFields, ChangeGroup, FirstOffer, GrantBody, Group, IssuedToken, NewAccount, NewPassword,
    NewToken, TakeFirst, Token,
};
use crate::date;
use crate::index::command::Time;

#[derive(Debug, Subcommand)]
pub(super) enum UserVerb {
    /// Make a user. The password is asked for, or read from stdin.
    Create {
        name: String,
        #[command(flatten)]
        fields: UserFields,
        /// He gets no password: he will log in by other means, or with tokens.
        #[arg(long)]
        no_password: bool,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// List all users.
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Show a user.
    Show {
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Change a user; what is not said stays.
    Change {
        name: String,
        #[command(flatten)]
        fields: UserFields,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Delete a user with all his tokens.
    Delete {
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Give a user another password, asked for or read from stdin. The old one is good for nothing from then on.
    Password {
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Make the first administrator with the token that `roadstead user offer-first` gave; the password is asked for.
    First {
        name: String,
        /// The token. Without it, it is asked for, or is the first line of stdin; the password comes after it.
        #[arg(long, env = "ROADSTEAD_FIRST_TOKEN", hide_env_values = true)]
        token: Option<String>,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Make a token, good once and for a day, with which somebody elsewhere makes the first administrator.
    OfferFirst {
        #[command(flatten)]
        api: ApiArgs,
    },
}

#[derive(Clone, Debug, Default, Args)]
pub(super) struct UserFields {
    #[arg(long)]
    description: Option<String>,
    /// He may do everything; `false`: no longer.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    administrator: Option<bool>,
    /// He cannot log in; `false`: he can again.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    disabled: Option<bool>,
    /// The groups he is in, and no others; may be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// When he can log in no longer: a time such as 2027-01-31T00:00:00Z, a duration such as 90d, or never.
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<Expiry>,
}

impl UserFields {
    fn fields(&self) -> ChangeAccountFields {
        let groups: BTreeSet<String> = self.groups.iter().cloned().collect();
        ChangeAccountFields {
            description: self.description.clone(),
            disabled: self.disabled,
            administrator: self.administrator,
            expires: self.expires.clone().map(|expiry| expiry.0),
            groups: (!groups.is_empty()).then_some(groups),
            grants: None,
        }
    }
}

/// A time, or never.
#[derive(Clone, Debug)]
pub(super) struct Expiry(Option<String>);

fn expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry(None));
    }
    let now = now();
    if let Some(time) = date::parse(text) {
        return if time <= now { Err(format!("{text} is over already")) } else { Ok(Expiry(Some(text.to_owned()))) };
    }
    let wait: Duration = duration(text)
        .map_err(|_| format!("{text:?} is neither a time (2027-01-31T00:00:00Z), nor a duration (90d), nor never"))?;
    Ok(Expiry(Some(date::rfc3339(now.after(wait.as_millis() as u64)))))
}

fn now() -> Time {
    Time(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64)
}

#[derive(Debug, Subcommand)]
pub(super) enum RobotVerb {
    /// Make a robot, and print its token: it is shown this once.
    Create {
        name: String,
        #[command(flatten)]
        fields: RobotFields,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// List all robots.
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Show a robot.
    Show {
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Change a robot; what is not said stays.
    Change {
        name: String,
        #[command(flatten)]
        fields: RobotFields,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Print a new token. The one before it stays good, all older ones do not.
    Rotate {
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Delete a robot with all its tokens.
    Delete {
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

#[derive(Clone, Debug, Args)]
pub(super) struct RobotFields {
    #[arg(long)]
    description: Option<String>,
    /// What it may do, besides what policies let everyone do who has logged in: a pattern of repositories and a role (pull, create, push, delete, admin), such as
    /// 'team/**=push'; may be repeated.
    #[arg(long = "allow", value_name = "PATTERN=ROLE", value_parser = grant)]
    grants: Vec<GrantBody>,
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    disabled: Option<bool>,
    /// When it ends: a time such as 2027-01-31T00:00:00Z, a duration such as 90d, or never.
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<Expiry>,
}

impl RobotFields {
    fn fields(&self) -> ChangeAccountFields {
        ChangeAccountFields {
            description: self.description.clone(),
            disabled: self.disabled,
            administrator: None,
            expires: self.expires.clone().map(|expiry| expiry.0),
            groups: None,
            grants: (!self.grants.is_empty()).then(|| self.grants.clone()),
        }
    }
}

fn grant(text: &str) -> Result<GrantBody, String> {
    let (repositories, role) = text.split_once('=').ok_or("write it as PATTERN=ROLE, such as team/**=push")?;
    let grant = GrantBody { repositories: repositories.to_owned(), role: Some(role.parse()?), verbs: Vec::new() };
    grant.read().map(|_| grant)
}

#[derive(Debug, Subcommand)]
pub(super) enum GroupVerb {
    /// Take accounts into a group.
    Add {
        group: String,
        #[arg(required = true)]
        accounts: Vec<String>,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Take accounts out of a group.
    Remove {
        group: String,
        #[arg(required = true)]
        accounts: Vec<String>,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// List all groups with their members.
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenVerb {
    /// Make a token of an account, and print it: it is shown this once.
    Create {
        /// The account; without it, who logs in with --user.
        #[arg(long, value_name = "NAME")]
        account: Option<String>,
        #[arg(long, default_value = "")]
        description: String,
        #[arg(long, value_name = "WHEN", value_parser = expiry)]
        expires: Option<Expiry>,
        /// All that may be done with it: 'team/**=pull'; may be repeated. Without it, what the account may do.
        #[arg(long = "limit", value_name = "PATTERN=ROLE", value_parser = grant)]
        limits: Vec<GrantBody>,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// List the tokens of an account, without their secrets.
    List {
        #[arg(long, value_name = "NAME")]
        account: Option<String>,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Delete a token: it is good for nothing from then on.
    Delete {
        id: String,
        #[arg(long, value_name = "NAME")]
        account: Option<String>,
        #[command(flatten)]
        api: ApiArgs,
    },
}

fn prompt(name: &str) -> String {
    format!("New password of {name}: ")
}

pub(super) fn user(verb: UserVerb) -> Result<(), Failure> {
    match verb {
        UserVerb::Create { name, fields, no_password, api } => {
            // The way comes first: it may ask for a password, too, that of who makes him.
            api.run(|way| async move {
                let password = if no_password { None } else { Some(ask_new_secret(&prompt(&name))?) };
                let new = NewAccount { name, password, change: fields.fields() };
                show(&way.send("POST", "users", &new).await?, api.json)
            })
        }
        UserVerb::List { api } => api.run(|way| async move { list(&way, "users", api.json).await }),
        UserVerb::Show { name, api } => one(&api, &format!("users/{}", part(&name))),
        UserVerb::Change { name, fields, api } => change(&api, &format!("users/{}", part(&name)), &fields.fields()),
        UserVerb::Delete { name, api } => remove(&api, &format!("users/{}", part(&name))),
        UserVerb::Password { name, api } => {
            let path = format!("users/{}/password", part(&name));
            api.run(|way| async move {
                let password = ask_new_secret(&prompt(&name))?;
                way.send("PUT", &path, &NewPassword { password }).await.map(drop)
            })
        }
        UserVerb::First { name, token, api } => {
            let api = api.by_nobody();
            api.run(|way| async move {
                let token = token.filter(|token| !token.is_empty() && token != "-");
                let token = token.map_or_else(|| ask_secret("The token that was offered: "), Ok)?;
                let take = TakeFirst { token, password: ask_new_secret(&prompt(&name))?, name };
                show(&way.send("POST", "first-administrator", &take).await?, api.json)
            })
        }
        UserVerb::OfferFirst { api } => api.run(|way| async move {
            let offer: FirstOffer =
                serde_json::from_value(way.send("POST", "first-administrator/offer", &json!({})).await?)?;
            if api.json {
                return print_json(&offer);
            }
            eprintln!("Good once, until {}:", offer.expires);
            println!("{}", offer.token);
            Ok(())
        }),
    }
}

pub(super) fn robot(verb: RobotVerb) -> Result<(), Failure> {
    match verb {
        RobotVerb::Create { name, fields, api } => {
            let new = NewAccount { name: name.clone(), password: None, change: fields.fields() };
            api.run(|way| async move {
                way.send("POST", "robots", &new).await?;
                issue(&way, &format!("robots/{}", part(&name)), &NewToken::default(), api.json).await
            })
        }
        RobotVerb::List { api } => api.run(|way| async move { list(&way, "robots", api.json).await }),
        RobotVerb::Show { name, api } => one(&api, &format!("robots/{}", part(&name))),
        RobotVerb::Change { name, fields, api } => change(&api, &format!("robots/{}", part(&name)), &fields.fields()),
        RobotVerb::Rotate { name, api } => api.run(|way| async move {
            let new = NewToken { keep: Some(1), ..NewToken::default() };
            issue(&way, &format!("robots/{}", part(&name)), &new, api.json).await
        }),
        RobotVerb::Delete { name, api } => remove(&api, &format!("robots/{}", part(&name))),
    }
}

pub(super) fn group(verb: GroupVerb) -> Result<(), Failure> {
    let (group, change, api) = match verb {
        GroupVerb::Add { group, accounts, api } => (group, ChangeGroup { add: accounts, remove: Vec::new() }, api),
        GroupVerb::Remove { group, accounts, api } => (group, ChangeGroup { add: Vec::new(), remove: accounts }, api),
        GroupVerb::List { api } => {
            return api.run(|way| async move {
                let answer: Value = way.get("groups").await?;
                if api.json {
                    return print_json(&answer["groups"]);
                }
                for group in serde_json::from_value::<Vec<Group>>(answer["groups"].clone())? {
                    let members = group.members.into_iter().collect::<Vec<_>>().join(" ");
                    say(&format!("{:<24} {members}", group.name));
                }
                Ok(())
            });
        }
    };
    api.run(|way| async move { way.send("PATCH", &format!("groups/{}", part(&group)), &change).await.map(drop) })
}

pub(super) fn token(verb: TokenVerb) -> Result<(), Failure> {
    match verb {
        TokenVerb::Create { account, description, expires, limits, api } => api.run(|way| async move {
            let new = NewToken {
                description,
                expires: expires.and_then(|expiry| expiry.0),
                limits: (!limits.is_empty()).then_some(limits),
                keep: None,
            };
            issue(&way, &whose(&way, account).await?, &new, api.json).await
        }),
        TokenVerb::List { account, api } => api.run(|way| async move {
            let answer: Value = way.get(&format!("{}/tokens", whose(&way, account).await?)).await?;
            if api.json {
                return print_json(&answer["tokens"]);
            }
            for token in serde_json::from_value::<Vec<Token>>(answer["tokens"].clone())? {
                say(&shown::token(&token));
            }
            Ok(())
        }),
        TokenVerb::Delete { id, account, api } => {
            api.run(
                |way| async move { way.delete(&format!("{}/tokens/{}", whose(&way, account).await?, part(&id))).await },
            )
        }
    }
}

/// The path of an account, of either kind; without a name that of who logs in.
async fn whose(way: &Api, account: Option<String>) -> anyhow::Result<String> {
    match account {
        None => {
            let answer: Value = way.get("self").await?;
            let account: Option<Account> = serde_json::from_value(answer["account"].clone())?;
            let own = account.map(|account| format!("{}s/{}", account.kind, part(&account.name)));
            own.ok_or_else(|| without_account(answer["subject"].as_str()))
        }
        Some(name) => {
            let path = format!("users/{}", part(&name));
            match way.get::<Account>(&path).await {
                Ok(_) => Ok(path),
                Err(_) => Ok(format!("robots/{}", part(&name))),
            }
        }
    }
}

/// Why there is nobody whose tokens could be meant.
fn without_account(subject: Option<&str>) -> anyhow::Error {
    match subject {
        None | Some("machine") => anyhow::anyhow!("say whose: --account NAME"),
        Some(subject) => anyhow::anyhow!(
            "{} has no account here, and so no tokens: let an administrator make a robot for what a program does (roadstead robot create); \
             as an administrator, say whose: --account NAME",
            plain(subject)
        ),
    }
}

async fn issue(way: &Api, account: &str, new: &NewToken, as_json: bool) -> anyhow::Result<()> {
    let issued: IssuedToken = serde_json::from_value(way.send("POST", &format!("{account}/tokens"), new).await?)?;
    if as_json {
        return print_json(&issued);
    }
    eprintln!(
        "The token of {}, shown this once; log in with this user name and the token as the password:",
        plain(&issued.account)
    );
    println!("{}", issued.token);
    Ok(())
}

fn one(api: &ApiArgs, path: &str) -> Result<(), Failure> {
    api.run(|way| async move { show(&way.get(path).await?, api.json) })
}

fn change(api: &ApiArgs, path: &str, fields: &ChangeAccountFields) -> Result<(), Failure> {
    api.run(|way| async move { show(&way.send("PATCH", path, fields).await?, api.json) })
}

fn remove(api: &ApiArgs, path: &str) -> Result<(), Failure> {
    api.run(|way| async move { way.delete(path).await })
}

async fn list(way: &Api, kind: &str, as_json: bool) -> anyhow::Result<()> {
    let mut found: Vec<Account> = Vec::new();
    loop {
        let last = found.last().map_or(String::new(), |account| format!("?last={}", part(&account.name)));
        let answer: Value = way.get(&format!("{kind}{last}")).await?;
        let page: Vec<Account> = serde_json::from_value(answer[kind].clone())?;
        let is_last = page.is_empty() || answer["more"] != json!(true);
        found.extend(page);
        if is_last {
            break;
        }
    }
    if as_json {
        return print_json(&found);
    }
    let now = now();
    for account in &found {
        say(&shown::row(account, now));
    }
    Ok(())
}

fn show(answer: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return print_json(answer);
    }
    shown::whole(&serde_json::from_value(answer.clone())?, now());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_account_is_told_that_he_has_no_tokens() {
        assert!(without_account(Some("ldap:bob")).to_string().starts_with("ldap:bob has no account here"));
        for subject in [None, Some("machine")] {
            assert_eq!(without_account(subject).to_string(), "say whose: --account NAME");
        }
    }
}
