//! URLs that must not be fetched, through the functions that judge them and, as jobs, through a worker.

use darkroom::sources::url::{
    resolve::Resolver,
    vet::{self, Rules},
};
use darkroom_jobs::{ErrorCode, ImageId, Ingest, Source, Status};

use crate::support::{
    darkroom::TestDarkroom,
    dns::TestDns,
    fetching::{UrlCase, cases_of_the_corpus, settings},
    service::Service,
};

const PUBLIC: &str = "93.184.215.14";

/// A case of each kind, so that a clean clone has them too.
fn own_cases() -> Vec<UrlCase> {
    let label = format!("http://{}.com/a.jpg", "a".repeat(64));
    let long = format!("http://shop.com/{}", "a".repeat(2_048));
    [
        ("scheme", "gopher://127.0.0.1:6379/_FLUSHALL", "url_scheme", &[][..]),
        ("upper case", "HTTPS://SHOP.COM/", "allow", &[PUBLIC]),
        ("missing slashes", "http:127.0.0.1/a.jpg", "url_malformed", &[]),
        ("line break", "http://shop.com/a.jpg\r\nHost: x", "url_malformed", &[]),
        ("backslash", "http://shop.com\\@10.0.0.1/", "url_malformed", &[]),
        ("empty user", "https://@shop.com/a.jpg", "url_userinfo", &[PUBLIC]),
        ("port of redis", "http://shop.com:6379/", "url_port", &[PUBLIC]),
        ("odd spelling of a port", "http://shop.com:080/a.jpg", "allow", &[PUBLIC]),
        ("too long", &long, "url_too_long", &[]),
        ("long label", &label, "url_malformed", &[]),
        ("two dots", "http://localhost../", "url_malformed", &[]),
        ("slash in a name", "http://10.0.0.1%2f.shop.com/", "url_malformed", &[]),
        ("overflow", "http://4294967296/", "url_malformed", &[]),
        ("soft hyphen", "http://loc\u{ad}alhost/", "host_blocked", &["127.0.0.1"]),
        ("full width", "http://ｌｏｃａｌｈｏｓｔ/", "host_blocked", &["127.0.0.1"]),
        ("ideographic dot", "http://localhost。/", "host_blocked", &["127.0.0.1"]),
        ("cloud metadata", "http://metadata.google.internal/", "host_blocked", &["169.254.169.254"]),
        ("container", "http://redis/", "host_blocked", &["127.0.0.1"]),
        ("decimal", "http://2130706433/", "address_blocked", &[]),
        ("octal and hex", "http://0xa9.254.0251.254/", "address_blocked", &[]),
        ("short", "http://10.1/", "address_blocked", &[]),
        ("two parts", "http://192.11010305/", "address_blocked", &[]),
        ("octal dword", "http://017700000001/", "address_blocked", &[]),
        ("hex without digits", "http://0x/", "address_blocked", &[]),
        ("full-width digits", "http://１２７．０．０．１/", "address_blocked", &[]),
        ("circled digits", "http://①⓪.0.0.1/", "address_blocked", &[]),
        ("percent", "http://127%2e0%2e0%2e1/", "address_blocked", &[]),
        ("percent letters", "http://%6c%6f%63alhost/", "host_blocked", &["127.0.0.1"]),
        ("percent full stop", "http://localhost%E3%80%82/", "host_blocked", &["127.0.0.1"]),
        ("percent twice", "http://localhost%252eshop.com/", "url_malformed", &[]),
        ("full-width slash", "http://10.0.0.1／.shop.com/", "url_malformed", &[]),
        ("nul in a name", "http://10.0.0.1%00.shop.com/", "url_malformed", &[]),
        ("punycode of letters", "http://xn--localhost-/", "url_malformed", &[]),
        ("zone", "http://[fe80::1%25eth0]/", "url_malformed", &[]),
        ("port overflow", "http://shop.com:65616/", "url_malformed", &[PUBLIC]),
        ("mapped", "http://[::ffff:a9fe:a9fe]/", "address_blocked", &[]),
        ("compatible", "http://[::10.0.0.1]/", "address_blocked", &[]),
        ("translated", "http://[::ffff:0:10.0.0.1]/", "address_blocked", &[]),
        ("nat64", "http://[64:ff9b::a00:1]/", "address_blocked", &[]),
        ("local nat64", "http://[64:ff9b:1::a00:1]/", "address_blocked", &[]),
        ("6to4", "http://[2002:a00:1::1]/", "address_blocked", &[]),
        ("isatap", "http://[2606:4700::5efe:10.0.0.1]/", "address_blocked", &[]),
        ("unique local", "http://[fd00:ec2::254]/", "address_blocked", &[]),
        ("carrier nat", "http://100.64.0.1/", "address_blocked", &[]),
        ("public literal", "http://[2606:4700::6810:84e5]/a.jpg", "allow", &[]),
        ("private answer", "http://evil.com/a.jpg", "address_blocked", &["10.1.2.3"]),
        ("good and bad answer", "http://mixed.com/a.jpg", "address_blocked", &[PUBLIC, "::1"]),
        ("6to4 answer", "http://six.com/a.jpg", "address_blocked", &[PUBLIC, "2002:7f00:1::"]),
        ("null answer", "http://null.com/a.jpg", "address_blocked", &["0.0.0.0"]),
        ("mapped answer", "http://mapped.com/a.jpg", "address_blocked", &[PUBLIC, "::ffff:10.0.0.1"]),
        ("nobody", "http://nobody.com/a.jpg", "dns_nxdomain", &[]),
        ("good answer", "http://good.com/a.jpg", "allow", &[PUBLIC, "2606:4700::1"]),
    ]
    .map(|(id, url, expect, dns)| UrlCase::new(id, url, expect, dns))
    .into()
}

fn cases() -> Vec<UrlCase> {
    let corpus = cases_of_the_corpus().unwrap_or_else(|| {
        eprintln!("left out: DARKROOM_TEST_CORPUS is not set");
        Vec::new()
    });
    own_cases().into_iter().chain(corpus).collect()
}

/// Cases share names with different answers: one at a time.
fn answer_for(dns: &TestDns, case: &UrlCase) {
    if let Some(name) = case.name()
        && !case.dns.is_empty()
    {
        let addresses: Vec<_> = case.dns.iter().map(ToString::to_string).collect();
        dns.name(&name, &addresses.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn every_url_is_judged_as_its_case_says() {
    let mut wrong = Vec::new();
    for case in cases() {
        let dns = TestDns::start().await;
        answer_for(&dns, &case);
        let settings = settings(&dns, &[], &["--fetch-allow-cidrs="]);
        let resolver = Resolver::new(&settings).expect("the settings are right");

        let judged = match vet::vet(&case.url(), &Rules::new(&settings)) {
            Ok(target) => resolver.addresses(&target.host).await.map(drop),
            Err(refused) => Err(refused),
        };

        let word = judged.map_or_else(|error| error.code().as_str(), |()| "allow");
        if word != case.expect {
            wrong.push(format!("{} {:?}: {word}, not {}", case.id, case.url(), case.expect));
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn as_a_job_each_ends_with_its_code_and_nobody_is_connected_to() {
    let (darkroom, dns) = (TestDarkroom::start().await, TestDns::start().await);
    let servers = dns.address.to_string();
    let service = Service::start(
        &darkroom,
        &[("DARKROOM_FETCH_DNS_SERVERS", &servers), ("DARKROOM_RETRY_BASE_MS", "20")],
    )
    .await;
    // What may be fetched would be fetched from the internet; names with one answer have it for the whole test.
    let cases: Vec<_> = cases().into_iter().filter(|case| case.expect != "allow").collect();
    let mut jobs = Vec::new();

    for case in &cases {
        answer_for(&dns, case);
        let job = Ingest {
            product_id: "p1".parse().expect("an id"),
            image_id: ImageId::random(),
            source: Source::Url { url: case.url() },
        };
        jobs.push(darkroom.producer.enqueue(job).await.expect("redis takes jobs"));
    }

    for (case, job) in cases.iter().zip(&jobs) {
        let receipt = darkroom.final_receipt(job).await;
        let error = receipt.error.expect("a failed job says why");
        assert_eq!((receipt.status, error.code.as_str()), (Status::Failed, &*case.expect), "{}", case.id);
        assert_eq!(error.detail, None, "{}", case.id);
        let told = format!("{} {}", error.message, error.hint);
        assert!(case.dns.iter().all(|address| !told.contains(&address.to_string())), "{}: {told}", case.id);
    }
    let metrics = service.get("/metrics").send().await.expect("it answers").text().await.expect("it is text");
    assert!(metrics.contains("darkroom_fetch_connections_total 0\n"), "{metrics}");
    assert!(metrics.contains("darkroom_fetches_total{outcome=\"address_blocked\"}"), "{metrics}");
    let internal =
        |name: &String| name == "redis" || name.ends_with("internal") || name.ends_with("localhost");
    assert!(!dns.names_asked().iter().any(internal), "{:?}", dns.names_asked());
}

#[tokio::test]
async fn a_name_and_an_address_that_are_blocked_are_told_in_the_same_words() {
    let dns = TestDns::start().await;
    dns.name("inside.shop.com", &["10.0.0.1"]);
    let settings = settings(&dns, &[], &["--fetch-allow-cidrs="]);
    let (rules, resolver) =
        (Rules::new(&settings), Resolver::new(&settings).expect("the settings are right"));

    let name = vet::vet("http://redis/", &rules).expect_err("it is internal");
    let target = vet::vet("http://inside.shop.com/", &rules).expect("nothing is known of it yet");
    let address = resolver.addresses(&target.host).await.expect_err("it is inside");

    assert_eq!(name.to_string(), address.to_string());
    assert_eq!(ErrorCode::HostBlocked.hint(), ErrorCode::AddressBlocked.hint());
}
