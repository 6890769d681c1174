//! Every target over its corpus: what was found once does not come back.

use offhook_fuzz::{run, targets};

#[test]
fn every_corpus_file_passes_its_target() {
    for target in targets::ALL {
        let corpus = run::corpus(target).expect("a corpus");
        assert!(!corpus.is_empty(), "{}", target.name);
        for (name, input) in corpus {
            if let Err(error) = run::check(target, &input) {
                panic!("{}/{name}: {error}", target.name);
            }
        }
    }
}

#[test]
fn a_run_is_the_same_for_the_same_seed_and_finds_new_ways() {
    use offhook_fuzz::mutate::mutate;
    use rand_chacha::ChaCha12Rng;
    use rand_chacha::rand_core::SeedableRng;

    let make = || {
        let mut random = ChaCha12Rng::seed_from_u64(5);
        (0..100)
            .map(|_| mutate(&mut random, b"OPTIONS sip:a SIP/2.0\r\n", b"other"))
            .collect::<Vec<_>>()
    };
    assert_eq!(make(), make());
    let target = targets::ALL
        .iter()
        .find(|target| target.name == "message")
        .expect("the target");
    let start = run::corpus(target).expect("a corpus").len();
    let report = run::run(target, std::time::Duration::from_millis(500), 1).expect("nothing found");
    assert!(report.ways > start / 2, "{report:?}");
}
