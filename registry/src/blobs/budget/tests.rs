//! Who gets room for parts on their way, who waits, and who makes room.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;

use super::*;

const KIB: usize = 1024;

fn buffer(length: usize) -> Bytes {
    vec![1; length].into()
}

/// Whether adding to `part` has to wait.
async fn waits(part: &mut Part, length: usize) -> bool {
    tokio::time::timeout(Duration::from_millis(20), part.push(buffer(length))).await.is_err()
}

#[tokio::test]
async fn room_that_is_given_back_is_free_again() {
    let budget = Budget::new(1 << 20);
    let mut part = budget.part();
    part.push(buffer(1 << 20)).await.unwrap();
    assert_eq!((part.len(), budget.free()), (1 << 20, 0));
    let (pieces, taken) = part.take().unwrap();
    assert_eq!((pieces.concat().len(), budget.free()), (1 << 20, 0));
    drop(taken);
    assert_eq!(budget.free(), 1 << 20);
}

#[tokio::test]
async fn one_part_may_go_beyond_and_the_next_waits() {
    let budget = Budget::new(4096);
    let (mut half, mut one, mut two) = (budget.part(), budget.part(), budget.part());
    half.push(buffer(4096)).await.unwrap();
    one.push(buffer(4096)).await.unwrap();
    one.push(buffer(100 * KIB)).await.unwrap();
    assert!(waits(&mut two, 1).await);
    drop(one);
    tokio::time::timeout(Duration::from_secs(5), two.push(buffer(1))).await.unwrap().unwrap();
}

#[tokio::test]
async fn parts_that_get_nothing_make_room_for_those_who_wait() {
    let budget = Budget::with_patience(4096, Duration::from_millis(50));
    let mut slow: Vec<_> = (0..5).map(|_| budget.part()).collect();
    for part in &mut slow {
        part.push(buffer(KIB)).await.unwrap();
    }
    for _ in 0..3 {
        let mut part = budget.part();
        tokio::time::timeout(Duration::from_secs(5), part.push(buffer(4096))).await.unwrap().unwrap();
        assert_eq!(part.take().unwrap().0.len(), 1);
    }
    let mut evicted = 0;
    for mut part in slow {
        evicted += usize::from(part.push(buffer(1)).await.is_err());
    }
    assert!((1..=5).contains(&evicted), "{evicted}");
    assert_eq!(budget.free(), 4096);
}

#[tokio::test]
async fn a_slow_part_stays_while_there_is_room() {
    let budget = Budget::with_patience(8192, Duration::from_millis(5));
    let mut slow = budget.part();
    slow.push(buffer(KIB)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    let mut other = budget.part();
    other.push(buffer(KIB)).await.unwrap();
    slow.push(buffer(KIB)).await.unwrap();
    assert_eq!(slow.take().unwrap().0.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_with_parts_larger_than_the_budget_all_finish() {
    let budget = Budget::new(4096);
    let writers: Vec<_> = (0..50)
        .map(|_| {
            let budget = budget.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    let mut part = budget.part();
                    for _ in 0..8 {
                        part.push(buffer(KIB)).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                    drop(part.take().unwrap());
                }
            })
        })
        .collect();
    for writer in writers {
        tokio::time::timeout(Duration::from_secs(20), writer).await.unwrap().unwrap();
    }
    assert_eq!(budget.free(), 4096);
    assert!(budget.parts().is_empty());
}
