//! From kubeconfig files and flags to one cluster, one user and one namespace, by kubectl's rules.
//!
//! The files are read here and not by the client library, because kubectl skips a missing file of a
//! `KUBECONFIG` list and the library does not, and because our errors name the file and what is in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{AuthInfo, Cluster, Config, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext};

use super::error::last_cause;
use super::proxy;
use crate::ports::{PortError, Reason};

/// What the user said about the connection, by flags and environment.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The environment's variables.
    pub environment: BTreeMap<String, String>,
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
    /// `--cluster`.
    pub cluster: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--namespace`.
    pub namespace: Option<String>,
    /// `--server`.
    pub server: Option<String>,
    /// `--tls-server-name`.
    pub tls_server_name: Option<String>,
    /// `--insecure-skip-tls-verify`.
    pub insecure_skip_tls_verify: bool,
    /// `--certificate-authority`.
    pub certificate_authority: Option<PathBuf>,
    /// `--client-certificate`.
    pub client_certificate: Option<PathBuf>,
    /// `--client-key`.
    pub client_key: Option<PathBuf>,
    /// `--token`.
    pub token: Option<String>,
    /// `--as`.
    pub as_user: Option<String>,
    /// `--as-group`.
    pub as_groups: Vec<String>,
    /// `--as-uid`.
    pub as_uid: Option<String>,
    /// `--request-timeout`; `None` for no limit.
    pub request_timeout: Option<Duration>,
}

/// Where a connection leads, for messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The context, when one was used.
    pub context: Option<String>,
    /// The API server.
    pub server: String,
    /// Where that was found.
    pub source: String,
    /// The namespace.
    pub namespace: String,
}

/// The names that flags may choose from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The context that counts when no flag names one.
    pub current: Option<String>,
    /// Contexts.
    pub contexts: Vec<String>,
    /// Clusters.
    pub clusters: Vec<String>,
    /// Users.
    pub users: Vec<String>,
}

/// Reads the names in the files that count; none where there is no file.
///
/// # Errors
/// Names the file that cannot be read.
pub fn names(wishes: &Wishes) -> Result<Names, PortError> {
    let kubeconfig = read(wishes)?.0.unwrap_or_default();
    Ok(Names {
        current: kubeconfig.current_context,
        contexts: kubeconfig.contexts.into_iter().map(|named| named.name).collect(),
        clusters: kubeconfig.clusters.into_iter().map(|named| named.name).collect(),
        users: kubeconfig.auth_infos.into_iter().map(|named| named.name).collect(),
    })
}

/// Reads what is there and settles on one target.
pub(super) fn settle(wishes: &Wishes) -> Result<(Config, Target), PortError> {
    let (kubeconfig, source) = read(wishes)?;
    check_files(wishes)?;
    let Some(kubeconfig) = kubeconfig else { return without_kubeconfig(wishes, &source) };
    let chosen = choose(&kubeconfig, wishes, &source)?;
    let config = Config::try_from(chosen.kubeconfig).map_err(|error| {
        PortError::new(Reason::Other, format!("cannot use {source}"))
            .caused_by(last_cause(&error))
            .with_hint(format!("to see what is in it: kubectl config view{}", flag(wishes)))
    })?;
    finish(config, chosen.context, source, chosen.proxy, wishes)
}

/// Refuses a file that a flag names and that cannot be read: it is the flag's fault and no kubeconfig's.
fn check_files(wishes: &Wishes) -> Result<(), PortError> {
    let named = [
        ("--certificate-authority", &wishes.certificate_authority),
        ("--client-certificate", &wishes.client_certificate),
        ("--client-key", &wishes.client_key),
    ];
    for (flag, file) in named.into_iter().filter_map(|(flag, file)| Some((flag, file.as_ref()?))) {
        std::fs::read(file).map_err(|error| {
            PortError::new(Reason::Missing, format!("cannot read {} ({flag})", file.display()))
                .caused_by(error)
                .with_hint(format!("name a file that can be read, or leave {flag} out to use the kubeconfig's own"))
        })?;
    }
    Ok(())
}

fn finish(
    mut config: Config,
    context: Option<String>,
    source: String,
    proxy_url: Option<String>,
    wishes: &Wishes,
) -> Result<(Config, Target), PortError> {
    config.proxy_url = proxy(&config, proxy_url, wishes)?;
    config.default_retry = false;
    let namespace = wishes.namespace.clone().filter(|name| !name.is_empty()).unwrap_or(config.default_namespace);
    config.default_namespace = if namespace.is_empty() { "default".to_owned() } else { namespace };
    let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let target = Target { context, server, source, namespace: config.default_namespace.clone() };
    Ok((config, target))
}

fn proxy(config: &Config, of_cluster: Option<String>, wishes: &Wishes) -> Result<Option<http::Uri>, PortError> {
    let url = &config.cluster_url;
    let scheme = url.scheme_str().unwrap_or("https");
    let port = url.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    let from_environment = || {
        let variable = |name: &str| wishes.environment.get(name).cloned();
        proxy::from_environment(variable, scheme, url.host().unwrap_or_default(), port)
    };
    let Some(text) = of_cluster.filter(|text| !text.is_empty()).or_else(from_environment) else { return Ok(None) };
    let parsed = text.parse().map_err(|error: http::uri::InvalidUri| {
        PortError::new(Reason::Other, format!("cannot use the proxy \"{text}\"")).caused_by(error)
    })?;
    Ok(Some(parsed))
}

/// Reads and merges the files that count; `None` when there is none.
fn read(wishes: &Wishes) -> Result<(Option<Kubeconfig>, String), PortError> {
    let variable = |name: &str| wishes.environment.get(name).filter(|text| !text.is_empty());
    let (files, all_must_be_there) = match (&wishes.kubeconfig, variable("KUBECONFIG")) {
        (Some(file), _) => (vec![file.clone()], true),
        (None, Some(list)) => {
            let separator = if cfg!(windows) { ';' } else { ':' };
            (list.split(separator).filter(|path| !path.is_empty()).map(PathBuf::from).collect(), false)
        }
        (None, None) => {
            (variable("HOME").map(|home| Path::new(home).join(".kube/config")).into_iter().collect(), false)
        }
    };
    let source = files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let mut merged = None;
    for file in files {
        if !all_must_be_there && !file.exists() {
            continue;
        }
        let cannot = |error| {
            PortError::new(Reason::Other, format!("cannot read {}", file.display())).caused_by(error).with_hint(
                format!("is it the right file? to look into it: kubectl config view --kubeconfig {}", file.display()),
            )
        };
        let next = Kubeconfig::read_from(&file).map_err(|error| cannot(plain(error)))?;
        merged = Some(match merged {
            None => next,
            Some(before) => Kubeconfig::merge(before, next).map_err(|error| cannot(error.to_string()))?,
        });
    }
    Ok((merged, source))
}

/// The reason without the path, which our own sentence has.
fn plain(error: kube::config::KubeconfigError) -> String {
    match error {
        kube::config::KubeconfigError::ReadConfig(error, _) => error.to_string(),
        other => other.to_string(),
    }
}

fn without_kubeconfig(wishes: &Wishes, source: &str) -> Result<(Config, Target), PortError> {
    if let Some(server) = &wishes.server {
        return settle_from_flags(server, wishes);
    }
    if wishes.environment.contains_key("KUBERNETES_SERVICE_HOST") {
        let source = "the pod's service account".to_owned();
        let config = Config::incluster()
            .map_err(|error| PortError::new(Reason::Other, format!("cannot use {source}")).caused_by(error))?;
        return finish(config, None, source, None, wishes);
    }
    let looked = if source.is_empty() { "no file is named and HOME is not set".to_owned() } else { source.to_owned() };
    Err(PortError::new(Reason::Missing, "no Kubernetes cluster is configured")
        .caused_by(format!("no kubeconfig found; looked for {looked}"))
        .with_hint("export KUBECONFIG=FILE, or give --kubeconfig FILE"))
}

/// `--server` alone is enough, as it is for kubectl.
fn settle_from_flags(server: &str, wishes: &Wishes) -> Result<(Config, Target), PortError> {
    let context = kube::config::Context::default();
    let named =
        |name: &str| NamedContext { name: name.to_owned(), context: Some(context.clone()), ..NamedContext::default() };
    let kubeconfig = Kubeconfig {
        contexts: vec![named("flags")],
        clusters: vec![NamedCluster { cluster: Some(Cluster::default()), ..NamedCluster::default() }],
        current_context: Some("flags".to_owned()),
        ..Kubeconfig::default()
    };
    let plain = Wishes { context: None, cluster: None, user: None, ..wishes.clone() };
    let chosen = choose(&kubeconfig, &plain, "the flags")?;
    let config = Config::try_from(chosen.kubeconfig).map_err(|error| {
        PortError::new(Reason::Other, format!("cannot use --server {server}")).caused_by(last_cause(&error))
    })?;
    finish(config, None, "the flags".to_owned(), None, wishes)
}

/// A kubeconfig of one context, one cluster and one user, with the flags worked in.
#[derive(Debug)]
struct Chosen {
    kubeconfig: Kubeconfig,
    context: Option<String>,
    proxy: Option<String>,
}

fn choose(kubeconfig: &Kubeconfig, wishes: &Wishes, source: &str) -> Result<Chosen, PortError> {
    let contexts: Vec<&str> = kubeconfig.contexts.iter().map(|named| named.name.as_str()).collect();
    let wanted = wishes.context.as_ref().or(kubeconfig.current_context.as_ref()).filter(|name| !name.is_empty());
    let Some(wanted) = wanted else {
        return Err(PortError::new(Reason::Missing, format!("{source} has no current context"))
            .caused_by(there_are("contexts", &contexts))
            .with_hint(format!(
                "give --context NAME, or choose one for good: kubectl config use-context NAME{}",
                flag(wishes)
            )));
    };
    let context =
        kubeconfig.contexts.iter().find(|named| named.name == *wanted).and_then(|named| named.context.clone());
    let mut context = context.ok_or_else(|| not_there("context", wanted, (source, wishes), "contexts", &contexts))?;
    let cluster_name = wishes.cluster.clone().unwrap_or_else(|| context.cluster.clone());
    let clusters: Vec<&str> = kubeconfig.clusters.iter().map(|named| named.name.as_str()).collect();
    let mut cluster = kubeconfig
        .clusters
        .iter()
        .find(|named| named.name == cluster_name)
        .and_then(|named| named.cluster.clone())
        .ok_or_else(|| not_there("cluster", &cluster_name, (source, wishes), "clusters", &clusters))?;
    let mut user = choose_user(kubeconfig, wishes, context.user.as_deref(), source)?;
    work_in_cluster_flags(&mut cluster, wishes);
    work_in_user_flags(&mut user, wishes);
    let proxy = cluster.proxy_url.take();
    "chosen".clone_into(&mut context.cluster);
    context.user = Some("chosen".to_owned());
    let kubeconfig = Kubeconfig {
        contexts: vec![NamedContext { name: wanted.clone(), context: Some(context), ..NamedContext::default() }],
        clusters: vec![NamedCluster { name: "chosen".to_owned(), cluster: Some(cluster), ..NamedCluster::default() }],
        auth_infos: vec![NamedAuthInfo {
            name: "chosen".to_owned(),
            auth_info: Some(user),
            ..NamedAuthInfo::default()
        }],
        current_context: Some(wanted.clone()),
        ..Kubeconfig::default()
    };
    Ok(Chosen { kubeconfig, context: Some(wanted.clone()), proxy })
}

fn choose_user(
    kubeconfig: &Kubeconfig,
    wishes: &Wishes,
    of_context: Option<&str>,
    source: &str,
) -> Result<AuthInfo, PortError> {
    let find = |name: &str| kubeconfig.auth_infos.iter().find(|named| named.name == name);
    match &wishes.user {
        Some(name) => {
            let users: Vec<&str> = kubeconfig.auth_infos.iter().map(|named| named.name.as_str()).collect();
            let named = find(name).ok_or_else(|| not_there("user", name, (source, wishes), "users", &users))?;
            Ok(named.auth_info.clone().unwrap_or_default())
        }
        // A context may name no user, or one that is not there: kubectl then goes on without.
        None => Ok(of_context.and_then(find).and_then(|named| named.auth_info.clone()).unwrap_or_default()),
    }
}

/// The flag that leads to the kubeconfig that was named, with a space before it.
fn flag(wishes: &Wishes) -> String {
    wishes.kubeconfig.as_ref().map(|file| format!(" --kubeconfig {}", file.display())).unwrap_or_default()
}

fn not_there(what: &str, name: &str, (source, wishes): (&str, &Wishes), plural: &str, there: &[&str]) -> PortError {
    PortError::new(Reason::Missing, format!("{what} \"{name}\" is not in {source}"))
        .caused_by(there_are(plural, there))
        .with_hint(format!("to see what is in it: kubectl config get-contexts{}", flag(wishes)))
}

fn there_are(plural: &str, names: &[&str]) -> String {
    if names.is_empty() { format!("there are no {plural}") } else { format!("{plural} there: {}", names.join(", ")) }
}

fn work_in_cluster_flags(cluster: &mut Cluster, wishes: &Wishes) {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    if let Some(server) = &wishes.server {
        cluster.server = Some(if server.contains("://") { server.clone() } else { format!("https://{server}") });
    }
    if let Some(name) = &wishes.tls_server_name {
        cluster.tls_server_name = Some(name.clone());
    }
    if let Some(file) = &wishes.certificate_authority {
        (cluster.certificate_authority, cluster.certificate_authority_data) = (Some(text(file)), None);
    }
    if wishes.insecure_skip_tls_verify {
        cluster.insecure_skip_tls_verify = Some(true);
        (cluster.certificate_authority, cluster.certificate_authority_data) = (None, None);
    }
}

fn work_in_user_flags(user: &mut AuthInfo, wishes: &Wishes) {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    if let Some(file) = &wishes.client_certificate {
        (user.client_certificate, user.client_certificate_data) = (Some(text(file)), None);
    }
    if let Some(file) = &wishes.client_key {
        (user.client_key, user.client_key_data) = (Some(text(file)), None);
    }
    if let Some(token) = &wishes.token {
        (user.token, user.token_file) = (Some(token.clone().into()), None);
        // A token given by hand is meant to replace every other way to sign in.
        (user.exec, user.auth_provider, user.username, user.password) = (None, None, None, None);
    }
    if let Some(name) = &wishes.as_user {
        user.impersonate = Some(name.clone());
    }
    if !wishes.as_groups.is_empty() {
        user.impersonate_groups = Some(wishes.as_groups.clone());
    }
    if let Some(uid) = &wishes.as_uid {
        user.impersonate_uid = Some(uid.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: c1, user: u1, namespace: db}}
- {name: two, context: {cluster: c2, user: u1}}
clusters:
- {name: c1, cluster: {server: 'http://127.0.0.1:1'}}
- {name: c2, cluster: {server: 'http://api.example.com:2', proxy-url: 'http://proxy:3128'}}
users:
- {name: u1, user: {token: secret}}
";

    fn wishes(directory: &tempfile::TempDir) -> Wishes {
        let file = directory.path().join("config");
        std::fs::write(&file, FILE).unwrap();
        let list = format!("{}:{}", directory.path().join("missing").display(), file.display());
        Wishes { environment: BTreeMap::from([("KUBECONFIG".to_owned(), list)]), ..Wishes::default() }
    }

    #[test]
    fn a_missing_file_of_the_list_is_skipped_and_the_current_context_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let (_, target) = settle(&wishes(&directory)).unwrap();
        assert_eq!((target.context.as_deref(), target.namespace.as_str()), (Some("one"), "db"));
        assert_eq!(target.server, "http://127.0.0.1:1");
    }

    #[test]
    fn flags_win_over_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let wishes = Wishes {
            context: Some("two".to_owned()),
            namespace: Some("other".to_owned()),
            server: Some("https://elsewhere:6443".to_owned()),
            ..wishes(&directory)
        };
        let (config, target) = settle(&wishes).unwrap();
        assert_eq!((target.namespace.as_str(), target.server.as_str()), ("other", "https://elsewhere:6443"));
        assert_eq!(config.proxy_url.unwrap().to_string(), "http://proxy:3128/");
    }

    #[test]
    fn an_unknown_context_is_answered_with_those_there() {
        let directory = tempfile::tempdir().unwrap();
        let error = settle(&Wishes { context: Some("tow".to_owned()), ..wishes(&directory) }).unwrap_err();
        assert!(error.to_string().starts_with("context \"tow\" is not in "), "{error}");
        assert_eq!(error.source().unwrap().to_string(), "contexts there: one, two");
    }

    #[test]
    fn the_names_in_the_files_can_be_had_without_settling_on_any() {
        let directory = tempfile::tempdir().unwrap();
        let names = names(&wishes(&directory)).unwrap();
        assert_eq!((names.current.as_deref(), names.contexts), (Some("one"), vec!["one".to_owned(), "two".to_owned()]));
        assert_eq!((names.clusters, names.users), (vec!["c1".to_owned(), "c2".to_owned()], vec!["u1".to_owned()]));
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let wishes = Wishes { kubeconfig: Some("/nowhere/config".into()), ..Wishes::default() };
        let error = settle(&wishes).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nowhere/config");
    }

    #[test]
    fn nothing_at_all_says_where_was_looked() {
        let environment = BTreeMap::from([("HOME".to_owned(), "/nowhere".to_owned())]);
        let error = settle(&Wishes { environment, ..Wishes::default() }).unwrap_err();
        assert_eq!(error.source().unwrap().to_string(), "no kubeconfig found; looked for /nowhere/.kube/config");
    }

    #[test]
    fn a_server_alone_is_enough() {
        let wishes = Wishes { server: Some("http://127.0.0.1:8001".to_owned()), ..Wishes::default() };
        let (_, target) = settle(&wishes).unwrap();
        assert_eq!((target.server.as_str(), target.namespace.as_str()), ("http://127.0.0.1:8001", "default"));
    }
}
