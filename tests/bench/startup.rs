//! How long the plugin takes to say something: its own start, and a listing beside what kubectl takes for
//! the same API server. One on the loopback that answers at once, so that only the programs are measured.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};

use crate::measure::{Sample, TIMES, median, timed};

/// Rounds of what takes some milliseconds; the median counts.
const ROUNDS: usize = 21;

/// What a person waits for.
pub(crate) struct Startup {
    /// `--help`: the program alone.
    pub(crate) help: Sample,
    /// `list` of one cluster.
    pub(crate) list: Sample,
    /// `status` of one cluster, whose replicas are not there to be asked, which it warns of.
    pub(crate) status: Sample,
    /// `kubectl get configmaps`, with what it discovered before.
    pub(crate) kubectl: Sample,
}

/// Measures a plugin against a kubectl.
pub(crate) fn startup(plugin: &Path, kubectl: &Path) -> Startup {
    let home = tempfile::tempdir().unwrap();
    let kubeconfig = home.path().join("config");
    std::fs::write(&kubeconfig, config(&serve()).to_string()).unwrap();
    let run = |program: &Path, arguments: &str| {
        let script = format!("{TIMES}\"$0\" {arguments}");
        let mut command = Command::new("bash");
        command.args(["-c", &script]).arg(program).env("KUBECONFIG", &kubeconfig).env("HOME", home.path());
        timed(command.stdin(Stdio::null()).stdout(Stdio::null()))
    };
    let rounds = |program: &Path, arguments: &str| {
        run(program, arguments);
        median(&(0..ROUNDS).map(|_| run(program, arguments)).collect::<Vec<_>>())
    };
    Startup {
        help: rounds(plugin, "--help"),
        list: rounds(plugin, "list"),
        status: rounds(plugin, "status || (($? == 3 || $? == 6))"),
        kubectl: rounds(kubectl, "get configmaps"),
    }
}

/// The plugin beside the agent of that path, and kubectl beside the ground's own programs.
pub(crate) fn programs() -> (PathBuf, PathBuf) {
    let of =
        |name: &str| PathBuf::from(std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: use make bench")));
    (of("AGENT_RELEASE").with_file_name("kubectl-mariadb_backup"), of("GROUND_KUBECTL"))
}

fn config(server: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "clusters": [{"name": "bench", "cluster": {"server": server}}],
        "users": [{"name": "bench", "user": {}}]})
}

/// Starts the API server, and returns where it is.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    format!("http://{address}")
}

/// Answers one connection until it is closed.
fn answer(mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut request = String::new();
        reader.read_line(&mut request).ok().filter(|read| *read > 0)?;
        let mut line = String::new();
        while reader.read_line(&mut line).ok()? > 2 {
            line.clear();
        }
        let path = request.split(' ').nth(1)?.split('?').next()?;
        let (status, body) = match document(path) {
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", json!({"kind": "Status", "apiVersion": "v1", "code": 404, "reason": "NotFound"})),
        };
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
    }
}

fn document(path: &str) -> Option<Value> {
    let resource = json!({"name": "configmaps", "singularName": "configmap", "namespaced": true, "kind": "ConfigMap", "verbs": ["get", "list"], "shortNames": ["cm"]});
    Some(match path {
        "/api" => json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        "/apis" => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}),
        "/api/v1" => json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [resource]}),
        "/version" => json!({"major": "1", "minor": "34", "gitVersion": "v1.34.0"}),
        "/apis/apps/v1/namespaces/default/statefulsets" => {
            json!({"kind": "StatefulSetList", "apiVersion": "apps/v1", "metadata": {}, "items": [galera()]})
        }
        "/apis/apps/v1/namespaces/default/statefulsets/db" => galera(),
        "/apis/batch/v1/namespaces/default/jobs" => none("batch/v1", "JobList"),
        "/apis/batch/v1/namespaces/default/cronjobs" => none("batch/v1", "CronJobList"),
        "/api/v1/namespaces/default/pods" => none("v1", "PodList"),
        "/api/v1/namespaces/default/configmaps" => {
            json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {}, "items": []})
        }
        _ => return None,
    })
}

fn none(version: &str, kind: &str) -> Value {
    json!({"kind": kind, "apiVersion": version, "metadata": {}, "items": []})
}

fn galera() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "default"}, "spec": {"selector": {}, "serviceName": "s",
        "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
        "template": {"spec": {"containers": [{"name": "mariadb", "image": "mariadb"}]}}}})
}
