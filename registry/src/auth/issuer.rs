//! Issuers of tokens whom an administrator trusts (OpenID providers, CI systems, Kubernetes clusters), and whom their tokens
//! make known here. Pure; a wire format and, in entries, a disk format.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::pattern::glob;

/// Rules, audiences and scopes of one issuer at most, and the most bytes of its keys and authorities.
const MOST: usize = 200;
const MOST_BYTES: usize = 64 << 10;
/// The longest name of somebody, in bytes.
const MOST_NAME: usize = 255;
/// Kinds of subjects that are not an issuer's to name.
const RESERVED: [&str; 13] = [
    "anonymous",
    "authenticated",
    "certificate",
    "everyone",
    "group",
    "kubernetes",
    "ldap",
    "machine",
    "oidc",
    "robot",
    "serviceaccount",
    "token",
    "user",
];

/// Whose tokens are believed, and what they make of who has them. Written in policies as `<name of the issuer>:<name>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Issuer {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What its tokens say in `iss`. Without `keys`, they are found from there (OpenID Connect Discovery 1.0).
    pub issuer: String,
    /// A token must be for one of these (`aud`).
    pub audiences: Vec<String>,
    /// Its keys, as the text of a JSON Web Key Set (RFC 7517): for one that cannot be reached from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
    /// Authorities to trust on the way to it, as PEM, besides the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The claim with the name of who has the token; without it `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_claim: Option<String>,
    /// The claim with his groups, which are called `<name of the issuer>:<group>` here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<String>,
    /// Its names are those of our users: `{user}` in patterns stands for them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owns_names: bool,
    /// Whom a token makes known: one that no rule fits makes nobody known.
    pub rules: Vec<IssuerRule>,
    /// By which people log in with a program of their own (RFC 8628, RFC 8252), and what it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// No secret, and told to everyone: some providers want one of programs that everybody can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

/// What a token must say, and what it is good for then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuerRule {
    /// By the name of a claim, or its path (`kubernetes.io/namespace`); `*` in a value stands for any characters. Of a list, one item must
    /// fit. None: every token.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
    /// Groups that he is in then.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// The account that he uses then, which must be there: a name, in which `{claim}` stands for what a claim says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// Who somebody is by the word of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub subject: String,
    /// What `{user}` stands for.
    pub name: Option<String>,
    pub groups: BTreeSet<String>,
    pub account: Option<String>,
}

/// Whether an issuer can be called so: subjects begin with it.
pub fn is_issuer_name(name: &str) -> bool {
    (2..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase()) && !RESERVED.contains(&name)
}

impl Issuer {
    /// What is wrong with it.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut unless = |is_good: bool, problem: &str| problems.extend((!is_good).then(|| problem.to_owned()));
        unless(
            is_address(&self.issuer) || (self.keys.is_some() && !self.issuer.is_empty() && self.issuer.len() <= 2048),
            "issuer: give the address that its tokens name, https://…; plain http is for this machine alone",
        );
        let audiences = &self.audiences;
        unless(
            (1..=MOST).contains(&audiences.len()) && audiences.iter().all(|audience| !audience.is_empty()),
            "audiences: name whom its tokens are for, such as the host name of this registry: a token for somebody else is not for us",
        );
        unless(
            (1..=MOST).contains(&self.rules.len()),
            "rules: there must be one for a token to be good for something; `claims: {}` fits all",
        );
        unless(
            self.keys.as_deref().is_none_or(|keys| keys.len() <= MOST_BYTES && keys_of(keys).is_some()),
            "keys: this is no JSON Web Key Set with keys in it",
        );
        unless(
            self.ca.as_deref().is_none_or(|ca| ca.len() <= MOST_BYTES && ca.contains("-----BEGIN CERTIFICATE-----")),
            "ca: this is no certificate as PEM",
        );
        unless(self.scopes.len() <= MOST, "scopes: these are too many");
        let sizes = self.rules.iter().map(IssuerRule::bytes).sum::<usize>();
        unless(sizes <= MOST_BYTES, "rules: these are too long");
        for rule in &self.rules {
            unless(
                rule.groups.iter().all(|group| is_group(group)),
                "rules: a group has a name without `:` and `*`, as groups of users do",
            );
            unless(
                rule.account
                    .as_deref()
                    .is_none_or(|account| !account.is_empty() && !account.contains(char::is_whitespace)),
                "rules: account is the name of a user or a robot",
            );
        }
        problems
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        let texts = [&self.keys, &self.ca].into_iter().flatten().map(String::len).sum::<usize>();
        texts + self.rules.iter().map(IssuerRule::bytes).sum::<usize>() + 1024
    }

    /// Whom the claims of a token make known, if it was checked; `own` is how the issuer is called here.
    pub fn known(&self, own: &str, claims: &Map<String, Value>) -> Option<Known> {
        let claims = &*believed(claims);
        let claim = self.name_claim.as_deref().unwrap_or("sub");
        let name = texts(claims, claim).into_iter().next().filter(|name| is_plain(name))?;
        let fitting: Vec<&IssuerRule> = self.rules.iter().filter(|rule| rule.fits(claims)).collect();
        if fitting.is_empty() {
            return None;
        }
        let mut groups: BTreeSet<String> = fitting.iter().flat_map(|rule| rule.groups.iter().cloned()).collect();
        if let Some(claim) = &self.groups_claim {
            groups.extend(groups_of(own, texts(claims, claim).iter().map(String::as_str))?);
        }
        let account = match fitting.iter().find_map(|rule| rule.account.as_ref()) {
            None => None,
            // A claim that is missing makes him nobody, and not somebody else.
            Some(template) => Some(filled(template, claims)?),
        };
        Some(Known { subject: format!("{own}:{name}"), name: self.owns_names.then(|| name.clone()), groups, account })
    }
}

impl IssuerRule {
    fn fits(&self, claims: &Map<String, Value>) -> bool {
        self.claims.iter().all(|(claim, wanted)| texts(claims, claim).iter().any(|text| glob(wanted, text)))
    }

    fn bytes(&self) -> usize {
        let claims = self.claims.iter().map(|(claim, wanted)| claim.len() + wanted.len());
        let groups = self.groups.iter().map(String::len);
        claims.chain(groups).sum::<usize>() + self.account.as_ref().map_or(0, String::len)
    }
}

/// Keys that can be read; none: there are none.
pub fn keys_of(text: &str) -> Option<JwkSet> {
    // One at a time, so that one of a kind that is not known does not take the others along.
    let set: Value = serde_json::from_str(text).ok()?;
    let keys = set.get("keys")?.as_array()?.iter();
    let keys = keys.filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
    // A secret that everybody who checks has proves nothing.
    let is_public = |key: &Jwk| {
        use AlgorithmParameters::{EllipticCurve, OctetKeyPair, RSA};
        matches!(key.algorithm, RSA(_) | EllipticCurve(_) | OctetKeyPair(_))
    };
    let keys: Vec<_> = keys.filter(is_public).collect();
    (!keys.is_empty()).then_some(JwkSet { keys })
}

/// Whether keys may be fetched from there.
pub fn is_address(address: &str) -> bool {
    let host = |rest: &str| rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned();
    if address.len() > 2048 || address.contains(['@', ' ']) || address.contains(char::is_control) {
        return false;
    }
    if let Some(rest) = address.strip_prefix("https://") {
        return !host(rest).is_empty();
    }
    let Some(rest) = address.strip_prefix("http://") else { return false };
    let host = host(rest);
    let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// Claims, without an address that the issuer does not say it has looked at (OpenID Connect Core 1.0, section 5.7): that is whatever
/// its holder typed.
fn believed(claims: &Map<String, Value>) -> Cow<'_, Map<String, Value>> {
    let is_verified = texts(claims, "email_verified").iter().any(|text| text == "true");
    if is_verified || !claims.contains_key("email") {
        return Cow::Borrowed(claims);
    }
    let mut believed = claims.clone();
    believed.remove("email");
    Cow::Owned(believed)
}

/// What a claim says, as texts: one, or each of a list. By its name, or by a path.
fn texts(claims: &Map<String, Value>, claim: &str) -> Vec<String> {
    let found = claims.get(claim).or_else(|| {
        let mut parts = claim.split('/');
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    });
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    match found {
        Some(Value::Array(items)) => items.iter().filter_map(text).collect(),
        Some(value) => text(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// A name that can stand in a policy, a header and a log.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= MOST_NAME && !name.contains(char::is_control)
}

/// Groups that somebody else names, as they are called here. None: the name of one cannot be told, and to leave it out could be to leave
/// out a rule that denies.
pub(super) fn groups_of<'g>(kind: &str, said: impl Iterator<Item = &'g str>) -> Option<BTreeSet<String>> {
    let mut said = said.filter(|group| !group.is_empty());
    said.try_fold(BTreeSet::new(), |mut groups, group| {
        is_plain(group).then(|| groups.insert(format!("{kind}:{group}"))).map(|_| groups)
    })
}

fn is_group(group: &str) -> bool {
    is_plain(group) && !group.contains([':', '*', '/'])
}

fn filled(template: &str, claims: &Map<String, Value>) -> Option<String> {
    let mut pieces = template.split('{');
    let mut all = pieces.next()?.to_owned();
    for piece in pieces {
        let (claim, rest) = piece.split_once('}')?;
        let [said] = texts(claims, claim).try_into().ok()?;
        all = all + &said + rest;
    }
    is_plain(&all).then_some(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn issuer(value: Value) -> Issuer {
        let mut whole = json!({ "issuer": "https://ci.example.com", "audiences": ["registry"], "rules": [{}] });
        whole.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn a_token_makes_known_whom_its_claims_and_the_rules_say() {
        let ci = issuer(json!({ "rules": [
            { "claims": { "repository": "acme/*", "ref": "refs/heads/main" }, "groups": ["release"] },
            { "claims": { "repository": "acme/*" }, "groups": ["ci"], "account": "ci-{owner}" },
        ] }));
        let token = |change: Value| {
            let mut all =
                json!({ "sub": "repo:acme/app", "repository": "acme/app", "ref": "refs/heads/x", "owner": "acme" });
            all.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            ci.known("github", &claims(&all))
        };
        let known = token(json!({})).unwrap();
        assert_eq!((known.subject.as_str(), known.name.as_deref()), ("github:repo:acme/app", None));
        assert_eq!((known.groups, known.account.as_deref()), (["ci".to_owned()].into(), Some("ci-acme")));
        let known = token(json!({ "ref": "refs/heads/main" })).unwrap();
        assert_eq!(known.groups, ["ci".to_owned(), "release".to_owned()].into());
        for (what, change) in [
            ("another owner", json!({ "repository": "evil/app" })),
            ("what only ends so", json!({ "repository": "evil/acme/x".replace("acme/", "") })),
            ("no name", json!({ "sub": "" })),
            ("a name that breaks a line", json!({ "sub": "a\nb" })),
            ("a claim of the account is missing", json!({ "owner": null })),
            ("a claim of the account says two things", json!({ "owner": ["a", "b"] })),
        ] {
            assert_eq!(token(change), None, "{what}");
        }
    }

    #[test]
    fn claims_are_found_by_their_names_and_by_paths_and_lists_by_an_item() {
        let all = claims(&json!({
            "sub": "s", "a/b": "whole", "a": { "b": "path" }, "kubernetes.io": { "namespace": "apps", "pod": { "uid": 7 } },
            "groups": ["x", "y", { "z": 1 }], "admin": true,
        }));
        for (claim, said) in [
            ("a/b", vec!["whole"]),
            ("kubernetes.io/namespace", vec!["apps"]),
            ("kubernetes.io/pod/uid", vec!["7"]),
            ("kubernetes.io/pod", vec![]),
            ("groups", vec!["x", "y"]),
            ("admin", vec!["true"]),
            ("none", vec![]),
            ("none/x", vec![]),
        ] {
            assert_eq!(texts(&all, claim), said, "{claim}");
        }
        let rule = |claim: &str, wanted: &str| IssuerRule {
            claims: [(claim.to_owned(), wanted.to_owned())].into(),
            ..IssuerRule::default()
        };
        assert!(
            rule("groups", "y").fits(&all)
                && !rule("groups", "z").fits(&all)
                && rule("kubernetes.io/namespace", "app*").fits(&all)
        );
        assert!(IssuerRule::default().fits(&all));
    }

    #[test]
    fn groups_of_an_issuer_are_never_those_of_users_here() {
        let dex = issuer(json!({ "groupsClaim": "groups", "nameClaim": "email", "ownsNames": true }));
        let token = |change: Value| {
            let mut all = claims(&json!({ "sub": "1", "email": "a@b.c", "email_verified": true }));
            all.extend(claims(&change));
            all
        };
        let known = dex.known("corp", &token(json!({ "groups": ["dev", "corp:dev", ""] }))).unwrap();
        assert_eq!(known.groups, ["corp:dev".to_owned(), "corp:corp:dev".to_owned()].into());
        assert_eq!(known.name.as_deref(), Some("a@b.c"));
        assert_eq!(
            dex.known("corp", &token(json!({ "groups": ["dev", "a\nb"] }))),
            None,
            "a rule may deny what is left out"
        );
    }

    #[test]
    fn an_address_counts_only_if_the_issuer_has_verified_it() {
        let issuers = [
            issuer(json!({ "nameClaim": "email" })),
            issuer(json!({ "rules": [{ "claims": { "email": "*@acme.com" } }] })),
            issuer(json!({ "rules": [{ "account": "{email}" }] })),
        ];
        let token = |verified: Value| claims(&json!({ "sub": "1", "email": "a@acme.com", "email_verified": verified }));
        for issuer in &issuers {
            for verified in [json!(false), json!("false"), json!(null), json!("yes"), json!(1)] {
                assert_eq!(issuer.known("corp", &token(verified.clone())), None, "{verified}: he typed it himself");
            }
            // Some providers write it as a text.
            for verified in [json!(true), json!("true")] {
                assert!(issuer.known("corp", &token(verified)).is_some());
            }
        }
        let unnamed = issuer(json!({})).known("corp", &token(json!(false))).unwrap();
        assert_eq!(unnamed.subject, "corp:1", "who is not known by his address may have any");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert_eq!(issuer(json!({})).problems(), Vec::<String>::new());
        for (what, change) in [
            ("audiences", json!({ "audiences": [] })),
            ("audiences", json!({ "audiences": [""] })),
            ("rules", json!({ "rules": [] })),
            ("issuer", json!({ "issuer": "http://example.com" })),
            ("issuer", json!({ "issuer": "https://user@example.com" })),
            ("issuer", json!({ "issuer": "https://" })),
            ("keys", json!({ "keys": "{}" })),
            ("keys", json!({ "keys": "{\"keys\":[{\"kty\":\"oct\"}]}" })),
            ("ca", json!({ "ca": "x" })),
            ("group", json!({ "rules": [{ "groups": ["corp:dev"] }] })),
            ("account", json!({ "rules": [{ "account": "" }] })),
        ] {
            let problems = issuer(change).problems();
            assert!(problems.len() == 1 && problems[0].contains(what), "{what}: {problems:?}");
        }
        for (name, is_good) in
            [("github", true), ("kube", true), ("user", false), ("x", false), ("a-b", false), ("group", false)]
        {
            assert_eq!(is_issuer_name(name), is_good, "{name}");
        }
        for (address, is_good) in [
            ("http://127.0.0.1:5556/dex", true),
            ("http://127.0.0.1.evil.com", false),
            ("http://localhost/", true),
            ("ftp://x", false),
        ] {
            assert_eq!(is_address(address), is_good, "{address}");
        }
    }
}
