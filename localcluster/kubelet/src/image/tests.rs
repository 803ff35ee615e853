use std::thread;

use super::*;

fn store() -> (tempfile::TempDir, ImageStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::open(folder.path().join("images")).unwrap();
    (folder, store)
}

fn request(folder: &Path, name: &str, content: &str) -> BuildRequest {
    let source = folder.join(format!("source-{:x}", fastrand::u64(..)));
    fs::write(&source, content).unwrap();
    BuildRequest {
        name: name.into(),
        files: vec![(source, "/usr/local/bin/app".into())],
        ..BuildRequest::default()
    }
}

fn blobs(store: &ImageStore) -> usize {
    fs::read_dir(store.blobs()).unwrap().count()
}

#[test]
fn an_image_is_found_under_every_spelling_of_its_name() {
    let (folder, store) = store();
    let built = store.build(&request(folder.path(), "app:1", "x")).unwrap();
    for name in ["app:1", "library/app:1", "docker.io/library/app:1"] {
        assert_eq!(store.resolve(name).unwrap(), built);
    }
    assert_eq!(built.entrypoint, ["/usr/local/bin/app"]);
    assert_eq!(
        built.find_program("app", "/bin:/usr/local/bin").as_deref(),
        Some("/usr/local/bin/app")
    );
    assert_eq!(built.find_program("/bin/sh", "/bin"), None);
}

#[test]
fn the_error_of_a_missing_image_explains_how_to_build_it() {
    let (_folder, store) = store();
    let error = store
        .resolve("docker.io/library/app:2")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("localcluster image build -t app:2 --from"),
        "{error}"
    );
}

#[test]
fn equal_content_is_stored_once_and_has_an_equal_digest() {
    let (folder, store) = store();
    let one = store
        .build(&request(folder.path(), "app:1", "same"))
        .unwrap();
    let two = store
        .build(&request(folder.path(), "app:2", "same"))
        .unwrap();
    let other = store
        .build(&BuildRequest {
            env: [("VERSION".into(), "3".into())].into(),
            ..request(folder.path(), "app:3", "same")
        })
        .unwrap();
    assert_eq!(one.digest, two.digest);
    assert_ne!(one.digest, other.digest);
    assert_eq!(blobs(&store), 1);
}

#[test]
fn removing_an_image_keeps_blobs_that_others_use() {
    let (folder, store) = store();
    store
        .build(&request(folder.path(), "app:1", "shared"))
        .unwrap();
    store
        .build(&request(folder.path(), "app:2", "shared"))
        .unwrap();
    store
        .build(&request(folder.path(), "app:3", "own"))
        .unwrap();
    store.remove("app:3").unwrap();
    store.remove("app:1").unwrap();
    assert_eq!(blobs(&store), 1);
    let names: Vec<String> = store
        .list()
        .unwrap()
        .into_iter()
        .map(|image| image.name)
        .collect();
    assert_eq!(names, ["docker.io/library/app:2"]);
    assert!(matches!(store.remove("app:1"), Err(Error::NotFound { .. })));
}

#[test]
fn concurrent_builds_and_removals_leave_a_complete_image() {
    let (folder, store) = store();
    thread::scope(|scope| {
        for number in 0..8 {
            let (store, folder) = (&store, folder.path());
            scope.spawn(move || {
                for round in 0..5 {
                    store
                        .build(&request(
                            folder,
                            "app:1",
                            &format!("content {}", (number + round) % 3),
                        ))
                        .unwrap();
                    store
                        .build(&request(folder, &format!("other:{number}"), "gone"))
                        .unwrap();
                    store.remove(&format!("other:{number}")).unwrap();
                }
            });
        }
    });
    let image = store.resolve("app:1").unwrap();
    let root = folder.path().join("root");
    store.lay_out(&image, &root).unwrap();
    assert!(
        fs::read_to_string(root.join("usr/local/bin/app"))
            .unwrap()
            .starts_with("content ")
    );
    assert_eq!(fs::read_dir(store.tmp()).unwrap().count(), 0);
}

#[test]
fn invalid_build_requests_are_rejected() {
    let (folder, store) = store();
    let good = request(folder.path(), "app:1", "x");
    let escaping = BuildRequest {
        files: vec![(good.files[0].0.clone(), "/../../etc/x".into())],
        ..good.clone()
    };
    let relative = BuildRequest {
        files: vec![(good.files[0].0.clone(), "bin/x".into())],
        ..good.clone()
    };
    let empty = BuildRequest {
        files: vec![],
        ..good.clone()
    };
    let elsewhere = BuildRequest {
        entrypoint: vec!["/bin/sh".into()],
        ..good.clone()
    };
    for bad in [escaping, relative, empty, elsewhere] {
        assert!(
            matches!(store.build(&bad), Err(Error::InvalidBuild { .. })),
            "{bad:?}"
        );
    }
    let missing = BuildRequest {
        files: vec![("/no/such/file".into(), "/app".into())],
        ..good
    };
    assert!(
        store
            .build(&missing)
            .unwrap_err()
            .to_string()
            .contains("/no/such/file")
    );
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn the_error_of_a_damaged_manifest_names_the_file() {
    let (folder, store) = store();
    store.build(&request(folder.path(), "app:1", "x")).unwrap();
    let path = store.manifest(&"app:1".parse().unwrap());
    fs::write(&path, "{").unwrap();
    assert!(
        matches!(store.resolve("app:1"), Err(Error::Damaged { path: named, .. }) if named == path)
    );
}
