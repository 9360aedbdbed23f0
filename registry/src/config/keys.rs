//! The names of all keys, taken from the defaults themselves, so that they cannot differ from the structs. Pure.

use serde_json::Value;

use super::Config;

/// Every key as `section.key`, in order.
pub fn known() -> Vec<String> {
    let mut keys = Vec::new();
    // The defaults are plain data: should they ever not be, no key is known and every test of this folder fails.
    collect(&serde_json::to_value(Config::default()).unwrap_or_default(), "", &mut keys);
    keys
}

fn collect(value: &Value, path: &str, keys: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(field, &path, keys);
            }
        }
        _ => keys.push(path.to_owned()),
    }
}

/// The environment variable of a key.
pub fn variable(key: &str) -> String {
    format!("ROADSTEAD_{}", key.replace('.', "_").to_uppercase())
}

/// The one of `known` that looks most like `name`; a name without its section is recognized too.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |key: &str| {
        let last = key.rsplit('.').next().unwrap_or(key);
        strsim::jaro_winkler(name, key).max(strsim::jaro_winkler(name, last) * 0.99)
    };
    known
        .into_iter()
        .map(|key| (likeness(key), key))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        let keys = known();
        assert!(keys.contains(&"storage.s3.secret_access_key".to_owned()), "{keys:?}");
        assert!(keys.contains(&"tls.certificate".to_owned()), "keys without a default are known too");
        let mut variables: Vec<String> = keys.iter().map(|key| variable(key)).collect();
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), keys.len());
    }

    #[test]
    fn the_nearest_key_is_found_with_and_without_its_section() {
        let keys = known();
        for (wrong, right) in [
            ("server.listn", "server.listen"),
            ("sever.listen", "server.listen"),
            ("admin_listen", "server.admin_listen"),
            ("storage.bucket", "storage.s3.bucket"),
            ("acces.anonimous", "access.anonymous"),
        ] {
            assert_eq!(nearest(wrong, keys.iter().map(String::as_str)), Some(right));
        }
    }
}
