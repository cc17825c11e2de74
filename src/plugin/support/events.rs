//! Which of a namespace's Events are about the cluster or its backups: the others are nobody's concern here.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::model::names::JOB_PREFIX;

/// What the Events of a report may be about.
pub(super) struct Concerned {
    /// Kind and name of the objects in the report.
    objects: BTreeSet<(String, String)>,
    /// Claims that those mount.
    claims: BTreeSet<String>,
    statefulset: String,
}

impl Concerned {
    /// With the cluster, with these objects, and with the claim that backups are stored in.
    pub(super) fn new(statefulset: &str, objects: &[Value], store_claim: &str) -> Self {
        let text = |object: &Value, path: &str| object.pointer(path)?.as_str().map(str::to_owned);
        let named = objects.iter().filter(|object| object["kind"] != "PersistentVolumeClaim");
        let named = named.filter_map(|object| Some((text(object, "/kind")?, text(object, "/metadata/name")?)));
        let volumes = objects.iter().filter_map(|object| object.pointer("/spec/volumes")?.as_array()).flatten();
        let mounted = volumes.filter_map(|volume| text(volume, "/persistentVolumeClaim/claimName"));
        Self {
            objects: named.collect(),
            claims: mounted.chain([store_claim.to_owned()]).collect(),
            statefulset: statefulset.to_owned(),
        }
    }

    /// Whether an Event is about one of them, which may be gone by now.
    pub(super) fn has(&self, event: &Value) -> bool {
        let about = &event["involvedObject"];
        let (kind, name) = (about["kind"].as_str().unwrap_or_default(), about["name"].as_str().unwrap_or_default());
        match kind {
            "StatefulSet" => name == self.statefulset,
            "Pod" if self.is_replica(name) || name.starts_with(JOB_PREFIX) => true,
            "Job" if name.starts_with(JOB_PREFIX) => true,
            "PersistentVolumeClaim" => self.claims.contains(name) || self.is_claim_of_replica(name),
            _ => self.objects.contains(&(kind.to_owned(), name.to_owned())),
        }
    }

    fn is_replica(&self, pod: &str) -> bool {
        let ordinal = pod.strip_prefix(&self.statefulset).and_then(|rest| rest.strip_prefix('-'));
        ordinal.is_some_and(|ordinal| ordinal.parse::<u32>().is_ok())
    }

    /// A claim that the StatefulSet makes is named after its template and its pod.
    fn is_claim_of_replica(&self, claim: &str) -> bool {
        claim.match_indices('-').any(|(at, _)| self.is_replica(&claim[at + 1..]))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_of_others_in_the_namespace_are_left_out_and_those_of_what_is_gone_are_not() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "one-0"}, "spec": {"volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "moved"}}]}});
        let claim = json!({"kind": "PersistentVolumeClaim", "metadata": {"name": "of-others"}});
        let schedule = json!({"kind": "CronJob", "metadata": {"name": "nightly"}});
        let concerned = Concerned::new("one", &[pod, claim, schedule], "store");
        let has = |kind: &str, name: &str| concerned.has(&json!({"involvedObject": {"kind": kind, "name": name}}));
        let about = [
            ("StatefulSet", "one"),
            ("Pod", "one-0"),
            ("Pod", "one-7"),
            ("Pod", "mariadb-phy-backup-abcde-copy"),
            ("Job", "mariadb-phy-backup-abcde"),
            ("CronJob", "nightly"),
            ("PersistentVolumeClaim", "moved"),
            ("PersistentVolumeClaim", "data-one-2"),
            ("PersistentVolumeClaim", "store"),
        ];
        assert!(about.iter().all(|(kind, name)| has(kind, name)));
        let others = [
            ("StatefulSet", "two"),
            ("Pod", "one-web-0"),
            ("Pod", "shop"),
            ("Job", "shop"),
            ("CronJob", "shop"),
            ("PersistentVolumeClaim", "of-others"),
            ("PersistentVolumeClaim", "data-two-2"),
            ("Ingress", "one"),
        ];
        assert!(!others.iter().any(|(kind, name)| has(kind, name)));
        assert!(!concerned.has(&json!({"involvedObject": {}})));
    }
}
