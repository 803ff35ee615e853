use serde_json::{Value, json};

use super::{check, report};
use crate::schema::Schema;

/// The schema of objects whose `spec` is `spec`.
fn schema(spec: Value) -> Schema {
    let root = json!({ "type": "object", "properties": { "spec": spec } });
    Schema::compile(&root).unwrap()
}

fn found(spec: Value, new: Value, old: Option<Value>) -> Vec<String> {
    let object = |spec: Value| json!({ "metadata": { "name": "a" }, "spec": spec });
    let old = old.map(object);
    check(&schema(spec), &object(new), old.as_ref(), &[])
        .into_iter()
        .map(|cause| format!("{}: {}", cause.field, cause.message))
        .collect()
}

/// A schema of an object with one integer `x`, one text `s` and this rule.
fn ruled(rule: Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            "x": { "type": "integer" },
            "s": { "type": "string" },
            "d": { "type": "string", "format": "duration" },
            "namespace": { "type": "string" },
            "labels": { "type": "object", "additionalProperties": { "type": "string" } },
            "list": { "type": "array", "items": { "type": "string" } },
        },
        "x-kubernetes-validations": [rule],
    })
}

/// What the rule says of the value.
fn says(rule: &str, new: Value) -> Vec<String> {
    found(ruled(json!({ "rule": rule, "message": "no" })), new, None)
}

#[test]
fn rules_hold_with_the_functions_of_kubernetes() {
    let value = json!({
        "x": 3, "s": "https://a.example.com:8080/p", "d": "90s", "namespace": "n",
        "labels": { "a.b/c": "d" }, "list": ["a", "b"],
    });
    for rule in [
        "self.x == 3 && self.x < 3.5",
        "has(self.s) && !has(self.s.y) || true",
        "url(self.s).getScheme() in ['http', 'https'] && url(self.s).getPort() == '8080'",
        "isURL(self.s) && !isURL('a b')",
        "url(self.s).getHostname() == 'a.example.com' && url(self.s).getEscapedPath() == '/p'",
        "self.d > duration('1m')",
        "self.__namespace__ == 'n'",
        "self.labels.all(key, key.split('/')[0].size() < 253 && !key.contains('*'))",
        "self.list.all(a, self.list.exists_one(b, a == b))",
        "self.list.filter(a, a == 'a').size() == 1 && self.list.map(a, a + 'x') == ['ax', 'bx']",
        "self.list.isSorted() && self.list.max() == 'b' && [1, 2].sum() == 3 && self.list.indexOf('b') == 1",
        "self.s.matches(r\"\"\"^https?://\"\"\") && self.s.find('[0-9]+') == '8080'",
        "self.s.substring(0, 5) == 'https' && self.s.upperAscii().startsWith('HTTPS')",
        "self.s.replace('a', 'b') != self.s && self.list.join(',') == 'a,b'",
        "isIP('10.0.0.1') && cidr('10.0.0.0/8').containsIP('10.1.2.3') && ip('::1').family() == 6",
        "quantity('1Gi').isGreaterThan(quantity('500Mi')) && quantity('50k').asInteger() == 50000",
        "sets.contains(self.list, ['a']) && !sets.intersects(self.list, ['c'])",
        "self.?labels['a.b/c'].orValue('') == 'd'",
        "(has(self.x) ? 1 : 0) + (has(self.s) ? 1 : 0) <= 2",
        "int('5') + 1 == 6 && string(5) == '5'",
    ] {
        assert_eq!(says(rule, value.clone()), Vec::<String>::new(), "{rule}");
    }
}

#[test]
fn a_rule_that_fails_is_reported_as_upstream_does() {
    for (rule, expected) in [
        (
            json!({ "rule": "self.x < 2" }),
            r#"spec: Invalid value: "object": failed rule: self.x < 2"#,
        ),
        (
            json!({ "rule": "self.x < 2", "message": "x is large" }),
            r#"spec: Invalid value: "object": x is large"#,
        ),
        (
            json!({ "rule": "self.x < 2", "messageExpression": "'x is ' + string(self.x)" }),
            r#"spec: Invalid value: "object": x is 3"#,
        ),
        (
            json!({ "rule": "self.x < 2", "message": "no", "messageExpression": "self.s" }),
            r#"spec: Invalid value: "object": no"#,
        ),
        (
            json!({ "rule": "self.x < 2", "message": "no", "fieldPath": ".x", "reason": "FieldValueForbidden" }),
            "spec.x: Forbidden: no",
        ),
        (
            json!({ "rule": "has(self.s)", "message": "no", "fieldPath": ".s", "reason": "FieldValueRequired" }),
            "spec.s: Required value: no",
        ),
        (
            json!({ "rule": "self.s == 'a'", "message": "no" }),
            r#"spec: Invalid value: "object": no such key: s evaluating rule: no"#,
        ),
        (
            json!({ "rule": "self.x", "message": "no" }),
            r#"spec: Invalid value: "object": 'no such overload': call arguments did not match a supported operator, function or macro signature for rule: no"#,
        ),
    ] {
        assert_eq!(found(ruled(rule), json!({ "x": 3 }), None), [expected]);
    }
}

#[test]
fn rules_hold_at_every_level() {
    let positive = json!([{ "rule": "self > 0", "message": "must be positive" }]);
    let number = json!({ "type": "integer", "x-kubernetes-validations": positive });
    let spec = json!({
        "type": "object",
        "properties": {
            "list": { "type": "array", "items": number },
            "map": { "type": "object", "additionalProperties": number },
        },
    });
    assert_eq!(
        found(spec, json!({ "list": [1, 0], "map": { "a": -1 } }), None),
        [
            r#"spec.list[1]: Invalid value: "integer": must be positive"#,
            r#"spec.map[a]: Invalid value: "integer": must be positive"#,
        ]
    );
}

#[test]
fn transition_rules_compare_with_the_old_object() {
    let fixed = json!({ "rule": "self.x == oldSelf.x", "message": "is fixed" });
    let of = |x: i64| json!({ "x": x });
    let none = Vec::<String>::new();
    assert_eq!(found(ruled(fixed.clone()), of(1), None), none);
    assert_eq!(found(ruled(fixed.clone()), of(1), Some(of(1))), none);
    assert_eq!(
        found(ruled(fixed), of(2), Some(of(1))),
        [r#"spec: Invalid value: "object": is fixed"#]
    );
    let optional = json!({
        "rule": "oldSelf.hasValue() || self.x == 0", "message": "starts at 0", "optionalOldSelf": true,
    });
    assert_eq!(found(ruled(optional.clone()), of(5), Some(of(1))), none);
    assert_eq!(
        found(ruled(optional), of(5), None),
        [r#"spec: Invalid value: "object": starts at 0"#]
    );
    let spec = json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
        "items": {
            "type": "object",
            "properties": { "n": { "type": "string" }, "x": { "type": "integer" } },
            "x-kubernetes-validations": [{ "rule": "self.x >= oldSelf.x", "message": "falls" }],
        },
    });
    let old = json!([{ "n": "a", "x": 1 }, { "n": "b", "x": 5 }]);
    let new = json!([{ "n": "b", "x": 4 }, { "n": "a", "x": 2 }]);
    assert_eq!(
        found(spec, new, Some(old)),
        [r#"spec[0]: Invalid value: "object": falls"#]
    );
}

#[test]
fn an_unchanged_value_stays_accepted_when_a_rule_comes_later() {
    let rule = json!({ "rule": "self.x < 2", "message": "no" });
    let old = json!({ "x": 3 });
    assert_eq!(
        found(ruled(rule), old.clone(), Some(old)),
        Vec::<String>::new()
    );
}

#[test]
fn a_definition_is_refused_for_what_does_not_compile_and_warned_about_unknown_functions() {
    let at = |rule: Value| {
        let report = report(&ruled(rule), "schema");
        let causes = report.causes.into_iter();
        let causes = causes.map(|cause| format!("{}: {}", cause.field, cause.message));
        causes
            .chain(report.skipped)
            .collect::<Vec<String>>()
            .join(" | ")
    };
    for (rule, expected) in [
        (json!({ "rule": "self.x > 0" }), ""),
        (
            json!({ "rule": "self.x >" }),
            "schema.x-kubernetes-validations[0].rule: Invalid value: \"self.x >\": compilation failed: ERROR: <input>:1:9: Syntax error: mismatched input '<EOF>'",
        ),
        (
            json!({ "rule": "slef.x > 0" }),
            "schema.x-kubernetes-validations[0].rule: Invalid value: \"slef.x > 0\": compilation failed: undeclared reference to 'slef' (in container '')",
        ),
        (
            json!({ "rule": "!format.dns1123Label().validate(self.s).hasValue()" }),
            "schema.x-kubernetes-validations[0].rule: not evaluated by this server, which does not have format.dns1123Label, validate",
        ),
        (
            json!({ "rule": "true", "reason": "Bad", "fieldPath": ".y" }),
            "schema.x-kubernetes-validations[0].fieldPath: Invalid value: \".y\": must be a valid path | schema.x-kubernetes-validations[0].reason: Unsupported value: \"Bad\"",
        ),
        (
            json!({ "rule": "true", "optionalOldSelf": true }),
            "schema.x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
        ),
        (
            json!({ "rule": " " }),
            "schema.x-kubernetes-validations[0].rule: Required value: rule is not specified",
        ),
    ] {
        let got = at(rule);
        assert!(
            got.starts_with(expected) && (got.is_empty() == expected.is_empty()),
            "{got}"
        );
    }
    let items = json!({ "type": "array", "items": ruled(json!({ "rule": "self == oldSelf" })) });
    assert_eq!(
        report(&items, "schema").causes[0].message,
        "Invalid value: \"self == oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within schema"
    );
}

#[test]
fn evaluation_ends_at_its_budget() {
    let many: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    let costly = "self.list.all(a, self.list.all(b, self.list.all(c, a + b + c != '')))";
    let said = says(costly, json!({ "list": many }));
    assert!(said[0].contains("actual cost limit exceeded"), "{said:?}");
    let text = "a".repeat(10_000);
    let growing = format!("self.s{} == ''", ".replace('a', 'aaaaaaaaaa')".repeat(6));
    let said = says(&growing, json!({ "s": text }));
    assert!(said[0].contains("actual cost limit exceeded"), "{said:?}");
}

#[test]
fn deep_and_long_expressions_do_no_harm() {
    for rule in [
        format!("{}true{}", "(".repeat(5000), ")".repeat(5000)),
        format!("{}true{}", "!(".repeat(5000), ")".repeat(5000)),
        format!("1{} > 0", "+1".repeat(5000)),
        format!("'{}' != ''", "a".repeat(20_000)),
        format!("self{} > 0", ".x".repeat(5000)),
        "\u{0}'\\".to_owned(),
    ] {
        let report = report(&ruled(json!({ "rule": rule })), "schema");
        assert_eq!(report.causes.len(), 1, "{}", &rule[..rule.len().min(40)]);
    }
    let long = format!("0{} > 0", "+1".repeat(400));
    assert_eq!(says(&long, json!({})), Vec::<String>::new());
}
