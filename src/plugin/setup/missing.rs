//! What only a person can make, with all it takes: passwords and keys are not ours to invent.

use std::collections::BTreeMap;

use crate::adapters::kubernetes::finder::Place;
use crate::adapters::kubernetes::preflight::Preflight;
use crate::model::command::placed;
use crate::model::names::ORIGINAL_KEY_FILE;
use crate::model::outcome::Failure;
use crate::model::settings::Settings;
use crate::model::workload::Flavour;
use crate::plugin::connect::Session;
use crate::plugin::schedule;
use crate::render::screen::Screen;

const OPERATOR_RIGHTS: &str = "SUPER";
const BACKUP_RIGHTS: &str = "RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, SLAVE MONITOR";

/// Names the Secrets that are not there, and how they are made.
pub(super) async fn say(session: &Session, screen: &mut Screen, settings: &Settings) -> Result<(), Failure> {
    let connection = session.connection()?;
    let namespace = &connection.target.namespace;
    let preflight = Preflight::new(connection.client.clone(), namespace);
    let mut texts = vec![
        (&settings.operator_secret, operator(&settings.operator_secret, namespace)),
        (&settings.backup_secret, backup(&settings.backup_secret, namespace)),
    ];
    if let Some(secret) = settings.s3.secret.as_ref().filter(|_| settings.stores.s3()) {
        texts.push((secret, s3(secret, namespace)));
    }
    if let Some(secret) = &settings.original_key_secret {
        texts.push((secret, original_key(secret, namespace)));
    }
    for (secret, text) in texts {
        if preflight.has_secret(secret).await.map_err(|error| session.failure(&error))? == Some(false) {
            screen.note(&session.reached(&format!("\nSecret {secret} is missing. {text}")));
        }
    }
    Ok(())
}

/// Names what nobody has told yet and nobody can find out: without it the first backup would wait for its image in
/// vain, and the first restore be refused on the day it is needed.
pub(super) fn say_what_is_untold(
    session: &Session,
    screen: &mut Screen,
    place: &Place,
    stored: &BTreeMap<String, String>,
    flavour: Option<&Flavour>,
    settings: &Settings,
) {
    if !stored.contains_key("MARIADB_BACKUP_AGENT_IMAGE") {
        let (image, other) = (&settings.agent_image, session.command("setup --agent-image IMAGE"));
        screen.note(&format!("\nNo agent image is named, so runs use {image}, which every node has to have or to be able to pull; to name another one: {other}"));
    }
    if let Some(why) = flavour.and_then(|flavour| flavour.unknown_start(settings.bootstrap.is_some())) {
        let why = session.reached(&placed(why, &place.namespace, &place.statefulset));
        screen.note(&format!("\nBackups can be made, and a restore would be refused: {why}"));
    }
}

fn operator(secret: &str, namespace: &str) -> String {
    let why = "Its account sets wsrep_desync, which only SUPER may; with SELECT too, a restore compares the row counts of all replicas.";
    account(why, "backup_operator", OPERATOR_RIGHTS, secret, namespace)
}

fn backup(secret: &str, namespace: &str) -> String {
    let why = "Its account is used by mariadb-backup, and may read no table.";
    account(why, "backup", BACKUP_RIGHTS, secret, namespace)
}

fn account(why: &str, user: &str, rights: &str, secret: &str, namespace: &str) -> String {
    format!(
        "{why} With a password of your own:\n\
         \x20 CREATE USER '{user}'@'%' IDENTIFIED BY 'PASSWORD';\n\
         \x20 GRANT {rights} ON *.* TO '{user}'@'%';\n\
         \x20 kubectl create secret generic {secret} -n {namespace} \
         --from-literal=username={user} --from-literal=password=PASSWORD"
    )
}

fn s3(secret: &str, namespace: &str) -> String {
    format!(
        "Its keys may list, read, write and delete in the bucket:\n\
         \x20 kubectl create secret generic {secret} -n {namespace} \
         --from-literal=AWS_ACCESS_KEY_ID=KEY --from-literal=AWS_SECRET_ACCESS_KEY=SECRET"
    )
}

fn original_key(secret: &str, namespace: &str) -> String {
    format!(
        "Its key opens what the original encrypted: the file that it had in /etc/mysql/backup-kek.\n\
         \x20 kubectl create secret generic {secret} -n {namespace} --from-file={ORIGINAL_KEY_FILE}=FILE"
    )
}

/// Names the schedules that still use another image: a CronJob holds the one it was made with.
pub(super) async fn say_what_is_old(session: &Session, screen: &mut Screen, statefulset: &str, settings: &Settings) {
    // Who may not see schedules is not to be bothered with them.
    let Ok(namespace) = session.namespace() else { return };
    let Ok(schedules) = schedule::of_cluster(session, &Place::new(&namespace, statefulset)).await else { return };
    for one in schedules.iter().filter(|one| one.uses_another(&settings.agent_image)) {
        screen.warn(&format!(
            "schedule {} keeps the agent image and the limits it was made with; to give it those of now: {}",
            one.name,
            session.command(&one.made_again())
        ));
    }
}
