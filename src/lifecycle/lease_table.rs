//! The worker's table of leases, read as a whole.

use serde_json::{Value, json};

use super::lease::Lease;
use crate::error::Error;
use crate::run::permission::{READ_LEASES, full_name, statement};
use crate::stream::CallErrorClass;
use crate::stream::kinesis::NeighbourClient;
use crate::stream::neighbour::NeighbourError;

/// Pages of a table: 1 MB each, some thousand leases.
const PAGES_MAX: usize = 10_000;

/// Every lease in `table`.
pub async fn leases(dynamodb: &NeighbourClient, table: &str) -> Result<Vec<Lease>, Error> {
    let mut leases = Vec::new();
    let mut start: Option<Value> = None;
    for _ in 0..PAGES_MAX {
        let mut body = json!({ "TableName": table, "ConsistentRead": true });
        if let (Some(start), Some(body)) = (start.take(), body.as_object_mut()) {
            body.insert("ExclusiveStartKey".to_owned(), start);
        }
        let answer =
            dynamodb.call("Scan", &body).await.map_err(|error| scan_error(dynamodb, table, &error))?;
        for row in answer.get("Items").and_then(Value::as_array).into_iter().flatten() {
            let Some(row) = row.as_object() else { continue };
            let lease = Lease::of_row(row).map_err(|error| {
                Error::refused(format!(
                    "the table {table} cannot be used: {error}; --lease-table takes the worker's application name"
                ))
            })?;
            leases.extend(lease);
        }
        match answer.get("LastEvaluatedKey").filter(|key| key.as_object().is_some_and(|key| !key.is_empty()))
        {
            Some(key) => start = Some(key.clone()),
            None => return Ok(leases),
        }
    }
    Err(Error::refused(format!("the table {table} does not come to an end: it is no table of leases")))
}

fn scan_error(dynamodb: &NeighbourClient, table: &str, error: &NeighbourError) -> Error {
    if error.is_of_another_service() {
        return Error::refused(format!(
            "{} does not answer for DynamoDB ({error}): name the endpoint where the worker keeps the table {table} with \
             --consumer-endpoint-url",
            dynamodb.endpoint()
        ));
    }
    let region = dynamodb.region();
    match error.code.as_deref() {
        Some("ResourceNotFoundException") => Error::refused(format!(
            "the table {table} does not exist in {region}, as {} says: it has the worker's application name, and is made when \
             the worker first starts; if it lies elsewhere, say --consumer-region, --consumer-profile or --consumer-endpoint-url",
            dynamodb.endpoint()
        )),
        Some("AccessDeniedException" | "AccessDenied") => {
            let resource = full_name("dynamodb", Some(region), &format!("table/{table}"));
            Error::refused(format!(
                "the table {table} cannot be read: {error}\nThis statement in a policy of yours allows it:\n{}",
                statement(&[READ_LEASES], &resource)
            ))
        }
        _ => match error.error.class {
            CallErrorClass::Throttled | CallErrorClass::Unreachable | CallErrorClass::Unknown(_) => {
                Error::incomplete(format!("the table {table} cannot be read now: {error}; try again"))
            }
            _ => Error::refused(format!("the table {table} cannot be read: {error}")),
        },
    }
}
