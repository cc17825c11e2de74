//! What the README promises in tables is what the code holds.

use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::model::settings::KEYS;

use crate::loopback_api::plugin;

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

/// The rows of the table below a heading, as cells without their marks.
fn table(heading: &str) -> Vec<Vec<String>> {
    let text = readme();
    let section = text.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells =
        |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.replace('`', "").trim().to_owned()).collect();
    rows.skip(2).map(cells).collect()
}

#[test]
fn every_setting_is_documented_as_it_is() {
    let expected = KEYS.iter().map(|key| {
        let default = match key.default {
            "" => "(none)",
            image if image.ends_with(env!("CARGO_PKG_VERSION")) => "the image of this version",
            other => other,
        };
        vec![key.name.to_owned(), default.replace("{}", "<statefulset>"), key.meaning.to_owned()]
    });
    assert_eq!(table("Settings"), expected.collect::<Vec<_>>());
}

#[test]
fn every_exit_code_is_documented_as_it_is() {
    let expected = ExitCode::ALL.map(|(code, meaning)| vec![code.number().to_string(), meaning.to_owned()]);
    assert_eq!(table("Exit codes"), expected);
}

#[test]
fn every_command_is_documented_and_none_that_is_not_there() {
    let help = plugin(&["--help"], "");
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut expected: Vec<String> =
        listed.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect();
    let word = |row: &Vec<String>| row[0].split_whitespace().next().unwrap_or_default().to_owned();
    let mut documented: Vec<String> = table("Commands").iter().map(word).collect();
    expected.sort();
    documented.sort();
    assert_eq!(documented, expected);
}
