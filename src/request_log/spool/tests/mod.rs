mod damage;
mod writing;

use std::io::Write;

use super::*;
use crate::{
    discovery::{
        hit::{About, Log, Logs, Network, Stranger},
        query::Asked,
    },
    frames,
    request_log::lane::Lanes,
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
