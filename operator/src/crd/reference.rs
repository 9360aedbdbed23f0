//! The reference of the kinds for people, from the same types as the schema: `docs/reference/kinds.md`. Pure.

use std::fmt::Write;

use serde_json::Value;

/// Fields of Kubernetes' own types are named, and not taken apart.
const OPAQUE: [&str; 8] = [
    "resources",
    "affinity",
    "tolerations",
    "topologySpreadConstraints",
    "securityContext",
    "containerSecurityContext",
    "imagePullSecrets",
    "conditions",
];

/// The whole page.
pub fn page() -> Result<String, serde_json::Error> {
    let mut page = String::from(
        "# The kinds of Roadstead\n\n\
         Every field of all kinds, from the types that the operator reads (`make generate` writes this page). \"–\" stands for: no default. Rules are checked by the API\n\
         server, which refuses an object that breaks one with the sentence that is shown.\n",
    );
    for crd in super::all() {
        let names = &crd.spec.names;
        let short = names.short_names.as_deref().unwrap_or_default().join(", ");
        let _ = write!(page, "\n## {}\n\n`{}/v1alpha1`, short name `{short}`.\n", names.kind, crd.spec.group);
        let schema = serde_json::to_value(&crd)?;
        let schema = schema.pointer("/spec/versions/0/schema/openAPIV3Schema").cloned().unwrap_or_default();
        for part in ["spec", "status"] {
            let _ = write!(page, "\n### {part}\n\n| field | type | default | meaning |\n|---|---|---|---|\n");
            if let Some(part) = schema.pointer(&format!("/properties/{part}")) {
                fields(&mut page, part, "");
            }
        }
        let mut rules = Vec::new();
        collect(&schema, "", &mut rules);
        let _ = write!(page, "\n### Rules\n\n| where | what is refused |\n|---|---|\n");
        for (place, message) in rules {
            let place = if place.is_empty() { "the object".to_owned() } else { format!("`{place}`") };
            let _ = writeln!(page, "| {place} | {} |", cell(&message));
        }
    }
    Ok(page)
}

fn fields(page: &mut String, schema: &Value, path: &str) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, field) in properties {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let word = |key: &str| field.get(key).and_then(Value::as_str).unwrap_or_default();
        let default = field.get("default").filter(|default| !default.is_object());
        let default = default.map_or("–".into(), |default| format!("`{}`", default.to_string().trim_matches('"')));
        let _ = writeln!(page, "| `{path}` | {} | {default} | {} |", kind(field), cell(word("description")));
        if OPAQUE.contains(&name.as_str()) {
            continue;
        }
        fields(page, field, &path);
        if let Some(items) = field.get("items") {
            fields(page, items, &format!("{path}[]"));
        }
    }
}

fn kind(field: &Value) -> String {
    if let Some(values) = field.get("enum").and_then(Value::as_array) {
        let values: Vec<String> = values.iter().filter_map(|value| Some(format!("`{}`", value.as_str()?))).collect();
        return values.join(" \\| ");
    }
    if field.get("x-kubernetes-int-or-string").is_some() {
        return "quantity".into();
    }
    match field.get("type").and_then(Value::as_str).unwrap_or("any") {
        "array" => "list".into(),
        "object" if field.get("additionalProperties").is_some() => "map".into(),
        other => other.to_owned(),
    }
}

fn collect(schema: &Value, path: &str, rules: &mut Vec<(String, String)>) {
    for rule in schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
        let message = rule.get("message").and_then(Value::as_str).unwrap_or_default();
        rules.push((path.to_owned(), message.to_owned()));
    }
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        collect(field, &path, rules);
        if let Some(items) = field.get("items") {
            collect(items, &format!("{path}[]"), rules);
        }
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
