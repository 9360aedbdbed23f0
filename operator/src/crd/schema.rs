//! The kinds as YAML: what `crds/` and the chart hold. What Kubernetes' own types say of themselves is left out, or an
//! object would be larger than `kubectl apply` takes.

use serde_json::Value;

/// Deeper than this, descriptions are those of Kubernetes' own types.
const OURS: usize = 3;

/// Each kind: the name of its file, and what is in it.
pub fn files() -> Result<Vec<(String, String)>, serde_json::Error> {
    super::all()
        .into_iter()
        .map(|crd| {
            let name = format!("{}.yaml", crd.spec.names.plural);
            let mut value = serde_json::to_value(&crd)?;
            if let Some(versions) = value.pointer_mut("/spec/versions").and_then(Value::as_array_mut) {
                for version in versions {
                    if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema/properties") {
                        tidy(schema, 0);
                    }
                }
            }
            Ok((name, value))
        })
        .map(|file| file.and_then(|(name, value)| Ok((name, yaml(&value)?))))
        .collect()
}

fn yaml(value: &Value) -> Result<String, serde_json::Error> {
    serde_saphyr::to_string(value).map_err(serde::ser::Error::custom)
}

fn tidy(schema: &mut Value, depth: usize) {
    match schema {
        Value::Object(fields) => {
            if depth > OURS && fields.get("description").is_some_and(Value::is_string) {
                fields.remove("description");
            }
            // A field that is null would be there for a rule, and not for us.
            if fields.get("nullable").is_some_and(Value::is_boolean) {
                fields.remove("nullable");
            }
            if let Some(Value::Array(values)) = fields.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            for (name, field) in fields.iter_mut() {
                tidy(field, depth + usize::from(name == "properties"));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| tidy(item, depth)),
        Value::Number(number) => {
            if let Some(whole) = number.as_f64().filter(|whole| whole.fract() == 0.0) {
                *number = (whole as i64).into();
            }
        }
        _ => {}
    }
}
