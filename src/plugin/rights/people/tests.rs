#![expect(clippy::disallowed_methods, reason = "the published Roles are files of this repository")]

use std::path::PathBuf;

use clap::CommandFactory;
use serde_json::json;

use super::*;
use crate::model::names::{APP, APP_LABEL};
use crate::plugin::cli::Cli;
use crate::render::document::{Form, document};

/// A Role as it is published.
fn published(of: &CommandRights) -> String {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": of.role(), "labels": {APP_LABEL: APP}},
        "rules": of.rules(),
    });
    format!(
        "# What a person needs for `kubectl mariadb-backup {}`, and no more:\n\
         #   kubectl apply -f {}.yaml -n NAMESPACE\n\
         #   kubectl create rolebinding NAME --role={} --user=PERSON -n NAMESPACE\n{}",
        of.command,
        of.slug(),
        of.role(),
        document(&role, Form::Yaml)
    )
}

#[test]
fn the_published_roles_are_those_of_this_table() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let (docs, made) = (root.join("docs/roles"), root.join("target/roles"));
    std::fs::create_dir_all(&made).unwrap();
    let mut expected: Vec<String> = COMMANDS.iter().map(|of| format!("{}.yaml", of.slug())).collect();
    for (of, name) in COMMANDS.iter().zip(&expected) {
        std::fs::write(made.join(name), published(of)).unwrap();
    }
    for (of, name) in COMMANDS.iter().zip(&expected) {
        let there = std::fs::read_to_string(docs.join(name)).unwrap_or_default();
        assert_eq!(there, published(of), "docs/roles/{name} is old; cp target/roles/*.yaml docs/roles/");
    }
    let there = std::fs::read_dir(&docs).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut there: Vec<String> = there.collect();
    there.sort();
    expected.sort();
    assert_eq!(there, expected);
}

/// A row of the table of permissions.
fn row(of: &CommandRights) -> String {
    let right = |rule: &Value| {
        let texts = |field: &str| {
            let texts = rule[field].as_array().unwrap().iter().map(|text| text.as_str().unwrap());
            texts.filter(|text| !text.is_empty()).collect::<Vec<_>>()
        };
        let resource = [texts("resources"), texts("apiGroups")].concat().join(".");
        format!("{} `{resource}`", texts("verbs").join(", "))
    };
    let rights: Vec<String> = of.rules().iter().map(right).collect();
    format!("| `{}` | [{2}](roles/{1}.yaml) | {3} |\n", of.command, of.slug(), of.role(), rights.join("; "))
}

#[test]
fn the_table_of_permissions_is_that_of_this_one() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let rows: String = COMMANDS.iter().map(row).collect();
    std::fs::write(root.join("target/permissions.md"), &rows).unwrap();
    let page = std::fs::read_to_string(root.join("docs/permissions.md")).unwrap();
    let table = page.split("| --- | --- | --- |\n").nth(1).unwrap().split("\n\n").next().unwrap();
    assert_eq!(format!("{table}\n"), rows, "docs/permissions.md is old; its rows are in target/permissions.md");
}

/// Commands that ask no API server for anything.
const OFFLINE: [&str; 1] = ["completion"];

#[test]
fn every_command_has_a_role() {
    let mut commands: Vec<&str> = COMMANDS.iter().map(|of| of.command).filter(|of| !of.contains(' ')).collect();
    let cli = Cli::command();
    let mut there: Vec<&str> =
        cli.get_subcommands().filter(|of| !of.is_hide_set()).map(clap::Command::get_name).collect();
    there.retain(|command| !OFFLINE.contains(command));
    commands.sort_unstable();
    there.sort_unstable();
    assert_eq!(commands, there);
}

#[test]
fn nobody_needs_to_read_secrets() {
    for of in &COMMANDS {
        assert!(!of.rules().iter().any(|rule| rule.to_string().contains("secrets")), "{}", of.command);
    }
}

#[test]
fn what_all_namespaces_take_stands_in_the_page_of_permissions() {
    let page = std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/permissions.md")).unwrap();
    for (command, resources) in EVERYWHERE {
        let word = if command == "schedule" { "schedule list" } else { command };
        let resources: Vec<String> = resources.iter().map(|resource| format!("`{resource}`")).collect();
        assert!(page.contains(&format!("| `{word}` | {} |\n", resources.join(", "))), "{command}");
    }
}
