//! The region, the profile and the endpoints that a command would get from its environment: what is printed or kept for
//! later says them, since the environment is another one by then.
//!
//! Variables and the user's AWS configuration are read, in the SDK's own order. The machine's metadata service is not
//! asked: on that machine it says the same later.

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{self, ProfileFileRegionProvider};
use aws_config::{BehaviorVersion, Region};
use aws_types::os_shim_internal::{Env, Fs};
use aws_types::service_config::ServiceConfigKey;

/// Who names a profile by flag means its credentials and no others. So one that a variable names counts as much only if it
/// has one of these.
const CREDENTIALS: [&str; 8] = [
    "aws_access_key_id",
    "role_arn",
    "credential_process",
    "sso_session",
    "sso_account_id",
    "sso_start_url",
    "login_session",
    "web_identity_token_file",
];

/// The profile whose credentials are taken because a variable names it; `None` if it is the usual one, or if
/// others are taken.
pub async fn profile_at_hand() -> Option<String> {
    profile_in(&Env::real(), &Fs::real()).await
}

#[expect(
    clippy::default_trait_access,
    reason = "the usual files; their type is of a crate that we do not name"
)]
async fn profile_in(env: &Env, fs: &Fs) -> Option<String> {
    // The SDK takes these before any profile.
    if env.get("AWS_ACCESS_KEY_ID").is_ok_and(|key| !key.trim().is_empty()) {
        return None;
    }
    let named = env.get("AWS_PROFILE").ok()?;
    let found = profile::load(fs, env, &Default::default(), None).await.ok()?;
    let profile = found.get_profile(&named)?;
    CREDENTIALS.iter().any(|key| profile.get(key).is_some()).then_some(named)
}

/// The region for `profile`, or for whichever is in force; `None` if nothing names one.
pub async fn region_at_hand(profile: Option<&str>) -> Option<String> {
    let mut of_profile = ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        of_profile = of_profile.profile_name(profile);
    }
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
    chain.or_else(of_profile.build()).region().await.map(|region| region.to_string())
}

/// The endpoint that the user's AWS configuration names for the service with this id (`DynamoDB`), as AWS' own tools take
/// it: a variable, the section of services that `profile` names, then what holds for all services.
pub async fn endpoint_at_hand(service: &str, profile: Option<&str>) -> Option<String> {
    // With a region given nobody is asked for one.
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).region(Region::from_static("any"));
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    let sdk = loader.no_credentials().load().await;
    let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url");
    let of_service = key.build().ok().and_then(|key| sdk.service_config()?.load_config(key));
    of_service.or_else(|| sdk.endpoint_url().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_profile_that_a_variable_names_counts_if_its_credentials_are_taken() {
        const CONFIG: &str = "[profile live]\nsso_session = s\n[profile place]\nregion = us-east-2\n";
        let files = Fs::from_slice(&[("/aws", CONFIG), ("/none", "")]);
        let at_hand = async |variables: &[(&str, &str)]| {
            let places = [("AWS_CONFIG_FILE", "/aws"), ("AWS_SHARED_CREDENTIALS_FILE", "/none")];
            profile_in(&Env::from_slice(&[&places, variables].concat()), &files).await
        };
        assert_eq!(at_hand(&[("AWS_PROFILE", "live")]).await.as_deref(), Some("live"));
        assert_eq!(at_hand(&[("AWS_PROFILE", "live"), ("AWS_ACCESS_KEY_ID", "a")]).await, None);
        assert_eq!(at_hand(&[("AWS_PROFILE", "place")]).await, None, "it has a region only");
        assert_eq!(at_hand(&[("AWS_PROFILE", "nowhere")]).await, None);
        assert_eq!(at_hand(&[]).await, None);
    }
}
