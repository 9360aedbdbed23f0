//! What is asked of a directory, whatever somebody types as his name.

#![allow(clippy::unwrap_used)]

use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[test]
fn what_somebody_types_is_text_in_a_filter_and_nothing_else() {
    for (name, filled) in [
        ("alice", "(uid=alice)"),
        ("*", r"(uid=\2a)"),
        ("*)(uid=*", r"(uid=\2a\29\28uid=\2a)"),
        ("a)(|(uid=*))", r"(uid=a\29\28|\28uid=\2a\29\29)"),
        (r"\2a", r"(uid=\5c2a)"),
        ("a\0b", r"(uid=a\00b)"),
        ("{dn}", "(uid={dn})"),
        ("{user}", "(uid={user})"),
        ("Zoë", "(uid=Zoë)"),
    ] {
        assert_eq!(fill("(uid={user})", None, name), filled);
        assert!(ldap3::parse_filter(filled).is_ok(), "{filled}");
    }
}

#[test]
fn a_filter_of_groups_has_the_entry_and_the_name() {
    let dn = r"cn=Doe\, Jane (dev),ou=people";
    let member = "(member={dn})";
    assert_eq!(fill(member, Some(dn), "jane"), r"(member=cn=Doe\5c, Jane \28dev\29,ou=people)");
    let nested = "(member:1.2.840.113556.1.4.1941:={dn})";
    assert!(ldap3::parse_filter(fill(nested, Some(dn), "jane")).is_ok());
    assert_eq!(fill("(|(memberUid={user})(member={dn}))", Some("a"), "{dn}"), "(|(memberUid={dn})(member=a))");
    assert_eq!(fill("(a={x}{", Some("a"), "b"), "(a={x}{", "what is no place stays");
}

#[test]
fn an_attribute_is_found_however_it_is_spelled() {
    let attrs = [("sAMAccountName".to_owned(), vec!["Alice".to_owned()])].into();
    let entry = SearchEntry { dn: "cn=a".into(), attrs, bin_attrs: [].into() };
    assert_eq!(values(&entry, "samaccountname"), ["Alice"]);
    assert!(values(&entry, "uid").is_empty());
}

#[tokio::test]
async fn without_a_password_or_with_a_name_that_is_none_the_directory_is_not_asked() {
    // Nobody listens there: who asks fails.
    let config = config::Ldap { url: Some("ldap://127.0.0.1:1".into()), ..config::Ldap::default() };
    let ldap = Ldap::new(&config).unwrap().unwrap();
    assert!(matches!(ldap.login(HERE, "alice", "secret").await, Err(LdapError::Connect { .. })));
    for (name, password) in [("alice", ""), ("", "secret"), ("a\nb", "secret"), (&"a".repeat(256), "secret")] {
        assert_eq!(ldap.login(HERE, name, password).await.unwrap(), None, "{name:?}");
    }
}

#[test]
fn a_file_of_authorities_must_have_some() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let with = |ca: &Path| {
        let url = Some("ldaps://directory.example.com".into());
        Ldap::new(&config::Ldap { url, ca: Some(ca.to_owned()), ..config::Ldap::default() }).err().unwrap().to_string()
    };
    assert!(with(file.path()).contains("has no certificates"));
    assert!(with(Path::new("/nowhere/ca.pem")).contains("could not read /nowhere/ca.pem"));
    assert!(Ldap::new(&config::Ldap::default()).unwrap().is_none(), "without an address there is no directory");
}
