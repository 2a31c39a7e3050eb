//! Workers that write, also while the disk refuses and others read.
use std::{sync::atomic::AtomicBool, thread};

use super::*;
use crate::request_log::{lane::STRANGERS_A_MINUTE, record::Row, shipper::BATCH};

#[test]
fn the_longest_record_has_room_and_a_full_segment_is_followed_by_another() {
    let dir = Dir::new();
    let spool = dir.open();
    let lanes = Lanes::new(spool.clone());
    let log = lanes.of_worker();
    let label = vec!["a".repeat(63); 4].join(".");
    let about = About {
        at: i64::MAX,
        asked: Asked::None,
        user_agent: &[0xff; 500],
        network: Network::V6("2001:db8:ffff::".parse().expect("an address")),
        tls: None,
    };
    let mut count = 0;
    while spool.segments().len() < 2 {
        log.stranger(&Stranger {
            about: About { ..about },
            hostname: &label[..253],
        });
        count += 1;
        assert!(count < segment::SIZE, "each takes some bytes");
    }
    assert_eq!(lanes.dropped(), 0);
    let taken = spool.read(&Positions::default(), usize::MAX).expect("readable");
    let is_whole = |record: &&Record| matches!(record, Record::Stranger(Row { hostname, user_agent: Some(agent), .. }) if hostname.len() == 253 && agent.chars().count() == 120);
    let records: Vec<_> = taken.iter().flat_map(|taken| &taken.read.records).collect();
    let rows = records.iter().copied().filter(is_whole).count() as u64;
    assert_eq!(rows, u64::from(STRANGERS_A_MINUTE));
    assert_eq!(records.len() as u64, count + rows);
}

#[test]
fn a_disk_that_refuses_costs_the_record_is_counted_and_is_asked_again_after_a_rest() {
    let dir = Dir::new();
    let spool = dir.open();
    let lanes = Lanes::new(spool.clone());
    let log = lanes.of_worker();
    // No file can be made where the directory was.
    let elsewhere = dir.0.join("elsewhere");
    fs::rename(&spool.directory, &elsewhere).expect("moved");
    for at in [1_000_000, 1_000_001, 1_999_999] {
        ask(&*log, at);
    }
    assert_eq!(lanes.dropped(), 3);
    fs::rename(&elsewhere, &spool.directory).expect("moved");
    ask(&*log, 1_999_999);
    assert_eq!(lanes.dropped(), 4);
    ask(&*log, 2_000_001);
    assert_eq!(again(&spool).0, [2_000_001]);
    assert_eq!(lanes.dropped(), 4);
    // A clock that is set back does not prolong it. Who has a segment goes on.
    fs::rename(&spool.directory, &elsewhere).expect("moved");
    ask(&*lanes.of_worker(), 9_000_000_000);
    ask(&*log, 9_000_000_000);
    fs::rename(&elsewhere, &spool.directory).expect("moved");
    ask(&*lanes.of_worker(), 5);
    assert_eq!(
        (again(&spool).0, lanes.dropped()),
        (vec![2_000_001, 9_000_000_000, 5], 5)
    );
}

#[test]
fn a_backlog_that_takes_its_share_of_the_disk_grows_no_more() {
    let dir = Dir::new();
    let spool = dir.open();
    let hoard = File::create(dir.0.join("spool/0000000000000001.log")).expect("made");
    hoard.set_len(MAX_BACKLOG - segment::SIZE).expect("sparse");
    let full = dir.open();
    let lanes = Lanes::new(full.clone());
    ask(&*lanes.of_worker(), 1_000_000);
    ask(&*lanes.of_worker(), 2_000_001);
    assert_eq!((lanes.dropped(), full.bytes()), (1, MAX_BACKLOG));
    drop(spool);
}

#[test]
fn syncing_and_reading_while_workers_write_loses_and_repeats_nothing() {
    const EACH: i64 = 30_000;
    let dir = Dir::new();
    let spool = dir.open();
    let is_over = AtomicBool::new(false);
    let mut all = Vec::new();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|number| {
                let spool = &spool;
                scope.spawn(move || {
                    // Workers that end and others that begin: segments are over at any moment.
                    for part in 0..30 {
                        let log = worker(spool);
                        let first = number * EACH + part * EACH / 30;
                        (first..first + EACH / 30).for_each(|at| ask(&*log, at));
                    }
                })
            })
            .collect();
        let keeper = scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                spool.sync().expect("synced");
            }
        });
        let mut positions = Positions::default();
        while !writers.iter().all(thread::ScopedJoinHandle::is_finished) {
            all.extend(times_of(&spool, &mut positions));
            spool
                .forget_shipped(&positions, Instant::now() + KEPT)
                .expect("forgotten");
        }
        all.extend(times_of(&spool, &mut positions));
        is_over.store(true, Ordering::Release);
        keeper.join().expect("no panic");
    });
    all.sort_unstable();
    assert!(all.into_iter().eq(0..3 * EACH));
}

/// One turn after another until one finds nothing; more may come.
fn times_of(spool: &Spool, positions: &mut Positions) -> Vec<i64> {
    let mut all = Vec::new();
    loop {
        let taken = spool.read(positions, BATCH).expect("readable");
        if taken.is_empty() {
            return all;
        }
        for taken in taken {
            assert_eq!(taken.read.damaged, 0);
            positions.segments.insert(taken.segment, taken.to);
            let at = |record: &Record| match record {
                Record::StrangerCount { at, .. } => Some(*at),
                Record::Hit(_) | Record::Stranger(_) => None,
            };
            all.extend(taken.read.records.iter().filter_map(at));
        }
    }
}
