//! Names to addresses: by our own resolver, once for each hop, all answers or none.
//!
//! The hosts file and search domains are left out: `shop` is never `shop.our-network.example`.

use std::{net::IpAddr, time::Duration};

use darkroom_jobs::ErrorCode as Code;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, RecordType},
};

use tracing::warn;

use super::{
    address::AddressRule,
    error::Error,
    vet::{BLOCKED, Host},
};
use crate::config::{Fetch, fetch::DnsServer};

/// Most addresses that a name may have.
pub const MAX_ANSWERS: usize = 16;
/// Names that are remembered, for as long as their answers say, within [`MAX_TTL`].
const REMEMBERED: u64 = 1_024;
const MAX_TTL: Duration = Duration::from_secs(300);

/// Looks names up, and judges what they lead to.
#[derive(Clone, Debug)]
pub struct Resolver {
    dns: TokioResolver,
    timeout: Duration,
    rule: AddressRule,
}

/// What came of asking for the addresses of one family.
pub type Answers = Result<Vec<IpAddr>, NoAnswer>;

/// Why there are no addresses of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The name has none, or does not exist.
    None,
    /// Nobody could say.
    Failed,
}

impl Resolver {
    /// # Errors
    ///
    /// When the library refuses its own settings.
    pub fn new(settings: &Fetch) -> Result<Self, NetError> {
        let servers: Vec<_> =
            settings.fetch_dns_servers.0.iter().map(|DnsServer(address)| server(*address)).collect();
        let given = |servers| {
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let mut builder = match TokioResolver::builder_tokio() {
            _ if !servers.is_empty() => given(servers),
            Ok(builder) => builder,
            Err(error) => {
                // Jobs without URLs need no DNS of ours.
                warn!(error = %error, "no dns servers found: urls will fail until DARKROOM_FETCH_DNS_SERVERS is set");
                given(Vec::new())
            }
        };
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = settings.fetch_dns_timeout / 2;
        options.attempts = 2;
        options.cache_size = REMEMBERED;
        options.positive_max_ttl = Some(MAX_TTL);
        options.negative_max_ttl = Some(MAX_TTL);
        let rule = AddressRule {
            deny: settings.fetch_deny_cidrs.0.clone(),
            allow: settings.opened.fetch_allow_cidrs.0.clone(),
        };
        Ok(Self { dns: builder.build()?, timeout: settings.fetch_dns_timeout, rule })
    }

    /// The addresses of a host, all of which may be connected to. At least one, at most [`MAX_ANSWERS`].
    ///
    /// # Errors
    ///
    /// `dns_nxdomain`, `dns_failed`, and `address_blocked` when a single address may not be connected to.
    pub async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, Error> {
        let addresses = match host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let (v6, v4) = tokio::join!(self.ask(name, RecordType::AAAA), self.ask(name, RecordType::A));
                judge(v6, v4)?
            }
        };
        if addresses.iter().all(|address| self.rule.permits(*address)) {
            Ok(addresses)
        } else {
            Err(Error::new(Code::AddressBlocked, BLOCKED))
        }
    }

    async fn ask(&self, name: &str, family: RecordType) -> Answers {
        // With the dot at its end a name is whole: nothing is appended to it.
        let whole = Name::from_ascii(format!("{name}.")).map_err(|_| NoAnswer::None)?;
        let looked_up = tokio::time::timeout(self.timeout, self.dns.lookup(whole, family)).await;
        match looked_up.map_err(|_| NoAnswer::Failed)? {
            Ok(found) => Ok(found.answers().iter().filter_map(|record| address_in(&record.data)).collect()),
            Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Err(NoAnswer::None),
            Err(error) => {
                tracing::debug!(error = %error, "a name could not be looked up");
                Err(NoAnswer::Failed)
            }
        }
    }
}

fn server(address: std::net::SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn address_in(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}

/// What both families come to; the addresses in the order in which they are tried, families in turn. One family that
/// fails does not matter when the other has an address.
///
/// # Errors
///
/// `dns_nxdomain` when there is no address at all; `dns_failed` when nobody could say, or there are too many.
pub fn judge(v6: Answers, v4: Answers) -> Result<Vec<IpAddr>, Error> {
    const FAILED: Error = Error::new(Code::DnsFailed, "the host's name could not be looked up");
    let failed = [&v6, &v4].iter().any(|answers| **answers == Err(NoAnswer::Failed));
    let (v6, v4) = (v6.unwrap_or_default(), v4.unwrap_or_default());
    match v6.len() + v4.len() {
        0 if failed => Err(FAILED),
        0 => Err(Error::new(Code::DnsNxdomain, "the host's name does not exist, or has no address")),
        1..=MAX_ANSWERS => Ok(in_turn(v6, v4)),
        _ => Err(Error::new(Code::DnsFailed, "the host's name has too many addresses")),
    }
}

fn in_turn(first: Vec<IpAddr>, second: Vec<IpAddr>) -> Vec<IpAddr> {
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn code(v6: Answers, v4: Answers) -> Code {
        judge(v6, v4).unwrap_err().code()
    }

    #[test]
    fn families_take_turns_and_one_that_fails_does_not_matter() {
        let v6 = addresses(&["2606:4700::1", "2606:4700::2", "2606:4700::3"]);
        let v4 = addresses(&["1.1.1.1"]);
        let expected = addresses(&["2606:4700::1", "1.1.1.1", "2606:4700::2", "2606:4700::3"]);

        assert_eq!(judge(Ok(v6), Ok(v4.clone())), Ok(expected));
        assert_eq!(judge(Err(NoAnswer::Failed), Ok(v4.clone())), Ok(v4.clone()));
        assert_eq!(judge(Err(NoAnswer::None), Ok(v4.clone())), Ok(v4));
    }

    #[test]
    fn no_address_is_a_name_that_does_not_exist_unless_nobody_could_say() {
        let none = || Err(NoAnswer::None);
        let failed = || Err(NoAnswer::Failed);

        assert_eq!(code(none(), none()), Code::DnsNxdomain);
        assert_eq!(code(Ok(vec![]), none()), Code::DnsNxdomain);
        assert_eq!(code(failed(), none()), Code::DnsFailed);
        assert_eq!(code(none(), failed()), Code::DnsFailed);
        assert_eq!(code(Ok(vec![]), failed()), Code::DnsFailed);
    }

    #[test]
    fn sixteen_addresses_are_taken_and_seventeen_are_not() {
        let many = |count: u8| (1..=count).map(|last| IpAddr::from([1, 1, 1, last])).collect::<Vec<_>>();

        assert_eq!(judge(Ok(many(8)), Ok(many(8))).unwrap().len(), 16);
        assert_eq!(code(Ok(many(8)), Ok(many(9))), Code::DnsFailed);
    }
}
