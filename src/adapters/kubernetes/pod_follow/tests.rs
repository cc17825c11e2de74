use http::Request;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::fake_api::{Answer, client};
use super::*;

const ENDED: &str = r#"{"terminated": {"exitCode": 0, "reason": "Completed", "message": "done"}}"#;

const RUNNING: &str = r#"{"running": {}}"#;

fn pod(state: &str) -> Value {
    let state: Value = serde_json::from_str(state).unwrap();
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": "run", "namespace": "db", "uid": "u", "resourceVersion": "2"},
        "spec": {"containers": []},
        "status": {"containerStatuses": [{"name": "agent", "image": "", "imageID": "", "ready": true,
            "restartCount": 0, "state": state}]},
    })
}

fn pod_list(state: &str) -> Answer {
    Answer::ok(&json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
        "items": [pod(state)]}))
}

fn is_log(request: &Request<Body>) -> bool {
    request.uri().path().ends_with("/log")
}

fn is_watch(request: &Request<Body>) -> bool {
    request.uri().query().is_some_and(|query| query.contains("watch=true"))
}

fn follower(answers: impl Fn(&Request<Body>) -> Answer + Send + Sync + 'static) -> PodFollower {
    let mut follower = PodFollower::new(client(answers), "db", "run", "agent");
    follower.limits = Limits { read_out: Duration::from_millis(300), ..Limits::default() };
    follower
}

/// Asks for news in ticks, as one does who has something else to do meanwhile.
async fn in_ticks(follower: &mut PodFollower) -> RunnerNews {
    let asking = async {
        loop {
            tokio::select! {
                news = follower.next() => return news.unwrap(),
                () = sleep(Duration::from_millis(100)) => {}
            }
        }
    };
    timeout(Duration::from_secs(5), asking).await.expect("the follower comes to an end")
}

#[tokio::test]
async fn a_node_that_hangs_delays_the_end_by_one_limit_however_often_it_is_asked_for() {
    let mut follower = follower(|request| if is_log(request) { Answer::Never } else { pod_list(ENDED) });
    let RunnerNews::Ended { last_word, how } = in_ticks(&mut follower).await else { panic!("there are no reports") };
    assert_eq!(last_word.as_deref(), Some("done"));
    assert!(how.starts_with("exit code 0"), "{how}");
}

#[tokio::test]
async fn a_right_that_is_missing_for_a_moment_does_not_end_what_runs() {
    let denials = std::sync::atomic::AtomicU32::new(0);
    let mut follower = follower(move |request| {
        if is_log(request) {
            Answer::Never
        } else if !is_watch(request) {
            pod_list(RUNNING)
        } else if denials.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2 {
            Answer::refused(403, "pods is forbidden")
        } else {
            Answer::Text(200, format!("{}\n", json!({"type": "MODIFIED", "object": pod(ENDED)})))
        }
    });
    follower.wait_until_started(Duration::from_secs(5), &mut |_| {}).await.unwrap();
    assert!(matches!(in_ticks(&mut follower).await, RunnerNews::Ended { last_word: Some(_), .. }));
}

#[tokio::test]
async fn a_right_that_stays_missing_is_told_after_the_limit() {
    let mut follower = follower(|request| match (is_log(request), is_watch(request)) {
        (true, _) => Answer::Never,
        (_, true) => Answer::refused(401, "Unauthorized"),
        _ => pod_list(RUNNING),
    });
    follower.limits.denied = Duration::from_millis(200);
    follower.wait_until_started(Duration::from_secs(5), &mut |_| {}).await.unwrap();
    let error = timeout(Duration::from_secs(5), follower.next()).await.unwrap().unwrap_err();
    assert_eq!(error.reason, Reason::Credentials);
}

#[tokio::test]
async fn a_right_that_is_missing_from_the_start_is_told_at_once() {
    let mut follower = follower(|_| Answer::refused(403, "pods is forbidden"));
    let mut tell = |_: &str| {};
    let started = follower.wait_until_started(Duration::from_mins(1), &mut tell);
    let error = timeout(Duration::from_secs(5), started).await.unwrap().unwrap_err();
    assert_eq!(error.reason, Reason::Forbidden);
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_told_with_the_end() {
    let refusal = "pods \"run\" is forbidden: cannot get resource \"pods/log\"";
    let mut refused =
        follower(move |request| if is_log(request) { Answer::refused(403, refusal) } else { pod_list(ENDED) });
    let RunnerNews::Ended { how, .. } = in_ticks(&mut refused).await else { panic!("there are no reports") };
    assert_eq!(how, format!("exit code 0; cannot read the log of pod db/run: {refusal}"));
    assert!(refused.log_trouble().is_some_and(|trouble| trouble.ends_with(refusal)));
    let mut silent = follower(|request| if is_log(request) { Answer::Never } else { pod_list(ENDED) });
    let RunnerNews::Ended { how, .. } = in_ticks(&mut silent).await else { panic!("there are no reports") };
    assert_eq!(how, "exit code 0; cannot read the log of pod db/run: its node does not answer");
}
