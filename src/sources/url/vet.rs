//! What a URL may look like: its raw text, its parts, and its host, before anything is looked up.
//!
//! Pure. The parser of browsers is forgiving, and so the text is judged first: it drops tabs and line breaks, turns `\`
//! into `/`, forgets an empty user, and reads `http:127.0.0.1` as a URL.

use std::net::IpAddr;

use darkroom_jobs::ErrorCode as Code;
use url::{Host as ParsedHost, Url};

use super::error::Error;
use crate::config::{
    Fetch,
    fetch::{HostPattern, meant},
};

/// Longest URL, in bytes.
pub const MAX_URL_BYTES: usize = 2_048;

/// Names that are nobody's on the public internet, and all below them (RFC 6761, 6762, 7686, 8375, 9476, and habit).
const INTERNAL: [&str; 14] = [
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "onion",
    "test",
    "invalid",
    "example",
    "alt",
    "arpa",
];

const MALFORMED: Error = Error::new(Code::UrlMalformed, "this is not a usable url");
/// The same words for a name and for an address, so that neither is told from the other by them.
pub(super) const BLOCKED: &str = "the host is blocked";

/// What an operator says of ports and hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Ports that a URL may lead to.
    pub ports: Vec<u16>,
    /// Whether an address may stand in the place of a name.
    pub ip_literals: bool,
    /// Hosts that are not fetched from.
    pub deny_hosts: Vec<HostPattern>,
    /// When there are any, the only hosts that are fetched from.
    pub allow_hosts: Vec<HostPattern>,
}

impl Rules {
    /// As the settings say.
    pub fn new(settings: &Fetch) -> Self {
        Self {
            ports: settings.fetch_ports.clone(),
            ip_literals: settings.fetch_allow_ip_literals,
            deny_hosts: settings.fetch_deny_hosts.0.clone(),
            allow_hosts: settings.fetch_allow_hosts.0.clone(),
        }
    }
}

/// A URL that may be looked up. Everything later uses this value, and never the text again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Parsed, without its fragment.
    pub url: Url,
    /// Whom it leads to.
    pub host: Host,
    /// Where.
    pub port: u16,
}

/// Whom a URL leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name in lower-case Punycode, without a dot at its end.
    Name(String),
    /// An address, in whatever spelling it was given.
    Address(IpAddr),
}

impl Target {
    /// Whether the port is the usual one of the other scheme.
    pub fn mixes_ports(&self) -> bool {
        matches!((self.url.scheme(), self.port), ("https", 80) | ("http", 443))
    }

    /// Whether TLS is spoken.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// Judges a URL: text, parts, port and host, in this order.
///
/// # Errors
///
/// `url_too_long`, `url_malformed`, `url_scheme`, `url_userinfo`, `url_port` and `host_blocked`.
pub fn vet(text: &str, rules: &Rules) -> Result<Target, Error> {
    raw(text)?;
    let mut url = Url::parse(text).map_err(|_| MALFORMED)?;
    url.set_fragment(None);
    let port = url.port_or_known_default().ok_or(MALFORMED)?;
    if !rules.ports.contains(&port) {
        return Err(Error::new(Code::UrlPort, "the port of the url is blocked"));
    }
    let host = match url.host().ok_or(MALFORMED)? {
        ParsedHost::Domain(name) => Host::Name(name_of(name)?.to_owned()),
        ParsedHost::Ipv4(address) => Host::Address(address.into()),
        ParsedHost::Ipv6(address) => Host::Address(address.into()),
    };
    if !is_allowed(&host, rules) {
        return Err(Error::new(Code::HostBlocked, BLOCKED));
    }
    Ok(Target { url, host, port })
}

/// The text, before any parser has seen it.
fn raw(text: &str) -> Result<(), Error> {
    if text.len() > MAX_URL_BYTES {
        return Err(Error::new(Code::UrlTooLong, "the url has more than 2,048 bytes"));
    }
    if text.chars().any(|c| c.is_control() || c == ' ' || c == '\\') {
        return Err(MALFORMED);
    }
    let (scheme, rest) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).ok_or(MALFORMED)?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(Error::new(Code::UrlScheme, "only http and https are fetched"));
    }
    let rest = rest.strip_prefix("//").filter(|rest| !rest.starts_with('/')).ok_or(MALFORMED)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(Error::new(Code::UrlUserinfo, "the url contains a user name or password"));
    }
    Ok(())
}

/// What may stand before a `:` (RFC 3986, 3.1).
pub(super) fn is_scheme(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(allowed)
}

/// A name that DNS can be asked for, without the dot at its end. The parser takes `localhost..`, and labels of any length.
fn name_of(parsed: &str) -> Result<&str, Error> {
    let name = parsed.strip_suffix('.').unwrap_or(parsed);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(allowed);
    if name.len() <= 253 && name.split('.').all(is_label) { Ok(name) } else { Err(MALFORMED) }
}

fn is_allowed(host: &Host, rules: &Rules) -> bool {
    // An address is on a list however it is written, as an IPv6 one that stands for it too.
    let text = match host {
        Host::Name(name) => name.clone(),
        Host::Address(address) => meant(*address).to_string(),
    };
    let named = HostPattern::Exact(text.clone());
    let is_internal = match host {
        Host::Name(name) => is_internal(name),
        Host::Address(_) => !rules.ip_literals,
    };
    let denied = rules.deny_hosts.iter().any(|pattern| pattern.matches(&text));
    let listed =
        rules.allow_hosts.is_empty() || rules.allow_hosts.iter().any(|pattern| pattern.matches(&text));
    let lifted = matches!(host, Host::Name(_)) && rules.allow_hosts.contains(&named);
    !denied && listed && (!is_internal || lifted)
}

fn is_internal(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    !name.contains('.') || INTERNAL.contains(&last)
}

#[cfg(test)]
#[path = "vet_tests.rs"]
mod tests;
