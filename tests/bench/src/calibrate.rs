//! What this machine can do, measured in the same minutes: the walls that everybody stands before.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

use crate::content::{BLOCK, Content};
use crate::figure::Figures;
use crate::load::micros_of;

/// The longest of each.
const TIME: Duration = Duration::from_millis(700);

const WRITE: &str = "file write and sync, GB/s";
/// Of what a disk took in the beginning, so much makes it rested. At most so long is waited for that, and so long between two looks.
const RESTED: f64 = 0.8;
const REST: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_secs(10);

/// All of it; takes some seconds.
pub fn calibrate(directory: &Path) -> Result<Figures> {
    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
    put("SHA-256 of a core, GB/s", sha256());
    put("loopback TCP, GB/s", loopback()?);
    put("loopback answer, µs", ping()?);
    let (write, sync) = disk(directory)?;
    put(WRITE, write);
    put("4 KiB append and sync, µs", sync);
    Ok(figures)
}

fn sha256() -> f64 {
    let content = Content { seed: 0, size: 64 * BLOCK as u64 };
    let (began, mut bytes) = (Instant::now(), 0);
    let mut sum = Sha256::new();
    while began.elapsed() < TIME {
        for piece in content.all() {
            sum.update(&piece);
        }
        bytes += content.size;
    }
    std::hint::black_box(sum.finalize());
    bytes as f64 / began.elapsed().as_secs_f64() / 1e9
}

fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    one.set_nodelay(true)?;
    other.set_nodelay(true)?;
    Ok((one, other))
}

fn loopback() -> Result<f64> {
    let (mut sender, mut receiver) = pair()?;
    let sending = std::thread::spawn(move || {
        let buffer = vec![7; BLOCK];
        let (began, mut bytes) = (Instant::now(), 0);
        while began.elapsed() < TIME && sender.write_all(&buffer).is_ok() {
            bytes += BLOCK;
        }
        bytes
    });
    let (began, mut buffer) = (Instant::now(), vec![0; BLOCK]);
    while receiver.read(&mut buffer)? > 0 {}
    let bytes = sending.join().ok().context("the sender")?;
    Ok(bytes as f64 / began.elapsed().as_secs_f64() / 1e9)
}

/// 200 bytes there and back: the median.
fn ping() -> Result<f64> {
    let (mut asker, mut answerer) = pair()?;
    let answering = std::thread::spawn(move || {
        let mut buffer = [0; 200];
        while answerer.read_exact(&mut buffer).is_ok() && answerer.write_all(&buffer).is_ok() {}
    });
    let (began, mut each, mut buffer) = (Instant::now(), Vec::new(), [0; 200]);
    while began.elapsed() < TIME {
        let asked = Instant::now();
        asker.write_all(&buffer)?;
        asker.read_exact(&mut buffer)?;
        each.push(asked.elapsed());
    }
    drop(asker);
    answering.join().ok().context("the answerer")?;
    Ok(micros_of(&each, 0.5))
}

/// Gigabytes a second of one large file.
fn write(directory: &Path) -> Result<f64> {
    let mut file = tempfile::tempfile_in(directory)?;
    let content = Content { seed: 1, size: 256 * BLOCK as u64 };
    let began = Instant::now();
    for piece in content.all() {
        file.write_all(&piece)?;
    }
    file.sync_data()?;
    Ok(content.size as f64 / began.elapsed().as_secs_f64() / 1e9)
}

/// Some disks take much for a time and then a fraction of it, until they have rested: waits until this one takes nearly as much as it
/// did in the beginning, or has not come to it in a while, so that nobody is measured on what those before him have left of it.
pub fn rest(directory: &Path, beginning: &Figures) -> Result<()> {
    let wanted = beginning.get(WRITE).copied().unwrap_or_default() * RESTED;
    let began = Instant::now();
    while write(directory)? < wanted && began.elapsed() < REST {
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// That, and the median of a small append.
fn disk(directory: &Path) -> Result<(f64, f64)> {
    let write = write(directory)?;
    let (mut small, began, mut each) = (tempfile::tempfile_in(directory)?, Instant::now(), Vec::new());
    while began.elapsed() < TIME {
        let asked = Instant::now();
        small.write_all(&[7; 4096])?;
        small.sync_data()?;
        each.push(asked.elapsed());
    }
    Ok((write, micros_of(&each, 0.5)))
}
