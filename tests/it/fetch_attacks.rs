//! What servers and names do that have read other people's parsers: each ends in a word, in bounded time and memory.

use std::time::{Duration, Instant};

use darkroom_jobs::ErrorCode;
use hickory_proto::rr::RecordType;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{
    darkroom::picture,
    fetching::{Fetching, HERE},
    web::{Step, Visit, Web, answer, head, redirect},
};

/// A server that has a picture at every path but those that `play` knows.
async fn web(play: impl Fn(&str) -> Option<Vec<Step>> + Send + Sync + 'static) -> Web {
    Web::start(move |visit: &Visit| play(&visit.path).unwrap_or_else(photo)).await
}

fn photo() -> Vec<Step> {
    answer("200 OK", &[("content-type", "image/jpeg")], &picture("plain.jpg"))
}

/// In chunks of this length.
fn chunked(content: &[u8], length: usize) -> Vec<u8> {
    let chunk = |chunk: &[u8]| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
    let chunks: Vec<_> = content.chunks(length).map(chunk).collect();
    [&chunks.concat()[..], b"0\r\n\r\n"].concat()
}

#[tokio::test]
async fn where_a_body_ends_is_told_once_and_by_its_chunks_before_its_length() {
    let web = web(|path| {
        let photo = picture("plain.jpg");
        let body = |headers: &[(&str, &str)], content: Vec<u8>| {
            vec![Step::Send([head("200 OK", headers), content].concat())]
        };
        let chunks = ("transfer-encoding", "chunked");
        Some(match path {
            "/both" => body(&[("content-length", "3"), chunks], chunked(&photo, 1_000)),
            "/both-huge" => body(&[("content-length", "99999999"), chunks], chunked(&photo, 1_000)),
            "/behind" => body(
                &[("content-length", &photo.len().to_string())],
                [&photo[..], b"HTTP/1.1 302 Found\r\n"].concat(),
            ),
            "/twice" => body(&[("transfer-encoding", "chunked, chunked")], chunked(&chunked(&photo, 99), 99)),
            "/huge-chunk" => body(&[chunks], b"ffffffffffffffff0\r\nabc".to_vec()),
            "/no-last" => body(&[chunks], b"3\r\nabc\r\n".to_vec()),
            "/extension" => vec![
                Step::Send(head("200 OK", &[chunks])),
                Step::Send(b"3;".to_vec()),
                Step::Endless(b"x".repeat(4_096)),
            ],
            "/trailers" => {
                let start = [head("200 OK", &[chunks]), b"3\r\nabc\r\n0\r\n".to_vec()].concat();
                vec![Step::Send(start), Step::Endless(b"x: y\r\n".repeat(512))]
            }
            _ => return None,
        })
    })
    .await;
    let fetching = Fetching::from(&[&web], &[]).await;

    for path in ["/both", "/behind"] {
        let original = fetching.fetch(&web.url("shop.com", path)).await.expect(path);
        assert_eq!(original.bytes, picture("plain.jpg"), "{path}");
    }
    for (path, expected) in [
        ("/both-huge", ErrorCode::SourceTooLarge),
        ("/twice", ErrorCode::ContentEncodingUnsupported),
        ("/huge-chunk", ErrorCode::HttpInvalidResponse),
        ("/no-last", ErrorCode::DownloadIncomplete),
        ("/extension", ErrorCode::HttpInvalidResponse),
        ("/trailers", ErrorCode::HttpInvalidResponse),
    ] {
        assert_eq!(fetching.code(&web.url("shop.com", path)).await, expected, "{path}");
    }
}

#[tokio::test]
async fn a_head_that_never_comes_to_an_end_and_hops_that_are_slow_together_are_left_in_time() {
    let web = web(|path| {
        let hop: Option<u32> = path.strip_prefix("/hop/").and_then(|hop| hop.parse().ok());
        Some(match path {
            "/hints" => vec![Step::Endless(head("103 Early Hints", &[("link", "</x>")]))],
            _ => {
                // Each by itself is quick enough.
                let moved = format!("TTP/1.1 302 Found\r\nlocation: /hop/{}\r\n\r\n", hop? + 1);
                vec![Step::Drip(b"H".to_vec(), Duration::from_millis(400)), Step::Send(moved.into_bytes())]
            }
        })
    })
    .await;
    let times = ["--fetch-timeout=1000", "--fetch-head-timeout=700", "--fetch-connect-timeout=700"];
    let fetching = Fetching::from(&[&web], &times).await;
    let began = Instant::now();

    let hints = fetching.code(&web.url("shop.com", "/hints")).await;
    let hops = fetching.code(&web.url("shop.com", "/hop/0")).await;

    assert_eq!((hints, hops), (ErrorCode::DownloadTimeout, ErrorCode::DownloadTimeout));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_that_accepts_nobody_is_connect_timeout() {
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port is free");
    let listener = socket.listen(1).expect("it listens");
    let full = listener.local_addr().expect("it is bound");
    // Nobody is accepted: when no more are waited for, the next one has no answer.
    let mut waiting = Vec::new();
    while let Ok(connected) = tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(full)).await
    {
        waiting.push(connected.expect("it is queued"));
    }
    let web = web(|_| None).await;
    let ports = format!("--fetch-ports={}", full.port());
    let fetching = Fetching::from(&[&web], &["--fetch-connect-timeout=600", &ports]).await;

    let code = fetching.code(&format!("http://shop.com:{}/", full.port())).await;

    assert_eq!(code, ErrorCode::ConnectTimeout);
}

#[tokio::test]
async fn a_redirect_in_an_odd_spelling_leads_nowhere_and_says_nothing_of_us_or_the_host() {
    let web = web(|path| {
        let cookie = ("set-cookie", "session=1; path=/");
        Some(match path {
            "/hex" => redirect("//0xa.1/x"),
            "/decimal" => redirect("http://167772161/x"),
            "/mapped" => redirect("http://[::ffff:10.0.0.1]/x"),
            "/loopback6" => redirect("http://[::1]/x"),
            "/nat64" => redirect("http://[64:ff9b::a00:1]/x"),
            "/wide" => redirect("http://１０．０．０．１/x"),
            "/two" => {
                answer("302 Found", &[("location", "http://10.0.0.1/x"), ("location", "/there.jpg")], b"")
            }
            "/cookie" => answer("307 Temporary Redirect", &[("location", "/there.jpg"), cookie], b""),
            _ => return None,
        })
    })
    .await;
    let fetching = Fetching::from(&[&web], &["--fetch-breaker-failures=2"]).await;

    for path in ["/hex", "/decimal", "/mapped", "/loopback6", "/nat64", "/wide", "/two"] {
        let code = fetching.code(&web.url("shop.com", path)).await;
        assert_eq!(code, ErrorCode::RedirectBlocked, "{path}");
    }
    fetching.fetch(&web.url("shop.com", "/cookie")).await.expect("what was refused says nothing of the host");

    let visits = web.visits();
    let last = visits.last().expect("there are some");
    assert_eq!((&*last.path, last.header("cookie"), last.header("referer")), ("/there.jpg", None, None));
}

#[tokio::test]
async fn a_name_that_is_allowed_in_full_leads_inside_only_where_a_network_is_opened_too() {
    let web = web(|_| None).await;
    let fetching = Fetching::from(&[&web], &["--fetch-allow-hosts=minio,inside,*"]).await;
    fetching.dns.name("minio", &[HERE]);
    fetching.dns.name("inside", &["10.0.0.1"]);

    let opened = fetching.fetch(&web.url("minio", "/a.jpg")).await;
    let shut = fetching.code(&web.url("inside", "/a.jpg")).await;

    assert_eq!(
        (opened.map(|original| original.bytes.len()).ok(), shut),
        (Some(picture("plain.jpg").len()), ErrorCode::AddressBlocked)
    );
}

#[tokio::test]
async fn names_of_the_hosts_file_are_nobodys_unless_dns_knows_them() {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let names =
        hosts.lines().filter(|line| !line.starts_with('#')).flat_map(|line| line.split_whitespace().skip(1));
    let Some(name) = names.into_iter().find(|name| !name.contains("localhost") && name.is_ascii()) else {
        return eprintln!("left out: /etc/hosts names nobody");
    };
    let web = web(|_| None).await;
    let allowed = format!("--fetch-allow-hosts={name}");
    let fetching = Fetching::from(&[&web], &[&allowed]).await;

    let code = fetching.code(&web.url(name, "/a.jpg")).await;

    assert_eq!(code, ErrorCode::DnsNxdomain);
    assert_eq!(fetching.dns.asked(&name.to_ascii_lowercase(), RecordType::A), 1);
}
