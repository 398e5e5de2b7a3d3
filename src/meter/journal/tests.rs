use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const SMALL: Options = Options { durability: Durability::Process, segment: 4096, max_size: 1024 * 1024 };

fn journal(root: &TempDir, id: &str, options: Options) -> Arc<Journal> {
    Arc::new(Journal::create(root.path(), id, options).unwrap())
}

fn begin(journal: &Journal, ticket: u64, row: &impl Serialize) {
    journal.commit(journal.begin(ticket, row).unwrap()).unwrap();
}

fn settle(journal: &Journal, ticket: u64, row: impl Serialize) -> Mark {
    let mark = journal.settle(ticket, row, |_, _| ());
    journal.commit(mark).unwrap();
    mark
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| serde_json::from_slice(&record.json).unwrap()).collect()
}

/// What is left when the process is gone: the folder, unlocked.
fn orphan(root: &TempDir) -> Reader {
    let mut found = orphans(root.path()).unwrap();
    assert_eq!(found.len(), 1);
    Reader::orphan(found.remove(0)).unwrap()
}

fn all(reader: &mut Reader) -> Vec<Record> {
    let mut out = Vec::new();
    loop {
        let read = reader.settles(7).unwrap();
        if read.is_empty() {
            return out;
        }
        out.extend(read);
    }
}

#[test]
fn what_is_settled_is_read_in_order_while_it_grows() {
    let root = TempDir::new().unwrap();
    let journal = journal(&root, "a", SMALL);
    let mut reader = Reader::own(Arc::clone(&journal));
    let mut expected = Vec::new();
    let mut got = Vec::new();
    for n in 0..200 {
        let ticket = journal.ticket();
        begin(&journal, ticket, &format!("begin {n}"));
        settle(&journal, ticket, format!("row {n} {}", "x".repeat(n)));
        expected.push(format!("row {n} {}", "x".repeat(n)));
        if n % 13 == 0 {
            got.extend(texts(&all(&mut reader)));
            assert_eq!(got, expected);
            assert_eq!(reader.position(), journal.end());
            journal.trim(reader.position());
        }
    }
    got.extend(texts(&all(&mut reader)));
    assert_eq!(got, expected);
    journal.trim(reader.position());
    assert!(journal.folder().segments().unwrap().len() <= 3, "what was applied is removed");
    assert!(journal.size() < 2 * SMALL.segment);
}

#[test]
fn a_dead_process_leaves_its_rows_and_its_open_requests() {
    let root = TempDir::new().unwrap();
    let journal = journal(&root, "a", SMALL);
    assert!(orphans(root.path()).unwrap().is_empty(), "its process lives");
    for ticket in 1..=3 {
        begin(&journal, ticket, &format!("begin {ticket}"));
    }
    settle(&journal, 2, "row 2");
    begin(&journal, 3, &"begin 3 again");
    drop(journal);
    let mut reader = orphan(&root);
    assert_eq!(texts(&all(&mut reader)), ["row 2"]);
    assert_eq!(texts(&reader.take_open()), ["begin 1", "begin 3 again"]);
    assert_eq!(reader.damaged(), 0);
    reader.remove().unwrap();
    assert!(orphans(root.path()).unwrap().is_empty());
}

#[test]
fn processes_that_start_together_do_not_take_each_other_for_dead() {
    let root = TempDir::new().unwrap();
    std::thread::scope(|scope| {
        for process in 0..4 {
            let root = &root;
            scope.spawn(move || {
                let mut alive = Vec::new();
                for n in 0..25 {
                    alive.push(journal(root, &format!("{process}-{n}"), SMALL));
                    assert!(orphans(root.path()).unwrap().is_empty());
                }
                // They live as long as the test.
                std::mem::forget(alive);
            });
        }
    });
}

#[tokio::test]
async fn those_who_are_ready_are_written_together() {
    let root = TempDir::new().unwrap();
    let journal = journal(&root, "a", SMALL);
    let file = File::open(root.path().join("a").join(format!("{:016}.wal", 1))).unwrap();
    let written = || file.metadata().unwrap().len();
    let first = journal.begin(1, &"first").unwrap();
    let mut first = Box::pin(journal.committed(first));
    assert!(futures_util::poll!(&mut first).is_pending(), "the others get their turn");
    let second = journal.settle(2, "second", |_, _| ());
    let mut second = Box::pin(journal.committed(second));
    assert!(futures_util::poll!(&mut second).is_pending());
    assert_eq!(written(), 0);
    assert!(futures_util::poll!(&mut first).is_ready());
    assert_eq!(written(), journal.end().offset);
    assert!(futures_util::poll!(&mut second).is_ready());
    let left = journal.settle(1, "whoever waited for it left", |_, _| ());
    let mut left = Box::pin(journal.committed(left));
    assert!(futures_util::poll!(&mut left).is_pending());
    assert!(written() < journal.end().offset);
    drop(left);
    assert_eq!(written(), journal.end().offset, "and it is written all the same");
}

#[test]
fn many_threads_write_each_record_once_and_whole() {
    let root = TempDir::new().unwrap();
    let journal = journal(&root, "a", SMALL);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let journal = &journal;
            scope.spawn(move || {
                for n in 0..300 {
                    let ticket = thread * 1000 + n;
                    begin(journal, ticket, &"b".repeat(ticket as usize % 70));
                    let mark = journal.settle(ticket, format!("row {ticket}"), |_, _| ());
                    if n % 3 != 0 {
                        journal.commit(mark).unwrap();
                    }
                }
            });
        }
    });
    journal.commit_all().unwrap();
    drop(journal);
    let mut reader = orphan(&root);
    let mut rows = texts(&all(&mut reader));
    rows.sort_unstable();
    let mut expected: Vec<String> =
        (0..4).flat_map(|t| (0..300).map(move |n| format!("row {}", t * 1000 + n))).collect();
    expected.sort_unstable();
    assert_eq!(rows, expected);
    assert_eq!((reader.damaged(), reader.take_open().len()), (0, 0));
}

#[test]
fn a_long_request_does_not_hold_the_journal_back() {
    let root = TempDir::new().unwrap();
    let journal = journal(&root, "a", SMALL);
    let mut reader = Reader::own(Arc::clone(&journal));
    begin(&journal, 1, &"the long one");
    for ticket in 2..2000 {
        begin(&journal, ticket, &"b".repeat(100));
        settle(&journal, ticket, "s".repeat(100));
        all(&mut reader);
        journal.trim(reader.position());
    }
    let held = journal.folder().segments().unwrap().len() as u64;
    assert!(held <= HELD_SEGMENTS + 3, "{held} segments");
    drop((journal, reader));
    let mut reader = orphan(&root);
    all(&mut reader);
    assert_eq!(texts(&reader.take_open()), ["the long one"]);
}

#[test]
fn at_its_bound_nothing_new_is_accepted_and_what_runs_is_settled() {
    let root = TempDir::new().unwrap();
    let options = Options { max_size: 3 * SMALL.segment, ..SMALL };
    let journal = journal(&root, "a", options);
    let mut reader = Reader::own(Arc::clone(&journal));
    let mut settled = 0;
    while journal.has_room() {
        settle(&journal, settled, "x".repeat(500));
        settled += 1;
    }
    assert!(settled > 7, "two segments were filled: {settled}");
    for _ in 0..20 {
        settle(&journal, settled, "x".repeat(500));
        settled += 1;
    }
    assert!(!journal.recover(), "there is still no room");
    let read = all(&mut reader).len() as u64;
    journal.trim(reader.position());
    assert!(journal.recover(), "there is room again");
    assert_eq!(journal.waiting(), 0);
    assert_eq!(read + all(&mut reader).len() as u64, settled, "nothing was lost");
}

#[tokio::test]
async fn with_power_losses_in_mind_settling_waits_for_the_disk() {
    let root = TempDir::new().unwrap();
    let journal = journal(&root, "a", Options { durability: Durability::Power, ..SMALL });
    let position = settle(&journal, 1, "row").position;
    let mut waiting = Box::pin(journal.durable(position).unwrap());
    assert!(futures_util::poll!(&mut waiting).is_pending());
    journal.sync().unwrap();
    assert!(futures_util::poll!(&mut waiting).is_ready());
    let other = TempDir::new().unwrap();
    assert!(self::journal(&other, "b", SMALL).durable(position).is_none());
}

proptest! {
    /// A process can die within a write, and disks can rot: what is read is a beginning of what was
    /// written, and nothing is made up.
    #[test]
    fn damage_takes_a_tail_and_invents_nothing(rows in 1usize..40, at in 0u64..6000, byte in any::<u8>(), cut: bool) {
        let root = TempDir::new().unwrap();
        let journal = journal(&root, "a", SMALL);
        let written: Vec<String> = (0..rows).map(|n| format!("row {n} {}", "y".repeat(n * 7 % 90))).collect();
        for (n, row) in written.iter().enumerate() {
            settle(&journal, n as u64, row.clone());
        }
        drop(journal);
        let folder = orphans(root.path()).unwrap().remove(0);
        let last = *folder.segments().unwrap().iter().rev().find(|number| {
            folder.open_segment(**number).unwrap().unwrap().metadata().unwrap().len() > 0
        }).unwrap();
        let path = root.path().join("a").join(format!("{last:016}.wal"));
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        if cut {
            file.set_len(at.min(file.metadata().unwrap().len())).unwrap();
        } else {
            file.write_all_at(&[byte], at).unwrap();
        }
        let mut reader = Reader::orphan(folder).unwrap();
        let read = texts(&all(&mut reader));
        prop_assert!(written.starts_with(&read), "{read:?}");
    }
}
