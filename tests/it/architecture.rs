//! The arrows of `src/lib.rs`, and that no test file is forgotten.

use std::fs;
use std::path::{Path, PathBuf};

/// For each layer, the layers it may name.
const ARROWS: [(&str, &[&str]); 21] = [
    ("exit_code", &[]),
    ("model", &["exit_code"]),
    ("ports", &["model", "exit_code"]),
    ("obligations", &["patience", "ports", "model", "exit_code"]),
    ("stores", &["ports", "model"]),
    ("proof", &["stores", "model", "exit_code"]),
    ("patience", &["ports"]),
    ("catalogue", &["patience", "ports", "model"]),
    ("errand", &["ports", "model", "exit_code"]),
    ("monitor", &["ports", "model", "exit_code"]),
    (
        "backup",
        &["obligations", "stores", "catalogue", "errand", "verify", "keep", "inventory", "ports", "model", "exit_code"],
    ),
    ("verify", &["stores", "catalogue", "errand", "ports", "model", "exit_code"]),
    ("drill", &["stores", "proof", "catalogue", "errand", "ports", "model", "exit_code"]),
    ("restore", &["stores", "proof", "catalogue", "errand", "patience", "ports", "model", "exit_code"]),
    ("keep", &["stores", "catalogue", "errand", "ports", "model", "exit_code"]),
    ("inventory", &["stores", "catalogue", "errand", "ports", "model", "exit_code"]),
    ("work", &["ports", "model", "exit_code"]),
    ("adapters", &["ports", "model", "exit_code"]),
    ("render", &["model", "exit_code"]),
    ("plugin", &["render", "adapters", "ports", "model", "exit_code"]),
    (
        "agent",
        &[
            "stores",
            "catalogue",
            "backup",
            "verify",
            "keep",
            "inventory",
            "drill",
            "restore",
            "work",
            "obligations",
            "monitor",
            "adapters",
            "ports",
            "model",
            "exit_code",
        ],
    ),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Names every layer a source file reaches for with `crate::`.
fn layers_named(text: &str) -> Vec<String> {
    let word = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1)).map(word).collect()
}

#[test]
fn every_arrow_points_to_the_model() {
    let source = root().join("src");
    let mut wrong = Vec::new();
    for path in sources(&source) {
        let relative = path.strip_prefix(&source).unwrap();
        let layer =
            relative.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if layer == "lib" || layer == "bin" {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == layer) else {
            wrong.push(format!("{}: layer {layer} is not in the table", relative.display()));
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        for named in layers_named(&text).iter().filter(|named| **named != layer && !allowed.contains(&named.as_str())) {
            wrong.push(format!("{}: {layer} must not name {named}", relative.display()));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// Outside libraries and the folder that alone may name them.
const OUTSIDE: [(&str, &[&str]); 16] = [
    ("kube::", &["adapters/kubernetes", "plugin", "agent/conduct.rs"]),
    ("k8s_openapi::", &["adapters/kubernetes", "plugin"]),
    ("mysql_async::", &["adapters/mysql"]),
    ("aws_sdk_s3::", &["adapters/store_s3"]),
    ("aws_config::", &["adapters/store_s3"]),
    ("aws_credential_types::", &["adapters/store_s3"]),
    ("http_body::", &["adapters/store_s3"]),
    ("aws_smithy_", &["adapters/store_s3"]),
    ("clap::", &["plugin", "agent/cli.rs", "bin"]),
    ("jsonpath_rust::", &["render/path.rs"]),
    ("tar::", &["adapters/archive.rs"]),
    ("flate2::", &["adapters/archive.rs", "work/gzip.rs"]),
    ("aws_lc_rs::", &["work/openssl.rs", "bin"]),
    ("std::process::Command", &["adapters"]),
    ("tokio::process", &["adapters"]),
    ("std::env", &["bin"]),
];

#[test]
fn every_outside_library_stays_in_its_layer() {
    let source = root().join("src");
    let mut wrong = Vec::new();
    for path in sources(&source) {
        let relative = path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        for (library, homes) in OUTSIDE {
            let used = text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(library));
            if used && !homes.iter().any(|home| relative.starts_with(home)) {
                wrong.push(format!("{relative} names {library}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_test_file_is_declared() {
    for binary in ["it", "e2e"] {
        let folder = root().join("tests").join(binary);
        if !folder.exists() {
            continue;
        }
        let main = fs::read_to_string(folder.join("main.rs")).unwrap();
        for path in sources(&folder) {
            let name = path.file_stem().unwrap().to_str().unwrap();
            let top_level = path.parent() == Some(folder.as_path());
            assert!(
                !top_level || name == "main" || main.contains(&format!("mod {name};")),
                "{} is declared by no mod and never compiled",
                path.display()
            );
        }
    }
}

#[test]
fn no_source_file_is_longer_than_one_thought() {
    for path in sources(&root().join("src")) {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        assert!(lines <= 500, "{} has {lines} lines without its tests", path.display());
    }
}

#[test]
fn every_name_in_the_core_of_ring_3_is_that_of_a_test() {
    let folder = root().join("tests/e2e");
    for line in fs::read_to_string(folder.join("core.txt")).unwrap().lines() {
        let (file, test) = line.split_once("::").unwrap();
        let source = fs::read_to_string(folder.join(format!("{file}.rs"))).unwrap();
        assert!(source.contains(&format!("#[test]\nfn {test}()")), "{line} is no test");
    }
}
