//! Which request lines are which actions, and which are none.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn digest() -> Digest {
    format!("sha256:{HEX}").parse().unwrap()
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn parse(method: &str, target: &str) -> Result<Action, ActionError> {
    let target = target.replace("DIGEST", &format!("sha256:{HEX}"));
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target.as_str(), None),
    };
    Action::parse(&Method::from_bytes(method.as_bytes()).unwrap(), path, query)
}

#[test]
fn every_endpoint_of_the_specification_is_an_action() {
    let table = [
        ("GET", "/v2/", "check_version"),
        ("GET", "/v2", "check_version"),
        ("GET", "/v2/_catalog", "list_repositories"),
        ("GET", "/v2/a/b/blobs/DIGEST", "get_blob"),
        ("HEAD", "/v2/a/b/blobs/DIGEST", "head_blob"),
        ("DELETE", "/v2/a/b/blobs/DIGEST", "delete_blob"),
        ("POST", "/v2/a/b/blobs/uploads/", "start_upload"),
        ("POST", "/v2/a/b/blobs/uploads/?digest=DIGEST", "start_upload"),
        ("GET", "/v2/a/b/blobs/uploads/id", "upload_status"),
        ("PATCH", "/v2/a/b/blobs/uploads/id", "append_upload"),
        ("PUT", "/v2/a/b/blobs/uploads/id?digest=DIGEST", "finish_upload"),
        ("DELETE", "/v2/a/b/blobs/uploads/id", "cancel_upload"),
        ("GET", "/v2/a/b/manifests/DIGEST", "get_manifest"),
        ("HEAD", "/v2/a/b/manifests/v1", "head_manifest"),
        ("PUT", "/v2/a/b/manifests/v1", "put_manifest"),
        ("DELETE", "/v2/a/b/manifests/v1", "delete_tag"),
        ("DELETE", "/v2/a/b/manifests/DIGEST", "delete_manifest"),
        ("GET", "/v2/a/b/tags/list", "list_tags"),
        ("GET", "/v2/a/b/referrers/DIGEST", "list_referrers"),
        ("GET", "/v2/a/b/_roadstead/tags/history?tag=v1", "tag_history"),
    ];
    for (method, target, expected) in table {
        let action = parse(method, target).unwrap_or_else(|error| panic!("{method} {target}: {error}"));
        assert_eq!(action.name(), expected, "{method} {target}");
        if target.contains("/a/b/") {
            assert_eq!(action.repository(), Some(&name("a/b")), "{target}");
        }
    }
}

#[test]
fn an_unknown_path_is_no_route_and_has_no_alias() {
    for path in [
        "/",
        "",
        "/v1/",
        "/V2/",
        "//v2/",
        "/v2//_catalog",
        "/v2x/a/tags/list",
        "/%762/",
        "/v2/a",
        "/v2/a/tags",
        "/v2/a/tags/list/",
        "/v2/a/tags/lists",
        "/v2/a/Tags/list",
        "/v2/_catalog/",
        "/v2/a/_roadstead/tags/other",
        "/v2/../etc/passwd",
    ] {
        assert_eq!(parse("GET", path), Err(ActionError::Route), "{path}");
    }
}

#[test]
fn an_unknown_method_names_those_allowed() {
    let table = [
        ("POST", "/v2/", "GET, HEAD"),
        ("PUT", "/v2/_catalog", "GET, HEAD"),
        ("POST", "/v2/a/blobs/DIGEST", "GET, HEAD, DELETE"),
        ("GET", "/v2/a/blobs/uploads/", "POST"),
        ("POST", "/v2/a/blobs/uploads/id", "GET, HEAD, PATCH, PUT, DELETE"),
        ("PATCH", "/v2/a/manifests/v1", "GET, HEAD, PUT, DELETE"),
        ("DELETE", "/v2/a/tags/list", "GET, HEAD"),
        ("BREW", "/v2/a/referrers/DIGEST", "GET, HEAD"),
        ("DELETE", "/v2/a/_roadstead/tags/history", "GET, HEAD"),
    ];
    for (method, target, allow) in table {
        assert_eq!(parse(method, target), Err(ActionError::Method { allow }), "{method} {target}");
    }
}

#[test]
fn a_word_of_the_api_may_be_part_of_a_name() {
    for text in
        ["blobs", "tags/list", "manifests/blobs/uploads", "a/blobs/uploads/tags", "referrers", "v2", "v2/history"]
    {
        let paths = [
            ("GET", format!("/v2/{text}/tags/list")),
            ("GET", format!("/v2/{text}/blobs/DIGEST")),
            ("POST", format!("/v2/{text}/blobs/uploads/")),
            ("PATCH", format!("/v2/{text}/blobs/uploads/list")),
            ("GET", format!("/v2/{text}/manifests/list")),
            ("GET", format!("/v2/{text}/referrers/DIGEST")),
            ("GET", format!("/v2/{text}/_roadstead/tags/history?tag=manifests")),
        ];
        for (method, path) in paths {
            let action = parse(method, &path).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(action.repository(), Some(&name(text)), "{path}");
        }
    }
}

#[test]
fn an_ill_formed_name_is_refused_as_such() {
    for text in [
        "A", "a//b", "a/../b", "..", "-a", "a%2fb", "a%2Fb", "a%00", "a%C0%AF", "%c3%a4", "a b", "", "a/", "/a",
        "a%252fb",
    ] {
        let path = format!("/v2/{text}/tags/list");
        assert!(matches!(parse("GET", &path), Err(ActionError::Name(_))), "{path}: {:?}", parse("GET", &path));
    }
    let long = "a".repeat(256);
    assert!(matches!(parse("GET", &format!("/v2/{long}/tags/list")), Err(ActionError::Name(_))));
}

#[test]
fn percent_encoding_is_undone_once() {
    let expected = Action::GetBlob { repository: name("a-b"), digest: digest(), head: false };
    assert_eq!(parse("GET", &format!("/v2/a%2Db/blobs/sha256%3A{HEX}")), Ok(expected));
    assert!(matches!(parse("GET", &format!("/v2/a/blobs/sha256%253A{HEX}")), Err(ActionError::Digest(_))));
}

#[test]
fn an_ill_formed_digest_is_refused_as_such() {
    let upper = HEX.to_uppercase();
    for text in [
        "sha256:".to_owned(),
        "uploads".to_owned(),
        format!("sha256:{}", &HEX[1..]),
        format!("sha256:{upper}"),
        format!("md5:{}", &HEX[..32]),
        format!("sha512:{HEX}"),
        "sha256:..%2f..%2fx".to_owned(),
        "sha256:../../x".replace('/', "%2f"),
    ] {
        for (method, path) in [
            ("GET", format!("/v2/a/blobs/{text}")),
            ("DELETE", format!("/v2/a/blobs/{text}")),
            ("GET", format!("/v2/a/referrers/{text}")),
            ("PUT", format!("/v2/a/blobs/uploads/id?digest={text}")),
            ("POST", format!("/v2/a/blobs/uploads/?digest={text}")),
            ("POST", format!("/v2/a/blobs/uploads/?mount={text}&from=b")),
        ] {
            assert!(matches!(parse(method, &path), Err(ActionError::Digest(_))), "{method} {path}");
        }
    }
    for method in ["GET", "PUT", "DELETE"] {
        assert!(matches!(parse(method, "/v2/a/manifests/sha256:xyz"), Err(ActionError::Digest(_))), "{method}");
    }
    assert_eq!(parse("PUT", "/v2/a/blobs/uploads/id"), Err(ActionError::DigestMissing));
}

#[test]
fn an_ill_formed_tag_is_invalid_to_write_and_unknown_to_read() {
    let long = "a".repeat(129);
    for text in [".a", "-a", "a b", "a%20b", long.as_str(), "", "%C3%A4", "a+b"] {
        let path = format!("/v2/a/manifests/{text}");
        assert!(matches!(parse("PUT", &path), Err(ActionError::Tag(_))), "{text}");
        for method in ["GET", "HEAD", "DELETE"] {
            assert!(matches!(parse(method, &path), Err(ActionError::TagUnknown(_))), "{method} {text}");
        }
    }
    assert!(matches!(parse("PUT", "/v2/a/manifests/b?tag=-x"), Err(ActionError::Tag(_))));
    assert!(matches!(parse("GET", "/v2/a/_roadstead/tags/history?tag="), Err(ActionError::TagUnknown(_))));
    assert_eq!(parse("GET", "/v2/a/_roadstead/tags/history"), Err(ActionError::TagMissing));
}

#[test]
fn an_upload_begins_as_its_parameters_say() {
    let start = |query: &str| match parse("POST", &format!("/v2/a/blobs/uploads/{query}")) {
        Ok(Action::StartUpload { start, .. }) => Ok(start),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    assert_eq!(start(""), Ok(UploadStart::Session { algorithm: None }));
    assert_eq!(start("?digest-algorithm=sha512"), Ok(UploadStart::Session { algorithm: Some(Algorithm::Sha512) }));
    assert_eq!(start("?digest-algorithm=md5"), Err(ActionError::Digest(DigestError::Algorithm)));
    assert_eq!(start("?digest=DIGEST"), Ok(UploadStart::Whole { digest: digest() }));
    let mount = |from| Ok(UploadStart::Mount { digest: digest(), from });
    assert_eq!(start("?mount=DIGEST&from=b%2Fc"), mount(MountSource::Repository(name("b/c"))));
    assert_eq!(start("?mount=DIGEST"), mount(MountSource::Anywhere));
    assert_eq!(start("?mount=DIGEST&from=..%2F..%2Fetc"), mount(MountSource::Nowhere));
    assert_eq!(start("?mount=DIGEST&from="), mount(MountSource::Nowhere));
}

#[test]
fn a_page_size_is_a_plain_number_and_never_too_large() {
    let page = |query: &str| match parse("GET", &format!("/v2/_catalog?{query}")) {
        Ok(Action::ListRepositories { page }) => Ok(page),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    assert_eq!(page(""), Ok(PageRequest::default()));
    assert_eq!(page("n=0&last=a%2Fb"), Ok(PageRequest { n: Some(0), last: Some("a/b".into()) }));
    assert_eq!(page("n=99999999999999999999999999").unwrap().n, Some(usize::MAX));
    for text in ["-1", "abc", "1e30", "", "+1", "1.0", "%30x"] {
        assert_eq!(page(&format!("n={text}")), Err(ActionError::PageSize), "{text}");
    }
}

#[test]
fn a_push_takes_up_to_a_hundred_tags_each_once() {
    let push = |count: usize| {
        let query: Vec<String> = (0..count).map(|i| format!("tag=t{i}")).collect();
        parse("PUT", &format!("/v2/a/manifests/DIGEST?{}", query.join("&")))
    };
    assert!(matches!(push(100), Ok(Action::PutManifest { tags, .. }) if tags.len() == 100));
    assert_eq!(push(101), Err(ActionError::TooManyTags));
    let twice = parse("PUT", "/v2/a/manifests/DIGEST?tag=x&tag=x");
    assert!(matches!(twice, Ok(Action::PutManifest { tags, .. }) if tags.len() == 1));
}

#[test]
fn a_plus_in_an_artifact_type_is_a_plus() {
    for text in ["application/spdx+json", "application%2Fspdx%2Bjson"] {
        let action = parse("GET", &format!("/v2/a/referrers/DIGEST?artifactType={text}")).unwrap();
        assert!(
            matches!(&action, Action::ListReferrers { artifact_type: Some(it), .. } if it == "application/spdx+json"),
            "{action:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_request_line_makes_the_parser_panic(method in "GET|HEAD|PUT|POST|PATCH|DELETE", path in ".{0,80}", query in ".{0,80}") {
        let _ = parse(&method, &format!("/v2/{path}?{query}"));
        let _ = parse(&method, &path);
    }

    #[test]
    fn every_name_made_of_any_words_is_found_again(
        words in prop::collection::vec("blobs|tags|list|manifests|uploads|referrers|history|v2|[a-z0-9]{1,4}([._-][a-z0-9]{1,3})?", 1..6),
        tag in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}",
    ) {
        let text = words.join("/");
        let got = parse("GET", &format!("/v2/{text}/manifests/{tag}")).unwrap();
        let want = Action::GetManifest { repository: name(&text), reference: Reference::Tag(tag.parse().unwrap()), head: false };
        prop_assert_eq!(got, want);
    }

    #[test]
    fn whatever_is_parsed_has_a_name_that_keeps_the_grammar(path in "[a-zA-Z0-9%./_-]{0,60}", last in "tags/list|manifests/x|blobs/uploads/") {
        let method = if last == "blobs/uploads/" { "POST" } else { "GET" };
        if let Ok(action) = parse(method, &format!("/v2/{path}/{last}")) {
            let name = action.repository().unwrap().as_str().to_owned();
            prop_assert!(name.len() <= 255 && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.')));
        }
    }
}
