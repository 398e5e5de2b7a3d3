use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const SMALL: Options = Options { durability: Durability::Process, segment: 4096, max_size: 1024 * 1024 };

fn journal(root: &TempDir, id: &str, options: Options) -> Arc<Journal> {
    Arc::new(Journal::create(root.path(), id, options).unwrap())
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
        journal.begin(ticket, &format!("begin {n}")).unwrap();
        journal.settle(ticket, format!("row {n} {}", "x".repeat(n)), |_, _| ());
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
        journal.begin(ticket, &format!("begin {ticket}")).unwrap();
    }
    journal.settle(2, "row 2", |_, _| ());
    journal.begin(3, &"begin 3 again").unwrap();
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

#[test]
fn a_long_request_does_not_hold_the_journal_back() {
    let root = TempDir::new().unwrap();
    let journal = journal(&root, "a", SMALL);
    let mut reader = Reader::own(Arc::clone(&journal));
    journal.begin(1, &"the long one").unwrap();
    for ticket in 2..2000 {
        journal.begin(ticket, &"b".repeat(100)).unwrap();
        journal.settle(ticket, "s".repeat(100), |_, _| ());
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
        journal.settle(settled, "x".repeat(500), |_, _| ());
        settled += 1;
    }
    assert!(settled > 7, "two segments were filled: {settled}");
    for _ in 0..20 {
        journal.settle(settled, "x".repeat(500), |_, _| ());
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
    let position = journal.settle(1, "row", |_, _| ());
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
            journal.settle(n as u64, row.clone(), |_, _| ());
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
