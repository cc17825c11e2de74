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
            screen.line(&format!("Plugin: {plugin}"));
            if let Some(image) = image {
                screen.line(&format!("Agent image: {image}"));
            }
        }
        Some(form) => {
            let form = if form == DocumentForm::Json { Form::Json } else { Form::Yaml };
            screen.data(&document(&json!({"plugin": plugin, "agentImage": image}), form));
        }
    }
    match agent {
        Some(Err(failure)) => Err(failure),
        _ => Ok(ExitCode::Done),
    }
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
