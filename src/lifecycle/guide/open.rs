//! What a checklist cannot know: names that are still open, when a replay begins, and where the worker keeps its leases.

use super::{Facts, after, clock};

/// What stands for the stream's name as long as it has none.
pub(super) const ANY_NAME: &str = "NAME";

/// Which words of `stream drained` are to be replaced, and by what.
pub(super) fn words_of_drained(facts: &Facts<'_>) -> Option<String> {
    let open = [
        (facts.run.is_none(), "the replay's name (`respool runs`) for RUN"),
        (facts.lease_table.is_none(), "the worker's application name for TABLE"),
    ];
    let open: Vec<&str> = open.into_iter().filter_map(|(open, what)| open.then_some(what)).collect();
    (!open.is_empty()).then(|| format!("put {}", open.join(", and ")))
}

/// Until when it all has to be read, for a replay that has not begun.
pub(super) fn until_once_begun(facts: &Facts<'_>, stream: &str) -> Option<String> {
    let (_, plan) = facts.plan.filter(|_| facts.run.is_none())?;
    let hours = match facts.stream {
        Some(found) => found.description.retention_hours,
        None => plan.stream.retention_hours?,
    };
    let begun_now = after(facts.now, hours).map(|until| format!(" (begun now: by {})", clock(until)));
    let begun_now = begun_now.unwrap_or_default();
    Some(format!(
        "within {hours} h of the replay's start{begun_now}: {stream} forgets its first records then"
    ))
}

/// Whether the stream is on this machine and nobody has said where its worker keeps its leases: not in AWS.
pub(super) fn lacks_the_workers_place(facts: &Facts<'_>) -> bool {
    facts.consumer.endpoint_url.is_none() && facts.access.is_local()
}

/// A stream of one's own says nothing of where its worker's leases are.
pub(super) fn leases_elsewhere(facts: &Facts<'_>) -> Option<String> {
    let stream = facts.access.endpoint_url.as_ref()?;
    match &facts.consumer.endpoint_url {
        None if lacks_the_workers_place(facts) => {
            Some("URL is the DynamoDB in which the worker keeps it: AWS' own is not asked".into())
        }
        None => Some("the table is looked for in AWS: --consumer-endpoint-url names another DynamoDB".into()),
        Some(consumer) if consumer == stream => Some(format!(
            "{stream} has to answer for DynamoDB, which `respool simulate` does not: --consumer-endpoint-url names another"
        )),
        Some(_) => None,
    }
}
