use proptest::prelude::*;

use super::*;

fn rules() -> Rules {
    Rules { ports: vec![80, 443], ip_literals: true, deny_hosts: vec![], allow_hosts: vec![] }
}

fn patterns(texts: &[&str]) -> Vec<HostPattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// The host that is looked up, or the word for why none is.
fn judged(text: &str) -> String {
    vet(text, &rules()).map_or_else(|error| error.code().to_string(), |target| target.host.to_string())
}

fn are_judged(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(judged(text), *expected, "{text:?}");
    }
}

#[test]
fn each_kind_of_text_has_its_word() {
    are_judged(&[
        ("https://shop.com/a.jpg", "shop.com"),
        ("HTTPS://SHOP.COM/", "shop.com"),
        ("http://shop.com:080/a.jpg", "shop.com"),
        ("https://shop.com./a.jpg", "shop.com"),
        ("https://shop.com?@10.0.0.1/a.jpg", "shop.com"),
        ("https://shop.com#@10.0.0.1/a.jpg", "shop.com"),
        ("https://bücher.de/ä.jpg", "xn--bcher-kva.de"),
        ("http://my_shop.com/", "my_shop.com"),
        ("", "url_malformed"),
        ("shop.com/a.jpg", "url_malformed"),
        ("//shop.com/a.jpg", "url_malformed"),
        ("http://shop.com/a b.jpg", "url_malformed"),
        ("http://shop.com/a\tb.jpg", "url_malformed"),
        ("ht\ntp://127.0.0.1/", "url_malformed"),
        ("http://shop.com/\u{85}", "url_malformed"),
        ("http:\\\\shop.com/", "url_malformed"),
        ("http:127.0.0.1/a.jpg", "url_malformed"),
        ("http:/shop.com/a.jpg", "url_malformed"),
        ("http:///shop.com/a.jpg", "url_malformed"),
        ("http://", "url_malformed"),
        ("http://?x", "url_malformed"),
        ("file:///etc/passwd", "url_scheme"),
        ("javascript:alert(1)", "url_scheme"),
        ("localhost:80/a.jpg", "url_scheme"),
        ("https://user:pw@shop.com/", "url_userinfo"),
        ("https://@shop.com/", "url_userinfo"),
        ("http://shop.com:22/", "url_port"),
        ("http://shop.com:99999/", "url_malformed"),
    ]);
}

#[test]
fn each_kind_of_name_has_its_word() {
    let label = "a".repeat(64);
    are_judged(&[
        ("http://localhost../", "url_malformed"),
        ("http://shop..com/", "url_malformed"),
        ("http://.shop.com/", "url_malformed"),
        (&format!("http://{label}.com/"), "url_malformed"),
        (&format!("http://{}com/", "abcdefgh.".repeat(31)), "url_malformed"),
        ("http://10.0.0.1%2f.shop.com/", "url_malformed"),
        ("http://shop.com%00.evil.com/", "url_malformed"),
        ("http://a!b.com/", "url_malformed"),
        ("http://localhost。/", "host_blocked"),
        ("http://ｌｏｃａｌｈｏｓｔ/", "host_blocked"),
        ("http://loc\u{ad}alhost/", "host_blocked"),
        ("http://redis/", "host_blocked"),
        ("http://a.b.INTERNAL./", "host_blocked"),
        ("http://1.0.0.127.in-addr.arpa/", "host_blocked"),
        ("http://notlocal.com/", "notlocal.com"),
        ("http://%6c%6f%63alhost/", "host_blocked"),
        ("http://localhost%E3%80%82/", "host_blocked"),
        ("http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "host_blocked"),
        ("http://shop.com%2e/", "shop.com"),
        ("http://shop.com%252f.evil.com/", "url_malformed"),
        ("http://shop.com%0d%0a/", "url_malformed"),
        ("http://shop.com%20/", "url_malformed"),
        ("http://10.0.0.1%3a80.shop.com/", "url_malformed"),
        ("http://10.0.0.1%23.shop.com/", "url_malformed"),
        ("http://10.0.0.1%40shop.com/", "url_malformed"),
        ("http://10.0.0.1／.shop.com/", "url_malformed"),
        ("http://10.0.0.1？.shop.com/", "url_malformed"),
        ("http://xn--localhost-/", "url_malformed"),
        ("http://xn--/", "url_malformed"),
        ("http://\u{200b}/", "url_malformed"),
    ]);
}

#[test]
fn each_kind_of_port_has_its_word() {
    are_judged(&[
        ("http://shop.com:/a.jpg", "shop.com"),
        ("http://shop.com:65616/", "url_malformed"),
        ("http://shop.com:80:80/", "url_malformed"),
        ("http://shop.com:+80/", "url_malformed"),
        ("http://shop.com:8０/", "url_malformed"),
    ]);
}

#[test]
fn addresses_in_any_spelling_are_what_they_are_and_judged_later() {
    are_judged(&[
        ("http://0x7f.1/", "127.0.0.1"),
        ("http://2130706433/", "127.0.0.1"),
        ("http://127%2e0%2e0%2e1/", "127.0.0.1"),
        ("http://127。0。0。1/", "127.0.0.1"),
        ("http://[::FFFF:127.0.0.1]/", "::ffff:127.0.0.1"),
        ("http://１２７．０．０．１/", "127.0.0.1"),
        ("http://①②⑦.0.0.1/", "127.0.0.1"),
        ("http://0X7F.0.0.1/", "127.0.0.1"),
        ("http://0x/", "0.0.0.0"),
        ("http://127.0.0.1.:80/", "127.0.0.1"),
        ("http://0300.0250.1/", "192.168.0.1"),
        ("http://127.0.0.1../", "url_malformed"),
        ("http://127.0.0.256/", "url_malformed"),
        ("http://127.0.0.08/", "url_malformed"),
        ("http://1.2.3.0x/", "1.2.3.0"),
        ("http://shop.com.0x7f/", "url_malformed"),
        ("http://[::1%25lo]/", "url_malformed"),
        ("http://[fe80::1%eth0]/", "url_malformed"),
        ("http://[::1]x/", "url_malformed"),
        ("http://[v1.::1]/", "url_malformed"),
        ("http://[::127.0.0.1.1]/", "url_malformed"),
        ("http://[::0x7f.0.0.1]/", "url_malformed"),
        ("http://::1/", "url_malformed"),
    ]);
}

#[test]
fn names_that_are_nobodys_are_not_looked_up_nor_what_is_below_them() {
    let internal =
        "localhost localdomain local internal intranet lan home corp onion test invalid example alt arpa";

    for name in internal.split(' ') {
        assert_eq!(judged(&format!("http://a.{name}/")), "host_blocked", "{name}");
        assert_eq!(judged(&format!("http://{name}.shop.com/")), format!("{name}.shop.com"));
    }
}

#[test]
fn a_label_has_63_letters_and_a_name_253() {
    let name = |last: usize| format!("{}{}.com", "abcdefgh.".repeat(27), "a".repeat(last));

    assert_eq!(judged(&format!("http://{}.com/", "a".repeat(63))), format!("{}.com", "a".repeat(63)));
    assert_eq!((name(6).len(), judged(&format!("http://{}./", name(6)))), (253, name(6)));
    assert_eq!(judged(&format!("http://{}/", name(7))), "url_malformed");
}

#[test]
fn a_url_of_2048_bytes_is_taken_and_one_more_is_not() {
    let url = |bytes: usize| format!("http://shop.com/{}", "a".repeat(bytes - 16));

    assert_eq!(judged(&url(2_048)), "shop.com");
    assert_eq!(judged(&url(2_049)), "url_too_long");
}

#[test]
fn the_lists_of_hosts_decide_and_denying_wins() {
    let allowed = |allow: &[&str], deny: &[&str], host: &str| {
        let rules = Rules { allow_hosts: patterns(allow), deny_hosts: patterns(deny), ..rules() };
        vet(&format!("http://{host}/"), &rules).is_ok()
    };

    assert!(!allowed(&[], &["*.evil.com"], "a.evil.com") && allowed(&[], &["*.evil.com"], "evil.com"));
    assert!(allowed(&["shop.com"], &[], "shop.com") && !allowed(&["shop.com"], &[], "other.com"));
    assert!(!allowed(&["shop.com"], &["shop.com"], "shop.com"));
    assert!(
        !allowed(&["shop.com"], &[], "93.184.215.14") && allowed(&["93.184.215.14"], &[], "93.184.215.14")
    );
    for spelling in ["93.184.215.14", "0x5d.184.55054", "[::ffff:5db8:d70e]", "[64:ff9b::5db8:d70e]"] {
        assert!(!allowed(&[], &["93.184.215.14"], spelling), "{spelling}");
        assert!(allowed(&["[::ffff:93.184.215.14]"], &[], spelling), "{spelling}");
    }
}

#[test]
fn only_a_name_that_is_allowed_in_full_may_be_internal() {
    let allowed = |allow: &[&str], host: &str| {
        let rules = Rules { allow_hosts: patterns(allow), ..rules() };
        vet(&format!("http://{host}/"), &rules).is_ok()
    };

    assert!(allowed(&["minio"], "minio") && allowed(&["minio", "*"], "shop.com"));
    assert!(!allowed(&["*"], "minio") && !allowed(&["*.internal"], "a.internal"));
}

#[test]
fn addresses_in_the_place_of_names_can_be_refused() {
    let rules = Rules { ip_literals: false, ..rules() };

    let code = |text| vet(text, &rules).map_err(|error| error.code()).unwrap_err();

    assert_eq!(code("http://93.184.215.14/a.jpg"), Code::HostBlocked);
    assert_eq!(code("http://[2606:4700::1]/a.jpg"), Code::HostBlocked);
}

#[test]
fn the_fragment_is_forgotten_and_the_rest_is_the_parsers() {
    let target = vet("http://Shop.com/a/../b.jpg?x=1#top", &rules()).unwrap();

    assert_eq!(
        (target.url.as_str(), target.port, target.is_https()),
        ("http://shop.com/b.jpg?x=1", 80, false)
    );
}

/// Text that looks like a URL, with something odd in it.
fn odd_url() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "http",
        "https",
        "HTTP",
        ":",
        "/",
        "//",
        "\\",
        "@",
        "?",
        "#",
        "[",
        "]",
        "%",
        "%2e",
        "%00",
        ".",
        "..",
        "。",
        "127.0.0.1",
        "0x7f",
        "localhost",
        "shop.com",
        "xn--",
        "ａ",
        "\u{ad}",
        "\t",
        "\0",
        " ",
        ":80",
        ":0",
        "a",
        "ä",
        "::1",
        "::ffff:10.0.0.1",
        "-",
        "_",
        "1",
        "4294967295",
    ]);
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Whatever passes is what the rules promise, and passes again as it was parsed.
    #[test]
    fn whatever_passes_is_in_order(text in prop_oneof![odd_url(), odd_url().prop_map(|rest| format!("http://{rest}")), any::<String>()]) {
        let Ok(target) = vet(&text, &rules()) else { return Ok(()) };
        prop_assert!(["http", "https"].contains(&target.url.scheme()));
        prop_assert!([80, 443].contains(&target.port));
        prop_assert_eq!((target.url.username(), target.url.password(), target.url.fragment()), ("", None, None));
        if let Host::Name(name) = &target.host {
            prop_assert!(name.contains('.') && !name.ends_with('.') && !name.contains(".."));
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
            prop_assert!(name.parse::<IpAddr>().is_err());
        }
        if target.url.as_str().len() <= MAX_URL_BYTES {
            prop_assert_eq!(vet(target.url.as_str(), &rules()), Ok(target));
        }
    }
}
