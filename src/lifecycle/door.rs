//! The way to a stream that is changed, and what a refusal means for the one who asked.

use crate::config::{AwsAccess, StateDir};
use crate::error::Error;
use crate::run::at_hand::{self, Service};
use crate::run::permission;
use crate::stream::control::{ControlError, ControlRefusal, StreamParticulars};
use crate::stream::kinesis::{KinesisConfig, KinesisStream};
use crate::stream::name::StreamName;
use crate::stream::{CallError, CallErrorClass};

/// A stream and how it is reached.
pub struct Door {
    /// The stream.
    pub stream: KinesisStream,
    /// As the user named it.
    pub name: StreamName,
    /// Whose credentials are used.
    pub profile: Option<String>,
    /// What a command has to say to come here again, a blank before each flag.
    pub flags: String,
    /// Where the runs into it are kept, as far as that was told.
    pub state: StateDir,
    /// The door itself.
    pub access: AwsAccess,
    endpoint: Option<String>,
}

impl Door {
    /// Finds region and credentials; nothing is asked yet.
    pub async fn open(name: &StreamName, access: &AwsAccess) -> Result<Self, Error> {
        let mut access = access.clone();
        at_hand::settle(Service::Kinesis, &mut access).await?;
        let endpoint = access.endpoint_url.as_ref().map(|endpoint| endpoint.as_str().to_owned());
        let config = KinesisConfig {
            region: access.region.clone(),
            profile: access.profile.clone(),
            endpoint_url: endpoint.clone(),
            ..KinesisConfig::new(name.clone())
        };
        let stream = KinesisStream::connect(config)
            .await
            .map_err(|error| Error::refused(format!("the stream {name}: {}", error.message)))?;
        // It may be the environment's, which is another one where a command is pasted.
        access.region = Some(stream.region().to_owned());
        Ok(Self {
            stream,
            name: name.clone(),
            profile: access.profile.clone(),
            flags: access.own_flags("kinesis"),
            state: StateDir::usual(""),
            access,
            endpoint,
        })
    }

    /// The same, whose commands look for runs in `state`.
    #[must_use]
    pub fn with_runs_in(self, state: &StateDir) -> Self {
        let flags = [self.flags, state.flag()].concat();
        Self { flags, state: state.clone(), ..self }
    }

    /// The way to a server that checks no signature.
    #[cfg(test)]
    pub(super) fn unchecked(config: KinesisConfig) -> Self {
        let (name, endpoint) = (config.stream.clone(), config.endpoint_url.clone());
        let (access, flags, state) = (AwsAccess::default(), String::new(), StateDir::usual(""));
        Self { stream: KinesisStream::unchecked(config), name, profile: None, flags, state, access, endpoint }
    }

    /// Everything about the stream; `None` if it is not there.
    pub async fn look(&self) -> Result<Option<StreamParticulars>, Error> {
        match self.stream.particulars().await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) if error.kind == ControlRefusal::Other && is_passing(error.error.class) => {
                Err(Error::incomplete(format!(
                    "cannot look at the stream {}{}: {}; nothing was done: check the network and the address \
                     (--kinesis-endpoint-url, --region), and try again",
                    self.name,
                    self.at(),
                    error.error.message
                )))
            }
            Err(error) => Err(self.error("cannot look at", &permission::LOOK_AT_STREAM, &error)),
        }
    }

    /// The same of a stream that must be there.
    pub async fn must_look(&self) -> Result<StreamParticulars, Error> {
        self.look().await?.ok_or_else(|| self.not_there())
    }

    /// The stream does not exist.
    pub fn not_there(&self) -> Error {
        self.not_there_so(&format!("`respool stream create {} --shards N{}` makes it", self.name, self.flags))
    }

    /// The same, with `what` is to be done about it.
    pub fn not_there_so(&self, what: &str) -> Error {
        Error::refused(format!(
            "the stream {} does not exist{}: {what}; if it lives elsewhere, say --region, --profile or --endpoint-url",
            self.name,
            self.at()
        ))
    }

    /// Where it is, a blank before it.
    pub fn at(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!(" at {endpoint}"),
            None => format!(" in {}", self.stream.region()),
        }
    }

    /// What it means that `doing` something failed, for which the caller needs `actions`.
    pub fn error(&self, doing: &str, actions: &[&str], error: &ControlError) -> Error {
        let said = format!("{doing} the stream {}: {}", self.name, error.error.message);
        match error.kind {
            ControlRefusal::Forbidden => {
                let resource = permission::resource(&self.name, Some(self.stream.region()), None);
                let statement = permission::statement(actions, &resource);
                Error::refused(format!("{said}\nThis statement in a policy of yours allows it:\n{statement}"))
            }
            ControlRefusal::InUse => Error::refused(format!(
                "{said}\nIt is being changed by someone else: try again when `respool stream status {}{}` says ACTIVE",
                self.name, self.flags
            )),
            ControlRefusal::Limit => Error::refused(format!(
                "{said}\nA limit of the account or the stream is reached (Service Quotas shows and raises them); of calls \
                 that only came too fast, try again in a minute"
            )),
            ControlRefusal::Other => self.other(&said, &error.error),
        }
    }

    fn other(&self, said: &str, error: &CallError) -> Error {
        match error.class {
            CallErrorClass::NotFound => self.not_there(),
            CallErrorClass::Invalid
            | CallErrorClass::Forbidden
            | CallErrorClass::Denied
            | CallErrorClass::Credentials => Error::refused(said),
            CallErrorClass::Throttled | CallErrorClass::Unreachable | CallErrorClass::Unknown(_) => {
                if error.class == CallErrorClass::Unreachable {
                    return Error::incomplete(format!(
                        "{said}; nothing of it was done{}: try again",
                        self.at()
                    ));
                }
                Error::incomplete(format!(
                    "{said}; what was asked for may have been done{}: `respool stream status {}{}` tells",
                    self.at(),
                    self.name,
                    self.flags
                ))
            }
        }
    }
}

/// Whether the same may work in a minute.
fn is_passing(class: CallErrorClass) -> bool {
    matches!(class, CallErrorClass::Throttled | CallErrorClass::Unreachable | CallErrorClass::Unknown(_))
}
