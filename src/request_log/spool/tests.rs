use super::*;
use crate::{
    discovery::{
        hit::{About, Log, Logs, Network, Stranger},
        query::Asked,
    },
    request_log::record::Row,
};

/// A state directory of its own, gone at the end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("signpost-spool-{}", Uuid::now_v7())))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A request that is told from every other by its time.
fn ask(log: &dyn Log, at: i64) {
    let about = About {
        at,
        asked: Asked::None,
        user_agent: b"DeviceManagementClient/1.0",
        network: Network::of([203, 0, 113, 7].into()),
        tls: None,
    };
    log.stranger(&Stranger {
        about,
        hostname: "nobody.example",
    });
}

/// The times of the counted requests, segment after segment.
fn times(spool: &Spool, positions: &mut Positions) -> Vec<i64> {
    let mut all = Vec::new();
    loop {
        let taken = spool.read(positions, 3).expect("readable");
        if taken.is_empty() {
            return all;
        }
        for taken in taken {
            assert!(Some(&taken.to) > positions.segments.get(&taken.segment));
            positions.segments.insert(taken.segment, taken.to);
            all.extend(taken.records.into_iter().filter_map(|record| match record {
                Record::StrangerCount { at, .. } => Some(at),
                Record::Hit(_) | Record::Stranger(_) => None,
            }));
        }
    }
}

#[test]
fn what_was_kept_is_read_once_across_workers_restarts_and_torn_ends() {
    let dir = Dir::new();
    let mut positions = Positions::default();
    for start in 0..3 {
        let spool = Spool::open(&dir.0).expect("opens");
        let (one, other) = (spool.of_worker(), spool.of_worker());
        ask(&*one, start * 10);
        ask(&*other, start * 10 + 1);
        // What the run before had no time to ship comes first.
        let left = (start > 0).then(|| start * 10 - 8);
        let expected: Vec<_> = left.into_iter().chain([start * 10, start * 10 + 1]).collect();
        assert_eq!(times(&spool, &mut positions), expected);
        ask(&*one, start * 10 + 2);
        drop((one, other));
        // A crash in the middle of a frame.
        let last = spool.path(spool.next.load(Ordering::Relaxed) - 1);
        let written = positions.segments.last_key_value().map_or(0, |(_, to)| *to);
        let mut file = fs::OpenOptions::new().write(true).open(last).expect("opens");
        file.seek(SeekFrom::Start(written)).expect("sought");
        io::Write::write_all(&mut file, &[9, 0, 0, 0, 1]).expect("written");
    }
    let spool = Spool::open(&dir.0).expect("opens");
    assert_eq!(times(&spool, &mut positions), [22]);
    assert_eq!(times(&spool, &mut Positions::default()).len(), 9);
    assert_eq!(spool.unshipped(&positions), 0);
}

#[test]
fn what_was_shipped_stays_a_while_for_a_database_that_is_set_back() {
    let dir = Dir::new();
    let spool = Spool::open(&dir.0).expect("opens");
    let worker = spool.of_worker();
    ask(&*worker, 1);
    drop(worker);
    let mut positions = Positions::default();
    assert_eq!(times(&spool, &mut positions), [1]);
    spool.sync().expect("synced");
    assert_eq!(times(&spool, &mut positions), [0; 0], "its end is seen");
    let now = Instant::now();
    spool.forget_shipped(now + KEPT / 2).expect("nothing to do");
    assert_eq!((spool.oldest(), spool.bytes()), (1, segment::SIZE));
    assert_eq!(spool.unshipped(&positions), 0);
    assert!(spool.unshipped(&Positions::default()) > 0);
    assert_eq!(times(&spool, &mut Positions::default()), [1], "again, from the start");
    spool.forget_shipped(now + KEPT * 2).expect("deleted");
    assert_eq!((spool.oldest(), spool.bytes()), (2, 0));
}

#[test]
fn the_longest_record_has_room_and_a_full_segment_is_followed_by_another() {
    let dir = Dir::new();
    let spool = Spool::open(&dir.0).expect("opens");
    let worker = spool.of_worker();
    let label = vec!["a".repeat(63); 4].join(".");
    let about = About {
        at: i64::MAX,
        asked: Asked::None,
        user_agent: &[0xff; 500],
        network: Network::V6("2001:db8:ffff::".parse().expect("an address")),
        tls: None,
    };
    let mut count = 0;
    while spool.next.load(Ordering::Relaxed) < 3 {
        worker.stranger(&Stranger {
            about: About { ..about },
            hostname: &label[..253],
        });
        count += 1;
        assert!(count < segment::SIZE, "each takes some bytes");
    }
    assert_eq!(spool.dropped(), 0);
    let taken = spool.read(&Positions::default(), usize::MAX).expect("readable");
    let is_whole = |record: &Record| matches!(record, Record::Stranger(Row { hostname, user_agent: Some(agent), .. }) if hostname.len() == 253 && agent.chars().count() == 120);
    let rows = taken.iter().flat_map(|taken| &taken.records);
    assert_eq!(
        rows.filter(|record| is_whole(record)).count(),
        STRANGERS_A_MINUTE as usize
    );
    assert_eq!(
        taken.iter().flat_map(|taken| &taken.records).count() as u64,
        count + u64::from(STRANGERS_A_MINUTE)
    );
}

#[test]
fn a_disk_that_refuses_costs_the_record_is_counted_and_is_asked_again_after_a_rest() {
    let dir = Dir::new();
    let spool = Spool::open(&dir.0).expect("opens");
    let worker = spool.of_worker();
    // No file can be made where the directory was.
    let elsewhere = dir.0.join("elsewhere");
    fs::rename(&spool.directory, &elsewhere).expect("moved");
    for at in [1_000_000, 1_000_001, 1_999_999] {
        ask(&*worker, at);
    }
    assert_eq!(spool.dropped(), 6, "each has a count and a row");
    fs::rename(elsewhere, &spool.directory).expect("moved");
    ask(&*worker, 1_999_999);
    assert_eq!(spool.dropped(), 8);
    ask(&*worker, 2_000_001);
    assert_eq!(times(&spool, &mut Positions::default()), [2_000_001]);
    assert_eq!(spool.dropped(), 8);
}
