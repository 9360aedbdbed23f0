//! Snapshots as bytes: whole ones are read as they were written, and nothing else is read at all.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use proptest::prelude::*;

use super::{Decoder, Encoder, FRAME, Header, Record, SnapshotError, Totals, verify};
use crate::index::state::records::Table;

fn header() -> Header {
    Header { cluster: "c".into(), position: 7, applied: Bytes::from_static(b"opaque"), level: 1 }
}

fn encoded(records: &[Record]) -> (Vec<u8>, Totals) {
    let mut encoder = Encoder::new(Vec::new(), &header()).unwrap();
    for (table, key, value) in records {
        encoder.record(*table, key, value).unwrap();
    }
    encoder.finish().unwrap()
}

fn decoded(bytes: &[u8]) -> Result<Vec<Record>, SnapshotError> {
    let mut decoder = Decoder::new(bytes)?;
    let mut all = Vec::new();
    while let Some(records) = decoder.records()? {
        all.extend(records);
    }
    Ok(all)
}

fn some() -> Vec<Record> {
    let large = Bytes::from(vec![7; FRAME + 5]);
    vec![
        (Table::Settings, Bytes::from_static(b"a"), Bytes::new()),
        (Table::Tags, Bytes::from_static(b"a\0t1"), Bytes::from_static(b"one")),
        (Table::Tags, Bytes::from_static(b"a\0t2"), large.clone()),
        (Table::Tags, Bytes::from_static(b"a\0t3"), large),
        (Table::Requests, Bytes::new(), Bytes::from_static(b"empty key")),
    ]
}

#[test]
fn what_is_written_is_read() {
    let (bytes, totals) = encoded(&some());
    assert_eq!(decoded(&bytes).unwrap(), some());
    assert_eq!(verify(&bytes[..]).unwrap(), (header(), totals));
    assert!(totals.frames >= 3, "a large record has a frame of its own");
    assert_eq!(decoded(&encoded(&[]).0).unwrap(), vec![]);
}

#[test]
fn every_truncation_is_noticed() {
    let records: Vec<Record> =
        (0..20_u8).map(|n| (Table::Blobs, Bytes::from(vec![n]), Bytes::from(vec![n; 20]))).collect();
    let (bytes, _) = encoded(&records);
    for length in 0..bytes.len() {
        assert!(verify(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
    }
}

#[test]
fn every_flipped_bit_and_every_byte_too_many_is_noticed() {
    let records: Vec<Record> =
        (0..5_u8).map(|n| (Table::Blobs, Bytes::from(vec![n]), Bytes::from(vec![n; 20]))).collect();
    let (mut bytes, _) = encoded(&records);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert!(verify(&bytes[..]).is_err(), "bit {bit} of byte {at}");
            bytes[at] ^= 1 << bit;
        }
    }
    bytes.push(0);
    assert!(verify(&bytes[..]).is_err());
}

#[test]
fn a_lost_or_repeated_frame_is_noticed() {
    let (bytes, _) = encoded(&some());
    // The frames, by their lengths.
    let mut frames = vec![];
    let mut at = 10;
    while at < bytes.len() {
        let length = u32::from_le_bytes(*bytes[at + 1..].first_chunk().unwrap()) as usize;
        frames.push(at..at + 9 + length);
        at += 9 + length;
    }
    assert!(frames.len() > 4);
    for frame in &frames {
        let without = [&bytes[..frame.start], &bytes[frame.end..]].concat();
        assert!(verify(&without[..]).is_err());
        let twice = [&bytes[..frame.end], &bytes[frame.start..]].concat();
        assert!(verify(&twice[..]).is_err());
    }
}

#[test]
fn records_out_of_order_and_of_unknown_tables_are_refused() {
    let mut records = some();
    records.swap(1, 2);
    assert!(matches!(decoded(&encoded(&records).0), Err(SnapshotError::Damaged { .. })));
    records = some();
    records[2] = records[1].clone();
    assert!(matches!(decoded(&encoded(&records).0), Err(SnapshotError::Damaged { .. })));

    let mut encoder = Encoder::new(Vec::new(), &header()).unwrap();
    encoder.record(Table::Tags, b"k", b"v").unwrap();
    encoder.frame[0] = 200;
    let (bytes, _) = encoder.finish().unwrap();
    assert!(matches!(verify(&bytes[..]), Err(SnapshotError::UnknownTable { table: 200 })));
}

#[test]
fn a_frame_that_claims_gigabytes_takes_no_memory() {
    let (mut bytes, _) = encoded(&[]);
    bytes[11..15].copy_from_slice(&(200_u32 << 20).to_le_bytes());
    assert!(matches!(verify(&bytes[..]), Err(SnapshotError::Truncated)));
    bytes[11..15].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(verify(&bytes[..]), Err(SnapshotError::Damaged { .. })));
}

#[test]
fn what_is_no_snapshot_is_called_so() {
    assert!(matches!(verify(&b""[..]), Err(SnapshotError::NotASnapshot)));
    assert!(matches!(verify(&b"{\"not\": \"one\"}"[..]), Err(SnapshotError::NotASnapshot)));
    let (mut bytes, _) = encoded(&[]);
    bytes[8] = 2;
    assert!(matches!(verify(&bytes[..]), Err(SnapshotError::Newer { version: 2 })));
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), whole in any::<bool>()) {
        let mut input = if whole { encoded(&[]).0[..10].to_vec() } else { Vec::new() };
        input.extend(bytes);
        prop_assert!(verify(&input[..]).is_err());
    }
}
