//! One JSON call to DynamoDB, CloudWatch or Firehose, with the credentials and connections of the Kinesis client.

use serde_json::Value;

use super::super::neighbour::{Neighbour, NeighbourConfig, NeighbourError};
use super::super::{CallError, CallErrorClass};

/// A service that can be asked.
#[derive(Debug)]
pub struct NeighbourClient {
    service: Neighbour,
}

impl NeighbourClient {
    /// Finds out region and credentials' source; nothing is asked yet.
    pub async fn connect(service: Neighbour, _config: &NeighbourConfig) -> Result<Self, CallError> {
        Ok(Self { service })
    }

    /// The region.
    pub fn region(&self) -> &str {
        ""
    }

    /// Calls `operation` with `body`.
    pub async fn call(&self, operation: &str, _body: &Value) -> Result<Value, NeighbourError> {
        let message = format!("{} {operation}", self.service.name());
        Err(NeighbourError { code: None, error: CallError { class: CallErrorClass::Unreachable, message } })
    }
}
