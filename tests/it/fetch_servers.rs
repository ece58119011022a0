//! What strangers' servers do, played on this machine: each row of it ends in a word, in bounded time and memory.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use darkroom_jobs::ErrorCode;
use flate2::{Compression, write::GzEncoder};
use hickory_proto::rr::RecordType;

use crate::support::{
    darkroom::picture,
    dns::Says,
    fetching::{Fetching, HERE},
    web::{Authority, Flaw, Step, Visit, Web, answer, by_path, head, redirect},
};

/// A server that has a picture at every path but those that `play` knows.
async fn web(play: impl Fn(&str) -> Option<Vec<Step>> + Send + Sync + 'static) -> Web {
    Web::start(move |visit: &Visit| play(&visit.path).unwrap_or_else(photo)).await
}

fn photo() -> Vec<Step> {
    answer("200 OK", &[("content-type", "image/jpeg")], &picture("plain.jpg"))
}

fn gzip(content: &[u8]) -> Vec<u8> {
    packed(content, 1)
}

/// The same content so many times.
fn packed(content: &[u8], times: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..times {
        encoder.write_all(content).expect("memory takes it");
    }
    encoder.finish().expect("memory takes it")
}

/// What each path comes to.
async fn codes(web: &Web, more: &[&str], paths: &[&str]) -> Vec<ErrorCode> {
    let fetching = Fetching::from(&[web], more).await;
    let mut codes = Vec::new();
    for path in paths {
        codes.push(fetching.code(&web.url("shop.com", path)).await);
    }
    codes
}

#[tokio::test]
async fn a_picture_is_fetched_whole_with_its_type_and_hash_by_one_honest_request() {
    let web = web(|_| None).await;
    let fetching = Fetching::from(&[&web], &["--fetch-contact=https://darkroom.example/bot"]).await;

    let original = fetching.fetch(&web.url("shop.com", "/a.jpg?v=3#top")).await.expect("it is there");

    let photo = picture("plain.jpg");
    assert_eq!((&original.bytes[..], original.declared_type.as_deref()), (&photo[..], Some("image/jpeg")));
    assert_eq!(original.sha256, darkroom::digest::sha256(&photo));
    let visits = web.visits();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!((visits.len(), &*visits[0].path), (1, "/a.jpg?v=3"));
    assert_eq!(visits[0].header("host"), Some(&*format!("shop.com:{}", web.port)));
    let agent = format!("darkroom/{version} (+https://darkroom.example/bot)");
    assert_eq!(visits[0].header("user-agent"), Some(&*agent));
    for absent in ["cookie", "referer", "authorization", "x-forwarded-for"] {
        assert_eq!(visits[0].header(absent), None);
    }
}

#[tokio::test]
async fn a_redirect_leads_to_public_places_and_nowhere_else() {
    let web = web(|path| {
        Some(redirect(match path {
            "/metadata" => "http://169.254.169.254/latest/meta-data/",
            "/private" => "//10.0.0.1/x",
            "/file" => "file:///etc/passwd",
            "/internal" => "http://redis/",
            "/inside" => "http://inside.com/",
            "/relative" => "sub/../there.jpg",
            "/itself" => "/itself",
            "/circle" => "/circle2",
            "/circle2" => "/circle",
            _ => return None,
        }))
    })
    .await;
    let fetching = Fetching::from(&[&web], &[]).await;
    fetching.dns.name("inside.com", &["192.168.1.1"]);

    for path in ["/metadata", "/private", "/file", "/internal", "/inside"] {
        let error = fetching.fetch(&web.url("shop.com", path)).await.expect_err("it is refused");
        assert_eq!(error.code(), ErrorCode::RedirectBlocked, "{path}");
        assert_eq!(error.to_string(), "the link redirects to a blocked place", "{path}");
    }
    assert_eq!(fetching.code(&web.url("shop.com", "/itself")).await, ErrorCode::RedirectLimit);
    assert_eq!(fetching.code(&web.url("shop.com", "/circle")).await, ErrorCode::RedirectLimit);
    fetching.fetch(&web.url("shop.com", "/relative")).await.expect("it is there");
    assert_eq!(by_path(&web.visits())["/there.jpg"], 1);
}

#[tokio::test]
async fn four_hops_are_followed_each_looked_up_anew_and_five_are_not() {
    let port = std::sync::Arc::new(std::sync::OnceLock::<u16>::new());
    let ours = std::sync::Arc::clone(&port);
    let web = web(move |path| {
        let hops: u32 = path.strip_prefix("/hops/")?.parse().ok()?;
        let port = ours.get()?;
        (hops > 0).then(|| redirect(&format!("http://cdn.com:{port}/hops/{}", hops - 1)))
    })
    .await;
    port.set(web.port).expect("it is set once");
    let fetching = Fetching::from(&[&web], &[]).await;

    fetching.fetch(&web.url("shop.com", "/hops/4")).await.expect("four hops are followed");
    let fifth = fetching.code(&web.url("shop.com", "/hops/5")).await;

    assert_eq!(fifth, ErrorCode::RedirectLimit);
    let hosts: Vec<_> = web.visits().iter().map(|visit| visit.header("host").map(str::to_owned)).collect();
    assert_eq!(hosts[1], Some(format!("cdn.com:{}", web.port)));
}

#[tokio::test]
async fn names_are_looked_up_once_and_every_answer_counts() {
    let web = web(|_| None).await;
    let fetching = Fetching::from(&[&web], &[]).await;
    let here = || vec![HERE.parse().expect("an address")];
    fetching.dns.says(
        "turns.com",
        RecordType::A,
        Says::Turns(here(), vec!["10.0.0.1".parse().expect("an address")]),
    );
    fetching.dns.says("turns.com", RecordType::AAAA, Says::Addresses(vec![]));
    fetching.dns.name("loopback6.com", &[HERE, "::1"]);
    fetching.dns.name("mapped.com", &["::ffff:10.0.0.1"]);
    fetching.dns.says("half.com", RecordType::A, Says::Addresses(here()));
    fetching.dns.says("half.com", RecordType::AAAA, Says::ServFail);
    fetching.dns.says("broken.com", RecordType::A, Says::ServFail);
    fetching.dns.says("broken.com", RecordType::AAAA, Says::ServFail);
    let many: Vec<_> = (1..=17).map(|last| format!("127.0.0.{last}")).collect();
    fetching.dns.name("many.com", &many.iter().map(String::as_str).collect::<Vec<_>>());

    fetching.fetch(&web.url("turns.com", "/a.jpg")).await.expect("it led here");
    let asked = fetching.dns.asked("turns.com", RecordType::A);
    let again = fetching.code(&web.url("turns.com", "/a.jpg")).await;
    fetching.fetch(&web.url("half.com", "/a.jpg")).await.expect("one family is enough");

    assert_eq!((asked, again), (1, ErrorCode::AddressBlocked));
    let connections = web.connections();
    for (name, expected) in [
        ("loopback6.com", ErrorCode::AddressBlocked),
        ("mapped.com", ErrorCode::AddressBlocked),
        ("many.com", ErrorCode::DnsFailed),
        ("broken.com", ErrorCode::DnsFailed),
        ("nobody.com", ErrorCode::DnsNxdomain),
    ] {
        assert_eq!(fetching.code(&web.url(name, "/a.jpg")).await, expected, "{name}");
    }
    assert_eq!(web.connections(), connections);
}

#[tokio::test]
async fn dns_that_says_nothing_ends_in_time() {
    let web = web(|_| None).await;
    let fetching = Fetching::from(&[&web], &["--fetch-dns-timeout=400"]).await;
    for family in [RecordType::A, RecordType::AAAA] {
        fetching.dns.says("silent.com", family, Says::Silence);
    }

    let began = Instant::now();
    let code = fetching.code(&web.url("silent.com", "/a.jpg")).await;

    assert_eq!(code, ErrorCode::DnsFailed);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_certificate_must_be_for_the_host_and_signed_by_somebody_trusted() {
    let authority = Authority::new();
    let serve =
        async |name: &str, flaw| Web::secured(authority.identity(name, flaw), |_: &Visit| photo()).await;
    let good = serve("shop.com", Flaw::Nothing).await;
    let bad = [
        (serve("shop.com", Flaw::Expired).await, "the certificate is expired"),
        (serve("shop.com", Flaw::SelfSigned).await, "the certificate is signed by nobody who is trusted"),
        (serve("other.com", Flaw::Nothing).await, "the certificate is for another host"),
    ];
    let folder = tempfile::tempdir().expect("a folder can be made");
    let bundle = folder.path().join("ca.pem");
    std::fs::write(&bundle, authority.pem()).expect("the folder is there");
    let webs: Vec<_> = bad.iter().map(|(web, _)| web).chain([&good]).collect();
    let trust = format!("--fetch-ca-bundle={}", bundle.display());
    let fetching = Fetching::from(&webs, &[&trust]).await;
    let url = |web: &Web| web.url("shop.com", "/a.jpg").replace("http:", "https:");

    fetching.fetch(&url(&good).replace("shop.com", "SHOP.COM.")).await.expect("it can be trusted");

    for (web, expected) in &bad {
        let error = fetching.fetch(&url(web)).await.expect_err("it cannot be trusted");
        assert_eq!((error.code(), error.to_string()), (ErrorCode::TlsFailed, (*expected).to_owned()));
        assert!(web.visits().is_empty(), "something was said to a server that is not trusted");
    }
    let plain = web(|_| None).await;
    let fetching = Fetching::from(&[&good, &plain], &[&trust]).await;
    assert_eq!(fetching.code(&url(&plain)).await, ErrorCode::TlsFailed);
}

#[tokio::test]
async fn servers_that_take_their_time_are_left_in_time() {
    let web = web(|path| {
        let start = || Step::Send(head("200 OK", &[("content-length", "99999")]));
        Some(match path {
            "/silent" => vec![Step::Hang],
            "/drips" => vec![Step::Drip(head("200 OK", &[]), Duration::from_millis(200))],
            "/slow" => vec![start(), Step::Drip(vec![7; 50], Duration::from_millis(300))],
            "/stalls" => vec![start(), Step::Send(vec![7; 9_000]), Step::Hang],
            "/late" => vec![start(), Step::Drip(vec![7; 99_999], Duration::from_micros(100))],
            _ => return None,
        })
    })
    .await;
    let times = ["--fetch-timeout=4000", "--fetch-head-timeout=600", "--fetch-connect-timeout=600"];
    let rate = ["--fetch-rate-window=600", "--fetch-min-rate=1000"];
    let began = Instant::now();

    let slow = codes(&web, &[&times[..], &rate].concat(), &["/silent", "/drips", "/slow", "/stalls"]).await;
    let took = began.elapsed();
    let short = ["--fetch-timeout=700", "--fetch-min-rate=1"];
    let late = codes(&web, &short, &["/late", "/silent"]).await;

    use ErrorCode::{DownloadTimeout, DownloadTooSlow};
    assert_eq!(slow, [DownloadTimeout, DownloadTimeout, DownloadTooSlow, DownloadTooSlow]);
    assert_eq!(late, [DownloadTimeout, DownloadTimeout]);
    assert!(took < Duration::from_secs(9), "{took:?}");
}

#[tokio::test]
async fn tls_that_stalls_and_ports_that_nobody_listens_at_end_in_time() {
    // It waits for the end of a head that never comes.
    let web = web(|_| None).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let closed = nobody.local_addr().expect("it is bound").port();
    drop(nobody);
    let ports = format!("--fetch-ports={},{closed}", web.port);
    let fetching = Fetching::from(&[&web], &["--fetch-connect-timeout=500", &ports]).await;

    let stalled = fetching.fetch(&web.url("shop.com", "/").replace("http:", "https:")).await;
    let refused = fetching.code(&format!("http://shop.com:{closed}/")).await;

    let stalled = stalled.expect_err("it stalls");
    assert_eq!((stalled.code(), refused), (ErrorCode::TlsFailed, ErrorCode::ConnectFailed));
    assert!(stalled.to_string().contains("in time"), "{stalled}");
}

#[tokio::test]
async fn bodies_are_counted_whatever_their_heads_say() {
    let bomb = packed(&vec![0; 1 << 20], 1 << 10);
    let web = web(move |path| {
        let body = |headers: &[(&str, &str)], content: Vec<u8>| {
            vec![Step::Send([head("200 OK", headers), content].concat())]
        };
        let photo = picture("plain.jpg");
        let packed = [("content-encoding", "gzip")];
        Some(match path {
            "/endless" => vec![Step::Send(head("200 OK", &[])), Step::Endless(vec![7; 64 << 10])],
            "/100-gib" => vec![Step::Send(head("200 OK", &[("content-length", "107374182400")])), Step::Hang],
            "/cut" => body(&[("content-length", "1000")], vec![7; 400]),
            "/cut-chunks" => body(&[("transfer-encoding", "chunked")], b"a\r\n12345".to_vec()),
            "/bad-chunks" => body(&[("transfer-encoding", "chunked")], b"zz\r\n12345".to_vec()),
            "/reset" => vec![],
            "/gzip" => answer("200 OK", &packed, &gzip(&photo)),
            "/bomb" => body(&packed, bomb.clone()),
            "/nested" => answer("200 OK", &packed, &gzip(&gzip(&photo))),
            "/empty-packed" => answer("200 OK", &packed, b""),
            "/brotli" => answer("200 OK", &[("content-encoding", "br")], &photo),
            "/empty" => answer("200 OK", &[], b""),
            _ => return None,
        })
    })
    .await;
    let fetching = Fetching::from(&[&web], &[]).await;

    let packed = fetching.fetch(&web.url("shop.com", "/gzip")).await.expect("one layer is unpacked");
    assert_eq!(packed.bytes, picture("plain.jpg"));

    for (path, expected) in [
        ("/endless", ErrorCode::SourceTooLarge),
        ("/100-gib", ErrorCode::SourceTooLarge),
        ("/bomb", ErrorCode::SourceTooLarge),
        ("/cut", ErrorCode::DownloadIncomplete),
        ("/cut-chunks", ErrorCode::DownloadIncomplete),
        ("/bad-chunks", ErrorCode::HttpInvalidResponse),
        ("/reset", ErrorCode::DownloadIncomplete),
        ("/nested", ErrorCode::ContentEncodingUnsupported),
        ("/brotli", ErrorCode::ContentEncodingUnsupported),
        ("/empty", ErrorCode::SourceEmpty),
        ("/empty-packed", ErrorCode::SourceEmpty),
    ] {
        assert_eq!(fetching.code(&web.url("shop.com", path)).await, expected, "{path}");
    }
}

#[tokio::test]
async fn heads_and_pages_in_the_place_of_a_picture_have_their_words() {
    let web = web(|path| {
        let page = b"<!DOCTYPE html><html><title>Log in</title></html>";
        let json = br#"{"error":"not found"}"#;
        Some(match path {
            "/large-head" => vec![Step::Send(head("200 OK", &[("x", &"y".repeat(70 << 10))]))],
            "/no-http" => vec![Step::Send(b"220 mail.example ESMTP\r\n".to_vec())],
            "/early" => [vec![Step::Send(head("103 Early Hints", &[("link", "</x>")]))], photo()].concat(),
            "/204" => answer("204 No Content", &[], b""),
            "/206" => answer("206 Partial Content", &[], &picture("plain.jpg")),
            "/nowhere" => answer("302 Found", &[], b""),
            "/page" => answer("200 OK", &[("content-type", "text/html")], page),
            "/page-as-jpeg" => answer("200 OK", &[("content-type", "image/jpeg")], page),
            "/json" => answer("200 OK", &[], json),
            "/svg" => answer("200 OK", &[], b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
            "/jpeg-as-page" => {
                answer("200 OK", &[("content-type", "text/html; charset=utf-8")], &picture("plain.jpg"))
            }
            "/endless-page" => vec![Step::Send(head("200 OK", &[])), Step::Endless(b"<html> ".to_vec())],
            _ => return None,
        })
    })
    .await;
    let fetching = Fetching::from(&[&web], &[]).await;

    fetching.fetch(&web.url("shop.com", "/early")).await.expect("hints are passed over");
    let odd = fetching.fetch(&web.url("shop.com", "/jpeg-as-page")).await.expect("it is a picture");
    assert_eq!(odd.declared_type.as_deref(), Some("text/html; charset=utf-8"));

    for (path, expected) in [
        ("/large-head", ErrorCode::HttpInvalidResponse),
        ("/no-http", ErrorCode::HttpInvalidResponse),
        ("/nowhere", ErrorCode::HttpInvalidResponse),
        ("/204", ErrorCode::HttpStatus),
        ("/206", ErrorCode::HttpStatus),
        ("/page", ErrorCode::NotAnImage),
        ("/page-as-jpeg", ErrorCode::NotAnImage),
        ("/endless-page", ErrorCode::NotAnImage),
        ("/json", ErrorCode::NotAnImage),
        ("/svg", ErrorCode::UnsupportedFormat),
    ] {
        assert_eq!(fetching.code(&web.url("shop.com", path)).await, expected, "{path}");
    }
}
