//! The door to a service: region, profile and endpoint, and how a command line says them.
//!
//! Whatever prints a command that asks the same service again prints its door along, or keeps it where the command
//! finds it (a run's file, a saved plan): a command that has lost its endpoint is one for AWS.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Endpoint, Tuning};
use crate::shown::shown;

/// How a service of AWS is reached. What is absent is left to the SDK's own chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsAccess {
    /// The region.
    pub region: Option<String>,
    /// The profile in the user's AWS configuration.
    pub profile: Option<String>,
    /// The endpoint, where it is not AWS' own.
    pub endpoint_url: Option<Endpoint>,
}

impl AwsAccess {
    /// Each part from here, or else from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            region: self.region.or(other.region),
            profile: self.profile.or(other.profile),
            endpoint_url: self.endpoint_url.or(other.endpoint_url),
        }
    }

    /// The parts by the names of their flags.
    fn parts(&self) -> [(&'static str, Option<&str>); 3] {
        let endpoint = self.endpoint_url.as_ref().map(Endpoint::as_str);
        [("region", self.region.as_deref()), ("profile", self.profile.as_deref()), ("endpoint-url", endpoint)]
    }

    /// The flags that open the same door again, each with a blank before it; `whose` stands in their names.
    #[must_use]
    pub fn flags(&self, whose: &str) -> String {
        self.words(whose).iter().fold(String::new(), |mut flags, word| {
            let _ = write!(flags, " {}", quoted(word));
            flags
        })
    }

    /// The same as words.
    fn words(&self, whose: &str) -> Vec<String> {
        let dash = if whose.is_empty() { "" } else { "-" };
        let given = self.parts().into_iter().filter_map(|(flag, value)| Some((flag, value?)));
        given.flat_map(|(flag, value)| [format!("--{whose}{dash}{flag}"), value.to_owned()]).collect()
    }

    /// The same for a command of ours, which has to be allowed to use a door in clear.
    #[must_use]
    pub fn own_flags(&self, whose: &str) -> String {
        [&self.flags(whose), exposure_flag(&[self])].concat()
    }

    /// Whether it leads to this machine, of which AWS knows nothing.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.endpoint_url.as_ref().is_some_and(Endpoint::is_loopback)
    }

    /// Where this door differs from the one that was planned with, in words.
    #[must_use]
    pub fn other_than(&self, planned: &Self) -> Option<String> {
        let nobody = |flag: &str| if flag == "endpoint-url" { "AWS' own" } else { "the AWS configuration's" };
        let differences: Vec<String> = self
            .parts()
            .into_iter()
            .zip(planned.parts())
            .filter(|((_, now), (_, then))| now != then)
            .map(|((flag, now), (_, then))| {
                let (now, then) = (now.unwrap_or(nobody(flag)), then.unwrap_or(nobody(flag)));
                format!("its {} is {now}, the plan says {then}", flag.trim_end_matches("-url"))
            })
            .collect();
        (!differences.is_empty()).then(|| differences.join("; "))
    }
}

impl Tuning {
    /// The flags that open the same doors again, each with a blank before it.
    #[must_use]
    pub fn door_flags(&self) -> String {
        let flags = doors(&self.s3, &self.kinesis).map(|(whose, door)| door.flags(whose)).concat();
        flags + exposure_flag(&[&self.s3, &self.kinesis])
    }

    /// The words of these flags that `words` do not say yet, for the services that are asked.
    #[must_use]
    pub fn unsaid_door_words(&self, words: &[String], archive: bool, stream: bool) -> Vec<String> {
        let flags: BTreeSet<&str> = words
            .iter()
            .take_while(|word| *word != "--")
            .filter_map(|word| word.strip_prefix("--")?.split('=').next())
            .collect();
        let unsaid = |door: &AwsAccess, whose: &str, asked: bool| {
            let open =
                |part: &str| asked && !flags.contains(part) && !flags.contains(&*format!("{whose}-{part}"));
            AwsAccess {
                region: door.region.clone().filter(|_| open("region")),
                profile: door.profile.clone().filter(|_| open("profile")),
                endpoint_url: door.endpoint_url.clone().filter(|_| open("endpoint-url")),
            }
        };
        let (s3, kinesis) = (unsaid(&self.s3, "s3", archive), unsaid(&self.kinesis, "kinesis", stream));
        let mut unsaid: Vec<String> =
            doors(&s3, &kinesis).into_iter().flat_map(|(whose, door)| door.words(whose)).collect();
        let exposed = exposure_flag(&[&s3, &kinesis]).trim_start();
        if !exposed.is_empty() && !flags.contains(exposed.trim_start_matches('-')) {
            unsaid.push(exposed.to_owned());
        }
        unsaid
    }
}

/// Both doors by the names that stand in their flags: what holds for both is said once, and then the rest of each.
fn doors(s3: &AwsAccess, kinesis: &AwsAccess) -> [(&'static str, AwsAccess); 3] {
    let both = |one: &Option<String>, other: &Option<String>| one.clone().filter(|_| one == other);
    let general = AwsAccess {
        region: both(&s3.region, &kinesis.region),
        profile: both(&s3.profile, &kinesis.profile),
        endpoint_url: s3.endpoint_url.clone().filter(|_| s3.endpoint_url == kinesis.endpoint_url),
    };
    let rest = |own: &AwsAccess| AwsAccess {
        region: own.region.clone().filter(|_| general.region.is_none()),
        profile: own.profile.clone().filter(|_| general.profile.is_none()),
        endpoint_url: own.endpoint_url.clone().filter(|_| general.endpoint_url.is_none()),
    };
    let (s3, kinesis) = (rest(s3), rest(kinesis));
    [("", general), ("s3", s3), ("kinesis", kinesis)]
}

/// What a command of ours has to say, a blank before it, if one of `doors` is in clear.
#[must_use]
pub fn exposure_flag(doors: &[&AwsAccess]) -> &'static str {
    let exposed = |door: &&&AwsAccess| door.endpoint_url.as_ref().is_some_and(Endpoint::is_exposed);
    if doors.iter().any(|door| exposed(&door)) { " --allow-insecure-endpoint" } else { "" }
}

/// `text` as a shell takes it for one word, and a terminal for text.
#[must_use]
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_-.~:=@+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let letter = |c: char| match c {
        '\'' => "'\\''".to_owned(),
        c => shown(c.encode_utf8(&mut [0; 4])).to_string(),
    };
    format!("'{}'", text.chars().map(letter).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(region: &str, endpoint: &str) -> AwsAccess {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        AwsAccess { region: some(region), profile: None, endpoint_url: endpoint.parse().ok() }
    }

    #[test]
    fn a_door_is_said_once_for_both_services_and_apart_where_they_differ() {
        let mut tuning = Tuning::new("/cache".into());
        assert_eq!(tuning.door_flags(), "");
        tuning.s3 = access("eu-west-1", "http://127.0.0.1:1");
        tuning.kinesis = access("us-east-1", "http://127.0.0.1:1");
        assert_eq!(
            tuning.door_flags(),
            " --endpoint-url http://127.0.0.1:1 --s3-region eu-west-1 --kinesis-region us-east-1"
        );
        assert_eq!(tuning.kinesis.own_flags("kinesis"), tuning.kinesis.flags("kinesis"));
        tuning.s3.endpoint_url = "http://10.0.0.1".parse().ok();
        assert!(tuning.door_flags().ends_with(" --allow-insecure-endpoint"), "{}", tuning.door_flags());
        assert_eq!(tuning.s3.own_flags("").matches("--allow-insecure-endpoint").count(), 1);
        tuning.s3.endpoint_url = "http://127.0.0.1:1".parse().ok();
        tuning.kinesis.endpoint_url = None;
        assert!(tuning.door_flags().contains(" --s3-endpoint-url http://127.0.0.1:1 "));
    }

    #[test]
    fn a_door_that_is_not_the_planned_one_is_told_by_its_difference() {
        let (planned, same) =
            (access("eu-west-1", "http://127.0.0.1:1"), access("eu-west-1", "http://127.0.0.1:1"));
        assert_eq!(same.other_than(&planned), None);
        assert_eq!(
            access("eu-west-1", "").other_than(&planned).as_deref(),
            Some("its endpoint is AWS' own, the plan says http://127.0.0.1:1")
        );
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("eu-west-1"), "eu-west-1");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted("a\"b\\c"), "'a\"b\\c'");
        assert_eq!(quoted("a\u{1b}[2J"), "'a\\u{1b}[2J'");
    }
}
