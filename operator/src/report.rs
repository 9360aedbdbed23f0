//! `roadstead-operator report`: everything that somebody needs who looks for what is wrong with a registry, in one file and
//! without secrets. It reads what whoever runs it may read, and notes what it could not.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DynamicObject, ListParams, LogParams};
use kube::{Api, Client, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::crd::{Registry, RegistryBackup, RegistryPolicy, RegistryRobot, RegistryUser};
use crate::names::{OF, OF_NAMESPACE};
use crate::object::KINDS;

/// The newest lines of each log.
const LINES: i64 = 5000;
/// Annotations that repeat an object, perhaps one with a secret in it.
const REPEATED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const OPERATORS: &str = "app.kubernetes.io/name=roadstead-operator";

#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// The Registry.
    name: String,
    /// Its namespace.
    #[arg(long, short)]
    namespace: String,
    /// The namespace of the operator.
    #[arg(long, default_value = "roadstead-system")]
    operator_namespace: String,
    /// The namespace of what tells nodes.
    #[arg(long, default_value = "roadstead-nodes")]
    nodes_namespace: String,
    /// The file; without it roadstead-report-NAME-TIME.zip.
    #[arg(long, short)]
    output: Option<PathBuf>,
}

/// Gathers and writes.
pub async fn run(args: ReportArgs) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("could not find the way to the API server")?;
    let time = Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let path = args.output.clone().unwrap_or_else(|| format!("roadstead-report-{}-{time}.zip", args.name).into());
    let file = File::create(&path).with_context(|| format!("could not write {}", path.display()))?;
    let mut report = Report { zip: ZipWriter::new(file), missing: Vec::new() };
    gather(&mut report, &client, &args).await?;
    let missing = report.missing.join("\n");
    report.put("could-not-read.txt", if missing.is_empty() { "nothing\n" } else { &missing })?;
    report.zip.finish().context("could not finish the report")?;
    println!("{}", path.display());
    Ok(())
}

struct Report {
    zip: ZipWriter<File>,
    missing: Vec<String>,
}

impl Report {
    fn put(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        self.zip.start_file(name, SimpleFileOptions::default())?;
        self.zip.write_all(text.as_bytes())?;
        Ok(())
    }

    /// What was read, or why it was not.
    fn put_or_note(&mut self, name: &str, what: kube::Result<String>) -> anyhow::Result<()> {
        match what {
            Ok(text) => self.put(name, &text),
            Err(error) => {
                self.missing.push(format!("{name}: {error}"));
                Ok(())
            }
        }
    }

    /// The objects of a kind, one after another.
    async fn list<K>(&mut self, name: &str, api: &Api<K>, which: &ListParams) -> anyhow::Result<()>
    where
        K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
    {
        let list = api.list(which).await;
        self.put_or_note(name, list.map(|list| texts(&list.items)))
    }
}

async fn gather(report: &mut Report, client: &Client, args: &ReportArgs) -> anyhow::Result<()> {
    let namespace = args.namespace.as_str();
    let ours = ListParams::default().labels(&format!("{OF}={}", args.name));
    let version = client.apiserver_version().await.map(|version| format!("{version:#?}\n"));
    report.put_or_note("kubernetes-version.txt", version)?;
    let registry = Api::<Registry>::namespaced(client.clone(), namespace).get(&args.name).await;
    report.put_or_note("registry.json", registry.map(|registry| text(&registry)))?;
    let all = ListParams::default();
    report.list("backups.json", &Api::<RegistryBackup>::namespaced(client.clone(), namespace), &all).await?;
    report.list("users.json", &Api::<RegistryUser>::namespaced(client.clone(), namespace), &all).await?;
    report.list("robots.json", &Api::<RegistryRobot>::namespaced(client.clone(), namespace), &all).await?;
    report.list("policies.json", &Api::<RegistryPolicy>::namespaced(client.clone(), namespace), &all).await?;
    report.list("nodes.json", &Api::<Node>::all(client.clone()), &all).await?;
    report.list("events.json", &Api::<Event>::namespaced(client.clone(), namespace), &all).await?;
    report.list("claims.json", &Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace), &ours).await?;
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace).list(&ours).await;
    report.put_or_note("secrets.json", secrets.map(|secrets| secrets.items.iter().map(outline).collect()))?;
    for kind in KINDS.into_iter().filter(|kind| kind.kind != "Secret") {
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &kind.resource());
        let list = api.list(&ours).await;
        if kind.optional && matches!(&list, Err(kube::Error::Api(status)) if status.code == 404) {
            continue; // it is not installed
        }
        report.put_or_note(&format!("objects/{}.json", kind.plural), list.map(|list| texts(&list.items)))?;
    }
    of_pods(report, client, namespace, &ours, Some(5002)).await?;
    let operator = ListParams::default().labels(OPERATORS);
    of_pods(report, client, &args.operator_namespace, &operator, Some(8080)).await?;
    of_nodes(report, client, args).await
}

/// What tells nodes of this registry, and what each of them says.
async fn of_nodes(report: &mut Report, client: &Client, args: &ReportArgs) -> anyhow::Result<()> {
    let ours = ListParams::default().labels(&format!("{OF}={},{OF_NAMESPACE}={}", args.name, args.namespace));
    let namespace = args.nodes_namespace.as_str();
    let all = ListParams::default();
    report.list("nodes/daemonsets.json", &Api::<DaemonSet>::namespaced(client.clone(), namespace), &ours).await?;
    report.list("nodes/configmaps.json", &Api::<ConfigMap>::namespaced(client.clone(), namespace), &ours).await?;
    report.list("nodes/events.json", &Api::<Event>::namespaced(client.clone(), namespace), &all).await?;
    of_pods(report, client, namespace, &ours, None).await
}

/// Pods, their logs, and what they say of themselves on a port, if they have one for it.
async fn of_pods(
    report: &mut Report,
    client: &Client,
    namespace: &str,
    which: &ListParams,
    port: Option<u16>,
) -> anyhow::Result<()> {
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let pods = match api.list(which).await {
        Ok(pods) => pods.items,
        Err(error) => {
            report.missing.push(format!("pods in {namespace}: {error}"));
            return Ok(());
        }
    };
    for pod in &pods {
        let name = pod.name_any();
        report.put(&format!("pods/{name}/pod.json"), &text(pod))?;
        let now = LogParams { tail_lines: Some(LINES), timestamps: true, ..LogParams::default() };
        report.put_or_note(&format!("pods/{name}/log.txt"), api.logs(&name, &now).await)?;
        if restarts(pod) > 0 {
            let before = LogParams { previous: true, ..now };
            report.put_or_note(&format!("pods/{name}/log-before.txt"), api.logs(&name, &before).await)?;
        }
        let Some(port) = port else { continue };
        for path in ["readyz", "metrics"] {
            let request = http::Request::get(format!("/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy/{path}"));
            let answer = match request.body(Vec::new()) {
                Ok(request) => client.request_text(request).await,
                Err(error) => Err(kube::Error::HttpError(error)),
            };
            report.put_or_note(&format!("pods/{name}/{path}.txt"), answer)?;
        }
    }
    Ok(())
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|status| status.restart_count).sum()
}

/// What a Secret is, and nothing of what is in it.
fn outline(secret: &Secret) -> String {
    let keys: Vec<Value> =
        secret.data.iter().flatten().map(|(key, value)| json!({ "key": key, "bytes": value.0.len() })).collect();
    let outline = json!({
        "name": secret.name_any(),
        "type": secret.type_,
        "annotations": secret.annotations(),
        "keys": keys,
    });
    format!("{outline:#}\n")
}

fn texts<K: Serialize>(objects: &[K]) -> String {
    objects.iter().map(text).collect()
}

fn text<K: Serialize>(object: &K) -> String {
    let mut value = serde_json::to_value(object).unwrap_or(Value::Null);
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(REPEATED);
        }
    }
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn a_report_tells_nothing_of_what_is_in_a_secret() {
        let mut secret =
            Secret { data: Some([("tls.key".to_owned(), ByteString(b"hidden".to_vec()))].into()), ..Secret::default() };
        secret.metadata.name = Some("images-tls".into());
        let text = outline(&secret);
        assert!(text.contains("tls.key") && text.contains("images-tls"), "{text}");
        assert!(!text.contains("hidden") && !text.contains("aGlkZGVu"), "{text}");
    }

    #[test]
    fn what_was_applied_is_not_repeated() {
        let mut pod = Pod::default();
        pod.annotations_mut().insert(REPEATED.into(), "hidden".into());
        pod.annotations_mut().insert("kept".into(), "yes".into());
        assert!(!text(&pod).contains("hidden") && text(&pod).contains("kept"));
    }
}
