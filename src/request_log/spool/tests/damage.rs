//! Files that are torn, damaged, gone, or of an earlier version.
use std::os::unix::fs::FileExt;

use serde::Serialize;

use super::*;
use crate::request_log::record::{Owner, Row};

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
