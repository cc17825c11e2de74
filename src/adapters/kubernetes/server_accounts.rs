//! Which Secrets hold the passwords that a server's own pods log in with, as its StatefulSet tells.

use k8s_openapi::api::core::v1::{Container, EnvVar, KeyToPath, PodSpec, SecretKeySelector, Volume};

use crate::model::accounts::{AccountSource, SecretKey, Username};

/// What the name of a variable with a password ends with.
const PASSWORD: &str = "PASSWORD";

/// Finds them for a container of a pod; each once.
pub(super) fn of(pod: &PodSpec, container: &Container) -> Vec<AccountSource> {
    let mounts = container.volume_mounts.iter().flatten();
    let volumes = mounts.filter_map(|mount| {
        let volume = pod.volumes.iter().flatten().find(|volume| volume.name == mount.name)?;
        Some((volume, mount.sub_path.as_deref()))
    });
    let env = container.env.as_deref().unwrap_or_default();
    let mut sources: Vec<_> = env.iter().filter_map(|variable| in_variable(variable, env)).collect();
    sources.extend(volumes.flat_map(|(volume, sub_path)| in_volume(volume, sub_path)));
    let mut once = Vec::new();
    for source in sources {
        if !once.contains(&source) {
            once.push(source);
        }
    }
    once
}

/// An account whose password is a variable: its name is in the variable beside it, or it is root's.
fn in_variable(variable: &EnvVar, env: &[EnvVar]) -> Option<AccountSource> {
    let stem = variable.name.strip_suffix(PASSWORD)?;
    let password = secret_key(variable)?;
    let beside = ["USER", "USERNAME"].iter().find_map(|end| env.iter().find(|of| of.name == format!("{stem}{end}")));
    let username = match beside {
        // What another variable is put into is known to nobody here.
        Some(of) if of.value.as_ref().is_some_and(|value| value.contains("$(")) => return None,
        Some(of) => of.value.clone().map(Username::Known).or_else(|| secret_key(of).map(Username::Key))?,
        None if stem.ends_with("ROOT_") => Username::Known("root".to_owned()),
        None => return None,
    };
    Some(AccountSource::Variable { name: variable.name.clone(), username, password })
}

fn secret_key(variable: &EnvVar) -> Option<SecretKey> {
    let SecretKeySelector { key, name, .. } = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
    Some(SecretKey { secret: name.clone(), key: key.clone() })
}

/// The Secrets of a volume, which may have option files in them; of one file of it, where no more is mounted.
fn in_volume(volume: &Volume, sub_path: Option<&str>) -> Vec<AccountSource> {
    let files = |secret: &str, items: Option<&[KeyToPath]>| {
        let items = items.unwrap_or_default().iter();
        let mut keys: Vec<_> =
            items.filter(|item| sub_path.is_none_or(|path| path == item.path)).map(|item| item.key.clone()).collect();
        keys.extend(sub_path.filter(|_| keys.is_empty()).map(str::to_owned));
        AccountSource::OptionFiles { secret: secret.to_owned(), keys }
    };
    let own = volume.secret.iter().filter_map(|of| Some(files(of.secret_name.as_deref()?, of.items.as_deref())));
    let projected = volume.projected.iter().flat_map(|of| of.sources.iter().flatten());
    let projected = projected.filter_map(|source| source.secret.as_ref());
    own.chain(projected.map(|of| files(&of.name, of.items.as_deref()))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(container: &Value, volumes: &Value) -> Vec<AccountSource> {
        let pod: PodSpec = serde_json::from_value(json!({"containers": [container], "volumes": volumes})).unwrap();
        of(&pod, &pod.containers[0])
    }

    fn from_secret(name: &str, secret: &str, key: &str) -> Value {
        json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
    }

    fn key(secret: &str, key: &str) -> SecretKey {
        SecretKey { secret: secret.to_owned(), key: key.to_owned() }
    }

    #[test]
    fn passwords_in_variables_are_found_with_their_names() {
        let env = json!([
            from_secret("MARIADB_ROOT_PASSWORD", "db", "root-password"),
            from_secret("MYSQL_DBSST_USERNAME", "sst", "username"),
            from_secret("MYSQL_DBSST_PASSWORD", "sst", "password"),
            {"name": "MARIADB_USER", "value": "shop"},
            from_secret("MARIADB_PASSWORD", "db", "password"),
            from_secret("KEY_PASSWORD", "db", "tls"),
            {"name": "PLAIN_PASSWORD", "value": "x"},
            {"name": "MADE_USER", "value": "$(POD_NAME)"},
            from_secret("MADE_PASSWORD", "db", "password"),
        ]);
        let variable =
            |name: &str, username, password| AccountSource::Variable { name: name.to_owned(), username, password };
        let expected = [
            variable("MARIADB_ROOT_PASSWORD", Username::Known("root".to_owned()), key("db", "root-password")),
            variable("MYSQL_DBSST_PASSWORD", Username::Key(key("sst", "username")), key("sst", "password")),
            variable("MARIADB_PASSWORD", Username::Known("shop".to_owned()), key("db", "password")),
        ];
        assert_eq!(found(&json!({"name": "c", "env": env}), &json!([])), expected);
    }

    #[test]
    fn secrets_that_are_mounted_may_hold_option_files() {
        let container = json!({"name": "c", "volumeMounts": [
            {"name": "config", "mountPath": "/a"}, {"name": "one", "mountPath": "/b", "subPath": "x.cnf"},
            {"name": "root", "mountPath": "/c"}, {"name": "data", "mountPath": "/d"}, {"name": "all", "mountPath": "/e"}]});
        let volumes = json!([
            {"name": "config", "secret": {"secretName": "config"}},
            {"name": "one", "secret": {"secretName": "one"}},
            {"name": "root", "secret": {"secretName": "root", "items": [{"key": "client.cnf", "path": "client.cnf"}]}},
            {"name": "data", "emptyDir": {}},
            {"name": "all", "projected": {"sources": [{"secret": {"name": "more"}}, {"configMap": {"name": "m"}}]}},
            {"name": "of-another-container", "secret": {"secretName": "other"}},
        ]);
        let files = |secret: &str, keys: &[&str]| AccountSource::OptionFiles {
            secret: secret.to_owned(),
            keys: keys.iter().map(ToString::to_string).collect(),
        };
        let expected =
            [files("config", &[]), files("one", &["x.cnf"]), files("root", &["client.cnf"]), files("more", &[])];
        assert_eq!(found(&container, &volumes), expected);
    }
}
