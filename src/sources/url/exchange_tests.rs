use hyper::Response;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::sources::url::vet::{self, Rules};

fn target(url: &str) -> Target {
    let rules =
        Rules { ports: vec![80, 443, 8080], ip_literals: true, deny_hosts: vec![], allow_hosts: vec![] };
    vet::vet(url, &rules).unwrap()
}

fn head(status: u16, headers: &[(&str, &str)]) -> Result<Head, Error> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    let now = httpdate::parse_http_date("Thu, 26 Nov 2026 10:00:00 GMT").unwrap();
    judge(&response.body(()).unwrap().into_parts().0, now)
}

fn code(status: u16) -> Code {
    head(status, &[]).unwrap_err().code()
}

/// What bytes on the wire come to.
async fn answered(bytes: &[u8]) -> Result<Head, Error> {
    let (ours, mut theirs) = tokio::io::duplex(256 << 10);
    let request = request(&target("http://shop.com/"), &HeaderValue::from_static("darkroom")).unwrap();
    let serving = async {
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(theirs.read_u8().await?);
        }
        theirs.write_all(bytes).await?;
        theirs.shutdown().await
    };
    let (answer, _gone) = tokio::join!(exchange(ours, request), serving);
    answer.map(|answer| answer.head)
}

#[test]
fn each_status_has_its_word() {
    for (statuses, expected) in [
        (vec![204, 206, 300, 304, 305], Code::HttpStatus),
        (vec![401], Code::Http401),
        (vec![403], Code::Http403),
        (vec![404], Code::Http404),
        (vec![410], Code::Http410),
        (vec![429], Code::Http429),
        (vec![400, 402, 405, 407, 418, 451, 499], Code::Http4xx),
        (vec![408, 425, 500, 502, 503, 599], Code::Http5xx),
        (vec![600, 999], Code::HttpInvalidResponse),
        (vec![301, 302, 303, 307, 308], Code::HttpInvalidResponse),
    ] {
        for status in statuses {
            assert_eq!(code(status), expected, "{status}");
        }
    }
    let error = head(403, &[]).unwrap_err();
    assert_eq!(
        (error.to_string(), error.detail()),
        ("the server answered 403".into(), Some(serde_json::json!({"http_status": 403})))
    );
}

#[test]
fn a_server_says_in_seconds_or_by_date_when_to_come_again() {
    let after = |status, value| head(status, &[("retry-after", value)]).unwrap_err().retry_after();
    let seconds = |seconds| Some(Duration::from_secs(seconds));

    assert_eq!(after(429, "120"), seconds(120));
    assert_eq!(after(503, "Thu, 26 Nov 2026 10:01:00 GMT"), seconds(60));
    assert_eq!(after(429, "Thu, 26 Nov 2026 09:00:00 GMT"), seconds(1));
    assert_eq!((after(429, "0"), after(429, "999999999")), (seconds(1), seconds(999_999_999)));
    assert_eq!(after(429, "99999999999999999999999"), seconds(u64::MAX));
    assert_eq!(
        (after(429, "soon"), after(429, "-1"), after(429, ""), after(500, "9")),
        (None, None, None, None)
    );
}

#[test]
fn what_is_announced_is_taken_down_and_what_cannot_be_read_is_refused() {
    let file = |headers: &[(&str, &str)]| head(200, headers);
    let media_type = Some("image/png".into());
    let plain = Announced { length: Some(7), media_type, is_gzip: false, is_framed: true };

    assert_eq!(file(&[("content-length", "7"), ("content-type", "image/png")]), Ok(Head::File(plain)));
    for encoding in ["gzip", "x-gzip", "GZIP", "identity, gzip"] {
        let Ok(Head::File(announced)) = file(&[("content-encoding", encoding)]) else { panic!("{encoding}") };
        assert!(announced.is_gzip, "{encoding}");
    }
    for encoding in ["br", "zstd", "deflate", "gzip, gzip", "gzip, br", "ä"] {
        let refused = file(&[("content-encoding", encoding)]).unwrap_err().code();
        assert_eq!(refused, Code::ContentEncodingUnsupported, "{encoding}");
    }
    let twice = file(&[("content-encoding", "gzip"), ("content-encoding", "gzip")]);
    assert_eq!(twice.unwrap_err().code(), Code::ContentEncodingUnsupported);
    let huge = file(&[("content-length", "107374182400")]).unwrap_err().code();
    assert_eq!(huge, Code::SourceTooLarge);
    for coding in ["gzip, chunked", "chunked, chunked", "identity", "xchunked", ""] {
        let refused = file(&[("transfer-encoding", coding)]).map_err(|error| error.code());
        assert_eq!(refused, Err(Code::ContentEncodingUnsupported), "{coding:?}");
    }
}

#[test]
fn a_request_says_who_asks_and_nothing_of_why() {
    let asked =
        request(&target("https://shop.com.:8080/a%20b?x=|#y"), &HeaderValue::from_static("darkroom/1"))
            .unwrap();

    let headers: Vec<_> =
        asked.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    assert_eq!(asked.uri(), "/a%20b?x=|");
    assert_eq!(
        headers,
        [
            "host: shop.com:8080",
            "user-agent: darkroom/1",
            "accept: image/jpeg,image/png;q=0.9,image/*;q=0.8,*/*;q=0.1",
            "accept-encoding: identity",
            "connection: close"
        ]
    );
    let slashes = request(&target("http://shop.com//10.0.0.1/x"), &HeaderValue::from_static("d")).unwrap();
    assert_eq!((slashes.uri().to_string(), slashes.uri().host()), ("//10.0.0.1/x".into(), None));
    let literal = request(&target("http://[2606:4700::1]/"), &HeaderValue::from_static("d")).unwrap();
    assert_eq!(literal.headers()["host"], "[2606:4700::1]");
}

#[tokio::test]
async fn the_head_is_read_from_the_wire_within_its_limits() {
    let code = async |bytes: &[u8]| answered(bytes).await.map_err(|error| error.code());
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(70 << 10));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(200));

    let early = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(code(early).await, Ok(Head::File(Announced::default())));
    assert_eq!(code(large.as_bytes()).await, Err(Code::HttpInvalidResponse));
    assert_eq!(code(many.as_bytes()).await, Err(Code::HttpInvalidResponse));
    assert_eq!(code(b"SSH-2.0-OpenSSH_9.2\r\n").await, Err(Code::HttpInvalidResponse));
    assert_eq!(
        code(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\ncontent-length: 8\r\n\r\n").await,
        Err(Code::HttpInvalidResponse)
    );
    assert_eq!(code(b"HTTP/1.1 200 OK\r\nx: y").await, Err(Code::DownloadIncomplete));
    assert_eq!(code(b"").await, Err(Code::DownloadIncomplete));
}

#[tokio::test]
async fn heads_that_others_have_read_in_two_ways_are_read_in_one() {
    let file = |length, is_framed| Ok(Head::File(Announced { length, is_framed, ..Announced::default() }));
    let garbled = || Err(Code::HttpInvalidResponse);

    for (text, expected) in [
        ("HTTP/1.1 200 OK\ncontent-length: 3\n\nabc", file(Some(3), true)),
        ("HTTP/1.1 200\r\n\r\n", file(None, false)),
        ("HTTP/1.0 200 OK\r\n\r\n", file(None, false)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc", file(Some(3), true)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", file(None, true)),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n", file(None, true)),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n", file(None, true)),
        ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", garbled()),
        ("HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc", garbled()),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0x3\r\n\r\nabc", garbled()),
        ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", garbled()),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3 3\r\n\r\nabc", garbled()),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n", garbled()),
        ("HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n", garbled()),
        ("HTTP/1.1 200 OK\r\nx\0: a\r\n\r\n", garbled()),
        ("HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n", garbled()),
        ("HTTP/1.1 200 OK\r\ncontent-length : 3\r\n\r\nabc", garbled()),
        ("HTTP/1.1 200 OK\r\n: a\r\n\r\n", garbled()),
        ("HTTP/1.1 2000 OK\r\n\r\n", garbled()),
        ("HTTP/1.1 099 OK\r\n\r\n", garbled()),
        ("HTTP/1.2 200 OK\r\n\r\n", garbled()),
        ("HTTP/2.0 200 OK\r\n\r\n", garbled()),
        ("ICY 200 OK\r\n\r\n", garbled()),
        ("<html>", garbled()),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            Err(Code::HttpStatus),
        ),
    ] {
        let answer = answered(text.as_bytes()).await.map_err(|error| error.code());
        assert_eq!(answer, expected, "{text:?}");
    }
}

/// Heads that are nearly right.
fn odd_head() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        &b"HTTP/1.1 200 OK\r\n"[..],
        b"HTTP/1.1 302 Found\r\n",
        b"HTTP/1.0 429 \r\n",
        b"HTTP/1.1 100 \r\n\r\n",
        b"content-length: 3\r\n",
        b"content-length: -1\r\n",
        b"content-length: 99999999999999999999\r\n",
        b"transfer-encoding: chunked\r\n",
        b"transfer-encoding: gzip\r\n",
        b"content-encoding: gzip\r\n",
        b"location: /x\r\n",
        b"location: \xff\r\n",
        b"retry-after: 1\r\n",
        b"content-type: \x80\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"abc",
        b": \r\n",
        b" x: y\r\n",
        b"HTTP/2.0 200 OK\r\n",
    ]);
    prop::collection::vec(part, 0..14).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Whatever a server says, it is answered with a head or a word for it, and within a moment.
    #[test]
    fn whatever_comes_has_an_answer(bytes in prop_oneof![odd_head(), any::<Vec<u8>>()]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let answer = runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(5), answered(&bytes)).await
        });
        let judged = answer.expect("it does not hang");
        if let Ok(Head::File(announced)) = judged {
            prop_assert!(announced.length.is_none_or(|length| length <= MAX_SOURCE_BYTES));
        }
    }
}
