//! Where the HTTP service is, and who may use it.

use std::net::SocketAddr;

use clap::Args;

use super::{
    Secret, bytes,
    check::{Problem, those},
};

/// Largest original, which one upload must be able to hold.
const LARGEST: u64 = darkroom_jobs::MAX_SOURCE_BYTES;

/// Fewest characters of a token: shorter ones can be guessed over the network.
const SHORTEST_TOKEN: usize = 16;

/// The HTTP service.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP")]
pub struct Http {
    /// Address and port of the HTTP service; port 0 picks one and logs it, empty means no service.
    #[arg(long, env = "DARKROOM_HTTP_ADDR", default_value = "127.0.0.1:8080", value_parser = address)]
    pub http_addr: Address,
    /// Tokens of at least 16 characters that callers show as `Authorization: Bearer`, separated by commas; unset: this machine alone is served.
    #[arg(long, env = "DARKROOM_API_TOKENS", hide_env_values = true)]
    pub api_tokens: Option<Secret>,
    /// Memory of all uploads that are being received.
    #[arg(long, env = "DARKROOM_UPLOAD_MEMORY", default_value = "256MiB", value_parser = bytes)]
    pub upload_memory: u64,
    /// Jobs that may wait in one queue before HTTP takes no more of them; unset means no limit.
    #[arg(long, env = "DARKROOM_MAX_WAITING")]
    pub max_waiting: Option<u64>,
}

/// Where to listen, if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub Option<SocketAddr>);

impl Http {
    /// The tokens, in the order in which they were given.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        let all = self.api_tokens.as_ref().map_or("", Secret::reveal);
        all.split(',').map(str::trim).filter(|token| !token.is_empty())
    }

    /// An address that strangers reach without a token, and memory that no upload fits in.
    pub fn problems(&self) -> Vec<Problem> {
        let open = self.http_addr.0.is_some_and(|addr| !addr.ip().to_canonical().is_loopback());
        let sendable = |token: &str| token.bytes().all(|b| b.is_ascii_graphic());
        those([
            (
                open && self.tokens().next().is_none(),
                "DARKROOM_API_TOKENS",
                "is not set, but DARKROOM_HTTP_ADDR can be reached from elsewhere".into(),
            ),
            (
                !self.tokens().all(sendable),
                "DARKROOM_API_TOKENS",
                "a token has letters, digits and punctuation alone".into(),
            ),
            (
                self.tokens().any(|token| token.len() < SHORTEST_TOKEN),
                "DARKROOM_API_TOKENS",
                format!(
                    "a token has fewer than {SHORTEST_TOKEN} characters; `openssl rand -hex 24` makes one"
                ),
            ),
            (
                self.upload_memory < LARGEST,
                "DARKROOM_UPLOAD_MEMORY",
                "is less than 32MiB, the largest original".into(),
            ),
        ])
    }
}

fn address(text: &str) -> Result<Address, String> {
    match text.trim() {
        "" => Ok(Address(None)),
        text => text
            .parse()
            .map(|addr| Address(Some(addr)))
            .map_err(|_| "expected an IP address with a port, like 127.0.0.1:8080, or nothing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        http: Http,
    }

    fn variables(flags: &[&str]) -> Vec<String> {
        let line = Line::try_parse_from(["darkroom"].iter().chain(flags)).unwrap();
        line.http.problems().into_iter().map(|problem| problem.variable).collect()
    }

    #[test]
    fn an_address_that_others_reach_needs_a_token() {
        assert_eq!(variables(&["--http-addr=0.0.0.0:80"]), ["DARKROOM_API_TOKENS"]);
        assert_eq!(variables(&["--http-addr=[::]:80", "--api-tokens= , "]), ["DARKROOM_API_TOKENS"]);
        assert_eq!(variables(&["--http-addr=0.0.0.0:80", "--api-tokens=0123456789abcdef"]), [""; 0]);
        assert_eq!(variables(&["--http-addr=[::1]:80"]), [""; 0]);
        assert_eq!(variables(&["--http-addr=[::ffff:127.0.0.1]:80"]), [""; 0]);
    }

    #[test]
    fn an_empty_address_means_no_service_and_a_name_is_refused() {
        let none = Line::try_parse_from(["darkroom", "--http-addr="]).unwrap();
        let name = Line::try_parse_from(["darkroom", "--http-addr=here:80"]).unwrap_err();

        assert_eq!(none.http.http_addr, Address(None));
        assert!(name.to_string().contains("expected an IP address with a port"), "{name}");
    }

    #[test]
    fn a_token_that_can_be_guessed_is_refused_beside_a_good_one_and_on_any_address() {
        assert_eq!(variables(&["--api-tokens=0123456789abcde"]), ["DARKROOM_API_TOKENS"]);
        assert_eq!(variables(&["--api-tokens=0123456789abcdef,x"]), ["DARKROOM_API_TOKENS"]);
        assert_eq!(variables(&["--http-addr=", "--api-tokens=x"]), ["DARKROOM_API_TOKENS"]);
    }

    #[test]
    fn tokens_are_a_list_and_memory_holds_one_original() {
        let line = Line::try_parse_from(["darkroom", "--api-tokens=a, b,,c"]).unwrap();

        assert_eq!(line.http.tokens().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(variables(&["--api-tokens=0123456789 abcdef"]), ["DARKROOM_API_TOKENS"]);
        assert_eq!(variables(&["--upload-memory=31MiB"]), ["DARKROOM_UPLOAD_MEMORY"]);
    }
}
