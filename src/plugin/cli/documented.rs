//! Every command in the documentation is one that this command line takes.
#![expect(clippy::disallowed_methods, reason = "the documentation is files of this repository")]

use std::path::{Path, PathBuf};

use clap::Parser;

use super::Cli;

const COMMAND: &str = "kubectl mariadb-backup ";

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    [root.join("README.md"), root.join("CONTRIBUTING.md")].into_iter().chain(pages).collect()
}

/// The commands on a page: lines that a reader types, and those in the middle of a sentence.
fn commands(page: &str) -> Vec<String> {
    let (mut found, mut prose, mut in_block) = (Vec::new(), String::new(), false);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            prose.push_str(line);
            prose.push(' ');
        } else if let Some(typed) = line.strip_prefix("$ ").filter(|typed| typed.starts_with(COMMAND)) {
            let mut typed = typed.to_owned();
            while let Some(begun) = typed.strip_suffix('\\') {
                typed = format!("{} {}", begun.trim_end(), lines.next().unwrap_or_default().trim());
            }
            found.push(typed);
        }
    }
    found.extend(prose.split('`').skip(1).step_by(2).filter(|code| code.starts_with(COMMAND)).map(str::to_owned));
    found
}

/// Splits a command as a shell does, up to where another one, a file or a comment comes in.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars() {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('|' | '>' | '&' | ';', None) => break,
            ('#', None) if word.is_none() => break,
            (' ', None) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_in_the_documentation_can_be_typed() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in pages() {
        let page = std::fs::read_to_string(&path).unwrap();
        for command in commands(&page) {
            count += 1;
            // What stands for a name in large letters could not be one.
            let typed = words(&command).into_iter().skip(1).map(|word| word.replace("NAMESPACE", "namespace"));
            if let Err(error) = Cli::try_parse_from(typed) {
                wrong.push(format!("{}: {command}\n{error}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 50, "only {count} commands were found");
}

#[test]
fn commands_are_found_in_blocks_and_in_sentences_and_split_as_a_shell_does() {
    let page = "Type `kubectl mariadb-backup list\n-n db` or:\n\n```console\n$ kubectl mariadb-backup setup a \\\n    --keep 3\n\
                $ kubectl get pods\n```\n";
    assert_eq!(commands(page), ["kubectl mariadb-backup setup a --keep 3", "kubectl mariadb-backup list -n db"]);
    assert_eq!(words(r#"a "b c" --d='e "f"' "" | g > h"#), ["a", "b c", "--d=e \"f\"", ""]);
}
