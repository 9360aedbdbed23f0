//! Pages of ordered lists: how many items an answer holds, and the `Link` to the next (RFC 8288). Pure.

use http::header::LINK;
use http::response::Builder;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::oci::action::PageRequest;

/// The most items of one page, whatever the client asks for, and when it asks for nothing.
pub const MAX: usize = 1000;

/// What must not stand bare in the value of a parameter (RFC 3986 §3.4), nor inside the angle brackets of a link.
const PARAMETER: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// How many items to ask the index for.
pub fn limit(page: &PageRequest) -> usize {
    page.n.unwrap_or(MAX).min(MAX)
}

/// Adds the link to the page after `last`. `parameters` are others that the next request needs.
pub fn link(builder: Builder, path: &str, parameters: &[(&str, &str)], limit: usize, last: &str) -> Builder {
    use std::fmt::Write as _;
    let mut target = format!("{path}?n={limit}&last={}", utf8_percent_encode(last, PARAMETER));
    for (name, value) in parameters {
        // Writing to a string cannot fail.
        let _ = write!(target, "&{name}={}", utf8_percent_encode(value, PARAMETER));
    }
    builder.header(LINK, format!("<{target}>; rel=\"next\""))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use http::Response;

    use super::*;

    #[test]
    fn a_page_is_never_larger_than_the_largest() {
        let page = |n| limit(&PageRequest { n, last: None });
        assert_eq!((page(None), page(Some(0)), page(Some(7)), page(Some(usize::MAX))), (MAX, 0, 7, MAX));
    }

    #[test]
    fn a_link_leads_to_the_next_page_with_the_same_filter() {
        let response =
            link(Response::builder(), "/v2/a/tags/list", &[("artifactType", "a/b+c&d")], 2, "x>y").body(()).unwrap();
        assert_eq!(
            response.headers()["link"],
            "</v2/a/tags/list?n=2&last=x%3Ey&artifactType=a/b%2Bc%26d>; rel=\"next\""
        );
    }
}
