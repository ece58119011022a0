//! Sources that fetch from a test's own servers: names lead there through a test's own DNS.

use std::{net::IpAddr, path::Path};

use clap::Parser;
use darkroom::{
    config::Fetch,
    sources::{Original, Sources, error::Error, url::Fetcher},
};
use darkroom_jobs::{ErrorCode, Source};

use super::{bucket::TestBucket, dns::TestDns, web::Web};

/// Where every name of a test leads.
pub const HERE: &str = "127.0.0.1";

/// Settings for these servers, with more arguments as on the command line.
pub fn settings(dns: &TestDns, ports: &[u16], more: &[&str]) -> Fetch {
    #[derive(Parser)]
    #[command(args_override_self = true)]
    struct Arguments {
        #[command(flatten)]
        fetch: Fetch,
    }
    let ports = [80, 443].iter().chain(ports).map(u16::to_string).collect::<Vec<_>>().join(",");
    let (ports, dns) = (format!("--fetch-ports={ports}"), format!("--fetch-dns-servers={}", dns.address));
    let ours = ["test", &ports, &dns, "--fetch-allow-cidrs=127.0.0.0/8", "--fetch-starts-per-second=1000"];
    Arguments::try_parse_from([&ours[..], more].concat()).expect("the settings are right").fetch
}

/// For [`environment`]: the ports of the internet, and that of a test's server.
pub fn ports(web: &Web) -> String {
    format!("80,443,{}", web.port)
}

/// The same for a worker's environment.
pub fn environment<'a>(ports: &'a str, dns: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("DARKROOM_FETCH_PORTS", ports),
        ("DARKROOM_FETCH_DNS_SERVERS", dns),
        ("DARKROOM_FETCH_ALLOW_CIDRS", "127.0.0.0/8"),
        ("DARKROOM_FETCH_STARTS_PER_SECOND", "1000"),
    ]
}

/// A DNS server, and sources that ask it.
pub struct Fetching {
    pub dns: TestDns,
    pub sources: Sources,
    _bucket: TestBucket,
}

impl Fetching {
    /// From these servers; `shop.com` and `cdn.com` lead to this machine.
    pub async fn from(webs: &[&Web], more: &[&str]) -> Self {
        let dns = TestDns::start().await;
        for name in ["shop.com", "cdn.com"] {
            dns.name(name, &[HERE]);
        }
        let ports: Vec<_> = webs.iter().map(|web| web.port).collect();
        let (bucket, settings) = (TestBucket::start().await, settings(&dns, &ports, more));
        let fetcher = Fetcher::new(&settings, None).expect("the settings are right");
        Self { dns, sources: Sources::new(bucket.storage.clone(), fetcher), _bucket: bucket }
    }

    /// For a test that fetches nothing.
    pub fn fetcher_of_defaults() -> Fetcher {
        #[derive(Parser)]
        struct Arguments {
            #[command(flatten)]
            fetch: Fetch,
        }
        Fetcher::new(&Arguments::parse_from(["test"]).fetch, None).expect("the defaults are right")
    }

    pub async fn fetch(&self, url: &str) -> Result<Original, Error> {
        self.sources.fetch(&Source::Url { url: url.to_owned() }, None).await
    }

    /// The word for why there is nothing.
    pub async fn code(&self, url: &str) -> ErrorCode {
        let refused = self.fetch(url).await;
        refused.map(|original| original.bytes.len()).expect_err(url).code()
    }
}

/// The cases of other people's bug reports, when the environment names a folder that has them.
pub fn cases_of_the_corpus() -> Option<Vec<UrlCase>> {
    let folder = std::env::var_os("DARKROOM_TEST_CORPUS")?;
    let text = std::fs::read(Path::new(&folder).join("hostile/url_cases.json")).expect("the corpus has it");
    Some(serde_json::from_slice(&text).expect("it is JSON"))
}

/// A URL, what DNS says of its host, and what becomes of it.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct UrlCase {
    pub id: String,
    url: String,
    /// `allow`, or a code.
    pub expect: String,
    pub dns: Vec<IpAddr>,
    escapes: bool,
}

impl UrlCase {
    pub fn new(id: &str, url: &str, expect: &str, dns: &[&str]) -> Self {
        let dns = dns.iter().map(|address| address.parse().expect("an address")).collect();
        Self { id: id.into(), url: url.into(), expect: expect.into(), dns, escapes: false }
    }

    pub fn url(&self) -> String {
        if !self.escapes {
            return self.url.clone();
        }
        [("\\r", "\r"), ("\\n", "\n"), ("\\t", "\t"), ("\\0", "\0")]
            .iter()
            .fold(self.url.clone(), |text, (escaped, byte)| text.replace(escaped, byte))
    }

    /// The host as the resolver asks for it, when the URL has one that can be looked up.
    pub fn name(&self) -> Option<String> {
        let url = url::Url::parse(&self.url()).ok()?;
        url.domain().map(|name| name.trim_end_matches('.').to_owned())
    }
}
