//! Alerting rules and dashboard during a release that is rolled back.

use std::{collections::BTreeSet, time::Duration};

use e2e::{Cluster, http, repository, until};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

struct Prometheus(String);

impl Prometheus {
    fn get(&self, path: &str) -> Value {
        let answer = http::get(&format!("{}{path}", self.0)).expect("Prometheus answers");
        serde_json::from_str(&answer.body).expect("Prometheus answers in JSON")
    }

    /// Returns the series of a query, or its error.
    fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={encoded}"));
        let series = answer["data"]["result"].as_array().cloned();
        series.ok_or_else(|| format!("{query}: {}", answer["error"]))
    }
}

/// Returns title and query of every dashboard panel, with the variables replaced.
fn panels() -> Vec<(String, String)> {
    let path = repository().join("manifests/monitoring/dashboard.json");
    let text = std::fs::read_to_string(path).expect("the dashboard is committed");
    let dashboard: Value = serde_json::from_str(&text).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let queries = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().expect("a title");
        let targets = panel["targets"].as_array().expect("targets");
        targets.iter().map(move |target| {
            let query = target["expr"].as_str().expect("a query");
            let query = query
                .replace("$__rate_interval", "5m")
                .replace("$namespace", "default")
                .replace("$target", "simple-app");
            assert!(!query.contains('$'), "{title}: unknown variable in {query}");
            (title.to_owned(), query)
        })
    });
    queries.collect()
}

#[test]
fn a_rollback_fires_an_alert_and_every_dashboard_panel_has_data() {
    let cluster = Cluster::up();
    let prometheus = Prometheus(cluster.field("prometheus").trim_end_matches('/').to_owned());
    let rules = until(SOON, "the committed rules to be evaluated", || {
        let answer = prometheus.get("/api/v1/rules");
        let groups = answer["data"]["groups"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let rules: Vec<Value> = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
            .collect();
        let evaluated = rules.iter().all(|rule| rule["health"] == "ok");
        if rules.is_empty() || !evaluated {
            return Err(answer.to_string());
        }
        Ok(rules)
    });
    let names: BTreeSet<&str> = rules
        .iter()
        .filter_map(|rule| rule["name"].as_str())
        .collect();
    let expected = [
        "CanaryControllerDown",
        "CanaryControllerWithoutLeader",
        "CanaryFailed",
        "CanaryMetricsMissing",
        "CanaryStuck",
    ];
    assert!(names.iter().eq(expected.iter()), "{names:?}");
    assert!(
        firing(&prometheus).is_empty(),
        "no alert before the release"
    );

    let output = cluster.run(&["release", "1.0.2-slow"]);
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    until(SOON, "the alert to fire", || {
        let firing = firing(&prometheus);
        if firing.contains("CanaryFailed default/simple-app") {
            Ok(())
        } else {
            Err(format!("{firing:?}"))
        }
    });
    for (title, query) in panels() {
        until(SOON, &format!("data of panel {title}"), || {
            let series = prometheus.query(&query)?;
            let has_value = |one: &Value| one["value"][1] != "NaN";
            if series.iter().any(has_value) {
                Ok(())
            } else {
                Err(format!("{query} returns {series:?}"))
            }
        });
    }
    // One replica is the leader, the other is on standby.
    let leaders = prometheus.query("canary_controller_leader");
    let mut leaders: Vec<String> = leaders
        .expect("a query")
        .iter()
        .map(|one| one["value"][1].to_string())
        .collect();
    leaders.sort();
    assert_eq!(leaders, [r#""0""#, r#""1""#]);

    let output = cluster.run(&["release", "1.0.1"]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    until(SOON, "the alert to be resolved", || {
        let firing = firing(&prometheus);
        if firing.is_empty() {
            Ok(())
        } else {
            Err(format!("{firing:?}"))
        }
    });
}

/// Returns the firing alerts as `NAME NAMESPACE/CANARY`.
fn firing(prometheus: &Prometheus) -> BTreeSet<String> {
    let answer = prometheus.get("/api/v1/alerts");
    let alerts = answer["data"]["alerts"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
    firing
        .map(|alert| {
            let label = |name: &str| {
                alert["labels"][name]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            format!(
                "{} {}/{}",
                label("alertname"),
                label("namespace"),
                label("name")
            )
        })
        .collect()
}
