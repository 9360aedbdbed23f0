//! What rules mean, and what each action needs.

#![allow(clippy::unwrap_used)]

use http::Method;

use super::*;
use crate::auth::policy::{Role, of_everyone};
use crate::config::Anonymous;

fn rules(text: &str) -> Rules {
    let policy: Policy = serde_json::from_str(text).unwrap();
    assert_eq!(policy.problems(), Vec::<String>::new());
    Rules::of([("p".to_owned(), policy)])
}

fn asker<'a>(subject: Option<&'a str>, groups: &'a BTreeSet<String>) -> Asker<'a> {
    let name = subject.and_then(|subject| subject.split_once(':')).map(|(_, name)| name);
    Asker { subject, name, groups, grants: &[], is_administrator: false, everyone: Verbs::NONE }
}

#[test]
fn what_nothing_allows_is_denied_and_a_rule_that_denies_wins_wherever_it_stands() {
    for text in [
        r#"{"rules":[{"subjects":["everyone"],"repositories":["**"],"role":"admin"},{"subjects":["user:bob"],"repositories":["secret/**"],"deny":["pull"]}]}"#,
        r#"{"rules":[{"subjects":["user:bob"],"repositories":["secret/**"],"deny":["pull"]},{"subjects":["everyone"],"repositories":["**"],"role":"admin"}]}"#,
    ] {
        let (rules, none) = (rules(text), BTreeSet::new());
        let bob = asker(Some("user:bob"), &none);
        assert!(!decide(&rules, &bob, Verb::Pull, "secret/x").is_allowed, "{text}");
        assert!(decide(&rules, &bob, Verb::Push, "secret/x").is_allowed, "only what is named is denied");
        assert!(decide(&rules, &bob, Verb::Pull, "open").is_allowed);
        assert!(decide(&rules, &asker(Some("user:eve"), &none), Verb::Pull, "secret/x").is_allowed);
        let root = Asker { is_administrator: true, ..bob };
        assert_eq!(decide(&rules, &root, Verb::Pull, "secret/x").reason, Reason::Administrator);
    }
    let (none, rules) = (BTreeSet::new(), Rules::default());
    let decision = decide(&rules, &asker(Some("user:bob"), &none), Verb::Pull, "a");
    assert_eq!(decision, Decision { is_allowed: false, reason: Reason::Nothing });
}

#[test]
fn subjects_mean_whom_they_say() {
    let rules = rules(
        r#"{"rules":[
            {"subjects":["anonymous"],"repositories":["a"],"role":"pull"},
            {"subjects":["authenticated"],"repositories":["b"],"role":"pull"},
            {"subjects":["group:dev"],"repositories":["c"],"role":"pull"},
            {"subjects":["robot:ci-*"],"repositories":["d"],"role":"pull"},
            {"subjects":["everyone"],"repositories":["e"],"role":"pull"}]}"#,
    );
    let (none, dev) = (BTreeSet::new(), BTreeSet::from(["dev".to_owned()]));
    let seen = |subject, groups| {
        let asker = asker(subject, groups);
        ["a", "b", "c", "d", "e"]
            .into_iter()
            .filter(|name| decide(&rules, &asker, Verb::Pull, name).is_allowed)
            .collect::<String>()
    };
    assert_eq!(seen(None, &none), "ae");
    assert_eq!(seen(None, &dev), "ae", "nobody known is in no group");
    assert_eq!(seen(Some("user:bob"), &none), "be");
    assert_eq!(seen(Some("user:bob"), &dev), "bce");
    assert_eq!(seen(Some("robot:ci-1"), &none), "bde");
    assert_eq!(seen(Some("user:ci-1"), &none), "be", "a user is not the robot of the same name");
}

#[test]
fn who_made_a_tag_may_be_kept_from_moving_it() {
    let text = r#"{"rules":[{"subjects":["user:bob"],"repositories":["**"],"role":"create"}]}"#;
    let (rules, none) = (rules(text), BTreeSet::new());
    let bob = asker(Some("user:bob"), &none);
    let verbs: Vec<_> = Verb::ALL.into_iter().filter(|verb| decide(&rules, &bob, *verb, "a").is_allowed).collect();
    assert_eq!(verbs, [Verb::Pull, Verb::Push]);
}

#[test]
fn what_everyone_may_do_by_configuration_has_levels() {
    let none = BTreeSet::new();
    for (level, verbs) in [
        (Anonymous::Nothing, &[][..]),
        (Anonymous::Pull, &[Verb::Pull]),
        (Anonymous::Push, &[Verb::Pull, Verb::Push, Verb::Overwrite]),
        (Anonymous::Delete, &[Verb::Pull, Verb::Push, Verb::Overwrite, Verb::Delete]),
    ] {
        let nobody = Asker { everyone: of_everyone(level), ..asker(None, &none) };
        let may: Vec<_> =
            Verb::ALL.into_iter().filter(|verb| decide(&Rules::default(), &nobody, *verb, "a").is_allowed).collect();
        assert_eq!(may, verbs, "{level:?}");
    }
}

#[test]
fn roles_include_those_before_them() {
    let roles = [Role::Pull, Role::Create, Role::Push, Role::Delete, Role::Admin];
    for (pair, verb) in roles.windows(2).zip([Verb::Push, Verb::Overwrite, Verb::Delete, Verb::Admin]) {
        assert_eq!(pair[1].verbs(), pair[0].verbs().and(Verbs::of([verb])), "{pair:?}");
    }
}

#[test]
fn a_rule_that_would_mean_nothing_or_two_things_is_refused() {
    let problems = |text: &str| serde_json::from_str::<Policy>(text).map(|policy| policy.problems().len());
    let rule = |rest: &str| format!(r#"{{"rules":[{{"subjects":["everyone"],"repositories":["**"]{rest}}}]}}"#);
    assert_eq!(problems(&rule(r#","role":"pull""#)).unwrap(), 0);
    assert_eq!(problems(&rule("")).unwrap(), 1);
    assert_eq!(problems(&rule(r#","role":"pull","deny":["push"]"#)).unwrap(), 1);
    assert_eq!(problems(r#"{"rules":[{"subjects":[],"repositories":["a"],"role":"pull"}]}"#).unwrap(), 1);
    for text in [rule(r#","role":"root""#), rule(r#","allow":["fly"]"#), rule(r#","roles":"pull""#)] {
        assert!(problems(&text).is_err(), "{text}");
    }
}

/// Every kind of action with what it needs: a new one does not compile before it is in [`needed`], and is added here.
#[test]
fn each_action_needs_what_the_table_says() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for (method, target, verb) in [
        (Method::GET, format!("/v2/a/blobs/{digest}"), Verb::Pull),
        (Method::HEAD, format!("/v2/a/blobs/{digest}"), Verb::Pull),
        (Method::GET, "/v2/a/manifests/latest".to_owned(), Verb::Pull),
        (Method::HEAD, "/v2/a/manifests/latest".to_owned(), Verb::Pull),
        (Method::GET, "/v2/a/tags/list".to_owned(), Verb::Pull),
        (Method::GET, "/v2/a/_roadstead/tags/history?tag=latest".to_owned(), Verb::Pull),
        (Method::GET, format!("/v2/a/referrers/{digest}"), Verb::Pull),
        (Method::POST, "/v2/a/blobs/uploads/".to_owned(), Verb::Push),
        (Method::POST, format!("/v2/a/blobs/uploads/?mount={digest}&from=b"), Verb::Push),
        (Method::POST, format!("/v2/a/blobs/uploads/?digest={digest}"), Verb::Push),
        (Method::GET, "/v2/a/blobs/uploads/id".to_owned(), Verb::Push),
        (Method::PATCH, "/v2/a/blobs/uploads/id".to_owned(), Verb::Push),
        (Method::PUT, format!("/v2/a/blobs/uploads/id?digest={digest}"), Verb::Push),
        (Method::DELETE, "/v2/a/blobs/uploads/id".to_owned(), Verb::Push),
        (Method::PUT, "/v2/a/manifests/latest".to_owned(), Verb::Push),
        (Method::DELETE, "/v2/a/manifests/latest".to_owned(), Verb::Delete),
        (Method::DELETE, format!("/v2/a/manifests/{digest}"), Verb::Delete),
        (Method::DELETE, format!("/v2/a/blobs/{digest}"), Verb::Delete),
    ] {
        let (path, query) = target.split_once('?').map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
        let action = Action::parse(&method, path, query).unwrap();
        assert_eq!(needed(&action), Need::On(verb, &"a".parse().unwrap()), "{method} {target}");
    }
    let get = |path| Action::parse(&Method::GET, path, None).unwrap();
    assert_eq!(needed(&get("/v2/")), Need::Identity);
    assert_eq!(needed(&get("/v2/_catalog")), Need::Filter);
    assert_eq!(needed(&get("/token")), Need::Nothing);
}
