//! Any bytes as a server's answer: there is a head or a word for why there is none, and no end is waited for in vain.
#![no_main]

use std::time::Duration;

use darkroom::sources::url::{
    exchange::{exchange, request},
    vet::{self, Rules},
};
use hyper::header::HeaderValue;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fuzz_target!(|bytes: &[u8]| {
    let rules = Rules { ports: vec![80], ip_literals: true, deny_hosts: vec![], allow_hosts: vec![] };
    let target = vet::vet("http://shop.com/a.jpg", &rules).expect("it is in order");
    let request = request(&target, &HeaderValue::from_static("darkroom")).expect("it can be said");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (ours, mut theirs) = tokio::io::duplex(256 << 10);
        let serving = async {
            let mut asked = [0; 512];
            // What we asked does not matter, nor whether we are still there.
            let _ = theirs.read(&mut asked).await;
            let _ = theirs.write_all(bytes).await;
            let _ = theirs.shutdown().await;
        };
        let both = async { tokio::join!(exchange(ours, request), serving).0 };
        let answer = tokio::time::timeout(Duration::from_secs(5), both).await;
        drop(answer.expect("it does not hang"));
    });
});
