use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use uuid::Uuid;

use super::*;
use crate::{
    discovery::{directory::Directory, handler::Discovery, metrics::Metrics},
    own_checks::OwnChecks,
    publisher::{
        record::{CertificateRecord, DomainRecord},
        standing::Standing,
    },
    sealed::Keyring,
};

/// A state directory with a key file, gone with the test.
struct Node {
    directory: PathBuf,
    keyring: Arc<Keyring>,
    standing: Arc<Standing>,
}

impl Node {
    fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("signpost-snapshot-{}", Uuid::now_v7()));
        fs::create_dir(&directory).unwrap();
        Self {
            keyring: Arc::new(Keyring::create(&directory.join("secret.key")).unwrap()),
            standing: Arc::new(Standing::new(Arc::new(Discovery {
                directory: Directory::default(),
                metrics: Metrics::register(&prometheus::Registry::new()).unwrap(),
                trusted_proxies: Vec::new(),
                own_checks: OwnChecks::new(&[]),
            }))),
            directory,
        }
    }

    fn writer(&self) -> Snapshot {
        Snapshot::new(&self.directory, self.keyring.clone(), self.standing.clone())
    }

    fn path(&self) -> PathBuf {
        path(&self.directory)
    }

    fn found(&self) -> Result<Option<BTreeMap<String, String>>, Refusal> {
        found(&self.path(), &self.keyring)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// Hostnames with what they serve.
fn found(path: &Path, keyring: &Keyring) -> Result<Option<BTreeMap<String, String>>, Refusal> {
    let contents = match find(path, keyring) {
        Found::Nothing => return Ok(None),
        Found::Refused(refusal) => return Err(refusal),
        Found::Good(contents) => contents,
    };
    let all = Mutex::new(BTreeMap::new());
    let count = contents.publish(|record| {
        let served = record.domain.unwrap().policy;
        assert_eq!(all.lock().unwrap().insert(record.hostname, served), None, "each once");
    })?;
    let all = all.into_inner().unwrap();
    assert_eq!(count, all.len());
    Ok(Some(all))
}

fn record(hostname: &str, policy: &str) -> Record {
    Record {
        hostname: hostname.to_owned(),
        domain: Some(DomainRecord {
            domain_id: Uuid::nil(),
            client_id: Uuid::nil(),
            organisation_id: Uuid::nil(),
            user_digest_key: vec![7; 40],
            website_url: None,
            policy: policy.to_owned(),
            servers: "[]".to_owned(),
        }),
        certificate: Some(CertificateRecord {
            chain: vec![vec![1; 30]],
            key_sealed: vec![2; 30],
            not_after: 1_800_000_000,
        }),
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, served)| ((*name).to_owned(), (*served).to_owned()))
        .collect()
}

/// Three domains of a full load, changes that were synced, and changes that were not. Returns what may be served after
/// each of the last, with the length that the file then had.
async fn written(node: &Node) -> Vec<(u64, BTreeMap<String, String>)> {
    let mut writer = node.writer();
    writer.begin();
    writer.put(&[
        record("a.example", "1"),
        record("b.example", "1"),
        record("c.example", "1"),
    ]);
    writer.finish(1_000).await;
    writer.append(&[record("a.example", "2")], &["b.example"]);
    writer.settle_now(1_001).await;
    let length = || fs::metadata(node.path()).unwrap().len();
    let mut states = vec![(length(), map(&[("a.example", "2"), ("c.example", "1")]))];
    writer.append(&[record("b.example", "3")], &[]);
    states.push((
        length(),
        map(&[("a.example", "2"), ("b.example", "3"), ("c.example", "1")]),
    ));
    writer.append(&[], &["c.example", "a.example"]);
    states.push((length(), map(&[("b.example", "3")])));
    states
}

#[tokio::test]
async fn the_last_change_of_a_hostname_counts_and_what_is_gone_stays_gone() {
    let node = Node::new();
    assert_eq!(node.found().unwrap(), None);
    let states = written(&node).await;
    assert_eq!(node.found().unwrap().as_ref(), states.last().map(|(_, state)| state));
    let Found::Good(contents) = find(&node.path(), &node.keyring) else {
        panic!("refused")
    };
    assert_eq!((contents.as_of, contents.is_torn), (1_001, false));
}

#[tokio::test]
async fn more_records_than_a_frame_or_a_thread_takes_are_all_there() {
    let node = Node::new();
    let names: Vec<_> = (0..1_234).map(|number| format!("{number}.example")).collect();
    let mut writer = node.writer();
    writer.begin();
    for some in names.chunks(500) {
        writer.put(&some.iter().map(|name| record(name, "1")).collect::<Vec<_>>());
    }
    writer.finish(1_000).await;
    for name in names.iter().skip(200) {
        writer.append(&[record(name, "2")], &[]);
    }
    let found = node.found().unwrap().unwrap();
    assert_eq!(found.len(), names.len());
    assert_eq!(found.values().filter(|served| *served == "1").count(), 200);
}

#[tokio::test]
async fn a_file_that_a_crash_cut_short_serves_what_was_whole_and_nothing_older_than_what_was_synced() {
    let node = Node::new();
    let states = written(&node).await;
    let whole = fs::read(node.path()).unwrap();
    for cut in 0..whole.len() {
        fs::write(node.path(), &whole[..cut]).unwrap();
        let expected = states.iter().rfind(|(length, _)| *length <= cut as u64);
        match (node.found(), expected) {
            (Ok(found), Some((_, expected))) => assert_eq!(found.as_ref(), Some(expected), "cut at {cut}"),
            (Err(_), None) => {}
            (found, expected) => panic!("cut at {cut}: {found:?}, expected {expected:?}"),
        }
    }
    // As a power cut can leave it: the length is there, the bytes are not.
    for from in usize::try_from(states[0].0).unwrap()..whole.len() {
        let mut zeroed = whole.clone();
        zeroed[from..].fill(0);
        fs::write(node.path(), &zeroed).unwrap();
        let found = node.found().unwrap().unwrap();
        assert!(
            states.iter().any(|(_, state)| *state == found),
            "zeros from {from}: {found:?}"
        );
    }
}

#[tokio::test]
async fn one_turned_bit_in_what_was_synced_and_the_whole_file_is_refused() {
    let node = Node::new();
    let states = written(&node).await;
    let whole = fs::read(node.path()).unwrap();
    let synced = usize::try_from(states[0].0).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut turned = whole.clone();
        turned[bit / 8] ^= 1 << (bit % 8);
        fs::write(node.path(), &turned).unwrap();
        match node.found() {
            Ok(found) => {
                let found = found.unwrap();
                assert!(bit / 8 >= synced, "bit {bit} was believed");
                assert!(states.iter().any(|(_, state)| *state == found), "bit {bit}: {found:?}");
            }
            Err(_) => assert!(bit / 8 < synced, "bit {bit} is behind what was synced"),
        }
    }
}

#[tokio::test]
async fn a_frame_that_is_missing_or_there_twice_is_damage() {
    let node = Node::new();
    let mut writer = node.writer();
    writer.begin();
    writer.put(&[record("a.example", "1")]);
    writer.finish(1_000).await;
    let mut ends = vec![fs::metadata(node.path()).unwrap().len()];
    for served in ["2", "3"] {
        writer.append(&[record("a.example", served)], &[]);
        ends.push(fs::metadata(node.path()).unwrap().len());
    }
    writer.settle_now(1_001).await;
    let whole = fs::read(node.path()).unwrap();
    let at = |index: usize| usize::try_from(ends[index]).unwrap();
    let (base, first, second) = (&whole[..at(0)], &whole[at(0)..at(1)], &whole[at(1)..]);
    for frames in [vec![second, first], vec![first, first], vec![second, second]] {
        fs::write(node.path(), [base, &frames.concat()].concat()).unwrap();
        assert!(matches!(node.found(), Err(Refusal::Damaged(_))), "{}", frames.len());
    }
}

#[tokio::test]
async fn an_unbelievable_length_takes_no_memory_and_is_damage() {
    let node = Node::new();
    written(&node).await;
    let mut whole = fs::read(node.path()).unwrap();
    let first = usize::try_from(FRAMES).unwrap();
    whole[first..first + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    fs::write(node.path(), &whole).unwrap();
    assert!(matches!(node.found(), Err(Refusal::Damaged(FRAMES))));
    // One that could be, and is more than the file has.
    whole[first..first + 4].copy_from_slice(&(60 * 1024 * 1024_u32).to_le_bytes());
    fs::write(node.path(), &whole).unwrap();
    assert!(matches!(node.found(), Err(Refusal::Damaged(FRAMES))));
}

#[tokio::test]
async fn a_file_of_another_installation_or_another_version_is_refused() {
    let (node, other) = (Node::new(), Node::new());
    written(&node).await;
    assert!(matches!(
        found(&node.path(), &other.keyring),
        Err(Refusal::OtherInstallation)
    ));
    let mut whole = fs::read(node.path()).unwrap();
    whole[NAME.len() + 1] = b'3';
    fs::write(node.path(), &whole).unwrap();
    assert!(matches!(node.found(), Err(Refusal::OtherVersion)));
    fs::write(node.path(), b"").unwrap();
    assert!(matches!(node.found(), Err(Refusal::CutOff)));
}

#[tokio::test]
async fn a_file_that_can_not_be_written_leaves_the_last_one_and_is_tried_again() {
    let node = Node::new();
    let states = written(&node).await;
    let mut writer = node.writer();
    std::os::unix::fs::symlink("/dev/full", node.directory.join("directory.snapshot.new")).unwrap();
    writer.begin();
    writer.put(&[record("new.example", "1")]);
    writer.finish(2_000).await;
    assert!(!node.standing.is_snapshot_written());
    assert_eq!(node.found().unwrap().as_ref(), states.last().map(|(_, state)| state));
    assert!(!writer.is_to_be_renewed(), "not at once");
    // There is room again.
    writer.begin();
    writer.put(&[record("new.example", "1")]);
    writer.finish(2_000).await;
    assert!(node.standing.is_snapshot_written());
    assert_eq!(node.found().unwrap(), Some(map(&[("new.example", "1")])));
}

#[tokio::test]
async fn a_refused_file_is_kept_beside_the_one_that_takes_its_place() {
    let node = Node::new();
    fs::write(node.path(), b"damaged").unwrap();
    let mut writer = node.writer();
    writer.keep_refused();
    writer.begin();
    writer.put(&[record("a.example", "1")]);
    assert_eq!(fs::read(node.path()).unwrap(), b"damaged", "until there is another");
    writer.finish(1_000).await;
    assert_eq!(node.found().unwrap(), Some(map(&[("a.example", "1")])));
    let kept = fs::read(node.path().with_extension("snapshot.refused")).unwrap();
    assert_eq!(kept, b"damaged");
}
