//! What logging in costs: the check of a token that is remembered, pulls while others log in, and whether the time of an answer tells an
//! account that exists from one that does not.
//!
//! `cargo bench -p roadstead --bench logins` prints all three, `SECONDS` (20) for each of the six turns of the second;
//! `cargo test` runs the short form, which judges no time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use roadstead::auth::authenticate::{Authenticator, Credentials};
use roadstead::config::{Access, Anonymous};
use serde_json::json;
use support::server::{Options, Server};
use support::{Client, Registry};

/// Logins in a minute, and connections that pull.
const LOGINS: u64 = 10_000;
const PULLING: usize = 4;
/// Accounts that log in: half of them with passwords, half with tokens.
const ACCOUNTS: usize = 40;
const ROOT: &str = "the administrator's";

#[tokio::main]
async fn main() {
    let asked: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if !asked.is_empty() && !asked.iter().any(|name| "logins".contains(name.as_str())) {
        return;
    }
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    check_of_a_token(if is_bench { 200_000 } else { 2_000 }).await;
    let server = Server::with(Options::set(&["access.anonymous=nothing"])).await;
    let root = first(&server);
    let seconds = std::env::var("SECONDS").map_or(if is_bench { 20 } else { 1 }, |text| text.parse().unwrap());
    pulls_beside_logins(&server, &root, Duration::from_secs(seconds)).await;
    time_of_an_answer(&server, &root, if is_bench { 300 } else { 10 }).await;
}

/// The first administrator, as the keeper of the machine makes him.
fn first(server: &Server) -> Client {
    let mut made = Process::new(env!("CARGO_BIN_EXE_roadstead"))
        .args(["user", "create", "root", "--administrator", "--data"])
        .arg(server.data())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    made.stdin.take().unwrap().write_all(format!("{ROOT}\n").as_bytes()).unwrap();
    assert!(made.wait().unwrap().success());
    server.client().by("root", ROOT)
}

async fn api(client: &Client, method: &str, path: &str, body: &serde_json::Value) -> serde_json::Value {
    let ask = client.ask(method, &format!("/api/v1/{path}")).header("content-type", "application/json");
    let answer = ask.body(body.to_string()).send().await;
    assert!(answer.status.is_success(), "{path}: {answer:?}");
    if answer.body.is_empty() { json!(null) } else { answer.json() }
}

async fn check_of_a_token(times: usize) {
    let registry = Registry::with(|config| config.access.anonymous = Some(Anonymous::Pull)).await;
    let answer = registry.get("/token?scope=repository:a/b:pull").await.expect(200).json();
    let credentials = Credentials::Bearer(answer["token"].as_str().unwrap().to_owned());
    let (auth, from) = (Authenticator::new(&Access::default()).unwrap(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let began = Instant::now();
        let identified = auth.identify(&registry.index, &credentials, Anonymous::Pull, from).await.unwrap();
        took.push(began.elapsed());
        assert!(identified.caller.limits.is_some());
    }
    took.sort();
    println!(
        "a bearer token that is remembered is checked in {:.2} µs (median), {:.2} µs (p99), of {times}",
        micros(took[times / 2]),
        micros(took[times * 99 / 100])
    );
}

async fn pulls_beside_logins(server: &Server, root: &Client, turn: Duration) {
    root.push_image("team/app", "v1", "content").await;
    let policy = json!({ "rules": [{ "subjects": ["authenticated"], "repositories": ["team/**"], "role": "pull" }] });
    api(root, "PUT", "policies/all", &policy).await;
    let mut accounts = Vec::new();
    for n in 0..ACCOUNTS {
        let client = server.client();
        if n % 2 == 0 {
            let (name, password) = (format!("user-{n}"), format!("the password of {n}"));
            api(root, "POST", "users", &json!({ "name": name, "password": password })).await;
            accounts.push(client.by(&name, &password));
        } else {
            let name = format!("robot-{n}");
            let grants = json!([{ "repositories": "team/**", "role": "pull" }]);
            api(root, "POST", "robots", &json!({ "name": name, "grants": grants })).await;
            let token = api(root, "POST", &format!("robots/{name}/tokens"), &json!({})).await;
            accounts.push(client.by(&name, token["token"].as_str().unwrap()));
        }
    }
    let token = accounts[0].get("/token?scope=repository:team/app:pull").await.expect(200).json();
    let puller = server.client().authorized(&format!("Bearer {}", token["token"].as_str().unwrap()));
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        alone.extend(pulls(&puller, turn).await);
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let logging_in = tokio::spawn(log_in(accounts.clone(), Arc::clone(&stop), Arc::clone(&done)));
        let began = Instant::now();
        beside.extend(pulls(&puller, turn).await);
        let rate = done.load(Ordering::Relaxed) as f64 * 60.0 / began.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        logging_in.await.unwrap();
        println!("{rate:.0} logins a minute");
    }
    let (alone, beside) = (p99(&mut alone), p99(&mut beside));
    println!(
        "pulls of a manifest: p99 {:.0} µs alone, {:.0} µs beside the logins, ratio {:.2}",
        micros(alone),
        micros(beside),
        beside.as_secs_f64() / alone.as_secs_f64()
    );
}

/// Logs in as docker does, at the rate.
async fn log_in(accounts: Vec<Client>, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let mut ticks = tokio::time::interval(Duration::from_micros(60_000_000 / LOGINS));
    let mut running = tokio::task::JoinSet::new();
    for n in 0.. {
        ticks.tick().await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (account, done) = (accounts[n % accounts.len()].clone(), Arc::clone(&done));
        running.spawn(async move {
            account.get("/v2/").await;
            account.get("/token?scope=repository:team/app:pull").await.expect(200);
            done.fetch_add(1, Ordering::Relaxed);
        });
        while running.try_join_next().is_some() {}
    }
    running.join_all().await;
}

async fn pulls(puller: &Client, turn: Duration) -> Vec<Duration> {
    let end = Instant::now() + turn;
    let workers = (0..PULLING).map(|_| {
        let puller = puller.clone();
        tokio::spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                puller.get("/v2/team/app/manifests/v1").await.expect(200);
                took.push(began.elapsed());
            }
            took
        })
    });
    let mut all = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        all.extend(worker.await.unwrap());
    }
    all
}

/// Wrong passwords for accounts that are there and for some that are not, in turns, each name once.
async fn time_of_an_answer(server: &Server, root: &Client, names: usize) {
    for n in 0..names {
        api(root, "POST", "users", &json!({ "name": format!("known-{n}"), "password": "a password" })).await;
    }
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for n in 0..names {
        for (kind, took) in [("known", &mut known), ("nobody", &mut unknown)] {
            let client = server.client().by(&format!("{kind}-{n}"), "a wrong password");
            loop {
                let began = Instant::now();
                let answer = client.get("/v2/").await;
                let elapsed = began.elapsed();
                if answer.status == 401 {
                    took.push(elapsed);
                    break;
                }
                // A source may try only so often.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    let distance = kolmogorov_smirnov(&mut known, &mut unknown);
    // The critical distance at one in a thousand, for samples of this size.
    let critical = 1.95 * (2.0 / names as f64).sqrt();
    println!(
        "a wrong password takes {:.0} µs for an account that is there, {:.0} µs for nobody (medians of {names}); Kolmogorov-Smirnov distance \
         {distance:.3}, {critical:.3} would tell them apart",
        micros(known[names / 2]),
        micros(unknown[names / 2])
    );
}

/// The largest difference between the distributions of two samples, which are sorted by it.
fn kolmogorov_smirnov(a: &mut [Duration], b: &mut [Duration]) -> f64 {
    a.sort();
    b.sort();
    let share =
        |sample: &[Duration], most: &Duration| sample.partition_point(|it| it <= most) as f64 / sample.len() as f64;
    a.iter().chain(b.iter()).map(|at| (share(a, at) - share(b, at)).abs()).fold(0.0, f64::max)
}

fn p99(sample: &mut [Duration]) -> Duration {
    sample.sort();
    sample[sample.len() * 99 / 100]
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
