//! The real plugin binary, and an API server on the loopback that gives fixed answers to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::schema;

/// What the plugin printed and how it ended, in one text to compare.
pub(crate) fn plugin(arguments: &[&str], kubeconfig: &str) -> String {
    let mut command = Command::cargo_bin("kubectl-mariadb_backup").unwrap();
    command.args(arguments).env_clear().env("COLUMNS", "80").env("HOME", "/nowhere").env("KUBECONFIG", kubeconfig);
    let output = command.timeout(std::time::Duration::from_mins(1)).output().unwrap();
    // An archive is no text, and nobody compares it.
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    schema::check(&String::from_utf8_lossy(&output.stdout));
    let code = output.status.code().unwrap_or(-1);
    format!("exit {code}\n--- stdout\n{}--- stderr\n{}", text(output.stdout), text(output.stderr))
}

/// A StatefulSet that looks like Galera.
pub(crate) fn galera(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"selector": {}, "serviceName": "s",
        "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
        "template": {"spec": {"containers": [{"name": "c", "image": "mariadb"}]}}}})
}

/// A kubeconfig that leads to a server.
pub(crate) fn kubeconfig(server: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {"token": "none"}}]});
    file.write_all(config.to_string().as_bytes()).unwrap();
    file
}

/// An answer of the loopback API server.
#[derive(Clone)]
pub(crate) struct Answer {
    code: u16,
    body: String,
    warning: Option<&'static str>,
}

impl Answer {
    pub(crate) fn ok(body: &Value) -> Self {
        Self { code: 200, body: body.to_string(), warning: None }
    }

    /// One document a line, as a log.
    pub(crate) fn lines(documents: &[Value]) -> Self {
        let lines: Vec<String> = documents.iter().map(|document| format!("{document}\n")).collect();
        Self { code: 200, body: lines.concat(), warning: None }
    }

    pub(crate) fn status(code: u16, message: &str) -> Self {
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message,
            "reason": if code == 404 { "NotFound" } else { "" }, "code": code});
        Self { code, body: body.to_string(), warning: None }
    }

    pub(crate) fn warning(mut self, text: &'static str) -> Self {
        self.warning = Some(text);
        self
    }
}

/// What the API server is asked.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
}

/// An API server on the loopback that answers by path.
pub(crate) struct Api {
    kubeconfig: tempfile::NamedTempFile,
}

impl Api {
    pub(crate) fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self::judging(move |asked| answer(&asked.path))
    }

    /// One that looks at the whole request.
    pub(crate) fn judging(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let kubeconfig = kubeconfig(&format!("http://{}", listener.local_addr().unwrap()));
        let answer = Arc::new(answer);
        // Ends with the test's process; a connection that nobody answers would only show as a timeout.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let answer = Arc::clone(&answer);
                thread::spawn(move || serve(&stream, &*answer));
            }
        });
        Self { kubeconfig }
    }

    pub(crate) fn kubeconfig(&self) -> &str {
        self.kubeconfig.path().to_str().unwrap()
    }
}

/// Answers the requests of one connection until it is closed.
fn serve(stream: &TcpStream, answer: &dyn Fn(&Asked) -> Answer) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = request(&mut reader) {
        let Answer { code, body, warning } = answer(&asked);
        let warning = warning.map(|text| format!("warning: 299 - \"{text}\"\r\n")).unwrap_or_default();
        let length = body.len();
        let head =
            format!("HTTP/1.1 {code} x\r\ncontent-type: application/json\r\n{warning}content-length: {length}\r\n\r\n");
        let mut writer = stream;
        if writer.write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}

/// Reads one request; `None` at the end.
fn request(reader: &mut BufReader<&TcpStream>) -> Option<Asked> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|bytes| *bytes > 0)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { method, path, query })
}
