//! Conditional requests (RFC 9110 §13): `If-Match`, `If-None-Match`, `If-Range` against `ETag: "<digest>"`. Pure.

use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH, IF_RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::error::{ApiError, Code};
use crate::index::command::Condition;
use crate::oci::digest::Digest;

/// The entity tags of one header.
#[derive(Debug, PartialEq, Eq)]
enum Tags {
    Any,
    /// Those that are digests; others match nothing here. Some clients leave the quotes out.
    These(Vec<EntityTag>),
}

#[derive(Debug, PartialEq, Eq)]
struct EntityTag {
    weak: bool,
    digest: Digest,
}

/// `ETag` of content named by `digest`.
pub fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether a GET or HEAD of `digest` is to be answered `304 Not Modified`.
pub fn not_modified(headers: &HeaderMap, digest: &Digest) -> bool {
    match tags(headers, &IF_NONE_MATCH) {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::These(tags)) => tags.iter().any(|tag| tag.digest == *digest),
    }
}

/// Whether `Range` is to be looked at: not when `If-Range` names other content (RFC 9110 §13.1.5).
pub fn range_applies(headers: &HeaderMap, digest: &Digest) -> bool {
    match tags(headers, &IF_RANGE) {
        None => true,
        Some(Tags::Any) => false,
        Some(Tags::These(tags)) => tags.iter().any(|tag| !tag.weak && tag.digest == *digest),
    }
}

/// The condition of a write; at most one header, since an entry judges one.
pub fn of_write(headers: &HeaderMap) -> Result<Option<Condition>, ApiError> {
    match (tags(headers, &IF_MATCH), tags(headers, &IF_NONE_MATCH)) {
        (None, None) => Ok(None),
        (Some(Tags::Any), None) => Ok(Some(Condition::Exists)),
        (Some(Tags::These(tags)), None) => {
            let strong = tags.into_iter().filter(|tag| !tag.weak).map(|tag| tag.digest).collect();
            Ok(Some(Condition::Matches(strong)))
        }
        (None, Some(Tags::Any)) => Ok(Some(Condition::Absent)),
        (None, Some(Tags::These(tags))) => {
            Ok(Some(Condition::MatchesNot(tags.into_iter().map(|tag| tag.digest).collect())))
        }
        (Some(_), Some(_)) => Err(refused("send either If-Match or If-None-Match, not both")),
    }
}

/// A condition where none can be judged.
pub fn refused(message: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, Code::Unsupported, message)
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Option<Tags> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let items: Vec<&str> = values
        .filter_map(|value: &HeaderValue| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    if items.contains(&"*") {
        return Some(Tags::Any);
    }
    let tag = |item: &str| {
        let (weak, text) = item.strip_prefix("W/").map_or((false, item), |text| (true, text));
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        text.parse().ok().map(|digest| EntityTag { weak, digest })
    };
    Some(Tags::These(items.into_iter().filter_map(tag).collect()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn digest(content: &str) -> Digest {
        Digest::of(content.as_bytes())
    }

    fn headers(pairs: &[(HeaderName, String)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::try_from(value).unwrap())).collect()
    }

    #[test]
    fn content_the_client_has_is_not_sent_again() {
        let (a, b) = (digest("a"), digest("b"));
        for (value, expected) in [
            (etag(&a), true),
            (format!("W/{}", etag(&a)), true),
            (a.to_string(), true),
            (format!("{}, {}", etag(&b), etag(&a)), true),
            ("*".into(), true),
            (etag(&b), false),
            ("\"x\"".into(), false),
            (String::new(), false),
        ] {
            assert_eq!(not_modified(&headers(&[(IF_NONE_MATCH, value.clone())]), &a), expected, "{value}");
        }
        assert!(!not_modified(&HeaderMap::new(), &a));
    }

    #[test]
    fn a_write_carries_the_condition_of_its_headers() {
        let (a, b) = (digest("a"), digest("b"));
        let of = |pairs: &[(HeaderName, String)]| of_write(&headers(pairs));
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&[(IF_MATCH, "*".into())]).unwrap(), Some(Condition::Exists));
        assert_eq!(of(&[(IF_NONE_MATCH, "*".into())]).unwrap(), Some(Condition::Absent));
        let list = format!("{},{}", etag(&a), etag(&b));
        assert_eq!(of(&[(IF_MATCH, list.clone())]).unwrap(), Some(Condition::Matches(vec![a, b])));
        assert_eq!(of(&[(IF_NONE_MATCH, list)]).unwrap(), Some(Condition::MatchesNot(vec![a, b])));
        assert_eq!(of(&[(IF_MATCH, "W/\"x\"".into())]).unwrap(), Some(Condition::Matches(vec![])));
        assert_eq!(of(&[(IF_MATCH, format!("W/{}", etag(&a)))]).unwrap(), Some(Condition::Matches(vec![])));
        let both = [(IF_MATCH, etag(&a)), (IF_NONE_MATCH, "*".into())];
        assert_eq!(of(&both).unwrap_err().status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_range_of_other_content_is_not_a_range() {
        let (a, b) = (digest("a"), digest("b"));
        assert!(range_applies(&HeaderMap::new(), &a));
        assert!(range_applies(&headers(&[(IF_RANGE, etag(&a))]), &a));
        for value in [etag(&b), format!("W/{}", etag(&a)), "Mon, 23 Nov 2026 12:00:00 GMT".into()] {
            assert!(!range_applies(&headers(&[(IF_RANGE, value.clone())]), &a), "{value}");
        }
    }
}
