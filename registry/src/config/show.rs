//! The configuration in force as text, for `roadstead config show`. It must never print a secret.

use super::Config;

/// What is printed in place of a secret.
const HIDDEN: &str = "***";

/// The configuration as TOML. Keys that are not set are left out.
pub fn show(config: &Config) -> Result<String, toml::ser::Error> {
    let mut config = config.clone();
    let secrets = [&mut config.storage.s3.secret_access_key, &mut config.access.ldap.bind_password];
    for secret in secrets.into_iter().flatten() {
        *secret = HIDDEN.into();
    }
    toml::to_string(&config)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_loaded_again_and_hides_the_secrets() {
        let mut config = Config::default();
        config.storage.s3.secret_access_key = Some("tell nobody".into());
        config.access.ldap.bind_password = Some("tell nobody either".into());
        config.storage.s3.bucket = "images".into();
        let text = show(&config).unwrap();
        assert!(!text.contains("tell nobody"), "{text}");
        config.storage.s3.secret_access_key = Some(HIDDEN.into());
        config.access.ldap.bind_password = Some(HIDDEN.into());
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
    }
}
