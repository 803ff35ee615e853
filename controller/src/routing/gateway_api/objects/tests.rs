use super::*;

const START: Weights = Weights {
    primary: 100,
    canary: 0,
};

fn with_wanted<R>(spec: &Value, f: impl FnOnce(Wanted) -> R) -> R {
    let spec: ServiceSpec = serde_json::from_value(spec.clone()).unwrap();
    let owner = json!({ "uid": "u1", "kind": "Canary", "name": "app" });
    f(Wanted {
        service_name: "app",
        namespace: "ns",
        spec: &spec,
        rule: Rule::of(&spec).unwrap(),
        owner: &owner,
    })
}

fn plain() -> Value {
    json!({ "port": 80, "gatewayRefs": [{ "name": "public", "namespace": "istio-system" }] })
}

fn rich() -> Value {
    json!({
        "port": 80, "hosts": ["shop.example.com"],
        "gatewayRefs": [
            { "name": "public", "namespace": "istio-system", "sectionName": "http" },
            { "group": "", "kind": "Service", "name": "app", "port": 80 } ],
        "timeout": "5s", "backendTimeout": "2s",
        "match": [
            { "name": "shop", "uri": { "prefix": "/shop" }, "method": { "exact": "GET" },
              "headers": { "x-b": { "regex": "b.*" }, "x-a": { "exact": "a" } },
              "queryParams": { "q": { "exact": "1" } } },
            { "uri": { "exact": "/e", "regex": "/r.*" } },
            { "headers": { "x-c": { "exact": "c" } } } ],
        "rewrite": { "uri": "/v1", "authority": "in.example.com", "type": "ReplacePrefixMatch" },
        "headers": {
            "request": { "add": { "x-some": "value" }, "set": { "z": "1", "a": "2" } },
            "response": { "remove": ["server"] } },
        "mirror": [{ "backendRef": { "name": "shadow", "port": 80 } }],
        "corsPolicy": { "allowOrigins": [{ "exact": "https://example.com" }], "allowMethods": ["GET"], "maxAge": "1m" },
        "apex": { "labels": { "l": "1" }, "annotations": { "a": "1" } } })
}

#[test]
fn the_route_of_a_plain_canary() {
    let route = with_wanted(&plain(), |w| w.http_route(None, START));
    insta::assert_yaml_snapshot!(route);
}

#[test]
fn the_route_of_a_rich_canary() {
    let route = with_wanted(&rich(), |w| w.http_route(None, Weights::canary(30)));
    insta::assert_yaml_snapshot!(route);
    assert_eq!(weights("app", &route), Some(Weights::canary(30)));
}

#[test]
fn a_rewrite_replaces_the_full_path_by_default() {
    let mut spec = plain();
    spec["rewrite"] = json!({ "uri": "/v1" });
    let route = with_wanted(&spec, |w| w.http_route(None, START));
    assert_eq!(
        route["spec"]["rules"][0]["filters"],
        json!([{ "type": "URLRewrite",
            "urlRewrite": { "path": { "type": "ReplaceFullPath", "replaceFullPath": "/v1" } } }])
    );
}

#[test]
fn a_repair_keeps_the_weights_and_is_idempotent() {
    let weights = Weights::canary(20);
    with_wanted(&rich(), |w| {
        let route = w.http_route(None, weights);
        assert_eq!(w.http_route(Some(&route), weights), route);
        let mut drifted = route.clone();
        drifted["spec"]["rules"][0]["matches"] = json!([]);
        drifted["spec"]["parentRefs"] = json!([]);
        assert_eq!(w.http_route(Some(&drifted), weights), route);
    });
}

#[test]
fn adoption_replaces_the_rule_to_the_service_and_keeps_the_rest() {
    let existing = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": { "name": "app", "namespace": "ns", "labels": { "mine": "1" }, "resourceVersion": "7" },
        "spec": {
            "parentRefs": [{ "name": "other" }], "useDefaultGateways": "All",
            "rules": [
                { "matches": [{ "path": { "type": "Exact", "value": "/admin" } }],
                  "backendRefs": [{ "name": "admin", "port": 80 }] },
                { "name": "main", "backendRefs": [{ "name": "app", "port": 80 }] } ] } });
    let adopted = with_wanted(&plain(), |w| w.http_route(Some(&existing), START));
    insta::assert_yaml_snapshot!(adopted);
    let again = with_wanted(&plain(), |w| w.http_route(Some(&adopted), START));
    assert_eq!(again, adopted, "the original spec is saved only once");
}

#[test]
fn weights_are_read_from_the_rule_with_the_canary() {
    let of = |rules: Value| weights("app", &json!({ "spec": { "rules": rules } }));
    let to = |name: &str, weight: u64| json!({ "name": name, "port": 80, "weight": weight });
    assert_eq!(of(json!([])), None);
    assert_eq!(
        of(json!([{ "backendRefs": [to("app-primary", 100)] }])),
        None
    );
    let split = json!([
        { "backendRefs": [to("app-primary", 1)] },
        { "backendRefs": [to("app-primary", 3), to("app-canary", 1)] } ]);
    assert_eq!(of(split), Some(Weights::canary(25)));
    // The default weight is 1.
    let bare = json!([{ "backendRefs": [{ "name": "app-primary" }, { "name": "app-canary" }] }]);
    assert_eq!(of(bare), Some(Weights::canary(50)));
    let mut elsewhere = to("app-canary", 1);
    elsewhere["kind"] = json!("ServiceImport");
    assert_eq!(of(json!([{ "backendRefs": [elsewhere] }])), None);
    let mut elsewhere = to("app-canary", 1);
    elsewhere["namespace"] = json!("other");
    assert_eq!(of(json!([{ "backendRefs": [elsewhere] }])), None);
}

#[test]
fn fields_that_an_http_route_cannot_express_are_reported() {
    let cases = [
        (
            json!({ "match": [{ "uri": { "suffix": "/a" } }] }),
            "match[0].uri",
        ),
        (
            json!({ "match": [{}, { "method": { "regex": "G.*" } }] }),
            "match[1].method",
        ),
        (
            json!({ "match": [{ "headers": { "a": { "prefix": "x" } } }] }),
            "match[0].headers",
        ),
        (
            json!({ "match": [{ "sourceLabels": { "a": "b" } }] }),
            "match[0].sourceLabels",
        ),
        (
            json!({ "match": [{ "ignoreUriCase": true }] }),
            "match[0].ignoreUriCase",
        ),
        (json!({ "timeout": "1.5s" }), "timeout"),
        (json!({ "backendTimeout": "soon" }), "backendTimeout"),
        (
            json!({ "corsPolicy": { "allowOrigins": [{ "exact": "a" }, { "regex": ".*" }] } }),
            "corsPolicy.allowOrigins[1]",
        ),
        (
            json!({ "corsPolicy": { "maxAge": "x" } }),
            "corsPolicy.maxAge",
        ),
    ];
    for (wrong, field) in cases {
        let mut spec = plain();
        json_patch::merge(&mut spec, &wrong);
        let spec: ServiceSpec = serde_json::from_value(spec).unwrap();
        let problems = Rule::of(&spec).expect_err(field);
        let fields: Vec<_> = problems.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, [field]);
    }
}

fn with_status(parents: Value) -> Value {
    json!({ "metadata": { "name": "app", "namespace": "ns", "generation": 3 }, "status": { "parents": parents } })
}

fn parent(name: &str, status: &str, observed: i64) -> Value {
    json!({ "parentRef": { "name": name }, "conditions": [
        { "type": "ResolvedRefs", "status": "False" },
        { "type": "Accepted", "status": status, "observedGeneration": observed,
          "reason": "NotAllowedByListeners", "message": "hosts differ" } ] })
}

#[test]
fn a_route_is_ready_when_every_parent_has_accepted_the_current_generation() {
    let good = json!([parent("a", "True", 3), parent("b", "True", 4)]);
    assert_eq!(pending(&with_status(good)), None);
    let old = pending(&with_status(json!([
        parent("a", "True", 3),
        parent("b", "True", 2)
    ])));
    assert_eq!(
        old.unwrap(),
        "HTTPRoute app.ns parent b is not ready (status: True, observed generation: 2, current generation: 3)"
    );
    let refused = pending(&with_status(json!([parent("a", "False", 3)])));
    assert_eq!(
        refused.unwrap(),
        "HTTPRoute app.ns parent a is not ready (status: False, observed generation: 3, current generation: 3): \
         NotAllowedByListeners: hosts differ"
    );
    let silent = pending(&with_status(json!([{ "parentRef": { "name": "a" } }])));
    assert!(
        silent
            .unwrap()
            .contains("(status: Unknown, observed generation: 0")
    );
    for nobody in [json!([]), Value::Null] {
        let why = pending(&with_status(nobody)).unwrap();
        assert!(why.contains("no parent has reported a status"), "{why}");
    }
}
