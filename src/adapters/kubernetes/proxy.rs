//! Which proxy, if any, leads to the API server: the rules of Go programs, kubectl among them.
//!
//! The client library compares `NO_PROXY` with the proxy's own address, so the decision is made here.

use std::net::IpAddr;

/// Finds the proxy for a host, from the environment.
///
/// `variable` looks up one name; upper case wins over lower case, as in kubectl.
pub(crate) fn from_environment(
    variable: impl Fn(&str) -> Option<String>,
    scheme: &str,
    host: &str,
    port: u16,
) -> Option<String> {
    let either = |name: &str| variable(name).or_else(|| variable(&name.to_lowercase())).filter(|text| !text.is_empty());
    let proxy = either(if scheme == "https" { "HTTPS_PROXY" } else { "HTTP_PROXY" })?;
    if is_excepted(&either("NO_PROXY").unwrap_or_default(), host, port) {
        return None;
    }
    Some(if proxy.contains("://") { proxy } else { format!("http://{proxy}") })
}

/// Whether a host is reached without a proxy: local ones always, others when `NO_PROXY` has them.
fn is_excepted(no_proxy: &str, host: &str, port: u16) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    no_proxy.split(',').map(|entry| entry.trim().to_lowercase()).any(|entry| match (entry.as_str(), address) {
        ("", _) => false,
        ("*", _) => true,
        (entry, Some(address)) => is_address(entry, address, port),
        (entry, None) => is_domain(entry, &host, port),
    })
}

fn is_address(entry: &str, address: IpAddr, port: u16) -> bool {
    if let Some((network, bits)) = entry.split_once('/') {
        return in_network(network, bits, address);
    }
    let (entry, same_port) = without_port(entry, port);
    same_port && entry.trim_matches(['[', ']']).parse() == Ok(address)
}

fn in_network(network: &str, bits: &str, address: IpAddr) -> bool {
    let Ok(bits) = bits.parse::<u32>() else { return false };
    match (network.parse(), address) {
        (Ok(IpAddr::V4(network)), IpAddr::V4(address)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(network) & mask == u32::from(address) & mask
        }
        (Ok(IpAddr::V6(network)), IpAddr::V6(address)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(network) & mask == u128::from(address) & mask
        }
        _ => false,
    }
}

/// `example.com` stands for itself and what is below it, `.example.com` only for what is below it.
fn is_domain(entry: &str, host: &str, port: u16) -> bool {
    let (entry, same_port) = without_port(entry, port);
    let below = entry.trim_start_matches('*');
    let matches = match below.strip_prefix('.') {
        Some(_) => host.ends_with(below),
        None => host == below || host.ends_with(&format!(".{below}")),
    };
    same_port && matches
}

/// Takes `:port` off an entry, and says whether it allows our port.
fn without_port(entry: &str, port: u16) -> (&str, bool) {
    match entry.rsplit_once(':') {
        Some((name, number)) if !name.contains(':') || name.ends_with(']') => match number.parse::<u16>() {
            Ok(number) => (name, number == port),
            Err(_) => (entry, true),
        },
        _ => (entry, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_go_s() {
        let cases = [
            ("", "127.0.0.1", true),
            ("", "localhost", true),
            ("", "api.example.com", false),
            ("*", "api.example.com", true),
            ("example.com", "api.example.com", true),
            ("example.com", "example.com", true),
            (".example.com", "example.com", false),
            ("*.example.com", "api.example.com", true),
            ("ample.com", "example.com", false),
            ("api.example.com:6443", "api.example.com", true),
            ("api.example.com:443", "api.example.com", false),
            ("x, 10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("0.0.0.0/0", "11.1.2.3", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3:6443", "10.1.2.3", true),
            ("fd00::/8", "[fd00::1]", true),
            ("fd00::1", "fd00::1", true),
        ];
        for (no_proxy, host, excepted) in cases {
            assert_eq!(is_excepted(no_proxy, host, 6443), excepted, "{no_proxy} {host}");
        }
    }

    #[test]
    fn the_scheme_chooses_the_variable() {
        let set = |name: &str| (name == "https_proxy").then(|| "proxy:3128".to_owned());
        assert_eq!(from_environment(set, "https", "api", 443), Some("http://proxy:3128".to_owned()));
        assert_eq!(from_environment(set, "http", "api", 80), None);
    }
}
