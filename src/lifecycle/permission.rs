//! What is missing, as a statement of IAM to paste.

use serde_json::json;

use crate::stream::StreamDescription;
use crate::stream::name::StreamName;

/// A statement that allows `actions` on `resource`.
#[must_use]
pub fn statement(actions: &[&str], resource: &str) -> String {
    let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": resource });
    serde_json::to_string_pretty(&statement).unwrap_or_default()
}

/// The stream's full name as far as it is known, with a star for each part that is not.
#[must_use]
pub fn resource(stream: &StreamName, region: Option<&str>, found: Option<&StreamDescription>) -> String {
    if let Some(arn) = found.and_then(|found| found.arn.clone()) {
        return arn;
    }
    match stream {
        StreamName::Arn(arn) => arn.as_str().to_owned(),
        StreamName::Name(name) => format!("arn:aws:kinesis:{}:*:stream/{name}", region.unwrap_or("*")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_can_be_pasted() {
        let stream: StreamName = "orders".parse().unwrap();
        let resource = resource(&stream, Some("eu-west-1"), None);
        assert_eq!(resource, "arn:aws:kinesis:eu-west-1:*:stream/orders");
        let statement: serde_json::Value =
            serde_json::from_str(&statement(&["kinesis:PutRecords"], &resource)).unwrap();
        assert_eq!(statement["Action"][0], "kinesis:PutRecords");
        assert_eq!(statement["Effect"], "Allow");
    }
}
