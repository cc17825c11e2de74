//! `version`: this plugin, and the agent that would work for the cluster at hand.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::cli::{DocumentForm, VersionFlags};
use super::connect::Session;
use super::{CommandResult, find, overrides};
use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::render::document::{Form, document};
use crate::render::screen::Screen;

/// A cluster that is slow to answer must not hold the answer back that needs none.
const LIMIT: Duration = Duration::from_secs(5);

pub(crate) async fn run(flags: &VersionFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let plugin = env!("CARGO_PKG_VERSION");
    let agent = if flags.client { None } else { Some(agent(flags, session, screen).await) };
    let image = agent.as_ref().and_then(|agent| agent.as_ref().ok());
    match flags.output {
        None => {
            screen.data(&of_plugin());
            if let Some(image) = image {
                screen.line(&format!("Agent image: {image}"));
                screen.line(&format!("Compatible: {}", compatibility(plugin, image).words()));
            }
        }
        Some(form) => {
            let form = if form == DocumentForm::Json { Form::Json } else { Form::Yaml };
            let compatible = image.and_then(|image| compatibility(plugin, image).known());
            screen.data(&document(&json!({"plugin": plugin, "agentImage": image, "compatible": compatible}), form));
        }
    }
    match agent {
        Some(Err(failure)) => Err(failure),
        _ => Ok(ExitCode::Done),
    }
}

/// The plugin's version alone, as `version --client` and `--version` write it.
pub(crate) fn of_plugin() -> String {
    format!("Plugin: {}\n", env!("CARGO_PKG_VERSION"))
}

async fn agent(flags: &VersionFlags, session: &Session, screen: &mut Screen) -> Result<String, Failure> {
    let look = async {
        let statefulset = find::cluster(session, flags.cluster.wanted()).await?;
        let settings = overrides::settings(session, screen, &statefulset, &BTreeMap::new()).await?;
        Ok(settings.agent_image)
    };
    tokio::time::timeout(LIMIT, look).await.unwrap_or_else(|_| {
        let what = format!("the cluster does not answer within {} seconds", LIMIT.as_secs());
        Err(Failure::new(ExitCode::Error, what).with_hint("kubectl mariadb-backup version --client"))
    })
}

/// Whether a plugin and the agent of an image understand each other.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Compatibility {
    /// They are of one minor version.
    Yes,
    /// The agent is of that other version.
    No(String),
    /// The image's tag is no version.
    Unknown,
}

impl Compatibility {
    fn words(&self) -> String {
        match self {
            Self::Yes => "yes".to_owned(),
            Self::No(agent) => {
                format!("no, the agent is {agent}; setup --agent-image names one of the plugin's version")
            }
            Self::Unknown => "unknown, the image's tag is no version".to_owned(),
        }
    }

    fn known(&self) -> Option<bool> {
        match self {
            Self::Yes => Some(true),
            Self::No(_) => Some(false),
            Self::Unknown => None,
        }
    }
}

/// Judges by the image's tag. Orders are understood across patch versions, and refused across others.
fn compatibility(plugin: &str, image: &str) -> Compatibility {
    let name = image.rsplit('/').next().unwrap_or(image);
    let name = name.split('@').next().unwrap_or(name);
    let tag = name.split_once(':').map_or("", |(_, tag)| tag);
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    match (minor(plugin), minor(tag)) {
        (Some(own), Some(agents)) if own == agents => Compatibility::Yes,
        (Some(_), Some(_)) => Compatibility::No(tag.to_owned()),
        _ => Compatibility::Unknown,
    }
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
        let judged = |image: &str| compatibility("0.1.0", image);
        for image in ["agent:0.1.0", "registry.example:5000/agent:v0.1.7", "agent:0.1.2-debug@sha256:00"] {
            assert_eq!(judged(image), Compatibility::Yes, "{image}");
        }
        assert_eq!(judged("ghcr.io/x/agent:0.2.0"), Compatibility::No("0.2.0".to_owned()));
        for image in ["agent", "registry.example:5000/agent", "agent:latest", "agent:e5f42e1e74e5"] {
            assert_eq!(judged(image), Compatibility::Unknown, "{image}");
        }
    }
}
