//! The name of an upload, which any process of the cluster can check without asking the index.
//!
//! `POST` makes one, and it stands in the `Location` that the client goes on with. It holds when the upload was born,
//! the digest algorithm and 80 random bits, and a MAC under the cluster's upload key binds it to its repository and to who
//! began it: an id that was forged, or is used in another repository or by another, is the same as one that never existed. Pure, but for the
//! random bits that the caller brings.
//!
//! Layout, in hexadecimal: version (1 byte), birth in milliseconds of index time (6), algorithm (1), random (10),
//! then the first 16 bytes of HMAC-SHA256(key, domain ‖ those 18 bytes ‖ repository ‖ NUL ‖ owner, if any).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::index::command::{Time, UploadId};
use crate::oci::action::UploadText;
use crate::oci::digest::Algorithm;
use crate::oci::name::RepositoryName;

const VERSION: u8 = 1;
const BODY: usize = 18;
const TAG: usize = 16;
/// Keeps MACs of uploads apart from any other use of the key.
const DOMAIN: &[u8] = b"roadstead upload id\0";

/// An upload id whose MAC was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// What the index knows it by; it sorts by birth.
    pub id: UploadId,
    /// What the client knows it by.
    pub text: String,
    /// The index time at which it was begun.
    pub birth: Time,
    /// The algorithm that the client announced; sha256 when it said nothing.
    pub algorithm: Algorithm,
}

impl Upload {
    /// Names a new upload.
    pub fn begin(
        key: &[u8],
        repository: &RepositoryName,
        owner: Option<&str>,
        birth: Time,
        algorithm: Algorithm,
        random: [u8; 10],
    ) -> Option<Self> {
        let mut body = [0; BODY];
        body[0] = VERSION;
        body[1..7].copy_from_slice(&birth.0.to_be_bytes()[2..]);
        body[7] = match algorithm {
            Algorithm::Sha256 => 0,
            Algorithm::Sha512 => 1,
        };
        body[8..].copy_from_slice(&random);
        let tag = mac(key, &body, repository, owner)?.finalize().into_bytes();
        let id = hex::encode(body);
        let text = format!("{id}{}", hex::encode(&tag[..TAG]));
        Some(Self { id: UploadId(id), text, birth, algorithm })
    }

    /// Checks an id that a client sent for `repository`; none when it was not made here for it.
    pub fn check(key: &[u8], repository: &RepositoryName, owner: Option<&str>, text: &UploadText) -> Option<Self> {
        let mut bytes = [0; BODY + TAG];
        hex::decode_to_slice(&text.0, &mut bytes).ok()?;
        let (body, tag) = bytes.split_at(BODY);
        mac(key, body, repository, owner)?.verify_truncated_left(tag).ok()?;
        let algorithm = match body {
            [VERSION, _, _, _, _, _, _, 0, ..] => Algorithm::Sha256,
            [VERSION, _, _, _, _, _, _, 1, ..] => Algorithm::Sha512,
            _ => return None,
        };
        let mut birth = [0; 8];
        birth[2..].copy_from_slice(&body[1..7]);
        let id = hex::encode(body);
        // Upper-case hexadecimal would be a second name of the same upload.
        let text = format!("{id}{}", hex::encode(tag));
        Some(Self { id: UploadId(id), text, birth: Time(u64::from_be_bytes(birth)), algorithm })
    }

    /// When it expires, if uploads live for `seconds`.
    pub const fn expires(&self, seconds: u64) -> Time {
        self.birth.after(seconds.saturating_mul(1000))
    }
}

fn mac(key: &[u8], body: &[u8], repository: &RepositoryName, owner: Option<&str>) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(DOMAIN);
    mac.update(body);
    mac.update(repository.as_str().as_bytes());
    // A name holds no NUL, so this begins something else. Nobody known adds nothing, as it always was.
    if let Some(owner) = owner {
        mac.update(&[0]);
        mac.update(owner.as_bytes());
    }
    Some(mac)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &[u8] = &[7; 32];

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    fn begin() -> Upload {
        Upload::begin(KEY, &name("a/b"), Some("user:alice"), Time(1_700_000_000_123), Algorithm::Sha512, [3; 10])
            .unwrap()
    }

    #[test]
    fn an_id_says_when_it_was_born_and_what_it_hashes_with() {
        let upload = begin();
        let checked = Upload::check(KEY, &name("a/b"), Some("user:alice"), &UploadText(upload.text.clone())).unwrap();
        assert_eq!(checked, upload);
        assert_eq!(checked.expires(60), Time(1_700_000_060_123));
    }

    #[test]
    fn an_id_is_unknown_in_another_repository_and_under_another_key() {
        let text = UploadText(begin().text);
        assert_eq!(Upload::check(KEY, &name("a/c"), Some("user:alice"), &text), None);
        assert_eq!(Upload::check(KEY, &name("a"), Some("user:alice"), &text), None);
        assert_eq!(Upload::check(&[8; 32], &name("a/b"), Some("user:alice"), &text), None);
    }

    #[test]
    fn cve_2026_32589_an_id_is_unknown_to_everybody_but_who_began_it() {
        let text = UploadText(begin().text);
        let check = |owner| Upload::check(KEY, &name("a/b"), owner, &text);
        assert!(check(Some("user:alice")).is_some());
        assert_eq!((check(Some("user:bob")), check(Some("robot:alice")), check(None)), (None, None, None));
    }

    #[test]
    fn ids_sort_by_birth() {
        let at = |time| Upload::begin(KEY, &name("a"), None, Time(time), Algorithm::Sha256, [0; 10]).unwrap().id;
        assert!(at(5) < at(1 << 20) && at(1 << 20) < at(1 << 40));
    }

    proptest! {
        #[test]
        fn an_id_that_was_changed_anywhere_is_unknown(position in 0usize..68, digit in "[0-9a-f]") {
            let mut text = begin().text;
            prop_assume!(text[position..=position] != digit);
            text.replace_range(position..=position, &digit);
            prop_assert_eq!(Upload::check(KEY, &name("a/b"), Some("user:alice"), &UploadText(text)), None);
        }

        #[test]
        fn no_text_makes_the_check_panic(text in ".{0,80}") {
            prop_assert_eq!(Upload::check(KEY, &name("a/b"), Some("user:alice"), &UploadText(text)), None);
        }
    }
}
