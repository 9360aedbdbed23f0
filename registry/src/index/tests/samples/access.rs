//! The commands of the levels that brought accounts and issuers, one of each.

use bytes::Bytes;

use super::TIME;
use crate::auth::caller::{By, Caller, Limits, Proof, Vouched};
use crate::auth::issuer::{Issuer, IssuerRule};
use crate::auth::policy::{Grant, Policy as AccessPolicy, Role, Rule, Verb, Verbs, WriteOnce};
use crate::auth::quota::Quota;
use crate::auth::secret::PasswordHash;
use crate::config::Anonymous;
use crate::index::access::{AccessChange, Ends, Kind, OnBehalf, PutAccount, PutToken, SigningKey};
use crate::index::command::{Command, LinkName, RaiseLevel};
use crate::oci::digest::Digest;

/// One of each of the second level: about accounts and policies, and on behalf of somebody.
pub fn access_commands() -> Vec<Command> {
    let grant = || Grant { repositories: "team/**".parse().unwrap(), verbs: Role::Push.verbs() };
    let password = || PasswordHash {
        memory_kib: 19_456,
        passes: 2,
        lanes: 1,
        salt: Bytes::from_static(&[1; 16]),
        hash: Bytes::from_static(&[2; 32]),
    };
    let account = |name: &str, kind| PutAccount {
        description: Some("somebody".into()),
        is_disabled: Some(false),
        ..PutAccount::of(name, kind, true)
    };
    let robot = PutAccount {
        grants: Some(vec![grant()]),
        expires: Some(Ends::At(TIME.after(86_400_000))),
        ..account("ci", Kind::Robot)
    };
    let user = PutAccount {
        groups: Some(["dev".to_owned()].into()),
        password: Some(password()),
        ..account("alice", Kind::User)
    };
    let token = PutToken {
        id: "0123456789abcdef".into(),
        account: "ci".into(),
        hash: Bytes::from_static(&[3; 32]),
        description: "of a build".into(),
        expires: Some(TIME.after(3_600_000)),
        limits: Some(vec![grant()]),
        keep: Some(1),
    };
    let rule = Rule {
        subjects: vec!["group:dev".parse().unwrap(), "everyone".parse().unwrap()],
        repositories: vec!["home/{user}/**".parse().unwrap()],
        role: Some(Role::Delete),
        allow: Verbs::NONE,
        deny: Verbs::NONE,
    };
    let deny = Rule { role: None, deny: Verbs::of([Verb::Overwrite, Verb::Delete]), ..rule.clone() };
    let policy = AccessPolicy {
        description: "the team".into(),
        rules: vec![rule, deny],
        write_once: vec![WriteOnce { repositories: vec!["team/**".parse().unwrap()], tags: vec!["v*".into()] }],
    };
    let key = SigningKey {
        id: "k1".into(),
        private: Bytes::from_static(&[4; 48]),
        public: Bytes::from_static(&[5; 32]),
        created: TIME,
    };
    let quota = || Quota { repositories: "team/*/**".parse().unwrap(), bytes: Some(1 << 30), tags: Some(100) };
    let caller = Caller {
        subject: Some("robot:ci".into()),
        name: Some("ci".into()),
        groups: ["outside".to_owned()].into(),
        proof: Some(Proof { account: "ci".into(), by: By::Token("0123456789abcdef".into()) }),
        vouched: None,
        grants: vec![],
        limits: Some(Limits { catalog: false, grants: vec![grant()] }),
        everyone: Anonymous::Pull,
        from: Some("192.0.2.1".parse().unwrap()),
        at: TIME,
    };
    let hello = LinkName { repository: "team/app".parse().unwrap(), digest: Digest::of(b"hello") };
    let changes = vec![
        AccessChange::OfferFirst { hash: Bytes::from_static(&[6; 32]), expires: TIME.after(86_400_000) },
        AccessChange::TakeFirst {
            hash: Bytes::from_static(&[6; 32]),
            name: "root".into(),
            password: password(),
            from: None,
        },
        AccessChange::PutAccount(robot),
        AccessChange::PutAccount(user),
        AccessChange::SetPassword { account: "alice".into(), password: Some(password()) },
        AccessChange::PutToken(token),
        AccessChange::NoteUse { tokens: vec![("0123456789abcdef".into(), TIME)] },
        AccessChange::ChangeGroup { group: "ops".into(), add: vec!["alice".into()], remove: vec![] },
        AccessChange::PutPolicy { name: "team".into(), policy },
        AccessChange::PutPolicy { name: "other".into(), policy: AccessPolicy::default() },
        AccessChange::DeletePolicy { name: "other".into() },
        AccessChange::PutKey { key, unless_younger: 86_400_000 },
        AccessChange::DeleteToken { account: "alice".into(), id: "0123456789abcdef".into() },
        AccessChange::DeleteAccount { name: "nobody".into() },
        AccessChange::PutQuota { name: "team".into(), quota: quota() },
        AccessChange::PutQuota { name: "other".into(), quota: Quota { bytes: None, ..quota() } },
        AccessChange::DeleteQuota { name: "other".into() },
    ];
    let mut all = vec![Command::RaiseLevel(RaiseLevel { level: 2 })];
    all.extend(changes.into_iter().map(|change| Command::Access(Box::new(change))));
    all.push(Command::OnBehalf(Box::new(OnBehalf { caller, command: Command::RenewLink(hello) })));
    all
}

/// What came with the third level: issuers, and callers for whom they vouch.
pub fn issuer_commands() -> Vec<Command> {
    let rule = IssuerRule {
        claims: [("repository".to_owned(), "acme/*".to_owned())].into(),
        groups: ["release".to_owned()].into(),
        account: Some("ci-{owner}".into()),
    };
    let issuer = Issuer {
        description: "the CI".into(),
        issuer: "https://ci.example.com".into(),
        audiences: vec!["registry".into()],
        keys: Some(
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#
                .into(),
        ),
        ca: None,
        name_claim: Some("email".into()),
        groups_claim: Some("groups".into()),
        owns_names: true,
        rules: vec![rule, IssuerRule::default()],
        client_id: Some("roadstead".into()),
        client_secret: None,
        scopes: vec!["openid".into()],
    };
    let least = Issuer { rules: vec![IssuerRule::default()], keys: None, ..issuer.clone() };
    let vouched = Vouched { issuer: "github".into(), version: 7 };
    let caller = Caller {
        subject: Some("github:x".into()),
        vouched: Some(vouched),
        ..Caller::anonymous(Anonymous::Nothing, None, TIME)
    };
    let granted = Caller {
        subject: Some("kubernetes:system:serviceaccount:apps:puller".into()),
        groups: ["kubernetes:system:serviceaccounts".to_owned()].into(),
        grants: vec![Grant { repositories: "team/app".parse().unwrap(), verbs: Verbs::of([Verb::Pull]) }],
        ..Caller::anonymous(Anonymous::Nothing, None, TIME)
    };
    let hello = LinkName { repository: "team/app".parse().unwrap(), digest: Digest::of(b"hello") };
    let change = |change| Command::Access(Box::new(change));
    vec![
        Command::RaiseLevel(RaiseLevel { level: 3 }),
        change(AccessChange::PutIssuer { name: "github".into(), issuer }),
        change(AccessChange::PutIssuer { name: "corp".into(), issuer: least }),
        change(AccessChange::DeleteIssuer { name: "corp".into() }),
        Command::OnBehalf(Box::new(OnBehalf { caller, command: Command::RenewLink(hello.clone()) })),
        Command::OnBehalf(Box::new(OnBehalf { caller: granted, command: Command::RenewLink(hello) })),
    ]
}

/// What came with the fourth level: where the first administrator came from, and an audit that says what was changed.
pub fn audit_commands() -> Vec<Command> {
    let password = PasswordHash {
        memory_kib: 19_456,
        passes: 2,
        lanes: 1,
        salt: Bytes::from_static(&[1; 16]),
        hash: Bytes::from_static(&[2; 32]),
    };
    let hash = Bytes::from_static(&[6; 32]);
    let from = Some("192.0.2.1".parse().unwrap());
    let change = |change| Command::Access(Box::new(change));
    vec![
        Command::RaiseLevel(RaiseLevel { level: 4 }),
        change(AccessChange::TakeFirst { hash, name: "root".into(), password, from }),
        change(AccessChange::ChangeGroup { group: "ops".into(), add: vec![], remove: vec!["alice".into()] }),
    ]
}
