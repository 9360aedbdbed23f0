//! JSON that every parser reads alike: no key twice in one object, at any depth, and no deeper than serde_json goes;
//! objects where objects belong, with keys written exactly as the specification writes them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{CowStrDeserializer, MapAccessDeserializer};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A value of any kind in which no object has a key twice. It keeps nothing.
pub(super) struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Unambiguous;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Unambiguous, A::Error> {
        let mut seen = HashSet::new();
        while let Some((key, Unambiguous)) = access.next_entry::<String, _>()? {
            if !seen.insert(key) {
                return Err(A::Error::custom("a key is given twice in one object"));
            }
        }
        Ok(Unambiguous)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Unambiguous, A::Error> {
        while let Some(Unambiguous) = access.next_element()? {}
        Ok(Unambiguous)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }
}

/// The keys of manifests and descriptors that some client acts on.
const KEYS: [&str; 14] = [
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    "fsLayers",
    "digest",
    "size",
    "urls",
    "data",
    "platform",
];

/// A `T` written as a JSON object: serde's structs can also be read from arrays, which no other parser does. A key that
/// differs from one of [`KEYS`] in case alone is refused, because Go's parser would take it for that key.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OfKeys(PhantomData))
    }
}

struct OfKeys<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OfKeys<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(ExactKeys(access))).map(Object)
    }
}

/// Hands on the entries of an object whose keys are exact.
struct ExactKeys<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for ExactKeys<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(key) = self.0.next_key::<Cow<'de, str>>()? else { return Ok(None) };
        if !KEYS.contains(&key.as_ref()) && is_nearly_known(&key) {
            return Err(A::Error::custom("a key differs from one of the specification in case alone"));
        }
        seed.deserialize(CowStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

fn is_nearly_known(key: &str) -> bool {
    const LONGEST: usize = 2 * 13; // bytes: "schemaVersion" with a long s for each letter; longer keys are not folded
    key.len() <= LONGEST && {
        let key = folded(key);
        KEYS.iter().any(|known| folded(known) == key)
    }
}

/// Without case, by Unicode's simple folding: the long s and the Kelvin sign count as s and k, as they do in Go.
fn folded(text: &str) -> String {
    text.to_uppercase().to_lowercase()
}
