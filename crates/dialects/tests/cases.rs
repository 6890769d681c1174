//! The contract's request and response cases, driven through the router in process. Every operation must have a case.

mod world;

use std::fs;
use std::path::Path;

use axum::http::Method;
use world::{Face, World};

#[tokio::test]
async fn plivo_answers_as_its_contract_says() {
    let asked = run(Face::Plivo, "plivo", |text| text).await;
    complete(&asked, dialects::plivo::routes());
}

#[tokio::test]
async fn vobiz_answers_as_its_contract_says_under_both_spellings() {
    let mut asked = run(Face::Vobiz, "vobiz", |text| text).await;
    asked.extend(
        run(Face::Vobiz, "vobiz", |text| {
            text.replace("\"/api/v1/Account", "\"/api/v1/account")
        })
        .await,
    );
    complete(&asked, dialects::vobiz::routes());
}

#[tokio::test]
async fn bandwidth_answers_as_its_contract_says() {
    let asked = run(Face::Bandwidth, "bandwidth", |text| text).await;
    complete(&asked, dialects::bandwidth::routes());
}

/// Runs each file of a folder in a world of its own.
async fn run(face: Face, folder: &str, spell: impl Fn(String) -> String) -> Vec<(Method, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut asked = Vec::new();
    for file in files {
        let name = format!(
            "{}/{}",
            folder.file_name().unwrap().display(),
            file.file_name().unwrap().display()
        );
        let text = spell(fs::read_to_string(&file).unwrap());
        asked.extend(World::new().await.run(face, &name, &text).await);
    }
    asked
}

fn complete(asked: &[(Method, String)], routes: Vec<dialects::Route>) {
    let missing: Vec<String> = routes
        .iter()
        .filter(|route| {
            !asked
                .iter()
                .any(|(method, path)| *method == route.method && fits(&route.path, path))
        })
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert!(
        missing.is_empty(),
        "operations without a case: {missing:#?}"
    );
}

fn fits(pattern: &str, path: &str) -> bool {
    let segments = |path: &str| -> Vec<String> {
        path.split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (pattern, path) = (segments(pattern), segments(path));
    pattern.len() == path.len()
        && pattern
            .iter()
            .zip(&path)
            .all(|(wanted, part)| wanted.starts_with('{') || wanted == part)
}
