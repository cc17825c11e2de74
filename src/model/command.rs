//! Commands that are named in texts for people, completed so that they can be typed as they stand.
//!
//! Whoever writes such a text knows what is to be done, and not always where; the conductor knows namespace and
//! cluster, and the plugin by which flags its user reaches them.

/// What a command of ours begins with.
const OURS: &str = "kubectl mariadb-backup ";

/// What every command begins with.
const ANY: &str = "kubectl ";

/// Commands of kubectl's own that are about what lies in a namespace.
const NAMESPACED: [&str; 9] = ["annotate", "create", "delete", "describe", "edit", "get", "logs", "patch", "scale"];

/// Adds namespace and cluster to every command in a text that names no namespace.
#[must_use]
pub fn placed(text: &str, namespace: &str, statefulset: &str) -> String {
    each(text, |command| {
        if command.contains(" -n ") {
            return command.to_owned();
        }
        if let Some(rest) = command.strip_prefix(OURS) {
            let (words, rest) = rest.split_at(words(rest));
            let has_cluster = rest.contains("--statefulset ");
            let cluster = if has_cluster { String::new() } else { format!(" --statefulset {statefulset}") };
            return if words.is_empty() {
                command.to_owned()
            } else {
                format!("{OURS}{words} -n {namespace}{cluster}{rest}")
            };
        }
        let rest = &command[ANY.len()..];
        let verb = rest.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default();
        if NAMESPACED.contains(&verb) { format!("{ANY}-n {namespace} {rest}") } else { command.to_owned() }
    })
}

/// Where the commands lead that a run names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Namespace of the cluster it works on.
    pub namespace: String,
    /// That cluster.
    pub statefulset: String,
    /// Namespace and name of the cluster whose backup it works with, where that is another one.
    pub source: Option<(String, String)>,
}

/// Commands of ours about stored backups, which are those of the cluster they were made of.
const OF_BACKUPS: [&str; 5] = ["list", "verify", "sync", "describe", "drill"];

impl Places {
    /// Adds namespace and cluster to every command in a text that names no namespace.
    #[must_use]
    pub fn placed(&self, text: &str) -> String {
        let of_backups = |command: &str| {
            let rest = command.strip_prefix(OURS)?;
            OF_BACKUPS.contains(&&rest[..words(rest)]).then_some(self.source.as_ref()?)
        };
        let text = each(text, |command| match of_backups(command) {
            Some((namespace, statefulset)) => placed(command, namespace, statefulset),
            None => command.to_owned(),
        });
        placed(&text, &self.namespace, &self.statefulset)
    }
}

/// Adds flags, each with a space before it, to every command in a text that has them not yet.
#[must_use]
pub fn reached(text: &str, flags: &str) -> String {
    if flags.is_empty() {
        return text.to_owned();
    }
    each(text, |command| match command.strip_prefix(OURS) {
        _ if command.contains(flags) => command.to_owned(),
        // A plugin's flags stand behind its name.
        Some(rest) => {
            let (words, rest) = rest.split_at(words(rest));
            format!("{OURS}{words}{flags}{rest}")
        }
        None => format!("kubectl{flags} {}", &command[ANY.len()..]),
    })
}

/// How many bytes the words of a command of ours take: one, or two of those that have subcommands.
fn words(rest: &str) -> usize {
    let end = |text: &str| text.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(text.len());
    let first = end(rest);
    if &rest[..first] == "schedule" && rest[first..].starts_with(' ') {
        return first + 1 + end(&rest[first + 1..]);
    }
    first
}

/// Changes every command in a text.
fn each(text: &str, change: impl Fn(&str) -> String) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(ANY) {
        let (before, from) = rest.split_at(start);
        let (command, after) = from.split_at(end(from));
        done.push_str(before);
        done.push_str(&change(command));
        rest = after;
    }
    done.push_str(rest);
    done
}

/// Where a command ends that a text begins with: at the end of its line, or where a sentence goes on outside
/// of quotes, or at the next command.
fn end(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (_, '\n') | (None, ';' | ')') => return at,
            (None, ',') if text[at + 1..].starts_with(' ') => return at,
            (None, 'k') if at > 0 && text[at..].starts_with(ANY) => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_ours_leads_to_its_cluster() {
        let placed = |text: &str| placed(text, "db", "m");
        assert_eq!(
            placed("to go on: kubectl mariadb-backup recover"),
            "to go on: kubectl mariadb-backup recover -n db --statefulset m"
        );
        assert_eq!(
            placed("kubectl mariadb-backup sync --to s3; then kubectl mariadb-backup list, twice"),
            "kubectl mariadb-backup sync -n db --statefulset m --to s3; then kubectl mariadb-backup list -n db --statefulset m, twice"
        );
        let whole = "kubectl mariadb-backup logs x -n other";
        assert_eq!(placed(whole), whole);
    }

    #[test]
    fn a_command_of_kubectl_s_own_gets_the_namespace_where_it_needs_one() {
        let placed = |text: &str| placed(text, "db", "m");
        assert_eq!(placed("see kubectl get pod x -o wide"), "see kubectl -n db get pod x -o wide");
        assert_eq!(placed("kubectl cluster-info"), "kubectl cluster-info");
        assert_eq!(placed("one\nkubectl logs p\nlast"), "one\nkubectl -n db logs p\nlast");
        assert_eq!(placed("nothing to type"), "nothing to type");
        let patch = "kubectl patch statefulset m --type=merge -p '{\"spec\":{\"replicas\":3}}'";
        assert_eq!(placed(patch), patch.replacen("kubectl", "kubectl -n db", 1));
    }

    #[test]
    fn what_is_said_after_a_command_is_not_taken_for_a_part_of_it() {
        assert_eq!(
            placed(
                "for the time: kubectl delete hpa m; Flux would start it (flux suspend helmrelease m -n db)",
                "db",
                "m"
            ),
            "for the time: kubectl -n db delete hpa m; Flux would start it (flux suspend helmrelease m -n db)"
        );
        assert_eq!(
            placed("see it (kubectl get pods), or kubectl get nodes -n x", "db", "m"),
            "see it (kubectl -n db get pods), or kubectl get nodes -n x"
        );
    }

    #[test]
    fn a_command_about_backups_leads_to_the_cluster_they_were_made_of() {
        let places = |source: Option<(&str, &str)>| Places {
            namespace: "staging".to_owned(),
            statefulset: "s".to_owned(),
            source: source.map(|(namespace, name)| (namespace.to_owned(), name.to_owned())),
        };
        let text = "choose another: kubectl mariadb-backup list; to go on: kubectl mariadb-backup recover";
        assert_eq!(
            places(Some(("db", "m"))).placed(text),
            "choose another: kubectl mariadb-backup list -n db --statefulset m; \
             to go on: kubectl mariadb-backup recover -n staging --statefulset s"
        );
        assert_eq!(places(None).placed(text), placed(text, "staging", "s"));
    }

    #[test]
    fn a_command_leads_there_by_the_flags_its_reader_gave() {
        let text = "kubectl mariadb-backup recover -n db; kubectl -n db get pods";
        let flags = " --context x";
        assert_eq!(
            reached(text, flags),
            "kubectl mariadb-backup recover --context x -n db; kubectl --context x -n db get pods"
        );
        assert_eq!(reached(text, ""), text);
        assert_eq!(reached(&reached(text, flags), flags), reached(text, flags), "they are given once");
    }
}
