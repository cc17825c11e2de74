//! What the documentation promises in tables is what the code holds, and every page is found from the README.

use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::model::metrics::FAMILIES;
use mariadb_backup::model::notice::{TOLD, Turn};
use mariadb_backup::model::settings::KEYS;

use crate::loopback_api::plugin;

fn page(name: &str) -> String {
    std::fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The rows of the README's table below a heading, as cells without their marks.
fn table(heading: &str) -> Vec<Vec<String>> {
    first_table(page("README.md").split(&format!("\n## {heading}\n")).nth(1).unwrap())
}

/// The rows of the first table in a text.
fn first_table(section: &str) -> Vec<Vec<String>> {
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
    assert_eq!(first_table(&page("docs/settings.md")), expected.collect::<Vec<_>>());
}

#[test]
fn every_exit_code_is_documented_as_it_is() {
    let expected = ExitCode::ALL.map(|(code, meaning)| vec![code.number().to_string(), meaning.to_owned()]);
    assert_eq!(table("Exit codes"), expected);
}

#[test]
fn every_role_is_documented_with_its_command() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/roles")).unwrap();
    let row = |file: std::io::Result<std::fs::DirEntry>| {
        let file = file.unwrap().file_name().into_string().unwrap();
        let role = file.trim_end_matches(".yaml").to_owned();
        let command = if role == "list-live" { "list --live" } else { &role };
        vec![command.to_owned(), format!("[mariadb-backup-{role}](docs/roles/{file})")]
    };
    let mut expected: Vec<_> = folder.map(row).collect();
    let mut documented = table("Permissions");
    expected.sort();
    documented.sort();
    assert_eq!(documented, expected);
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

#[test]
fn every_figure_and_every_event_is_documented_as_it_is() {
    let page = page("docs/monitoring.md");
    let figures = first_table(page.split("\n## Figures\n").nth(1).unwrap());
    let figures: Vec<_> = figures.iter().map(|row| (row[0].as_str(), row.last().unwrap().as_str())).collect();
    assert_eq!(figures, FAMILIES.map(|family| (family.name, family.help)));
    let turns = first_table(page.split("\n## Events\n").nth(1).unwrap());
    let turns: Vec<_> = turns.iter().map(|row| (row[0].as_str(), row[2].as_str())).collect();
    assert_eq!(turns, Turn::ALL.map(|(_, word, meaning)| (word, meaning)));
    let nouns: Vec<String> = TOLD.iter().map(|(_, noun)| format!("`{noun}`")).collect();
    assert!(page.replace('\n', " ").contains(&nouns.join(", ")), "the nouns are {}", nouns.join(", "));
    let named =
        page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("mariadb_backup_"));
    for name in named {
        assert!(FAMILIES.iter().any(|family| family.name == name), "there is no {name}");
    }
}

#[test]
fn every_page_is_found_from_the_readme_and_every_link_leads_somewhere() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let pages: Vec<String> =
        pages.map(|path| format!("docs/{}", path.file_name().unwrap().to_str().unwrap())).collect();
    let readme = page("README.md");
    for name in &pages {
        assert!(readme.contains(&format!("]({name})")), "the README does not lead to {name}");
    }
    for name in pages.iter().map(String::as_str).chain(["README.md"]) {
        let folder = root.join(name).parent().unwrap().to_owned();
        let text = page(name);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            if link.starts_with("https://") || (path.is_empty() && !anchor.is_empty()) {
                continue;
            }
            assert!(folder.join(path).exists(), "{name} leads to {path}, which is not there");
            if !anchor.is_empty() {
                let there = std::fs::read_to_string(folder.join(path)).unwrap();
                let headings = there.lines().filter(|line| line.starts_with('#')).map(slug);
                assert!(
                    headings.into_iter().any(|heading| heading == anchor),
                    "{name} leads to {link}, which is no heading"
                );
            }
        }
    }
}

/// What a heading's anchor is called.
fn slug(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
}

#[test]
fn every_manifest_in_the_documentation_is_yaml() {
    let mut count = 0;
    for name in ["docs/monitoring.md", "docs/permissions.md", "docs/gitops.md"] {
        for block in page(name).split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let parsed = serde_saphyr::from_str::<serde_json::Value>(block);
            assert!(parsed.is_ok(), "{name}: {parsed:?} in\n{block}");
            count += 1;
        }
    }
    assert!(count > 1, "only {count} were found");
}
