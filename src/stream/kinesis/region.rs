//! The region that a command would get from its environment: what is printed or kept for later says it, since the
//! environment is another one by then.
//!
//! Variables and the user's AWS configuration are read, in the SDK's own order. The machine's metadata service is not
//! asked: on that machine it says the same later.

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;

/// The region for `profile`, or for whichever is in force; `None` if nothing names one.
pub async fn region_at_hand(profile: Option<&str>) -> Option<String> {
    let mut of_profile = ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        of_profile = of_profile.profile_name(profile);
    }
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
    chain.or_else(of_profile.build()).region().await.map(|region| region.to_string())
}
