//! The smaller kinds.

use jiff::Timestamp;
use serde_json::Value;

use super::{Printer, created, name, selector, since, text_or_none};
use crate::object;

pub(super) const PLAIN: Printer = Printer {
    columns: &["Name", "Age"],
    cells: |object, now| vec![name(object), created(object, now)],
};

pub(super) const CREATED_AT: Printer = Printer {
    columns: &["Name", "Created At"],
    cells: |object, _| {
        vec![
            name(object),
            object::text(object, "/metadata/creationTimestamp").into(),
        ]
    },
};

pub(super) const CONFIG_MAP: Printer = Printer {
    columns: &["Name", "Data", "Age"],
    cells: |object, now| {
        let count = entries(&object["data"]) + entries(&object["binaryData"]);
        vec![name(object), count.into(), created(object, now)]
    },
};

pub(super) const SECRET: Printer = Printer {
    columns: &["Name", "Type", "Data", "Age"],
    cells: |object, now| {
        vec![
            name(object),
            object::text(object, "/type").into(),
            entries(&object["data"]).into(),
            created(object, now),
        ]
    },
};

fn entries(map: &Value) -> usize {
    map.as_object().map_or(0, serde_json::Map::len)
}

pub(super) const SERVICE_ACCOUNT: Printer = Printer {
    columns: &["Name", "Secrets", "Age"],
    cells: |object, now| {
        let secrets = object["secrets"].as_array().map_or(0, Vec::len);
        vec![name(object), secrets.into(), created(object, now)]
    },
};

pub(super) const NAMESPACE: Printer = Printer {
    columns: &["Name", "Status", "Age"],
    cells: |object, now| {
        vec![
            name(object),
            object::text(object, "/status/phase").into(),
            created(object, now),
        ]
    },
};

pub(super) const NODE: Printer = Printer {
    columns: &[
        "Name",
        "Status",
        "Roles",
        "Age",
        "Version",
        "Internal-IP:1",
        "OS-Image:1",
    ],
    cells: |object, now| {
        let conditions = object["status"]["conditions"].as_array();
        let is_ready = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == "Ready")
            .map_or("Unknown", |condition| {
                if condition["status"] == "True" {
                    "Ready"
                } else {
                    "NotReady"
                }
            });
        let addresses = object["status"]["addresses"].as_array();
        let address = addresses
            .into_iter()
            .flatten()
            .find(|address| address["type"] == "InternalIP")
            .map_or("<none>", |address| object::text(address, "/address"));
        vec![
            name(object),
            is_ready.into(),
            roles(object).into(),
            created(object, now),
            object::text(object, "/status/nodeInfo/kubeletVersion").into(),
            address.into(),
            text_or_none(object, "/status/nodeInfo/osImage"),
        ]
    },
};

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object();
    let roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    if roles.is_empty() {
        "<none>".to_owned()
    } else {
        roles.join(",")
    }
}

pub(super) const EVENT: Printer = Printer {
    columns: &[
        "Last Seen",
        "Type",
        "Reason",
        "Object",
        "Subobject:1",
        "Source:1",
        "Message",
        "First Seen:1",
        "Count:1",
        "Name:1",
    ],
    cells: event,
};

/// Works on both views of events.
fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let first_of = |pointers: &[&str]| -> String {
        pointers
            .iter()
            .map(|pointer| object::text(event, pointer))
            .find(|text| !text.is_empty())
            .unwrap_or_default()
            .to_owned()
    };
    let first = first_of(&["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"]);
    let last = first_of(&[
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/deprecatedLastTimestamp",
        "/eventTime",
    ]);
    let about = |field: &str| {
        first_of(&[
            &format!("/involvedObject/{field}"),
            &format!("/regarding/{field}"),
        ])
    };
    let source = first_of(&[
        "/source/component",
        "/deprecatedSource/component",
        "/reportingComponent",
        "/reportingController",
    ]);
    let count = ["/series/count", "/count", "/deprecatedCount"]
        .iter()
        .find_map(|pointer| {
            event
                .pointer(pointer)
                .and_then(Value::as_i64)
                .filter(|&n| n > 0)
        })
        .unwrap_or(1);
    vec![
        since(&last, now),
        first_of(&["/type"]).into(),
        first_of(&["/reason"]).into(),
        format!("{}/{}", about("kind").to_lowercase(), about("name")).into(),
        about("fieldPath").into(),
        source.into(),
        first_of(&["/message", "/note"]).trim().into(),
        since(&first, now),
        count.into(),
        object::name(event).into(),
    ]
}

pub(super) const LEASE: Printer = Printer {
    columns: &["Name", "Holder", "Age"],
    cells: |object, now| {
        vec![
            name(object),
            object::text(object, "/spec/holderIdentity").into(),
            created(object, now),
        ]
    },
};

pub(super) const BINDING: Printer = Printer {
    columns: &[
        "Name",
        "Role",
        "Age",
        "Users:1",
        "Groups:1",
        "ServiceAccounts:1",
    ],
    cells: |object, now| {
        let role = &object["roleRef"];
        let subjects = |kind: &str| -> Value {
            let list: Vec<String> = object["subjects"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|subject| subject["kind"] == kind)
                .map(|subject| match object::text(subject, "/namespace") {
                    "" => object::text(subject, "/name").to_owned(),
                    namespace => format!("{namespace}/{}", object::text(subject, "/name")),
                })
                .collect();
            list.join(", ").into()
        };
        vec![
            name(object),
            format!(
                "{}/{}",
                object::text(role, "/kind"),
                object::text(role, "/name")
            )
            .into(),
            created(object, now),
            subjects("User"),
            subjects("Group"),
            subjects("ServiceAccount"),
        ]
    },
};

pub(super) const NETWORK_POLICY: Printer = Printer {
    columns: &["Name", "Pod-Selector", "Age"],
    cells: |object, now| {
        vec![
            name(object),
            selector(&object["spec"]["podSelector"]).into(),
            created(object, now),
        ]
    },
};
