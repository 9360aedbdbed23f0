//! The parameters of a request, decoded once. Called by [`super::Action::parse`] only; pure.
//!
//! `+` stands for itself and not for a space: no parameter of the API can hold a space, but media types such as
//! `application/spdx+json` hold a plus, and some clients do not encode it.

use percent_encoding::percent_decode_str;

use super::{ActionError, MAX_TAG_PARAMETERS, MountSource, UploadStart};
use crate::oci::reference::Tag;

/// Which part of an ordered list is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// At most this many; none when the client leaves it to the server. Huge numbers become the largest.
    pub n: Option<usize>,
    /// Only what comes after this, whether it exists or not.
    pub last: Option<String>,
}

/// The decoded parameters, in their order.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn new(query: &str) -> Self {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decode(k), decode(v))).collect(),
        )
    }

    /// The first value of `name`.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn page(&self) -> Result<PageRequest, ActionError> {
        let n = match self.first("n") {
            None => None,
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                Some(text.parse().unwrap_or(usize::MAX))
            }
            Some(_) => return Err(ActionError::PageSize),
        };
        Ok(PageRequest { n, last: self.first("last").filter(|last| !last.is_empty()).map(str::to_owned) })
    }

    pub(super) fn tags(&self) -> Result<Vec<Tag>, ActionError> {
        let given = || self.0.iter().filter(|(key, _)| key == "tag").map(|(_, value)| value);
        if given().count() > MAX_TAG_PARAMETERS {
            return Err(ActionError::TooManyTags);
        }
        let mut tags: Vec<Tag> = Vec::new();
        for text in given() {
            let tag = text.parse().map_err(ActionError::Tag)?;
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        Ok(tags)
    }

    pub(super) fn upload_start(&self) -> Result<UploadStart, ActionError> {
        let algorithm = self.first("digest-algorithm").map(str::parse).transpose()?;
        if let Some(digest) = self.first("mount") {
            let from = match self.first("from") {
                None => MountSource::Anywhere,
                Some(name) => name.parse().map_or(MountSource::Nowhere, MountSource::Repository),
            };
            return Ok(UploadStart::Mount { digest: digest.parse()?, from });
        }
        match self.first("digest") {
            Some(digest) => Ok(UploadStart::Whole { digest: digest.parse()? }),
            None => Ok(UploadStart::Session { algorithm }),
        }
    }
}
