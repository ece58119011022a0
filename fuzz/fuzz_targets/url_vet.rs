//! Any text as a URL: what passes is in order, and passes again as it was parsed.
#![no_main]

use darkroom::sources::url::vet::{self, MAX_URL_BYTES, Rules};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let rules = Rules { ports: vec![80, 443], ip_literals: true, deny_hosts: vec![], allow_hosts: vec![] };
    let Ok(target) = vet::vet(text, &rules) else { return };
    assert!(["http", "https"].contains(&target.url.scheme()));
    assert!(target.url.username().is_empty() && target.url.password().is_none());
    if target.url.as_str().len() <= MAX_URL_BYTES {
        assert_eq!(vet::vet(target.url.as_str(), &rules), Ok(target));
    }
});
