//! Documents for other programs, held against the schemas that describe them in `docs/schema`.
//!
//! Every document that the real binary prints in any test passes through [`check`]. The published
//! schemas allow members that are added later; here, one that is not described is refused.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

/// The schema of each kind of document.
const KINDS: [(&str, &str); 7] = [
    ("BackupList", "backup-list"),
    ("BackupDescription", "backup-description"),
    ("ClusterStatus", "cluster-status"),
    ("ClusterStatusList", "cluster-status-list"),
    ("ScheduleList", "schedule-list"),
    ("Versions", "versions"),
    ("RunOutcome", "run-outcome"),
];

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema"))
}

fn schema(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder().join(format!("{name}.json"))).unwrap()).unwrap()
}

/// The same schema, which refuses what it does not describe.
fn strict(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(members) => {
            for value in members.values_mut() {
                *value = strict(value.take());
            }
            if members.contains_key("properties") && !members.contains_key("additionalProperties") {
                members.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = strict(item.take())),
        _ => {}
    }
    schema
}

fn flaws(document: &Value, name: &str) -> Vec<String> {
    let validator = jsonschema::validator_for(&strict(schema(name))).unwrap();
    validator.iter_errors(document).map(|flaw| format!("{}: {flaw}", flaw.instance_path())).collect()
}

/// Holds what was printed against its schema, when it is a document of ours.
pub(crate) fn check(printed: &str) {
    let hold = |document: &Value, name: &str| {
        let flaws = flaws(document, name);
        assert!(flaws.is_empty(), "docs/schema/{name}.json does not describe\n{printed}\n{}", flaws.join("\n"));
    };
    let whole = serde_json::from_str::<Value>(printed).map(|document| vec![document]);
    let each = || printed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for document in whole.unwrap_or_else(|_| each()) {
        if document.get("seq").is_some() {
            hold(&document, "event");
        } else if let Some((_, name)) = KINDS.iter().find(|(kind, _)| document["kind"] == *kind) {
            hold(&document, name);
        }
        if let Some(plan) = document.pointer("/done/preview") {
            hold(plan, "restore-plan");
        }
    }
}

#[test]
fn every_schema_is_one_and_is_listed_with_the_others() {
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.filter_map(|file| file.strip_suffix(".json").map(str::to_owned)).collect();
    names.sort();
    for name in &names {
        assert!(jsonschema::meta::is_valid(&schema(name)), "{name}");
        assert!(readme.contains(&format!("| [{name}.json]({name}.json) |")), "{name} is not in the README");
        assert_eq!(schema(name)["$id"], format!("urn:mariadb-backup.io:v1:{name}"));
    }
    let mut expected: Vec<&str> = KINDS.iter().map(|(_, name)| *name).chain(["event", "restore-plan"]).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn a_member_that_is_not_described_is_found() {
    let list = json!({"apiVersion": "mariadb-backup.io/v1", "kind": "BackupList", "items": [], "colour": "red"});
    assert_eq!(flaws(&list, "backup-list").len(), 1);
    let published = jsonschema::validator_for(&schema("backup-list")).unwrap();
    assert!(published.is_valid(&list));
}
