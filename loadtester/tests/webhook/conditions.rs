//! Load tests that break their conditions.

use super::*;

#[test]
fn a_load_test_that_breaks_its_conditions_fails_the_next_webhook_of_the_same_revision() {
    let healthy = Arc::new(AtomicBool::new(false));
    let target = {
        let healthy = Arc::clone(&healthy);
        Server::start(move |_| {
            if healthy.load(Ordering::SeqCst) {
                ok("")
            } else {
                response("500 Oops", "", "")
            }
        })
    };
    let server = LoadTester::start(&[], &[]);
    let mut hook = webhook(&format!("hey -n 50 -c 2 {}", target.url()));
    hook["metadata"]["failOn"] = "errors<1%".into();
    let ended = |count: usize| {
        wait_until("the run has ended", || {
            server.tasks().len() >= count && server.running() == 0
        });
    };

    assert_eq!(server.post("/", &hook).0, 202);
    ended(1);
    let (status, sentence) = server.post("/", &hook);
    assert_eq!(
        (status, sentence.as_str()),
        (500, "errors<1% does not hold: 100.00% failed")
    );
    ended(2);
    // A new revision is not judged by the old one.
    hook["checksum"] = "b2".into();
    assert_eq!(server.post("/", &hook).0, 202);
    ended(3);
    healthy.store(true, Ordering::SeqCst);
    assert_eq!(server.post("/", &hook).0, 500);
    ended(4);
    assert_eq!(server.post("/", &hook).0, 202);
}

#[test]
fn a_running_load_test_is_judged() {
    let target = Server::start(|_| response("503 Busy", "", ""));
    let server = LoadTester::start(&[], &[]);
    let mut hook = webhook(&format!("hey -z 2m -q 500 -c 2 {}", target.url()));
    // The conditions of this webhook count, not those of the webhook that started the load test.
    assert_eq!(server.post("/", &hook).0, 202);
    hook["metadata"]["failOn"] = "errors<1%".into();
    wait_until("the running load test breaks its condition", || {
        server.post("/", &hook).0 == 500
    });
    assert_eq!(server.running(), 1);
}

#[test]
fn a_new_revision_is_judged_by_its_own_load_test() {
    let target = Server::start(|_| response("503 Busy", "", ""));
    let server = LoadTester::start(&["--max-tasks", "1", "--max-rate", "1000"], &[]);
    let mut hook = webhook(&format!("hey -z 2m -q 500 -c 2 {}", target.url()));
    hook["metadata"]["failOn"] = "errors<1%".into();
    assert_eq!(server.post("/", &hook).0, 202);
    wait_until("the old revision fails", || {
        server.post("/", &hook).0 == 500
    });
    hook["checksum"] = "b2".into();
    assert_eq!(server.post("/", &hook), (202, String::new()));
    wait_until("the old load test is cancelled", || server.running() == 1);
    let tasks = server.tasks();
    let states: Vec<_> = tasks
        .iter()
        .map(|task| (&task["id"], &task["state"]))
        .collect();
    assert_eq!(
        states,
        [
            (&json!(2), &json!("running")),
            (&json!(1), &json!("cancelled"))
        ]
    );
    wait_until("the new revision fails by itself", || {
        server.post("/", &hook).0 == 500
    });
    assert_eq!(server.tasks().len(), 2, "its load test continues");

    // Calls with curl have no checksum.
    hook["checksum"] = "".into();
    hook["name"] = "by-hand".into();
    assert_eq!(call(server.address, "DELETE", "/tasks/2", "", "").0, 202);
    wait_until("there is room", || server.running() == 0);
    assert_eq!(server.post("/", &hook).0, 202);
    wait_until("the load test by hand fails", || {
        server.post("/", &hook).0 == 500
    });
    assert_eq!(server.tasks().len(), 3, "there is one load test by hand");
}

#[test]
fn the_report_of_a_running_load_test_has_the_conditions_that_it_already_breaks() {
    let target = Server::start(|_| response("503 Busy", "", ""));
    let server = LoadTester::start(&[], &[]);
    let mut hook = webhook(&format!("hey -z 2m -q 500 -c 2 {}", target.url()));
    hook["metadata"]["failOn"] = "rate>100000,errors<1%,requests>100000".into();
    assert_eq!(server.post("/", &hook).0, 202);
    let shown = || server.tasks()[0]["report"]["failed_conditions"].clone();
    wait_until("a condition fails", || {
        shown().as_array().is_some_and(|failed| !failed.is_empty())
    });
    assert_eq!(shown(), json!(["errors<1% does not hold: 100.00% failed"]));
}
