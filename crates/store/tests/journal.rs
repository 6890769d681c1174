//! The journal of bindings: what a crash, a torn write or a full disk leaves, and what cleaning keeps.

#[expect(dead_code, reason = "each test file uses its share")]
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use store::{Binding, BindingChange, Bindings, Change, Error, Id, Outcome, Packed, Store};
use tokio::sync::{mpsc, oneshot};
use world::{Directory, at, binding, in_memory};

async fn change(store: &Store, changes: Vec<BindingChange>) -> store::Result<()> {
    let (tell, told) = oneshot::channel();
    let tell = Box::new(move |outcome| tell.send(outcome).expect("the test listens"));
    store.change_bindings(changes, tell)?;
    told.await.expect("the outcome is told")
}

async fn put(store: &Store, binding: Binding) {
    let put = vec![BindingChange::Put(binding)];
    change(store, put).await.expect("it is committed");
}

async fn bindings(store: &Store) -> BTreeMap<(Id, String), Binding> {
    let mut all = BTreeMap::new();
    let each = |binding: Binding| {
        all.insert((binding.endpoint, binding.key.clone()), binding);
    };
    store.load_bindings(each).await.expect("they are read");
    all
}

fn segments(directory: &Directory) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.path().join("offhook.bindings")).expect("a journal");
    let mut found: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    found.sort();
    found
}

/// What a killed process leaves: the files as they are at this moment.
fn remains(of: &Directory) -> Directory {
    let copy = Directory::new();
    let copied = |name: &Path| std::fs::copy(of.path().join(name), copy.path().join(name));
    for name in ["offhook.db", "offhook.db-wal"] {
        copied(Path::new(name)).expect("a copy");
    }
    std::fs::create_dir(copy.path().join("offhook.bindings")).expect("a directory");
    for path in segments(of) {
        let name = Path::new("offhook.bindings").join(path.file_name().expect("a name"));
        copied(&name).expect("a copy");
    }
    copy
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_the_process_died() {
    let directory = Directory::new();
    let store = directory.open().await;
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let (tell, mut told) = mpsc::unbounded_channel();
    for number in 0..500 {
        let (tell, acknowledged) = (tell.clone(), Arc::clone(&acknowledged));
        let put = BindingChange::Put(binding(number % 50, &format!("{number:04}")));
        let completion = Box::new(move |outcome: store::Result<()>| {
            if outcome.is_ok() {
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            let _ = tell.send(());
        });
        store.change_bindings(vec![put], completion).unwrap();
    }
    told.recv().await.unwrap();
    let seen = acknowledged.load(Ordering::SeqCst);
    let remains = remains(&directory);
    assert!(seen > 0 && bindings(&remains.open().await).await.len() >= seen);
}

/// Where the records of a segment end.
fn written(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    let mut at = 16;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        if length == 0 {
            break;
        }
        at += 8 + length;
    }
    at
}

#[tokio::test]
async fn a_record_that_rotted_is_left_out_and_the_others_stay() {
    let directory = Directory::new();
    let store = directory.open().await;
    let path = segments(&directory).pop().unwrap();
    put(&store, binding(1, "a")).await;
    let middle = written(&path);
    put(&store, binding(2, "b")).await;
    put(&store, binding(3, "c")).await;
    store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[middle + 30] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let left = bindings(&directory.open().await).await;
    let endpoints: Vec<Id> = left.keys().map(|(endpoint, _)| *endpoint).collect();
    assert_eq!(endpoints, [1, 3]);
}

#[tokio::test]
async fn a_journal_of_another_version_is_refused_and_left_alone() {
    let directory = Directory::new();
    let store = directory.open().await;
    put(&store, binding(1, "a")).await;
    store.close().await;
    let path = segments(&directory).pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[7] = 2;
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(directory.try_open().await, Err(Error::Journal(_))));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn bindings_of_an_earlier_version_move_from_the_database_once() {
    let directory = Directory::new();
    let store = directory.open().await;
    let insert = "INSERT INTO binding (endpoint, key, contact, call_id, cseq, expires_at, logged_in, transport, local, \
         remote, flow, path, user_agent, q, instance) VALUES (5, 'k', 'sip:a@192.0.2.1', 'c', 7, 2000000000000000, \
         1900000000000000, 'udp', '192.0.2.9:5060', '192.0.2.1:5060', 0, NULL, 'phone', 1000, NULL)";
    store
        .write(move |connection| {
            Box::pin(async move {
                sqlx::query(insert).execute(connection).await?;
                Ok(())
            })
        })
        .await
        .unwrap();
    store.close().await;
    let store = directory.open().await;
    let moved = bindings(&store).await;
    assert_eq!(moved[&(5, "k".to_owned())].cseq, 7);
    change(&store, vec![BindingChange::DeleteAll { endpoint: 5 }])
        .await
        .unwrap();
    store.close().await;
    assert_eq!(bindings(&directory.open().await).await.len(), 0);
}

#[tokio::test]
async fn a_second_process_leaves_the_journal_alone() {
    let directory = Directory::new();
    let store = directory.open().await;
    put(&store, binding(1, "a")).await;
    let beside = directory.open().await;
    let refused = change(&beside, vec![BindingChange::Put(binding(1, "b"))]).await;
    assert!(matches!(refused, Err(Error::Closed)));
    beside.close().await;
    put(&store, binding(1, "c")).await;
    store.close().await;
    assert_eq!(bindings(&directory.open().await).await.len(), 2);
}

/// Puts a binding as the registrar does, and gives what undoes it.
fn put_watched(bindings: &Bindings, one: &Binding, watcher: u8) -> store::Undo {
    let decide = |held: &[Packed]| {
        let mut change = Change::default();
        let place = held.iter().position(|held| held.view().key == one.key);
        change.put.push((place, Packed::new(&one.view(), true)));
        Ok::<_, ()>(change)
    };
    let changed = bindings.change(one.endpoint, at(0), watcher, decide, <[Packed]>::len);
    let (_, undo, _) = changed.expect("there is room").expect("it is decided");
    undo
}

#[tokio::test]
async fn a_watcher_hears_of_its_changes_after_their_commit_and_an_undone_one_is_gone() {
    let directory = Directory::new();
    let store = directory.open().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let watcher = store.bindings().watch(5, move || tell.send(()).unwrap());
    let old = binding(1, "a");
    let new = Binding {
        cseq: 8,
        ..old.clone()
    };
    put_watched(store.bindings(), &old, 5);
    let undo = put_watched(store.bindings(), &new, 5);
    assert!(watcher.take().is_empty());
    store.bindings().flush();
    told.recv().await.unwrap();
    let outcomes = watcher.take();
    assert!(matches!(
        outcomes.as_slice(),
        [Outcome {
            committed: true,
            ..
        }]
    ));
    store.bindings().undo(&undo);
    let key = (1, "a".to_owned());
    assert_eq!(bindings(&store).await[&key], old);
    store.close().await;
    let left = bindings(&directory.open().await).await;
    assert_eq!((left.len(), &left[&key]), (1, &old));
}

#[tokio::test]
async fn old_segments_go_and_every_live_binding_stays() {
    let directory = Directory::new();
    let store = directory.open().await;
    let long = "x".repeat(4000);
    let (tell, mut told) = mpsc::unbounded_channel();
    // 40,000 records of 4 kB are ten segments; one in a hundred is put once and never again.
    for number in 0..40_000_i64 {
        let one = Binding {
            endpoint: if number % 100 == 0 { number } else { 1 },
            cseq: u32::try_from(number).unwrap(),
            call_id: long.clone(),
            ..binding(1, "k")
        };
        let tell = tell.clone();
        let completion = Box::new(move |outcome| tell.send(outcome).unwrap());
        let put = vec![BindingChange::Put(one)];
        store.change_bindings(put, completion).unwrap();
        if number % 500 == 499 {
            for _ in 0..500 {
                told.recv().await.unwrap().unwrap();
            }
        }
    }
    let before = bindings(&store).await;
    assert_eq!(before.len(), 401);
    store.close().await;
    let count = segments(&directory).len();
    assert!(count <= 6, "{count} segments of 16 MiB");
    assert_eq!(bindings(&directory.open().await).await, before);
}

#[tokio::test]
async fn a_store_in_memory_keeps_bindings_without_a_journal() {
    let store = in_memory().await;
    put(&store, binding(1, "a")).await;
    assert_eq!(bindings(&store).await.len(), 1);
    store.bindings().clear(1).await.unwrap();
    assert_eq!(bindings(&store).await.len(), 0);
}
