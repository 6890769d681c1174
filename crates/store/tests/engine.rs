//! The writer: batches, outcomes, crashes.

#[expect(dead_code, reason = "each test file uses its share")]
mod world;

use std::time::Duration;

use store::{Binding, BindingChange, Error, SealKey, Store};
use tokio::sync::{mpsc, oneshot};
use world::{Directory, account, at, binding, endpoint, in_memory, key};

async fn change(store: &Store, changes: Vec<BindingChange>) -> store::Result<()> {
    let (tell, told) = oneshot::channel();
    store.change_bindings(
        changes,
        Box::new(move |outcome| tell.send(outcome).expect("the test listens")),
    )?;
    told.await.expect("the outcome is told")
}

async fn bindings(store: &Store) -> Vec<Binding> {
    let mut all = Vec::new();
    store
        .load_bindings(|binding| all.push(binding))
        .await
        .expect("bindings are read");
    all
}

async fn with_endpoints(store: &Store, count: i64) {
    let (one, domain) = account(1);
    store
        .insert_account(one, domain)
        .await
        .expect("the account is new");
    for id in 1..=count {
        store
            .insert_endpoint(endpoint(id, 1, &format!("user{id}")))
            .await
            .expect("the endpoint is new");
    }
}

#[tokio::test]
async fn a_binding_comes_back_as_it_was_put() {
    let directory = Directory::new();
    let store = directory.open().await;
    with_endpoints(&store, 1).await;
    let put = binding(1, "a");
    change(&store, vec![BindingChange::Put(put.clone())])
        .await
        .unwrap();
    assert_eq!(bindings(&store).await, [put]);
}

#[tokio::test]
async fn a_thousand_changes_at_once_are_all_told_and_all_there() {
    let directory = Directory::new();
    let store = directory.open().await;
    with_endpoints(&store, 1).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    for number in 0..1000 {
        let tell = tell.clone();
        let put = BindingChange::Put(binding(1, &format!("{number:04}")));
        store
            .change_bindings(
                vec![put],
                Box::new(move |outcome| tell.send(outcome).unwrap()),
            )
            .unwrap();
    }
    for _ in 0..1000 {
        told.recv().await.unwrap().unwrap();
    }
    assert_eq!(bindings(&store).await.len(), 1000);
}

#[tokio::test]
async fn changes_of_one_batch_have_the_effect_of_their_order() {
    let store = in_memory().await;
    with_endpoints(&store, 2).await;
    let delete = |key: &str| BindingChange::Delete {
        endpoint: 1,
        key: key.into(),
    };
    let put = |key: &str, cseq| {
        BindingChange::Put(Binding {
            cseq,
            ..binding(1, key)
        })
    };
    change(&store, vec![put("old", 1), put("stays", 1)])
        .await
        .unwrap();
    let changes = vec![
        put("a", 1),
        put("a", 2),
        delete("old"),
        put("b", 1),
        delete("b"),
        delete("c"),
        put("c", 3),
    ];
    change(&store, changes).await.unwrap();
    let kept = |all: Vec<Binding>| {
        let mut kept: Vec<_> = all
            .into_iter()
            .map(|binding| (binding.key, binding.cseq))
            .collect();
        kept.sort();
        kept
    };
    assert_eq!(
        kept(bindings(&store).await),
        [("a".into(), 2), ("c".into(), 3), ("stays".into(), 1)]
    );
    change(
        &store,
        vec![
            put("d", 1),
            BindingChange::DeleteAll { endpoint: 1 },
            put("e", 5),
        ],
    )
    .await
    .unwrap();
    assert_eq!(kept(bindings(&store).await), [("e".into(), 5)]);
}

#[tokio::test]
async fn a_refused_job_does_not_undo_its_neighbours() {
    let store = in_memory().await;
    with_endpoints(&store, 1).await;
    let jobs = (2..102).map(|id| {
        let store = store.clone();
        // Every other one has a name that is taken.
        let user = if id % 2 == 0 {
            "user1".to_owned()
        } else {
            format!("user{id}")
        };
        async move { store.insert_endpoint(endpoint(id, 1, &user)).await }
    });
    let outcomes = futures_util::future::join_all(jobs).await;
    for (id, outcome) in (2..102).zip(outcomes) {
        match outcome {
            Ok(()) => assert_eq!(id % 2, 1),
            Err(Error::Taken { columns }) => assert_eq!(
                (id % 2, columns.as_str()),
                (0, "endpoint.domain, endpoint.user")
            ),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(
        store
            .count_endpoints(&store::EndpointFilter {
                account: 1,
                ..Default::default()
            })
            .await
            .unwrap(),
        51
    );
}

#[tokio::test]
async fn closing_writes_what_waits_and_refuses_what_comes_later() {
    let directory = Directory::new();
    let store = directory.open().await;
    with_endpoints(&store, 1).await;
    for number in 0..300 {
        let put = BindingChange::Put(binding(1, &format!("{number:04}")));
        store
            .change_bindings(vec![put], Box::new(|outcome| outcome.unwrap()))
            .unwrap();
    }
    store.close().await;
    let late = store.change_bindings(
        vec![BindingChange::Put(binding(1, "late"))],
        Box::new(|_| ()),
    );
    assert!(matches!(late, Err(Error::Closed)));
    assert!(matches!(store.delete_endpoint(1).await, Err(Error::Closed)));
    assert_eq!(bindings(&directory.open().await).await.len(), 300);
}

#[tokio::test]
async fn lapsed_bindings_are_swept() {
    let store = in_memory().await;
    let lapsed = Binding {
        expires_at: at(10),
        ..binding(1, "a")
    };
    change(
        &store,
        vec![
            BindingChange::Put(lapsed),
            BindingChange::Put(binding(1, "b")),
        ],
    )
    .await
    .unwrap();
    let mut gone = Vec::new();
    let swept = store.bindings().sweep(at(10), |endpoint, packed| {
        gone.push((endpoint, packed.view().key.to_owned()))
    });
    assert_eq!((swept, gone), (1, vec![(1, "a".to_owned())]));
    assert_eq!(store.count_bindings().await.unwrap(), 1);
}

#[tokio::test]
async fn another_key_is_refused_at_once() {
    let directory = Directory::new();
    let store = directory.open().await;
    store.close().await;
    let other = SealKey::new(&[8; 32]).unwrap();
    assert!(matches!(
        directory.open_with(other).await,
        Err(Error::WrongKey)
    ));
    assert!(directory.open_with(key()).await.is_ok());
}

#[tokio::test]
async fn no_secret_is_in_the_files_in_clear() {
    let directory = Directory::new();
    let store = directory.open().await;
    with_endpoints(&store, 3).await;
    let mut changed = endpoint(1, 1, "user1");
    changed.password = store::Secret::new("CLEAR-new-password");
    assert!(store.update_endpoint(changed).await.unwrap());
    for name in ["offhook.db", "offhook.db-wal"] {
        let bytes = std::fs::read(directory.path().join(name)).unwrap();
        assert!(!bytes.windows(5).any(|window| window == b"CLEAR"), "{name}");
    }
    let read = store.endpoint(1).await.unwrap().unwrap();
    assert_eq!(read.password.expose(), "CLEAR-new-password");
    let found = store
        .account_by_bandwidth_token("t-CLEAR-1")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.bandwidth_secret.expose(), "CLEAR-secret-1");
    assert!(
        store
            .account_by_bandwidth_token("t-CLEAR-2")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn the_key_file_is_made_once_and_only_for_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new();
    let path = directory.path().join("keys").join("seal.key");
    let first = SealKey::from_file_or_create(&path).unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let second = SealKey::from_file_or_create(&path).unwrap();
    assert_eq!(first.derive("test"), second.derive("test"));
    assert_eq!(
        std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
        1
    );
    std::fs::write(&path, "nonsense").unwrap();
    assert!(matches!(
        SealKey::from_file_or_create(&path),
        Err(Error::Key { .. })
    ));
}

#[tokio::test]
async fn the_log_begins_anew_while_much_is_written() {
    let directory = Directory::new();
    let store = directory.open().await;
    const VALUE: usize = 1 << 20;
    const VALUES: usize = 100;
    let value = "x".repeat(VALUE);
    for number in 0..VALUES {
        store
            .set_meta("much", &format!("{number}{value}"))
            .await
            .unwrap();
        // The log is moved by the clock, twice a second.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = directory.path().join("offhook.db-wal");
    let length = std::fs::metadata(&log).unwrap().len();
    assert!(
        length < (VALUE * VALUES) as u64,
        "the log has {length} octets"
    );
    assert!(
        store
            .meta("much")
            .await
            .unwrap()
            .unwrap()
            .starts_with("99x")
    );
    store.close().await;
}
