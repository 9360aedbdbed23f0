//! A RegistryPolicy: a policy under the name of the object.

use kube::ResourceExt;
use roadstead::api::body::NamedPolicy;
use roadstead::auth::policy::Policy;

use super::call::Door;
use super::work::Work;
use super::{Access, AccessStatus, Claim, Kept, Trouble};
use crate::crd::access::Applied;
use crate::crd::{RegistryPolicy, RegistryPolicySpec, RegistryPolicyStatus};

impl Access for RegistryPolicy {
    type Status = RegistryPolicyStatus;
    const WATCH: &'static str = "policies";

    fn registry(&self) -> &str {
        &self.spec.registry
    }

    fn status(&self) -> Option<&Self::Status> {
        self.status.as_ref()
    }

    async fn keep(work: &mut Work<'_, Self>, door: &Door) -> Result<Kept, Trouble> {
        let name = work.object.name_any();
        let wanted = read(&work.object.spec).map_err(|why| Trouble::new("Refused", why))?;
        let path = format!("policies/{name}");
        let found = door.get::<NamedPolicy>(&path).await?.map(|found| found.policy);
        if work.claim(&name, found.is_some(), found.as_ref() == Some(&wanted)) == Claim::Taken {
            return Err(work.taken("policy", &name));
        }
        work.note(&name).await?;
        if found.as_ref() != Some(&wanted) {
            door.send("PUT", &path, &wanted).await?.done()?;
            if found.is_some() {
                work.remade("policy", &name, &wanted).await;
            } else {
                work.did("Created", &format!("the policy {name} of {}", work.object.spec.registry)).await;
            }
        }
        work.made(&name, &wanted);
        Ok(Kept::new(format!("the policy {name} is in force: {} rules", wanted.rules.len())))
    }

    async fn remove(work: &mut Work<'_, Self>, door: Option<&Door>) -> Result<(), Trouble> {
        let (Some(door), Some(Applied { name, sum })) = (door, work.status.applied().cloned()) else { return Ok(()) };
        let path = format!("policies/{name}");
        if sum.is_none() {
            // It was going to be made: what is there may be somebody else's.
            let found = door.get::<NamedPolicy>(&path).await?;
            if found.map(|found| found.policy) != read(&work.object.spec).ok() {
                return Ok(());
            }
        }
        if door.delete(&path).await? {
            work.did("Deleted", &format!("the policy {name} of {}", work.object.spec.registry)).await;
        }
        Ok(())
    }
}

/// The policy as the registry has it, or what is wrong with it. Pure.
fn read(spec: &RegistryPolicySpec) -> Result<Policy, String> {
    let mut value = serde_json::to_value(spec).map_err(|error| error.to_string())?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("registry");
    }
    let policy: Policy = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let problems = policy.problems();
    if problems.is_empty() { Ok(policy) } else { Err(problems.join("; ")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
description: what the team does
rules:
- subjects: [group:dev]
  repositories: [team/**]
  role: push
- subjects: [authenticated]
  repositories: ["home/{user}/**"]
  allow: [pull, overwrite]
- subjects: [group:contractors]
  repositories: [team/secret/**]
  deny: [pull]
writeOnce:
- repositories: [releases/**]
  tags: ["v*"]
"#;

    #[test]
    fn an_object_says_a_policy_in_the_words_of_a_file() {
        let spec: RegistryPolicySpec = serde_saphyr::from_str(&format!("registry: images{WHOLE}")).unwrap();
        let file: Policy = serde_saphyr::from_str(WHOLE).unwrap();
        assert_eq!(read(&spec), Ok(file));
    }

    #[test]
    fn what_is_no_policy_is_refused_with_the_reason() {
        for (text, said) in [
            ("rules: [{ subjects: [dev], repositories: [a], role: pull }]", "\"dev\" is no subject"),
            ("rules: [{ subjects: [everyone], repositories: ['A'], role: pull }]", "A"),
            ("rules: [{ subjects: [everyone], repositories: [a] }]", "exactly one of role, allow and deny"),
            ("writeOnce: [{ repositories: ['home/{user}'], tags: ['v*'] }]", "mean nothing in it"),
        ] {
            let spec: RegistryPolicySpec = serde_saphyr::from_str(&format!("registry: images\n{text}")).unwrap();
            let why = read(&spec).unwrap_err();
            assert!(why.contains(said), "{text}: {why}");
        }
    }
}
