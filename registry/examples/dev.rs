#[path = "../tests/it/support/mod.rs"]
mod support;
#[tokio::main]
async fn main() {
    let registry = support::Registry::with(|config| config.manifests.sparse = true).await;
    println!("{}", registry.address);
    std::future::pending::<()>().await;
}
