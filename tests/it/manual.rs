//! The pages of the manual, as they are packed.

use mariadb_backup::plugin::command_line;

use crate::loopback_api::plugin;

/// What the plugin prints.
#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let shown = plugin(arguments, "");
    let printed = shown.strip_prefix("exit 0\n--- stdout\n").and_then(|text| text.strip_suffix("--- stderr\n"));
    printed.unwrap_or_else(|| panic!("{shown}")).to_owned()
}

#[test]
fn every_command_has_a_page_with_every_flag() {
    let mut root = command_line();
    root.build();
    let pages = printed(&["manual"]);
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = command.get_display_name().unwrap();
        assert!(pages.lines().any(|page| page == name), "{name}");
        let page = printed(&["manual", name]);
        for heading in ["NAME", "SYNOPSIS", "OPTIONS", "\"EXIT STATUS\""] {
            assert!(page.contains(&format!(".SH {heading}\n")), "{name} has no {heading}");
        }
        for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(page.contains(&format!("\\-\\-{}", flag.replace('-', "\\-"))), "{name} does not tell of --{flag}");
        }
    }
}

#[test]
fn a_page_as_it_is_read_by_man() {
    insta::assert_snapshot!(printed(&["manual", "kubectl-mariadb-backup-recover"]));
}

#[test]
fn a_page_that_is_not_there_is_answered_with_the_way_to_those_that_are() {
    insta::assert_snapshot!(plugin(&["manual", "mariadb-backup"], ""));
}
