//! What Kubernetes' own events say about an object: often the only place where a reason stands.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;

/// Returns the newest event as `Reason: message`.
pub(crate) fn newest(events: Vec<Event>) -> Option<String> {
    let newest = events.into_iter().max_by_key(time)?;
    Some(format!("{}: {}", newest.reason.unwrap_or_default(), newest.message.unwrap_or_default().trim()))
}

/// When an event was seen last: senders of different ages fill in different fields.
fn time(event: &Event) -> Option<Timestamp> {
    let in_series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    in_series.max(last).max(first).or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_found_whoever_sent_it() {
        let event = |value: serde_json::Value| -> Event { serde_json::from_value(value).unwrap() };
        let about = serde_json::json!({});
        let events = vec![
            event(serde_json::json!({"metadata": {}, "involvedObject": about, "reason": "Old", "message": "x",
                "lastTimestamp": "2026-01-01T00:00:00Z"})),
            event(serde_json::json!({"metadata": {}, "involvedObject": about, "reason": "FailedScheduling",
                "message": "0/3 nodes\n", "eventTime": "2026-01-02T00:00:00.000000Z"})),
        ];
        assert_eq!(newest(events).unwrap(), "FailedScheduling: 0/3 nodes");
    }
}
