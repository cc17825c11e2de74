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
