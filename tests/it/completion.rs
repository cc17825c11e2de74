//! Completion as kubectl asks for it, with the real plugin under the name kubectl calls.
//!
//! That kubectl's own script makes of it what it should is shown by ring 3.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use serde_json::json;

use crate::loopback_api::{Answer, Api, galera, kubeconfig, plugin};

/// A directory of PATH with the plugin in it, and the program beside it that kubectl asks.
struct Installed(tempfile::TempDir);

impl Installed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        symlink(assert_cmd::cargo::cargo_bin("kubectl-mariadb_backup"), folder.path().join("kubectl-mariadb_backup"))
            .unwrap();
        let installed = Self(folder);
        installed.run("kubectl-mariadb_backup", &["completion", "install"], "");
        installed
    }

    fn run(&self, program: &str, words: &[&str], kubeconfig: &str) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.0.path().display());
        let mut command = Command::new(self.0.path().join(program));
        command.args(words).env_clear().env("PATH", path).env("HOME", "/nowhere").env("KUBECONFIG", kubeconfig);
        command.output().unwrap()
    }

    /// The same where however busy this machine is must not matter.
    #[track_caller]
    fn candidates_at_leisure(&self, line: &str, kubeconfig: &str) -> String {
        self.candidates(&format!("--request-timeout 1m {line}"), kubeconfig)
    }

    /// What kubectl is told of a line whose last word is unfinished.
    #[track_caller]
    fn candidates(&self, line: &str, kubeconfig: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let output = self.run("kubectl_complete-mariadb_backup", &words, kubeconfig);
        assert_eq!(
            (output.status.code(), String::from_utf8(output.stderr).unwrap()),
            (Some(0), String::new()),
            "{line}"
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Two clusters of which one is set up and has backups, a schedule and runs.
fn api() -> Api {
    Api::start(|path| match path {
        "/apis/apps/v1/namespaces/db/statefulsets" => {
            let other =
                json!({"metadata": {"name": "redis"}, "spec": {"selector": {}, "serviceName": "s", "template": {}}});
            Answer::ok(&json!({"metadata": {}, "items": [galera("one"), galera("two"), other]}))
        }
        "/apis/apps/v1/namespaces/db/statefulsets/one" => Answer::ok(&json!({"metadata": {"name": "one"}})),
        "/api/v1/namespaces/db/configmaps" => {
            Answer::ok(&json!({"metadata": {}, "items": [{"metadata": {"name": "one-backup"}}]}))
        }
        "/api/v1/namespaces/db/configmaps/one-backup" => {
            Answer::ok(&json!({"metadata": {}, "data": {"MARIADB_BACKUP_STORE": "local"}}))
        }
        "/api/v1/namespaces/db/configmaps/one-backup-hash" => Answer::ok(&json!({"metadata": {}, "data": {
            "hash_table": r#"{"base/2000-01-01_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 5},
                "base/2000-01-03_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 5},
                "incr/2000-01-01_00-00-00/2000-01-02_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 5}}"#,
            "backups": r#"{"base/2000-01-03_00-00-00": {"damaged": "2000-01-04T00:00:00Z", "local": "damaged"}}"#}})),
        "/api/v1/namespaces" => Answer::ok(&json!({"metadata": {}, "items": [
            {"metadata": {"name": "db"}}, {"metadata": {"name": "default"}}, {"metadata": {"name": "web"}}]})),
        "/apis/batch/v1/namespaces/db/cronjobs" => Answer::ok(&json!({"metadata": {}, "items": [
            {"metadata": {"name": "nightly"}, "spec": {"schedule": "30 2 * * *", "suspend": true, "jobTemplate": {}}}]})),
        "/apis/batch/v1/namespaces/db/jobs" => Answer::ok(&json!({"metadata": {}, "items": [
            {"metadata": {"name": "mariadb-phy-backup-x", "creationTimestamp": "2000-01-01T00:00:00Z"}}]})),
        "/api/v1/namespaces/db/pods" => Answer::ok(&json!({"metadata": {}, "items": []})),
        _ => Answer::status(404, "not found"),
    })
}

#[test]
fn every_kind_of_word_is_completed_from_the_cluster() {
    let (installed, api) = (Installed::new(), api());
    let lines = [
        "list -n db ",
        "list --statefulset t -n db -",
        "-n db list --statefulset=t",
        "restore -n db ",
        "restore -n db 2000-01-02",
        "delete -n db 2000-01-01_00-00-00 ",
        "verify -n db 2000-01-01_00-00-00 2000-01-0",
        "sync -n db ",
        "drill --statefulset one -n db ",
        "list -n d",
        "list --context ",
        "list --cluster ",
        "list --user ",
        "schedule suspend -n db ",
        "create -n db --from-schedule ",
        "schedule create -n db ",
        "logs -n db ",
        "status -o ",
        "restore -n db --to ",
    ];
    let shown: Vec<String> = lines
        .iter()
        .map(|line| format!("$ {line}|\n{}", installed.candidates_at_leisure(line, api.kubeconfig())))
        .collect();
    insta::with_settings!({filters => vec![(r"\d+y(\d+d)?", "[age]"), (r"(?m)(^--.*\n)+", "[flags]\n")]}, {
        insta::assert_snapshot!(shown.join("\n"));
    });
}

#[test]
fn every_command_is_offered_and_no_hidden_one() {
    let offered = Installed::new().candidates("", "");
    let help = plugin(&["--help"], "");
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let listed: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    let offered: Vec<&str> = offered.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(offered, [&listed[..], &[":4"]].concat());
}

/// The address of a server that begins to answer whatever it is asked, and never goes on.
fn answering_half() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Whoever has left by then has not waited, which is what the test is about.
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{").ok();
            open.push(stream);
        }
    });
    address
}

#[test]
fn without_a_cluster_that_answers_there_is_nothing_and_no_noise() {
    let installed = Installed::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hung = kubeconfig(&format!("http://{}", silent.local_addr().unwrap()));
    let gone = kubeconfig("http://127.0.0.1:1");
    let broken = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(broken.path(), "{").unwrap();
    let forbidden = Api::start(|_| Answer::status(403, "forbidden"));
    let stuck = kubeconfig(&format!("http://{}", answering_half()));
    let paths = [
        hung.path(),
        stuck.path(),
        gone.path(),
        broken.path(),
        Path::new(forbidden.kubeconfig()),
        Path::new("/nowhere"),
    ];
    for path in paths {
        let path = path.to_str().unwrap();
        assert_eq!(installed.candidates("restore -n db ", path), ":36\n", "{path}");
        assert!(installed.candidates("res", path).starts_with("restore\t"), "{path}");
    }
}

#[test]
fn the_program_that_kubectl_asks_is_put_beside_the_plugin_once() {
    let installed = Installed::new();
    let again = installed.run("kubectl-mariadb_backup", &["completion", "install"], "");
    let place = installed.0.path().join("kubectl_complete-mariadb_backup");
    assert_eq!(String::from_utf8(again.stdout).unwrap(), format!("{} unchanged\n", place.display()));
    std::fs::remove_file(&place).unwrap();
    std::fs::write(&place, "somebody's own").unwrap();
    let refused = installed.run("kubectl-mariadb_backup", &["completion", "install"], "");
    let nowhere = plugin(&["completion", "install"], "");
    let refused =
        String::from_utf8(refused.stderr).unwrap().replace(installed.0.path().to_str().unwrap(), "/usr/local/bin");
    insta::assert_snapshot!(format!("{refused}\n{nowhere}"));
}

#[test]
fn the_script_beside_the_plugin_asks_it() {
    let installed = Installed::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions/kubectl_complete-mariadb_backup");
    let place = installed.0.path().join("kubectl_complete-mariadb_backup");
    std::fs::remove_file(&place).unwrap();
    std::fs::copy(script, &place).unwrap();
    assert_eq!(
        installed.candidates("vers", ""),
        "version\tShow versions of plugin, agent, Kubernetes and MariaDB\n:4\n"
    );
}

#[test]
fn the_scripts_for_shells_are_those_that_are_packed() {
    let names = [
        ("bash", "kubectl-mariadb_backup.bash"),
        ("zsh", "_kubectl-mariadb_backup"),
        ("fish", "kubectl-mariadb_backup.fish"),
        ("powershell", "kubectl-mariadb_backup.ps1"),
    ];
    for (shell, name) in names {
        let packed = std::fs::read_to_string(format!("{}/completions/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert_eq!(plugin(&["completion", shell], ""), format!("exit 0\n--- stdout\n{packed}--- stderr\n"));
    }
}

/// What a shell prints that carries out a script, with words for its arguments, and complains of nothing.
fn in_shell(installed: &Installed, shell: &[&str], script: &str, words: &[&str]) -> String {
    let path = format!("{}:/usr/bin:/bin", installed.0.path().display());
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", script]).args(words);
    command.env_clear().env("PATH", path).env("HOME", installed.0.path());
    let ran = command.output();
    let output = ran.unwrap_or_else(|error| panic!("{}: {error}; tests/prerequisites.sh installs it", shell[0]));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    String::from_utf8(output.stdout).unwrap()
}

/// What bash makes of a line, word by word as bash itself takes it apart.
fn in_bash(installed: &Installed, words: &[&str]) -> String {
    let script = "source <(kubectl-mariadb_backup completion bash)
        COMP_WORDS=(kubectl-mariadb_backup \"$@\"); COMP_CWORD=$#
        _kubectl_mariadb_backup; printf '%s\\n' \"${COMPREPLY[@]}\"";
    in_shell(installed, &["bash", "--norc"], script, &[&["bash"], words].concat())
}

#[test]
fn bash_completes_the_plugin_typed_by_its_own_name() {
    let installed = Installed::new();
    assert_eq!(in_bash(&installed, &["schedule", "re"]), "resume\n");
    assert_eq!(in_bash(&installed, &["create", "--type", "=", "in"]), "incremental\n");
    assert_eq!(in_bash(&installed, &["verify", "--store", "="]), "local\ns3\n");
    assert_eq!(in_bash(&installed, &["verify", "--store", ""]), "local\ns3\n");
}

/// What zsh is told to offer: its completion system only answers a person, so that what the script calls of it
/// prints what it is called with.
fn in_zsh(installed: &Installed, words: &[&str]) -> String {
    let script = "compdef() { print -r -- \"$2 has $1\" }
        compset() { :; }
        _files() { print files }
        _describe() { print -rl -- $argv[1,-3] \"${(@P)argv[-1]}\" }
        source <(kubectl-mariadb_backup completion zsh)
        words=(kubectl-mariadb_backup \"$@\"); CURRENT=$#words
        _kubectl-mariadb_backup";
    in_shell(installed, &["zsh", "-f"], script, &[&["zsh"], words].concat())
}

#[test]
fn zsh_completes_the_plugin_typed_by_its_own_name() {
    let installed = Installed::new();
    let registered = "kubectl-mariadb_backup has _kubectl-mariadb_backup\n";
    let offered = |words: &[&str]| in_zsh(&installed, words).strip_prefix(registered).unwrap().to_owned();
    assert_eq!(offered(&["schedule", "re"]), "resume:Take backups by a suspended schedule again\n");
    assert_eq!(
        offered(&["create", "--type=in"]),
        "incremental:What changed since the last backup, where that is possible; else everything\n"
    );
    assert_eq!(offered(&["verify", "--store", ""]), "local:The volume of backups\ns3:The bucket\n");
    assert_eq!(offered(&["restore", "2000"]), "-V\n", "backups stay in the order of the answer, which is empty here");
    assert_eq!(offered(&["list", "--kubeconfig", "/"]), "files\n");
}

/// What fish offers for a line.
fn in_fish(installed: &Installed, line: &str) -> String {
    let script = "kubectl-mariadb_backup completion fish | source
        complete -C \"kubectl-mariadb_backup $argv\"";
    in_shell(installed, &["fish", "--no-config"], script, &[line])
}

#[test]
fn fish_completes_the_plugin_typed_by_its_own_name() {
    let installed = Installed::new();
    assert_eq!(in_fish(&installed, "schedule re"), "resume\tTake backups by a suspended schedule again\n");
    assert_eq!(
        in_fish(&installed, "create --type=in"),
        "--type=incremental\tWhat changed since the last backup, where that is possible; else everything\n"
    );
    assert_eq!(in_fish(&installed, "verify --store "), "local\tThe volume of backups\ns3\tThe bucket\n");
    assert_eq!(in_fish(&installed, "restore 2000"), "");
    assert_eq!(in_fish(&installed, "list --kubeconfig /et"), "/etc/\n");
}

#[test]
fn no_shell_finds_a_fault_in_its_script() {
    let installed = Installed::new();
    for (shell, name) in [
        ("bash", "kubectl-mariadb_backup.bash"),
        ("zsh", "_kubectl-mariadb_backup"),
        ("fish", "kubectl-mariadb_backup.fish"),
    ] {
        let script = format!("{shell} -n {}/completions/{name}", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(in_shell(&installed, &["sh"], &script, &[]), "", "{shell}");
    }
}
