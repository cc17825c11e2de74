use http::Request;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::fake_api::{Answer, client};
use super::*;

const ENDED: &str = r#"{"terminated": {"exitCode": 0, "reason": "Completed", "message": "done"}}"#;

fn pod_list(state: &str) -> Answer {
    let state: Value = serde_json::from_str(state).unwrap();
    Answer::ok(&json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": [{
        "metadata": {"name": "run", "namespace": "db", "uid": "u"},
        "spec": {"containers": []},
        "status": {"containerStatuses": [{"name": "agent", "image": "", "imageID": "", "ready": true,
            "restartCount": 0, "state": state}]},
    }]}))
}

fn is_log(request: &Request<Body>) -> bool {
    request.uri().path().ends_with("/log")
}

fn follower(answers: impl Fn(&Request<Body>) -> Answer + Send + Sync + 'static) -> PodFollower {
    let mut follower = PodFollower::new(client(answers), "db", "run", "agent");
    follower.limits = Limits { read_out: Duration::from_millis(300) };
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
