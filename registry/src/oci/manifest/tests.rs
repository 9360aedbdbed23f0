//! What is read from manifests, and which are refused.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn descriptor(media_type: &str, content: &str) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(content.as_bytes()).to_string(), "size": content.len() })
}

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": descriptor(CONFIG, "config"),
        "layers": [descriptor(LAYER, "layer"), descriptor(LAYER, "layer")],
    })
}

fn with(mut document: Value, field: &str, value: Value) -> Value {
    document[field] = value;
    document
}

fn read(content_type: Option<&str>, document: &Value) -> Result<Manifest, ManifestError> {
    parse(content_type, document.to_string().as_bytes())
}

fn digest(content: &str) -> Digest {
    Digest::of(content.as_bytes())
}

#[test]
fn an_image_needs_its_config_and_each_layer_once() {
    let manifest = read(Some(OCI_IMAGE), &image()).unwrap();
    assert_eq!(manifest.blobs, BTreeMap::from([(digest("config"), 6), (digest("layer"), 5)]));
    assert!(manifest.children.is_empty());
    assert_eq!(manifest.artifact_type.as_deref(), Some(CONFIG));
}

#[test]
fn an_artifact_is_of_the_type_it_says_else_of_its_config() {
    let typed = with(image(), "artifactType", json!("application/vnd.x"));
    assert_eq!(read(None, &typed).unwrap().artifact_type.as_deref(), Some("application/vnd.x"));
    let empty = with(image(), "artifactType", json!(""));
    assert_eq!(read(None, &empty).unwrap().artifact_type.as_deref(), Some(CONFIG));
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] });
    assert_eq!(read(None, &index).unwrap().artifact_type, None);
}

#[test]
fn an_index_lists_manifests_and_may_hold_the_layers_of_a_cache() {
    let children = [descriptor(OCI_IMAGE, "a"), descriptor(DOCKER_LIST, "b"), descriptor(LAYER, "c")];
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children });
    let manifest = read(Some(OCI_INDEX), &index).unwrap();
    assert_eq!(
        manifest.children.keys().copied().collect::<std::collections::BTreeSet<_>>(),
        [digest("a"), digest("b")].into()
    );
    assert_eq!(manifest.blobs, BTreeMap::from([(digest("c"), 1)]));
}

#[test]
fn layers_that_are_fetched_from_elsewhere_are_not_needed() {
    let layers: Vec<Value> = FOREIGN.iter().map(|media_type| descriptor(media_type, media_type)).collect();
    let manifest = read(None, &with(image(), "layers", json!(layers))).unwrap();
    assert_eq!(manifest.blobs, BTreeMap::from([(digest("config"), 6)]));
    assert_eq!(manifest.foreign.len(), FOREIGN.len());
}

#[test]
fn a_layer_listed_as_foreign_and_as_ordinary_is_needed() {
    let both = |size: u64| {
        let mut foreign = descriptor(FOREIGN[1], "layer");
        foreign["size"] = json!(size);
        read(None, &with(image(), "layers", json!([foreign, descriptor(LAYER, "layer")])))
    };
    let manifest = both(5).unwrap();
    assert_eq!(manifest.blobs.get(&digest("layer")), Some(&5));
    assert!(manifest.foreign.is_empty());
    assert!(matches!(both(6), Err(ManifestError::TwoSizes { .. })));
}

#[test]
fn an_array_is_never_taken_for_an_object() {
    let config = json!([CONFIG, digest("config").to_string(), 6]);
    let document = json!([2, OCI_INDEX, null, null, null, [], null, null, null]);
    for wrong in [document, with(image(), "config", config.clone()), with(image(), "layers", json!([config]))] {
        assert!(matches!(read(Some(OCI_IMAGE), &wrong), Err(ManifestError::Json(_))), "{wrong}");
        assert!(matches!(read(None, &wrong), Err(ManifestError::Json(_))), "{wrong}");
    }
}

#[test]
fn keys_that_differ_in_case_alone_are_refused_where_they_mean_something() {
    for key in ["Layers", "MANIFESTS", "layer\u{17f}", "fslayers", "Annotations"] {
        assert!(matches!(read(None, &with(image(), key, json!([]))), Err(ManifestError::Json(_))), "{key}");
    }
    for key in ["Digest", "\u{17f}ize", "URLs"] {
        let mut wrong = image();
        wrong["layers"][0][key] = json!(1);
        assert!(matches!(read(None, &wrong), Err(ManifestError::Json(_))), "{key}");
    }
    let annotated = with(image(), "annotations", json!({ "Size": "a", "size": "b", "Layers": "c" }));
    assert_eq!(read(None, &annotated).unwrap().annotations.len(), 3);
    assert!(read(None, &with(image(), "Vendor", json!({ "Size": 1 }))).is_ok());
}

#[test]
fn the_parts_of_the_largest_manifest_are_read_in_bounded_time() {
    let child = |number: u32| json!({ "mediaType": OCI_IMAGE, "digest": Digest::of(&number.to_le_bytes()).to_string(), "size": 1 });
    let children: Vec<Value> = (0..20_000).map(child).collect();
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children });
    assert_eq!(read(None, &index).unwrap().children.len(), 20_000);
}

#[test]
fn the_type_is_said_by_header_and_document_in_agreement() {
    let mut untyped = image();
    untyped.as_object_mut().unwrap().remove("mediaType");
    assert_eq!(
        read(Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"), &untyped).unwrap().media_type,
        OCI_IMAGE
    );
    assert_eq!(read(Some(DOCKER_IMAGE), &untyped).unwrap().media_type, DOCKER_IMAGE);
    assert_eq!(read(None, &image()).unwrap().media_type, OCI_IMAGE);
    assert!(matches!(read(None, &untyped), Err(ManifestError::NoType)));
    assert!(matches!(read(Some(""), &untyped), Err(ManifestError::NoType)));
    assert!(matches!(read(Some(DOCKER_IMAGE), &image()), Err(ManifestError::TypesDiffer { .. })));
    assert!(matches!(read(Some("application/json"), &untyped), Err(ManifestError::UnknownType(_))));
}

#[test]
fn a_document_of_two_kinds_is_of_none() {
    assert!(matches!(read(None, &with(image(), "manifests", json!([]))), Err(ManifestError::Ambiguous)));
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] });
    for (field, value) in [("layers", json!([])), ("config", descriptor(CONFIG, "x"))] {
        assert!(matches!(read(None, &with(index.clone(), field, value)), Err(ManifestError::Ambiguous)), "{field}");
    }
}

#[test]
fn what_is_incomplete_or_contradicts_itself_is_refused() {
    for field in ["config", "layers"] {
        assert!(matches!(read(None, &with(image(), field, Value::Null)), Err(ManifestError::Lacks(_))), "{field}");
    }
    let mut sizes = image();
    sizes["layers"][1]["size"] = json!(6);
    assert!(matches!(read(None, &sizes), Err(ManifestError::TwoSizes { .. })));
    sizes["layers"][1]["size"] = json!(u64::MAX);
    assert!(matches!(read(None, &sizes), Err(ManifestError::Size { .. })));
    for version in [json!(3), json!(0)] {
        assert!(matches!(read(None, &with(image(), "schemaVersion", version)), Err(ManifestError::Version)));
    }
    assert!(matches!(read(None, &with(image(), "schemaVersion", json!(1))), Err(ManifestError::Schema1)));
    assert!(matches!(read(None, &with(image(), "fsLayers", json!([]))), Err(ManifestError::Schema1)));
    for subject in [json!("x"), json!({}), json!({ "mediaType": "a", "digest": "sha256:x", "size": 1 })] {
        assert!(matches!(read(None, &with(image(), "subject", subject)), Err(ManifestError::Json(_))));
    }
}

#[test]
fn json_that_parsers_read_differently_is_refused() {
    let text = image().to_string();
    let deep = format!("{{\"x\":{}1{},{}", "[".repeat(5000), "]".repeat(5000), &text[1..]);
    for wrong in [
        deep,
        format!("\u{feff}{text}"),
        format!("{text}{{}}"),
        text.replacen('{', "{\"schemaVersion\":2,", 1),
        text.replacen('{', "{\"annotations\":{\"a\":\"\",\"a\":\"\"},", 1),
        text.replacen('{', "{\"config\":null,", 1),
        text.replacen('{', "{\"unknown\":[{\"a\":1,\"a\":1}],", 1),
        text.replacen("\"size\":5", "\"size\":5,\"size\":6", 1),
    ] {
        assert!(matches!(parse(None, wrong.as_bytes()), Err(ManifestError::Json(_))), "{wrong:.60}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(Some(OCI_IMAGE), &bytes);
    }

    #[test]
    fn a_manifest_cut_or_changed_anywhere_is_refused_or_still_a_manifest(at in 0usize..600, byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = image().to_string().into_bytes();
        let at = at % bytes.len();
        if cut {
            bytes.truncate(at);
            prop_assert!(parse(None, &bytes).is_err());
        } else {
            bytes[at] = byte;
            if let Ok(manifest) = parse(None, &bytes) {
                prop_assert!(manifest.blobs.len() <= 3);
            }
        }
    }
}
