//! `version`: this plugin, the agent that would work for the cluster at hand, and what these meet there.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use serde::Serialize;

use super::cli::VersionFlags;
use super::connect::Session;
use super::{CommandResult, find, overrides};
use crate::adapters::kubernetes::evidence::Evidence;
use crate::adapters::kubernetes::preflight::Preflight;
use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::model::settings::Settings;
use crate::render::screen::Screen;
use crate::render::table::harmless;

/// A cluster that is slow to answer must not hold the answer back that needs none.
const LIMIT: Duration = Duration::from_secs(5);

/// What is told; what is not known is left out. Members are added, never changed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    api_version: &'static str,
    kind: &'static str,
    plugin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_image: Option<String>,
    /// Whether plugin and agent understand each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    compatible: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mariadb: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mariadb_image: Option<String>,
}

/// What is known of a cluster.
struct Cluster {
    statefulset: String,
    agent_image: String,
    server_image: String,
}

pub(crate) async fn run(flags: &VersionFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let (kubernetes, cluster) = if flags.client {
        (Ok(None), Ok(None))
    } else {
        tokio::join!(within_limit(kubernetes(session), session), within_limit(cluster(flags, session, screen), session))
    };
    let known = (kubernetes.as_ref().ok().cloned().flatten(), cluster.as_ref().ok().and_then(Option::as_ref));
    let versions = versions(known.0, known.1);
    match &flags.output {
        None => screen.data(&page(&versions)),
        Some(machine) => screen.data(&machine.write(&versions, true)),
    }
    let cluster = cluster?;
    kubernetes?;
    match cluster {
        Some(cluster) if versions.compatible == Some(false) => {
            screen.warn(&another_agent(&cluster, session));
            Ok(ExitCode::DoneWithWarnings)
        }
        _ => Ok(ExitCode::Done),
    }
}

/// The plugin's version alone, as `version --client` and `--version` write it.
pub(crate) fn of_plugin() -> String {
    format!("Plugin: {}\n", env!("CARGO_PKG_VERSION"))
}

async fn within_limit<T>(
    look: impl Future<Output = Result<T, Failure>>,
    session: &Session,
) -> Result<Option<T>, Failure> {
    let seen = tokio::time::timeout(LIMIT, look).await.unwrap_or_else(|_| {
        let what = format!("the cluster does not answer within {} seconds", LIMIT.as_secs());
        Err(Failure::new(ExitCode::Error, what).with_hint(session.command("version --client")))
    });
    seen.map(Some)
}

async fn kubernetes(session: &Session) -> Result<String, Failure> {
    let connection = session.connection()?;
    let evidence = Evidence::new(connection.client.clone(), &connection.target.namespace);
    evidence.server_version().await.map_err(|error| session.failure(&error))
}

async fn cluster(flags: &VersionFlags, session: &Session, screen: &mut Screen) -> Result<Cluster, Failure> {
    let statefulset = find::cluster(session, flags.cluster.wanted()).await?;
    let settings = overrides::settings(session, screen, &statefulset, &BTreeMap::new()).await?;
    let connection = session.connection()?;
    let preflight = Preflight::new(connection.client.clone(), &connection.target.namespace);
    let server_image = preflight.server_image(&statefulset).await.map_err(|error| session.failure(&error))?;
    Ok(Cluster { statefulset, agent_image: settings.agent_image, server_image })
}

fn versions(kubernetes: Option<String>, cluster: Option<&Cluster>) -> Versions {
    let plugin = env!("CARGO_PKG_VERSION");
    Versions {
        api_version: "mariadb-backup.io/v1",
        kind: "Versions",
        plugin,
        agent_image: cluster.map(|cluster| cluster.agent_image.clone()),
        compatible: cluster.and_then(|cluster| compatible(plugin, &cluster.agent_image)),
        kubernetes,
        mariadb: cluster.and_then(|cluster| numbers(tag(&cluster.server_image)).map(str::to_owned)),
        mariadb_image: cluster.map(|cluster| cluster.server_image.clone()),
    }
}

fn page(versions: &Versions) -> String {
    let compatible = match versions.compatible {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown, the image's tag is no version",
    };
    let mariadb = versions.mariadb.as_deref().unwrap_or("unknown");
    let lines = [
        versions.agent_image.as_ref().map(|image| format!("Agent image: {image}\nCompatible: {compatible}\n")),
        versions.kubernetes.as_ref().map(|version| format!("Kubernetes: {version}\n")),
        versions.mariadb_image.as_ref().map(|image| format!("MariaDB: {mariadb} (image {image})\n")),
    ];
    harmless(&lines.into_iter().flatten().fold(of_plugin(), |page, line| page + &line))
}

/// An agent refuses orders of another version of the plugin.
fn another_agent(cluster: &Cluster, session: &Session) -> String {
    let usual = Settings::read("", &BTreeMap::new(), &BTreeMap::new()).expect("all settings have defaults");
    let change = session.command(&format!("setup {} --agent-image {}", cluster.statefulset, usual.agent_image));
    format!("this plugin and the agent are of different versions; to have the agent of this one: {change}")
}

/// Whether a plugin and the agent of an image understand each other, by the image's tag; `None` when that is
/// no version. Orders are understood across patch versions, and refused across others.
fn compatible(plugin: &str, image: &str) -> Option<bool> {
    let agent = tag(image);
    Some(minor(plugin)? == minor(agent.strip_prefix('v').unwrap_or(agent))?)
}

/// The tag of an image; empty when it has none.
fn tag(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or(image);
    let name = name.split('@').next().unwrap_or(name);
    name.split_once(':').map_or("", |(_, tag)| tag)
}

/// The version of a server that a tag begins with: two numbers or more.
fn numbers(tag: &str) -> Option<&str> {
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    let end = tag.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(tag.len());
    let version = tag[..end].trim_matches('.');
    version.contains('.').then_some(version)
}

/// The first two numbers of a version of three.
fn minor(version: &str) -> Option<(u32, u32)> {
    let core = version.split(['-', '+']).next()?;
    let numbers: Vec<u32> = core.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    match numbers[..] {
        [major, minor, _patch] => Some((major, minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_s_tag_tells_whether_its_agent_understands_this_plugin() {
        let judged = |image: &str| compatible("0.1.0", image);
        for image in ["agent:0.1.0", "registry.example:5000/agent:v0.1.7", "agent:0.1.2-debug@sha256:00"] {
            assert_eq!(judged(image), Some(true), "{image}");
        }
        assert_eq!(judged("ghcr.io/x/agent:0.2.0"), Some(false));
        for image in ["agent", "registry.example:5000/agent", "agent:latest", "agent:e5f42e1e74e5"] {
            assert_eq!(judged(image), None, "{image}");
        }
    }

    #[test]
    fn a_server_s_version_is_what_its_image_s_tag_begins_with() {
        for (image, expected) in [
            ("docker.io/library/mariadb:10.11", Some("10.11")),
            ("registry.example:5000/bitnami/mariadb-galera:10.11.6-debian-12-r0@sha256:00", Some("10.11.6")),
            ("mirantis/mariadb:v10.6.17-focal-20240101", Some("10.6.17")),
            ("mariadb:lts", None),
            ("mariadb:11", None),
            ("mariadb", None),
        ] {
            assert_eq!(numbers(tag(image)), expected, "{image}");
        }
    }
}
