//! Where an endpoint's URL leads: to this machine or away from it.

use std::net::IpAddr;

/// Whether `endpoint_url` leads to this machine, so that what is written there costs nobody anything.
/// In doubt it does not.
///
/// ```
/// # use respool::stream::endpoint::is_loopback;
/// assert!(is_loopback("http://127.0.0.1:4567/"));
/// assert!(!is_loopback("http://127.0.0.1@example.com/"));
/// ```
#[must_use]
pub fn is_loopback(endpoint_url: &str) -> bool {
    let Some((_, rest)) = endpoint_url.split_once("://") else { return false };
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let host_port = authority.rsplit_once('@').map_or(authority, |(_, host_port)| host_port);
    let host = match host_port.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host_port.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_this_machine_is_this_machine() {
        for here in [
            "http://localhost:1",
            "https://LOCALHOST",
            "http://127.8.9.1/x",
            "http://[::1]:80/",
            "http://u@[::1]",
        ] {
            assert!(is_loopback(here), "{here}");
        }
        for away in [
            "",
            "127.0.0.1",
            "http://",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://127.0.0.1@example.com",
            "http://example.com/?x=http://127.0.0.1",
            "http://example.com#@127.0.0.1",
            "http://10.0.0.1",
            "http://0.0.0.0:5040",
            "https://kinesis.eu-west-1.amazonaws.com",
        ] {
            assert!(!is_loopback(away), "{away}");
        }
    }
}
