//! How originals are fetched from URLs, and from where they are not.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::Args;
use ipnet::IpNet;

use super::{
    bytes,
    check::{Problem, those},
    milliseconds,
};

/// Port of DNS.
const DNS: u16 = 53;

/// How originals are fetched from URLs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "URLs")]
pub struct Fetch {
    /// Ports that URLs may name.
    #[arg(long, env = "DARKROOM_FETCH_PORTS", value_delimiter = ',', default_value = "80,443", value_parser = clap::value_parser!(u16).range(1..))]
    pub fetch_ports: Vec<u16>,
    /// Whether a URL may have an IP address in the place of a name; the address must be public all the same.
    #[arg(long, env = "DARKROOM_FETCH_ALLOW_IP_LITERALS", default_value_t = true, action = clap::ArgAction::Set)]
    pub fetch_allow_ip_literals: bool,
    /// Hosts that are not fetched from, separated by commas: `shop.com`, or `*.shop.com` for the names below it.
    #[arg(long, env = "DARKROOM_FETCH_DENY_HOSTS", default_value = "")]
    pub fetch_deny_hosts: List<HostPattern>,
    /// When set, the only hosts that are fetched from, in the same form; `*` is every other public name. A host that is named in full may also be an internal name like `minio`; its addresses need DARKROOM_FETCH_ALLOW_CIDRS.
    #[arg(long, env = "DARKROOM_FETCH_ALLOW_HOSTS", default_value = "")]
    pub fetch_allow_hosts: List<HostPattern>,
    /// DNS servers for the hosts of URLs, `ip` or `ip:port`, separated by commas; unset means the system's. Public ones know no internal names, and so tell nobody which there are.
    #[arg(long, env = "DARKROOM_FETCH_DNS_SERVERS", default_value = "")]
    pub fetch_dns_servers: List<DnsServer>,
    /// Networks that are not connected to, beside those that are not public, separated by commas.
    #[arg(long, env = "DARKROOM_FETCH_DENY_CIDRS", default_value = "")]
    pub fetch_deny_cidrs: List<IpNet>,
    /// Networks that are opened.
    #[command(flatten)]
    pub opened: OpenedNetworks,
    /// PEM file of certificate authorities to trust for URLs, beside the system's.
    #[arg(long, env = "DARKROOM_FETCH_CA_BUNDLE")]
    pub fetch_ca_bundle: Option<PathBuf>,
    /// Address of a page or a mailbox for those who are fetched from; it is sent to them in `User-Agent`.
    #[arg(long, env = "DARKROOM_FETCH_CONTACT", value_parser = contact)]
    pub fetch_contact: Option<String>,
    /// Milliseconds for one original: names, connections, redirects and bytes.
    #[arg(long, env = "DARKROOM_FETCH_TIMEOUT_MS", default_value = "30000", value_parser = milliseconds)]
    pub fetch_timeout: Duration,
    /// Milliseconds to look a name up.
    #[arg(long, env = "DARKROOM_FETCH_DNS_TIMEOUT_MS", default_value = "3000", value_parser = milliseconds)]
    pub fetch_dns_timeout: Duration,
    /// Milliseconds to connect; as long again for TLS.
    #[arg(long, env = "DARKROOM_FETCH_CONNECT_TIMEOUT_MS", default_value = "5000", value_parser = milliseconds)]
    pub fetch_connect_timeout: Duration,
    /// Milliseconds until the head of an answer is complete.
    #[arg(long, env = "DARKROOM_FETCH_HEAD_TIMEOUT_MS", default_value = "10000", value_parser = milliseconds)]
    pub fetch_head_timeout: Duration,
    /// Fewest bytes in a second, over any DARKROOM_FETCH_RATE_WINDOW_MS of a body.
    #[arg(long, env = "DARKROOM_FETCH_MIN_RATE", default_value = "16KiB", value_parser = bytes)]
    pub fetch_min_rate: u64,
    /// Milliseconds over which the rate of a body is looked at.
    #[arg(long, env = "DARKROOM_FETCH_RATE_WINDOW_MS", default_value = "10000", value_parser = milliseconds)]
    pub fetch_rate_window: Duration,
    /// Connections to one host at once, of this process.
    #[arg(long, env = "DARKROOM_FETCH_CONNECTIONS_PER_HOST", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub fetch_connections_per_host: u32,
    /// Requests to one host that begin in a second, of all workers together.
    #[arg(long, env = "DARKROOM_FETCH_STARTS_PER_SECOND", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub fetch_starts_per_second: u32,
    /// Failures of a host in a row after which its jobs wait.
    #[arg(long, env = "DARKROOM_FETCH_BREAKER_FAILURES", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub fetch_breaker_failures: u32,
    /// Milliseconds that they wait; doubles each time.
    #[arg(long, env = "DARKROOM_FETCH_BREAKER_MS", default_value = "60000", value_parser = milliseconds)]
    pub fetch_breaker: Duration,
    /// Longest such wait, in milliseconds.
    #[arg(long, env = "DARKROOM_FETCH_BREAKER_MAX_MS", default_value = "900000", value_parser = milliseconds)]
    pub fetch_breaker_max: Duration,
}

/// Networks that are opened: by itself for those who tell of it and fetch nothing.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "URLs")]
pub struct OpenedNetworks {
    /// Networks that are connected to although they are not public, separated by commas. Whoever writes URLs reaches them.
    #[arg(long, env = "DARKROOM_FETCH_ALLOW_CIDRS", default_value = "")]
    pub fetch_allow_cidrs: List<IpNet>,
}

impl OpenedNetworks {
    /// Whether there are any: whoever writes URLs then reaches into them.
    pub fn are_there(&self) -> bool {
        !self.fetch_allow_cidrs.0.is_empty()
    }
}

impl Fetch {
    /// Numbers with which nothing could be fetched, and files that are not there.
    pub fn problems(&self) -> Vec<Problem> {
        let least = |variable, value: Duration, ms: u64| {
            (value < Duration::from_millis(ms), variable, format!("is at least {ms}"))
        };
        let within = |variable, value: Duration| {
            (value > self.fetch_timeout, variable, "is longer than DARKROOM_FETCH_TIMEOUT_MS".to_owned())
        };
        let bundle = self.fetch_ca_bundle.as_deref();
        those([
            (self.fetch_ports.is_empty(), "DARKROOM_FETCH_PORTS", "names no port".into()),
            least("DARKROOM_FETCH_DNS_TIMEOUT_MS", self.fetch_dns_timeout, 10),
            least("DARKROOM_FETCH_CONNECT_TIMEOUT_MS", self.fetch_connect_timeout, 10),
            least("DARKROOM_FETCH_HEAD_TIMEOUT_MS", self.fetch_head_timeout, 10),
            least("DARKROOM_FETCH_RATE_WINDOW_MS", self.fetch_rate_window, 100),
            least("DARKROOM_FETCH_BREAKER_MS", self.fetch_breaker, 10),
            within("DARKROOM_FETCH_DNS_TIMEOUT_MS", self.fetch_dns_timeout),
            within("DARKROOM_FETCH_CONNECT_TIMEOUT_MS", self.fetch_connect_timeout),
            within("DARKROOM_FETCH_HEAD_TIMEOUT_MS", self.fetch_head_timeout),
            (
                self.fetch_timeout > Duration::from_secs(60),
                "DARKROOM_FETCH_TIMEOUT_MS",
                "is more than a minute: the job's own time, 90 s for an upload, would be over first".into(),
            ),
            (
                self.fetch_breaker > self.fetch_breaker_max,
                "DARKROOM_FETCH_BREAKER_MAX_MS",
                "is shorter than DARKROOM_FETCH_BREAKER_MS".into(),
            ),
            (
                !bundle.is_none_or(std::path::Path::is_file),
                "DARKROOM_FETCH_CA_BUNDLE",
                "is not a file that exists".into(),
            ),
        ])
    }
}

/// Values that are separated by commas in one setting; none when it is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T> FromStr for List<T>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let read = |item: &str| item.parse().map_err(|error| format!("{item:?}: {error}"));
        items.map(read).collect::<Result<_, _>>().map(Self)
    }
}

/// Which hosts an entry of a list means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `*`: every host.
    Any,
    /// `shop.com`: this one. In the form of a parsed URL: lower case, Punycode, no dot at the end; addresses canonical.
    Exact(String),
    /// `*.shop.com`: every name below it, and not itself. Kept as `.shop.com`.
    Below(String),
}

impl HostPattern {
    /// Whether a host is meant; it must be in the form that [`HostPattern::Exact`] has.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name == host,
            Self::Below(suffix) => host.ends_with(suffix) && host.len() > suffix.len(),
        }
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (name, is_below) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        let wrong = || "expected a host like shop.com, or *.shop.com for those below it".to_owned();
        match (url::Host::parse(name).map_err(|_| wrong())?, is_below) {
            (url::Host::Domain(name), true) => {
                Ok(Self::Below(format!(".{}", bare(&name).ok_or_else(wrong)?)))
            }
            (url::Host::Domain(name), false) => Ok(Self::Exact(bare(&name).ok_or_else(wrong)?.to_owned())),
            (_, true) => Err(wrong()),
            (url::Host::Ipv4(address), false) => Ok(Self::Exact(address.to_string())),
            (url::Host::Ipv6(address), false) => Ok(Self::Exact(meant(address.into()).to_string())),
        }
    }
}

/// The address itself, or the IPv4 address that an IPv6 address stands for: mapped (`::ffff:0:0/96`), or translated by NAT64 (`64:ff9b::/96`),
/// behind which a host knows no other.
pub fn meant(address: IpAddr) -> IpAddr {
    const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];
    match address.to_canonical() {
        IpAddr::V6(address) if address.segments().starts_with(&NAT64) => {
            let [.., a, b, c, d] = address.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        canonical => canonical,
    }
}

/// A name without the dot of its end.
fn bare(name: &str) -> Option<&str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_name = !name.is_empty() && !name.starts_with('.') && !name.ends_with('.') && !name.contains('*');
    is_name.then_some(name)
}

/// Where names are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsServer(pub SocketAddr);

impl FromStr for DnsServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS)).or_else(|_| text.parse());
        let address =
            address.map_err(|_| "expected an address like 9.9.9.9 or [2620:fe::fe]:53".to_owned())?;
        Ok(Self(address))
    }
}

/// What may stand in a header's comment.
fn contact(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_graphic() && !b"()\\".contains(&b);
    if (3..=200).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("expected an address like https://shop.example/bot or mailto:bot@shop.example, without spaces".into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        fetch: Fetch,
    }

    fn fetch(flags: &[&str]) -> Result<Fetch, String> {
        let line = Line::try_parse_from(["darkroom"].iter().chain(flags));
        line.map(|line| line.fetch).map_err(|error| error.to_string())
    }

    fn variables(flags: &[&str]) -> Vec<String> {
        fetch(flags).unwrap().problems().into_iter().map(|problem| problem.variable).collect()
    }

    #[test]
    fn lists_are_separated_by_commas_and_an_empty_one_has_nothing() {
        let none = fetch(&["--fetch-deny-hosts= , ", "--fetch-allow-cidrs="]).unwrap();
        let some =
            fetch(&["--fetch-dns-servers=9.9.9.9, [::1]:5353", "--fetch-allow-cidrs=10.0.0.0/8"]).unwrap();

        assert!(none.fetch_deny_hosts.0.is_empty() && !none.opened.are_there());
        let servers = ["9.9.9.9:53", "[::1]:5353"].map(|text| DnsServer(text.parse().unwrap()));
        assert_eq!(some.fetch_dns_servers.0, servers);
        assert!(some.opened.are_there());
    }

    #[test]
    fn a_wrong_entry_is_told_with_what_would_be_right() {
        for (flag, told) in [
            ("--fetch-deny-hosts=a.com,b c", "\"b c\": expected a host like shop.com"),
            ("--fetch-deny-hosts=*.10.0.0.1", "expected a host"),
            ("--fetch-deny-hosts=a.*.com", "expected a host"),
            ("--fetch-dns-servers=dns.example", "expected an address like 9.9.9.9"),
            ("--fetch-allow-cidrs=10.0.0.0/33", "\"10.0.0.0/33\""),
            ("--fetch-contact=a (b)", "expected an address like https"),
            ("--fetch-ports=0", "0 is not in 1.."),
        ] {
            let error = fetch(&[flag]).unwrap_err();
            assert!(error.contains(told), "{flag}: {error}");
        }
    }

    #[test]
    fn a_pattern_means_a_host_or_those_below_it() {
        let matches = |pattern: &str, host| pattern.parse::<HostPattern>().unwrap().matches(host);

        assert!(matches("Shop.com.", "shop.com") && !matches("shop.com", "cdn.shop.com"));
        assert!(matches("*.shop.com", "a.cdn.shop.com"));
        assert!(!matches("*.shop.com", "shop.com") && !matches("*.shop.com", "myshop.com"));
        assert!(matches("bücher.de", "xn--bcher-kva.de") && matches("*", "shop.com"));
        assert!(matches("0x7f.1", "127.0.0.1") && matches("[::ffff:127.0.0.1]", "127.0.0.1"));
        assert!(matches("[64:ff9b::7f00:1]", "127.0.0.1"));
    }

    #[test]
    fn times_that_do_not_fit_are_told_by_their_variables() {
        assert_eq!(variables(&[]), [""; 0]);
        assert_eq!(variables(&["--fetch-timeout=61000"]), ["DARKROOM_FETCH_TIMEOUT_MS"]);
        assert_eq!(variables(&["--fetch-breaker=900001"]), ["DARKROOM_FETCH_BREAKER_MAX_MS"]);
        assert_eq!(variables(&["--fetch-ca-bundle=/nowhere"]), ["DARKROOM_FETCH_CA_BUNDLE"]);
        assert_eq!(
            variables(&["--fetch-timeout=4000", "--fetch-head-timeout=1"]),
            ["DARKROOM_FETCH_HEAD_TIMEOUT_MS", "DARKROOM_FETCH_CONNECT_TIMEOUT_MS"]
        );
    }
}
