//! What a person types where a restore could neither be finished nor undone.

use serde_json::{Value, json};

use super::course::Course;
use super::phase3_start::all;
use crate::model::cluster::{ClusterView, ServerSpec};
use crate::model::names::{DATA_VOLUME_PATH, REBOOT_NODE_ANNOTATION, RESTORE_DIRECTORY};
use crate::model::obligation::{OBLIGATION_ANNOTATION, RestoreDebt};
use crate::model::workload::Replica;
use crate::patience::patiently;

/// The pod by which something is done to a volume, and the shell's word for doing it.
const POD: &str = "on-volume";
const DO: &str = "on_volume";

/// Every line of it is a command, for a shell that has kubectl: what can be tried again, and how to do without.
pub(super) async fn instructions(course: &Course<'_>) -> String {
    let cluster = course.ports.conductor.cluster;
    let view = patiently(course.ports.conductor, || cluster.view()).await;
    lines(&course.debt, &all(course), course.run(), view.ok().as_ref()).join("\n")
}

fn lines(debt: &RestoreDebt, all: &[Replica], run: &str, view: Option<&ClusterView>) -> Vec<String> {
    let set = debt.leader.pod.rsplit_once('-').map_or("", |(set, _)| set);
    let namespace = view.map(|view| format!(" -n {}", view.namespace)).unwrap_or_default();
    let again = format!("to try again, for nothing is removed meanwhile ({}): {RECOVER}", old_data(debt, run));
    let mut lines = vec![again];
    match (&debt.state_config_map, view) {
        (Some(map), _) => lines.push(format!(
            "by hand, to say whose data the cluster starts from: kubectl annotate configmap {map}{namespace} --overwrite {REBOOT_NODE_ANNOTATION}=POD"
        )),
        (None, Some(view)) => lines.extend(crown(debt, all, view)),
        (None, None) => lines.push(
            "by hand, set safe_to_bootstrap: 1 in grastate.dat on the volume whose seqno is the highest".to_owned(),
        ),
    }
    let spec = json!({"spec": {"replicas": debt.saved.replicas, "ordinals": {"start": debt.saved.first}}});
    lines.push(format!("to start all: kubectl patch statefulset {set}{namespace} --type=merge -p '{spec}'"));
    lines.push(format!(
        "once it serves, to forget the restore: kubectl annotate statefulset {set}{namespace} {OBLIGATION_ANNOTATION}-"
    ));
    lines
}

const RECOVER: &str = "kubectl mariadb-backup recover";

/// Where the old data are.
fn old_data(debt: &RestoreDebt, run: &str) -> String {
    let (pod, claim) = (&debt.leader.pod, &debt.leader.claim);
    if debt.place.has_room_beside() {
        let own = &debt.place.directory;
        format!("the old data of {pod} are in {RESTORE_DIRECTORY}/old-{run} on claim {claim}, or in its {own} again")
    } else if debt.others.is_empty() {
        format!("the old data were given up; claim {claim} has the restored ones")
    } else {
        format!("the old data are on the claims other than {claim}")
    }
}

/// The furthest is seen and made the one that starts the cluster, by a pod on each volume: no server runs that could be
/// entered.
fn crown(debt: &RestoreDebt, all: &[Replica], view: &ClusterView) -> Vec<String> {
    let (namespace, pod) = (&view.namespace, pod(&view.server));
    let file = format!("{DATA_VOLUME_PATH}/{}/grastate.dat", debt.place.directory).replace("//", "/");
    let claims: Vec<_> = all.iter().map(|replica| replica.claim.as_str()).collect();
    let furthest = if let [only] = claims.as_slice() { only } else { "CLAIM" };
    vec![
        format!(
            "by hand, to do something on a volume: {DO}() {{ kubectl run {POD} -n {namespace} --image={image} --restart=Never --override-type=merge --overrides='{pod}' && kubectl wait pod/{POD} -n {namespace} --for=jsonpath='{{.status.phase}}'=Succeeded; kubectl logs {POD} -n {namespace}; kubectl delete pod {POD} -n {namespace}; }}",
            image = view.server.image
        ),
        format!(
            "to see by its seqno how far each is (-1 where it was not stopped cleanly): for claim in {}; do echo $claim; {DO} $claim \"cat {file}\"; done",
            claims.join(" ")
        ),
        format!(
            "to let the furthest start the cluster: {DO} {furthest} \"sed -i 's/^safe_to_bootstrap:.*/safe_to_bootstrap: 1/' {file}\""
        ),
    ]
}

/// A pod that runs `$2` on the volume of claim `$1`, as the server would.
fn pod(server: &ServerSpec) -> String {
    let secrets: Vec<Value> = server.image_pull_secrets.iter().map(|name| json!({"name": name})).collect();
    let mut spec = json!({
        "containers": [{
            "name": POD, "image": server.image, "command": ["sh", "-c", "$2"],
            "volumeMounts": [{"name": "data", "mountPath": DATA_VOLUME_PATH}],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "$1"}}],
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": server.user(), "runAsGroup": server.group(),
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    });
    if server.tolerations.as_array().is_some_and(|all| !all.is_empty()) {
        spec["tolerations"] = server.tolerations.clone();
    }
    if !secrets.is_empty() {
        spec["imagePullSecrets"] = secrets.into();
    }
    // Between quotes of its own, so that the shell puts them in.
    ["$1", "$2"]
        .iter()
        .fold(json!({"spec": spec}).to_string(), |text, word| text.replace(word, &format!("'\"{word}\"'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(ordinal: i32) -> Value {
        json!({"ordinal": ordinal, "pod": format!("db-{ordinal}"), "claim": format!("data-db-{ordinal}")})
    }

    fn debt(others: &[i32], more: &Value) -> RestoreDebt {
        let others: Vec<_> = others.iter().copied().map(replica).collect();
        let mut debt = json!({
            "backup": "base/2026-01-01_00-00-00", "stage": "starting", "reached": "starting", "leader": replica(0),
            "others": others, "saved": {"replicas": 3, "first": 0}, "place": {"directory": "mysql"}, "scratch": "beside",
        });
        debt.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(debt).unwrap()
    }

    fn view() -> ClusterView {
        ClusterView {
            namespace: "shop".to_owned(),
            statefulset: "db".to_owned(),
            uid: String::new(),
            replicas: 0,
            pods: vec![],
            server: ServerSpec { image: "mariadb:10.11".to_owned(), ..ServerSpec::default() },
            obligation: None,
            last_restore: None,
        }
    }

    fn told(debt: &RestoreDebt, view: Option<&ClusterView>) -> String {
        let all: Vec<_> = debt.replicas().cloned().collect();
        lines(debt, &all, "run-x", view).join("\n")
    }

    #[test]
    fn every_line_is_a_command_that_can_be_typed() {
        insta::assert_snapshot!(told(&debt(&[1, 2], &json!({})), Some(&view())), @r##"
        to try again, for nothing is removed meanwhile (the old data of db-0 are in .mariadb-backup/old-run-x on claim data-db-0, or in its mysql again): kubectl mariadb-backup recover
        by hand, to do something on a volume: on_volume() { kubectl run on-volume -n shop --image=mariadb:10.11 --restart=Never --override-type=merge --overrides='{"spec":{"containers":[{"command":["sh","-c","'"$2"'"],"image":"mariadb:10.11","name":"on-volume","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}},"volumeMounts":[{"mountPath":"/var/data","name":"data"}]}],"securityContext":{"runAsGroup":999,"runAsNonRoot":true,"runAsUser":999,"seccompProfile":{"type":"RuntimeDefault"}},"volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"'"$1"'"}}]}}' && kubectl wait pod/on-volume -n shop --for=jsonpath='{.status.phase}'=Succeeded; kubectl logs on-volume -n shop; kubectl delete pod on-volume -n shop; }
        to see by its seqno how far each is (-1 where it was not stopped cleanly): for claim in data-db-0 data-db-1 data-db-2; do echo $claim; on_volume $claim "cat /var/data/mysql/grastate.dat"; done
        to let the furthest start the cluster: on_volume CLAIM "sed -i 's/^safe_to_bootstrap:.*/safe_to_bootstrap: 1/' /var/data/mysql/grastate.dat"
        to start all: kubectl patch statefulset db -n shop --type=merge -p '{"spec":{"ordinals":{"start":0},"replicas":3}}'
        once it serves, to forget the restore: kubectl annotate statefulset db -n shop mariadb-backup.io/obligation-
        "##);
    }

    #[test]
    fn what_is_left_of_the_old_data_is_said() {
        let full = json!({"place": {"directory": "mysql", "isFull": true}});
        let first = |debt: &RestoreDebt| told(debt, None).lines().next().unwrap().to_owned();
        assert!(first(&debt(&[1], &full)).contains("the old data are on the claims other than data-db-0"));
        assert!(first(&debt(&[], &full)).contains("the old data were given up; claim data-db-0 has the restored ones"));
    }

    #[test]
    fn servers_in_the_way_of_openstack_helm_are_told_by_their_config_map_who_starts() {
        let told = told(&debt(&[1], &json!({"stateConfigMap": "state"})), Some(&view()));
        assert!(told.contains("kubectl annotate configmap state -n shop --overwrite "), "{told}");
        assert!(!told.contains(DO), "{told}");
    }

    #[test]
    fn the_pod_is_json_once_the_shell_has_put_its_arguments_in() {
        let tolerations = json!([{"key": "db", "operator": "Exists"}]);
        let server = ServerSpec {
            tolerations: tolerations.clone(),
            image_pull_secrets: vec!["pull".to_owned()],
            ..view().server
        };
        let typed = pod(&server).replace("'\"$1\"'", "data-db-0").replace("'\"$2\"'", "cat /x");
        let spec = serde_json::from_str::<Value>(&typed).unwrap()["spec"].clone();
        assert_eq!(spec["volumes"][0]["persistentVolumeClaim"]["claimName"], "data-db-0");
        assert_eq!(spec["containers"][0]["command"], json!(["sh", "-c", "cat /x"]));
        assert_eq!((&spec["tolerations"], &spec["imagePullSecrets"]), (&tolerations, &json!([{"name": "pull"}])));
    }
}
