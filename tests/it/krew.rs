//! The manifest and the archive for krew, by krew's own rules and some of our own.
//!
//! krew reads a manifest leniently, so a misspelt key would pass there; here it does not.
//! That kubectl finds what was installed so is shown by ring 3.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mariadb_backup::model::settings::KEYS;
use serde::Deserialize;

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Manifest {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    version: String,
    homepage: String,
    short_description: String,
    description: String,
    caveats: Option<String>,
    platforms: Vec<Platform>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Platform {
    selector: Selector,
    uri: String,
    sha256: String,
    bin: String,
    files: Option<Vec<FileRule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    from: String,
    to: String,
}

/// What krew knows of, and so what no two platforms of a manifest may share.
const PAIRS: [(&str, &str); 11] = [
    ("windows", "386"),
    ("windows", "amd64"),
    ("windows", "arm64"),
    ("linux", "386"),
    ("linux", "amd64"),
    ("linux", "arm"),
    ("linux", "arm64"),
    ("linux", "ppc64le"),
    ("darwin", "386"),
    ("darwin", "amd64"),
    ("darwin", "arm64"),
];

/// The rules a manifest breaks.
fn broken_rules(file: &str, text: &str) -> Vec<&'static str> {
    let manifest: Manifest = match serde_saphyr::from_str(text) {
        Ok(manifest) => manifest,
        Err(_) => return vec!["every key is one that krew knows"],
    };
    let Spec { version, homepage, short_description, description, caveats, platforms } = &manifest.spec;
    let name = &manifest.metadata.name;
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) && !text.is_empty();
    let number = version.strip_prefix('v').unwrap_or_default();
    let is_version = number.split('.').count() == 3 && number.split('.').all(|part| part.parse::<u64>().is_ok());
    let texts = [Some(description), caveats.as_ref()];
    let of_pair = |(os, arch): &(&str, &str)| platforms.iter().filter(|one| one.selector.matches(os, arch)).count();
    let rules = [
        ("apiVersion", manifest.api_version == "krew.googlecontainertools.github.com/v1alpha2"),
        ("kind", manifest.kind == "Plugin"),
        ("the file is called as the plugin is", file == format!("{name}.yaml")),
        ("the name is a word", is_word(name)),
        ("the version is v and three numbers", is_version),
        ("the version is that of the crate", number == VERSION),
        ("the short description is one line", !short_description.is_empty() && !short_description.contains('\n')),
        ("the short description is short", short_description.chars().count() <= 50),
        ("the short description has no stop", !short_description.ends_with('.')),
        ("the short description does not say kubectl", !short_description.to_lowercase().contains("kubectl")),
        (
            "texts fit a screen",
            texts.iter().flatten().flat_map(|text| text.lines()).all(|line| line.chars().count() <= 80),
        ),
        ("the homepage can be visited", homepage.starts_with("https://")),
        ("there is a platform", !platforms.is_empty()),
        ("no pair has two platforms", PAIRS.iter().all(|pair| of_pair(pair) <= 1)),
    ];
    let of_platforms = platforms.iter().flat_map(|platform| platform.rules(version));
    rules.into_iter().chain(of_platforms).filter(|(_, holds)| !holds).map(|(rule, _)| rule).collect()
}

impl Selector {
    fn matches(&self, os: &str, arch: &str) -> bool {
        let is = |key: &str, value: &str| self.match_labels.get(key).is_none_or(|wanted| wanted == value);
        is("os", os) && is("arch", arch)
    }
}

impl Platform {
    fn rules(&self, version: &str) -> Vec<(&'static str, bool)> {
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let is_inside = |path: &str| !path.is_empty() && !path.starts_with('/') && !path.contains("..");
        let matches = |(os, arch): &(&str, &str)| self.selector.matches(os, arch);
        let on_windows = PAIRS.iter().any(|pair| pair.0 == "windows" && matches(pair));
        let files = self.files.as_deref();
        vec![
            ("a platform is one krew knows", PAIRS.iter().any(matches)),
            (
                "platforms are told by os and arch",
                self.selector.match_labels.keys().all(|key| key == "os" || key == "arch"),
            ),
            ("the archive is fetched safely", self.uri.starts_with("https://")),
            ("the archive is of this version", self.uri.contains(&format!("_{version}_"))),
            ("the archive is one krew can open", self.uri.ends_with(".tar.gz") || has_ending(&self.uri, "zip")),
            ("the sum is a SHA-256", self.sha256.len() == 64 && self.sha256.chars().all(is_hex)),
            ("the program lies in the archive", is_inside(&self.bin)),
            ("a program for Windows is an exe", !on_windows || has_ending(&self.bin, "exe")),
            ("files are all or some", files.is_none_or(|files| !files.is_empty())),
            (
                "files are named",
                files.unwrap_or_default().iter().all(|file| is_inside(&file.from) && is_inside(&file.to)),
            ),
        ]
    }
}

fn has_ending(path: &str, ending: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == ending)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The template with everything filled in.
fn rendered() -> String {
    let template = std::fs::read_to_string(root().join("krew/mariadb-backup.yaml")).unwrap();
    let url = format!("https://downloads.example/v{VERSION}");
    let values = [("VERSION", VERSION), ("URL", &url), ("HOMEPAGE", &url), ("SHA256", &"a0".repeat(32))];
    values.iter().fold(template, |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
}

#[test]
fn the_manifest_keeps_every_rule() {
    let text = rendered();
    assert!(!text.contains("${"), "{text}");
    assert_eq!(broken_rules("mariadb-backup.yaml", &text), [""; 0]);
}

#[test]
fn a_manifest_that_breaks_a_rule_is_found() {
    let version = format!("version: v{VERSION}");
    let platform = "  - selector:\n      matchLabels:\n        os: linux\n        arch: amd64\n";
    let cases = [
        ("kind: Plugin", "kind: Plug", "kind"),
        ("v1alpha2", "v1", "apiVersion"),
        ("homepage:", "homePage:", "every key is one that krew knows"),
        ("    bin: kubectl-mariadb_backup", "", "every key is one that krew knows"),
        ("name: mariadb-backup", "name: mariadb", "the file is called as the plugin is"),
        (&version, "version: v1", "the version is v and three numbers"),
        (&version, "version: v99.0.0", "the version is that of the crate"),
        ("Galera clusters\n", "Galera clusters.\n", "the short description has no stop"),
        ("    sha256: a0", "    sha256: A0", "the sum is a SHA-256"),
        ("bin: kubectl", "bin: ../kubectl", "the program lies in the archive"),
        ("os: linux", "os: plan9", "a platform is one krew knows"),
        ("arch: amd64", "architecture: amd64", "platforms are told by os and arch"),
        ("os: linux", "os: windows", "a program for Windows is an exe"),
        ("uri: https", "uri: http", "the archive is fetched safely"),
        (".tar.gz", ".tar.xz", "the archive is one krew can open"),
        ("    bin:", "    files: []\n    bin:", "files are all or some"),
        ("    bin:", "    files: [{from: /etc, to: .}]\n    bin:", "files are named"),
    ];
    for (from, to, rule) in cases {
        let text = rendered().replace(from, to);
        assert!(broken_rules("mariadb-backup.yaml", &text).contains(&rule), "{rule}");
    }
    let text = rendered();
    let block = text.split(platform).nth(1).unwrap();
    let twice = format!("{text}{platform}{block}");
    assert_eq!(broken_rules("mariadb-backup.yaml", &twice), ["no pair has two platforms"]);
}

/// Packs a program that hands over to the plugin of this build, which is too big to be packed itself.
fn packed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    let plugin = assert_cmd::cargo::cargo_bin("kubectl-mariadb_backup");
    std::fs::write(&program, format!("#!/bin/sh\nexec '{}' \"$@\"\n", plugin.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let done = Command::new(root().join("krew/pack.sh"))
        .args([&program, folder.path()])
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    folder
}

fn archive(folder: &Path) -> PathBuf {
    folder.join(format!("kubectl-mariadb_backup_v{VERSION}_linux_amd64.tar.gz"))
}

#[test]
fn the_archive_holds_what_krew_takes_and_its_manifest_is_about_it() {
    let folder = packed();
    let manifest = std::fs::read_to_string(folder.path().join("mariadb-backup.yaml")).unwrap();
    assert_eq!(broken_rules("mariadb-backup.yaml", &manifest), [""; 0]);
    let sum = Command::new("sha256sum").arg(archive(folder.path())).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap().split(' ').next().unwrap().to_owned();
    assert!(manifest.contains(&format!("sha256: {sum}\n")), "{manifest}");
    let listed = Command::new("tar")
        .args(["--list", "--verbose", "--gzip", "--file"])
        .arg(archive(folder.path()))
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let entries: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    for entry in &entries {
        assert!(["-", "d"].contains(&&entry[0][..1]) && entry[1] == "0/0", "{entry:?}");
    }
    let has = |name: &str, mode: &str| entries.iter().any(|entry| entry[5] == name && entry[0] == mode);
    assert!(has("kubectl-mariadb_backup", "-rwxr-xr-x") && has("LICENSE", "-rw-r--r--"), "{listed}");
    assert!(has("completions/kubectl_complete-mariadb_backup", "-rwxr-xr-x"), "{listed}");
    assert!(has("man/kubectl-mariadb-backup-schedule-create.1", "-rw-r--r--"), "{listed}");
}

#[test]
fn what_is_packed_twice_has_the_same_bytes() {
    let [first, second] = [packed(), packed()];
    // Only the program differs, which names the folder of neither.
    assert!(std::fs::read(archive(first.path())).unwrap() == std::fs::read(archive(second.path())).unwrap());
}

#[test]
fn the_image_is_packed_under_the_name_that_is_asked_for_when_none_is_set() {
    let makefile = std::fs::read_to_string(root().join("krew/dist.mk")).unwrap();
    let image = KEYS.iter().find(|key| key.name == "MARIADB_BACKUP_AGENT_IMAGE").unwrap().default;
    let name = image.trim_end_matches(VERSION);
    assert!(makefile.contains(&format!("AGENT_IMAGE := {name}$(VERSION)\n")), "{name}");
}
