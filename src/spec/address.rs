//! Where something listens: a host, by name or by number, and a port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A host and a port. A name is not resolved before something listens there, or connects to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The host, without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
}

impl Address {
    /// Whether only this machine can connect to it.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback(),
            Err(_) => self.host == "localhost",
        }
    }
}

/// A text that is not HOST:PORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is a host and a port, such as \"127.0.0.1:8080\" or \"localhost:8080\"")]
pub struct NotAnAddress;

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (host, port) = text.rsplit_once(':').ok_or(NotAnAddress)?;
        let is_digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| is_digits).ok_or(NotAnAddress)?;
        match is_name(host) {
            true => Ok(Self { host: host.to_ascii_lowercase(), port }),
            false => Err(NotAnAddress),
        }
    }
}

/// Whether it is a name as DNS has them. One whose last part is a number is an IP address that is none.
fn is_name(host: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253 && host.split('.').all(is_part) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            // The scope of a link-local address is a part of it.
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            other => other.ip().to_string(),
        };
        Self { host, port: address.port() }
    }
}

impl From<(IpAddr, u16)> for Address {
    fn from(address: (IpAddr, u16)) -> Self {
        SocketAddr::from(address).into()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine_alone() {
        for (text, is) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("localhost:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("10.0.0.1:1", false),
            ("rserve.internal:1", false),
            ("localhost.example:1", false),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_loopback(), is, "{text}");
        }
    }

    #[test]
    fn hosts_are_names_or_numbers() {
        for text in
            ["127.0.0.1:8080", "[::1]:0", "localhost:80", "rserve.svc.cluster.local:8081", "my_host:1"]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in [
            "",
            ":80",
            "80",
            "localhost",
            "localhost:",
            "localhost:+1",
            "localhost:99999",
            "1.2.3.4.5:80",
            "300.1.1.1:1",
            "http://x:80",
            "x:80/",
            "a b:1",
            "::1:80",
            "-a:1",
            "a..b:1",
            "[x]:1",
            "user@x:1",
        ] {
            assert_eq!(text.parse::<Address>(), Err(NotAnAddress), "{text}");
        }
    }
}
