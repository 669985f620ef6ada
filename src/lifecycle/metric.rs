//! How old the records are that are read from a stream, minute by minute, as CloudWatch knows it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::MinuteAge;
use crate::error::Error;
use crate::run::permission::{READ_AGES, statement};
use crate::stream::CallErrorClass;
use crate::stream::kinesis::NeighbourClient;
use crate::stream::neighbour::NeighbourError;

/// How far back is looked.
const WINDOW_SECONDS: i64 = 15 * 60;

/// The minutes before `now`, in any order.
pub async fn minutes(
    cloudwatch: &NeighbourClient,
    stream: &str,
    now: Timestamp,
) -> Result<Vec<MinuteAge>, Error> {
    let minute = now.as_second().div_euclid(60) * 60;
    let query = json!({
        "StartTime": minute - WINDOW_SECONDS,
        "EndTime": minute + 60,
        "MetricDataQueries": [{
            "Id": "age",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/Kinesis",
                    "MetricName": "GetRecords.IteratorAgeMilliseconds",
                    "Dimensions": [{ "Name": "StreamName", "Value": stream }],
                },
                "Period": 60,
                "Stat": "Maximum",
            },
            "ReturnData": true,
        }],
    });
    let answer =
        cloudwatch.call("GetMetricData", &query).await.map_err(|error| metric_error(cloudwatch, &error))?;
    parse(&answer)
        .ok_or_else(|| Error::incomplete("CloudWatch gave an answer that cannot be read: try again"))
}

fn parse(answer: &Value) -> Option<Vec<MinuteAge>> {
    let mut minutes = Vec::new();
    for result in answer.get("MetricDataResults")?.as_array()? {
        let times = result.get("Timestamps").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let values = result.get("Values").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (time, value) in times.iter().zip(values) {
            minutes.push(MinuteAge { at: seconds(time)?, age_ms: value.as_f64()? });
        }
    }
    Some(minutes)
}

/// An instant as JSON protocols write it: seconds since 1970, or a text.
fn seconds(time: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
    let of_number = time.as_f64().map(|seconds| seconds as i64);
    of_number.or_else(|| Some(time.as_str()?.parse::<Timestamp>().ok()?.as_second()))
}

fn metric_error(cloudwatch: &NeighbourClient, error: &NeighbourError) -> Error {
    if error.is_of_another_service() {
        return Error::refused(format!(
            "{} does not answer for CloudWatch ({error}): name the endpoint that does with --consumer-endpoint-url, or \
             --lease-table TABLE to ask DynamoDB for the worker's leases instead",
            cloudwatch.endpoint()
        ));
    }
    match error.code.as_deref() {
        Some("AccessDenied" | "AccessDeniedException") => Error::refused(format!(
            "CloudWatch cannot be asked: {error}\nThis statement in a policy of yours allows it:\n{}",
            statement(&[READ_AGES], "*")
        )),
        _ => match error.error.class {
            CallErrorClass::Throttled | CallErrorClass::Unreachable | CallErrorClass::Unknown(_) => {
                Error::incomplete(format!("CloudWatch cannot be asked now: {error}; try again"))
            }
            _ => Error::refused(format!("CloudWatch cannot be asked: {error}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_in_both_spellings_of_time() {
        let answer = json!({ "MetricDataResults": [{
            "Id": "age",
            "Timestamps": [1_795_000_020.0, "2026-11-18T12:00:00Z"],
            "Values": [0.0, 1_500.0],
        }]});
        let expected = [
            MinuteAge { at: 1_795_000_020, age_ms: 0.0 },
            MinuteAge {
                at: "2026-11-18T12:00:00Z".parse::<Timestamp>().unwrap().as_second(),
                age_ms: 1_500.0,
            },
        ];
        assert_eq!(parse(&answer).unwrap(), expected);
        assert_eq!(parse(&json!({ "MetricDataResults": [] })).unwrap(), []);
        assert_eq!(parse(&json!({})), None);
        assert_eq!(parse(&json!({ "MetricDataResults": [{ "Timestamps": [{}], "Values": [1] }] })), None);
    }
}
