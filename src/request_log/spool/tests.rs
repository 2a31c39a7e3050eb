use std::{io::Write, os::unix::fs::FileExt, sync::atomic::AtomicBool, thread};

use serde::Serialize;

use super::*;
use crate::{
    discovery::{
        hit::{About, Log, Logs, Network, Stranger},
        query::Asked,
    },
    frames,
    request_log::{
        lane::{Lanes, STRANGERS_A_MINUTE},
        record::{Owner, Row},
        shipper::BATCH,
    },
};

/// A state directory of its own, gone at the end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("signpost-spool-{}", Uuid::now_v7())))
    }

    fn open(&self) -> Arc<Spool> {
        Spool::open(&self.0).expect("opens")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn worker(spool: &Arc<Spool>) -> Box<dyn Log> {
    Lanes::new(spool.clone()).of_worker()
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

/// Ships everything. The times of the counted requests, segment after segment, and how many places were damaged.
fn ship(spool: &Spool, positions: &mut Positions) -> (Vec<i64>, u64) {
    let (mut all, mut damaged) = (Vec::new(), 0);
    loop {
        let taken = spool.read(positions, 3).expect("readable");
        if taken.is_empty() {
            assert_eq!(spool.unshipped(positions), 0);
            return (all, damaged);
        }
        for taken in taken {
            assert!(taken.to > positions.of(taken.segment), "goes on");
            positions.segments.insert(taken.segment, taken.to);
            damaged += taken.read.damaged;
            all.extend(taken.read.records.into_iter().filter_map(|record| match record {
                Record::StrangerCount { at, .. } => Some(at),
                Record::Hit(_) | Record::Stranger(_) => None,
            }));
        }
    }
}

fn times(spool: &Spool, positions: &mut Positions) -> Vec<i64> {
    let (times, damaged) = ship(spool, positions);
    assert_eq!(damaged, 0);
    times
}

fn again(spool: &Spool) -> (Vec<i64>, u64) {
    ship(spool, &mut Positions::default())
}

/// The newest file and what is written to it.
fn newest(spool: &Spool) -> (PathBuf, Vec<u8>) {
    let (number, end) = {
        let segments = spool.segments();
        let (number, known) = segments.last_key_value().expect("one");
        (*number, known.end())
    };
    let path = spool.path(number);
    let mut bytes = fs::read(&path).expect("readable");
    bytes.truncate(usize::try_from(end).expect("small"));
    (path, bytes)
}

/// Where frames begin, and the end.
fn begins(bytes: &[u8]) -> Vec<usize> {
    let mut all = vec![0];
    while let frames::Front::Whole(_, length) = frames::front(&bytes[all[all.len() - 1]..]) {
        all.push(all[all.len() - 1] + length);
    }
    all
}

#[test]
fn what_was_kept_is_read_once_across_workers_and_restarts() {
    let dir = Dir::new();
    let mut positions = Positions::default();
    for start in 0..3 {
        let spool = dir.open();
        let (one, other) = (worker(&spool), worker(&spool));
        ask(&*one, start * 10);
        ask(&*other, start * 10 + 1);
        // What the run before had no time to ship comes first.
        let left = (start > 0).then(|| start * 10 - 8);
        let expected: Vec<_> = left.into_iter().chain([start * 10, start * 10 + 1]).collect();
        assert_eq!(times(&spool, &mut positions), expected);
        ask(&*one, start * 10 + 2);
    }
    let spool = dir.open();
    assert_eq!(times(&spool, &mut positions), [22]);
    assert_eq!(again(&spool).0.len(), 9);
}

#[test]
fn a_segment_that_is_torn_anywhere_in_its_last_frame_gives_all_before_it() {
    let dir = Dir::new();
    let spool = dir.open();
    let log = worker(&spool);
    (1..=3).for_each(|at| ask(&*log, at));
    let (path, bytes) = newest(&spool);
    drop((log, spool));
    let begins = begins(&bytes);
    for cut in begins[2]..=bytes.len() {
        let whole: &[i64] = if cut == bytes.len() { &[1, 2, 3] } else { &[1, 2] };
        let is_torn = cut != begins[2] && cut != bytes.len();
        // A file that ends there, one with room behind it, and one with something else behind it.
        for (more, is_damage) in [(&[][..], is_torn), (&[0; 500], is_torn), (&[0xa5; 500], true)] {
            fs::write(&path, [&bytes[..cut], more].concat()).expect("written");
            let spool = dir.open();
            let mut positions = Positions::default();
            let (times, damaged) = ship(&spool, &mut positions);
            // A frame may end in zeros, and be whole without them.
            let is_whole_with_zeros = more == [0; 500] && bytes[cut..].iter().all(|byte| *byte == 0);
            if !is_whole_with_zeros {
                assert_eq!(
                    (times.as_slice(), damaged),
                    (whole, u64::from(is_damage)),
                    "cut at {cut}"
                );
            }
            assert_eq!(ship(&spool, &mut positions), (vec![], 0), "said once");
        }
    }
}

#[test]
fn damage_in_the_middle_costs_what_stands_there_and_is_counted() {
    let dir = Dir::new();
    let spool = dir.open();
    let log = worker(&spool);
    (1..=5).for_each(|at| ask(&*log, at));
    let (path, bytes) = newest(&spool);
    drop((log, spool));
    let begins = begins(&bytes);
    let of = |damage: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        damage(&mut bytes);
        fs::write(&path, bytes).expect("written");
        again(&dir.open())
    };
    for at in begins[1] + 4..begins[2] {
        let expected = (vec![1, 3, 4, 5], 1);
        assert_eq!(of(&|bytes| bytes[at] ^= 0x10), expected, "a checksum or a payload");
    }
    let some = of(&|bytes| bytes[begins[1] + 10..][..3].fill(0xff));
    assert_eq!(some, (vec![1, 3, 4, 5], 1));
    let two = of(&|bytes| {
        bytes[begins[2] - 1] ^= 1;
        bytes[begins[3] - 1] ^= 1;
    });
    assert_eq!(two, (vec![1, 4, 5], 1), "two that follow each other are one place");
    for at in begins[1]..begins[1] + 4 {
        assert_eq!(
            of(&|bytes| bytes[at] ^= 0x80),
            (vec![1], 1),
            "a length: the next can't be found"
        );
    }
    assert_eq!(of(&|bytes| bytes[begins[1]..begins[3]].fill(0)), (vec![1], 1), "a hole");
    let spool = dir.open();
    fs::remove_file(&path).expect("removed");
    assert_eq!(again(&spool), (vec![], 1), "a file that is gone");
}

#[test]
fn a_file_that_is_damaged_while_a_worker_writes_it_does_not_stop_what_comes_next() {
    let dir = Dir::new();
    let spool = dir.open();
    let log = worker(&spool);
    (1..=3).for_each(|at| ask(&*log, at));
    let (path, bytes) = newest(&spool);
    let file = File::options().write(true).open(&path).expect("opens");
    file.write_all_at(&[0xff; 4], begins(&bytes)[1] as u64)
        .expect("written");
    let mut positions = Positions::default();
    assert_eq!(ship(&spool, &mut positions), (vec![1], 1));
    ask(&*log, 4);
    assert_eq!(times(&spool, &mut positions), [4]);
}

#[test]
fn a_file_that_can_not_be_read_does_not_stand_in_the_way_of_the_others() {
    let dir = Dir::new();
    let spool = dir.open();
    let (one, other) = (worker(&spool), worker(&spool));
    ask(&*one, 1);
    let (path, _) = newest(&spool);
    let aside = dir.0.join("aside");
    fs::rename(&path, &aside).expect("moved");
    fs::create_dir(&path).expect("made");
    let mut positions = Positions::default();
    assert!(spool.read(&positions, 9).is_err());
    ask(&*other, 2);
    let taken = spool.read(&positions, 9).expect("the other's");
    positions
        .segments
        .extend(taken.iter().map(|taken| (taken.segment, taken.to)));
    assert_eq!(taken.len(), 1);
    fs::remove_dir(&path).expect("removed");
    fs::rename(&aside, &path).expect("moved");
    assert_eq!(times(&spool, &mut positions), [1]);
}

/// As a version wrote it whose frames were batches of one queue, in one file.
#[derive(Serialize)]
#[expect(dead_code, reason = "variants are told by their order")]
enum Former {
    Hit(FormerRow),
    Stranger(FormerRow),
    StrangerCount { at: i64, model_family: String, count: u64 },
}

#[derive(Serialize)]
struct FormerRow {
    at: i64,
    owner: Option<Owner>,
    hostname: String,
    model_family: String,
    user: Option<[u8; 16]>,
    outcome: String,
    status: u16,
    server_id: Option<Uuid>,
    user_agent: Option<String>,
    client_network: String,
    tls: Option<String>,
}

#[test]
fn what_an_earlier_version_left_is_read_from_where_that_version_stopped() {
    let dir = Dir::new();
    let id = dir.open().id();
    let owner = Owner {
        organisation_id: Uuid::from_u128(1),
        client_id: Uuid::from_u128(2),
        domain_id: Uuid::from_u128(3),
    };
    let count = |at| Former::StrangerCount {
        at,
        model_family: "none".into(),
        count: 7,
    };
    let row = FormerRow {
        at: 9,
        owner: Some(owner),
        hostname: "contoso.com".into(),
        model_family: "Mac".into(),
        user: Some([4; 16]),
        outcome: "served".into(),
        status: 200,
        server_id: Some(Uuid::from_u128(5)),
        user_agent: Some("DeviceManagementClient/1.0".into()),
        client_network: "203.0.113.0/24".into(),
        tls: Some("TLSv1.3".into()),
    };
    let mut file = Vec::new();
    let position = frames::write(&mut file, &vec![count(1), count(2)]).expect("written");
    frames::write(&mut file, &vec![count(3), Former::Hit(row), count(4)]).expect("written");
    file.extend([9, 0, 0, 0, 1]);
    fs::write(dir.0.join("spool/0000000000000007.log"), &file).expect("written");
    fs::write(dir.0.join("spool/0000000000000008.log"), b"").expect("written");

    let spool = dir.open();
    assert_eq!(spool.id(), id);
    let positions = Positions {
        floor: 7,
        segments: [(7, position)].into(),
    };
    let taken = spool.read(&positions, 9).expect("readable");
    let expected = Row {
        at: 9,
        owner: Some(owner),
        hostname: "contoso.com".into(),
        model_family: "Mac".into(),
        user: Some([4; 16]),
        outcome: "served".into(),
        status: 200,
        server_id: Some(Uuid::from_u128(5)),
        user_agent: Some("DeviceManagementClient/1.0".into()),
        client_network: Network::of([203, 0, 113, 0].into()),
        tls: Some("TLSv1.3".into()),
    };
    assert_eq!(taken[0].read.records[1], Record::Hit(expected));
    ask(&*worker(&spool), 5);
    assert_eq!(ship(&spool, &mut positions.clone()), (vec![3, 4, 5], 1));
}

#[test]
fn what_was_shipped_stays_a_while_for_a_database_that_is_set_back() {
    let dir = Dir::new();
    let spool = dir.open();
    let mut positions = Positions::default();
    ask(&*worker(&spool), 1);
    let first = spool.oldest();
    ask(&*worker(&spool), 2);
    spool.sync().expect("synced");
    let now = Instant::now();
    let files = |spool: &Spool| spool.segments().len();
    for after in [Duration::ZERO, KEPT * 2] {
        spool.forget_shipped(&positions, now + after).expect("nothing to do");
        assert_eq!(files(&spool), 2, "not shipped");
    }
    assert_eq!(times(&spool, &mut positions), [1, 2]);
    for after in [Duration::ZERO, KEPT / 2] {
        spool.forget_shipped(&positions, now + after).expect("nothing to do");
        assert_eq!((spool.oldest(), spool.bytes()), (first, 2 * segment::SIZE));
    }
    assert_eq!(again(&spool).0, [1, 2], "again, from the start");
    // Set back, and shipped again: the while begins anew.
    spool
        .forget_shipped(&Positions::default(), now + KEPT)
        .expect("nothing to do");
    spool.forget_shipped(&positions, now + KEPT).expect("nothing to do");
    spool
        .forget_shipped(&positions, now + KEPT * 3 / 2)
        .expect("nothing to do");
    assert_eq!(files(&spool), 2);
    spool.forget_shipped(&positions, now + KEPT * 2).expect("deleted");
    assert_eq!((files(&spool), spool.bytes()), (1, segment::SIZE), "the newest stays");
    assert!(spool.oldest() > first);
    let newest = spool.oldest();
    drop(spool);
    assert!(dir.open().next.load(Ordering::Relaxed) > newest);
}

#[test]
fn a_number_does_not_come_again_in_a_directory_that_was_set_back() {
    let dir = Dir::new();
    let mut positions = Positions::default();
    for at in 1..=3 {
        let spool = dir.open();
        ask(&*worker(&spool), at);
        assert_eq!(times(&spool, &mut positions), [at]);
        positions.floor = spool.oldest();
        let (path, _) = newest(&spool);
        fs::remove_file(path).expect("removed");
    }
}

#[test]
fn shipped_segments_take_no_more_than_their_share() {
    let dir = Dir::new();
    let spool = dir.open();
    let allowed = MAX_KEPT / segment::SIZE;
    (0..allowed + 9).for_each(|_| ask(&*worker(&spool), 1));
    spool.sync().expect("synced");
    let mut positions = Positions::default();
    ship(&spool, &mut positions);
    spool.forget_shipped(&positions, Instant::now()).expect("deleted");
    assert_eq!(spool.segments().len() as u64, allowed + 1, "and the newest");
}

#[test]
fn a_live_segment_is_never_taken_for_done() {
    let dir = Dir::new();
    let spool = dir.open();
    let (log, mut positions) = (worker(&spool), Positions::default());
    ask(&*log, 1);
    ask(&*worker(&spool), 2);
    spool.sync().expect("synced");
    assert_eq!(times(&spool, &mut positions), [1, 2]);
    let now = Instant::now();
    for after in [Duration::ZERO, KEPT * 2] {
        spool.forget_shipped(&positions, now + after).expect("nothing to do");
    }
    ask(&*log, 3);
    assert_eq!(times(&spool, &mut positions), [3]);
}

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

#[test]
fn the_id_is_whole_or_refused_and_none_is_made_beside_segments() {
    let dir = Dir::new();
    let spool = dir.open();
    ask(&*worker(&spool), 1);
    let id = spool.id();
    drop(spool);
    // As after a crash before it was renamed.
    fs::write(dir.0.join("spool/id.new"), "0199").expect("written");
    assert_eq!(dir.open().id(), id);
    let file = dir.0.join("spool/id");
    for torn in ["", "0199"] {
        File::create(&file)
            .and_then(|mut file| file.write_all(torn.as_bytes()))
            .expect("written");
        assert!(Spool::open(&dir.0).is_err());
    }
    fs::remove_file(&file).expect("removed");
    assert!(Spool::open(&dir.0).is_err(), "all would be shipped again");
    fs::write(&file, id.to_string()).expect("written");
    assert_eq!(again(&dir.open()).0, [1]);
}
