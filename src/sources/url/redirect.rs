//! Redirects, followed by hand: each place is vetted like the first.

use darkroom_jobs::ErrorCode as Code;
use url::Url;

use super::{
    error::Error,
    vet::{self, Rules, Target},
};

/// Most redirects that are followed.
pub const MAX_HOPS: usize = 4;

/// A hop that is refused tells nothing of why, or where it leads.
pub(super) const REFUSED: Error = Error::new(Code::RedirectBlocked, "the link redirects to a blocked place");

/// The places a fetch has been to.
#[derive(Clone, Debug)]
pub struct Trail {
    places: Vec<Url>,
}

impl Trail {
    /// Begins at a URL.
    pub fn new(first: &Target) -> Self {
        Self { places: vec![first.url.clone()] }
    }

    /// Whether a redirect was followed already.
    pub fn has_moved(&self) -> bool {
        self.places.len() > 1
    }

    /// Where `location`, as it came in the head of an answer, leads from here.
    ///
    /// # Errors
    ///
    /// `redirect_blocked` when it may not be followed, `redirect_limit` for the fifth hop and for a circle.
    pub fn follow(&mut self, location: &[u8], rules: &Rules) -> Result<Target, Error> {
        let here = self.places.last().expect("a trail has a beginning");
        let text = destination(here, location).ok_or(REFUSED)?;
        let target = vet::vet(&text, rules).map_err(|_| REFUSED)?;
        if here.scheme() == "https" && !target.is_https() {
            return Err(REFUSED);
        }
        if self.places.len() > MAX_HOPS {
            return Err(Error::new(Code::RedirectLimit, "the link redirects more than 4 times"));
        }
        if self.places.contains(&target.url) {
            return Err(Error::new(Code::RedirectLimit, "the link redirects in a circle"));
        }
        self.places.push(target.url.clone());
        Ok(target)
    }
}

/// The text of the URL that a `Location` means, for [`vet::vet`]: what names a host itself is judged as it is written.
fn destination(here: &Url, location: &[u8]) -> Option<String> {
    let location = encoded(location);
    if location.contains(|c: char| c.is_control() || c == '\\') {
        return None;
    }
    if location.split_once(':').is_some_and(|(scheme, _)| vet::is_scheme(scheme)) {
        return Some(location);
    }
    if location.starts_with("//") {
        return Some(format!("{}:{location}", here.scheme()));
    }
    here.join(&location).ok().map(String::from)
}

/// Spaces and bytes beyond ASCII, which have no place in a URL, percent-encoded.
fn encoded(location: &[u8]) -> String {
    let trimmed = location.trim_ascii();
    let mut text = String::with_capacity(trimmed.len());
    for byte in trimmed {
        match byte {
            b' ' | 0x80.. => text.push_str(&format!("%{byte:02X}")),
            _ => text.push(char::from(*byte)),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules { ports: vec![80, 443], ip_literals: true, deny_hosts: vec![], allow_hosts: vec![] }
    }

    /// The place, or the word for why it is none.
    fn from(here: &str, location: &str) -> String {
        let mut trail = Trail::new(&vet::vet(here, &rules()).unwrap());
        let followed = trail.follow(location.as_bytes(), &rules());
        followed.map_or_else(|error| error.code().to_string(), |target| target.url.into())
    }

    #[test]
    fn a_location_is_joined_to_where_it_was_said() {
        for (location, expected) in [
            ("/b.jpg", "http://shop.com/b.jpg"),
            ("b.jpg?x=1", "http://shop.com/img/b.jpg?x=1"),
            ("?x=1", "http://shop.com/img/a.jpg?x=1"),
            ("//cdn.com/b.jpg", "http://cdn.com/b.jpg"),
            ("https://cdn.com:443/b.jpg#x", "https://cdn.com/b.jpg"),
            (" /a b.jpg ", "http://shop.com/a%20b.jpg"),
            ("/ä.jpg", "http://shop.com/%C3%A4.jpg"),
            ("../../../b.jpg", "http://shop.com/b.jpg"),
            ("", "redirect_limit"),
            ("a.jpg", "redirect_limit"),
            ("file:///etc/passwd", "redirect_blocked"),
            ("//10.0.0.1:22/x", "redirect_blocked"),
            ("//user@cdn.com/x", "redirect_blocked"),
            ("http://@cdn.com/x", "redirect_blocked"),
            ("http:cdn.com", "redirect_blocked"),
            ("\\\\cdn.com\\x", "redirect_blocked"),
            ("/a\tb", "redirect_blocked"),
            ("http://localhost/", "redirect_blocked"),
            ("javascript:alert(1)", "redirect_blocked"),
            ("data:image/png;base64,iVBO", "redirect_blocked"),
            ("HTTP:/cdn.com/x", "redirect_blocked"),
            ("http:///cdn.com/x", "redirect_blocked"),
            ("///cdn.com/x", "redirect_blocked"),
            ("//", "redirect_blocked"),
            ("//cdn.com:80:80/x", "redirect_blocked"),
            ("//cdn.com\\@10.0.0.1/x", "redirect_blocked"),
            ("//cdn.com%00.shop.com/x", "redirect_blocked"),
            ("//loc%61lhost/x", "redirect_blocked"),
            ("//xn--/x", "redirect_blocked"),
            ("//[fe80::1%25eth0]/x", "redirect_blocked"),
            ("/\0", "redirect_blocked"),
            ("a:b.jpg", "redirect_blocked"),
            ("./a:b.jpg", "http://shop.com/img/a:b.jpg"),
            ("/%0d%0aHost:%20cdn.com", "http://shop.com/%0d%0aHost:%20cdn.com"),
            ("/..//cdn.com/x", "http://shop.com//cdn.com/x"),
            ("／／cdn.com/x", "http://shop.com/img/%EF%BC%8F%EF%BC%8Fcdn.com/x"),
            ("//cdn。com/x", "http://cdn.com/x"),
            ("#elsewhere", "redirect_limit"),
            ("http://bücher.de/", "http://xn--bcher-kva.de/"),
        ] {
            assert_eq!(from("http://shop.com/img/a.jpg", location), expected, "{location:?}");
        }
        assert_eq!(from("https://shop.com/a.jpg", "http://shop.com/a.jpg"), "redirect_blocked");
        assert_eq!(from("http://shop.com/a.jpg", "https://shop.com/a.jpg"), "https://shop.com/a.jpg");
    }

    #[test]
    fn four_hops_are_followed_and_a_fifth_or_a_circle_is_not() {
        let first = vet::vet("http://shop.com/0", &rules()).unwrap();
        let mut trail = Trail::new(&first);

        for hop in 1..=4 {
            trail.follow(format!("/{hop}").as_bytes(), &rules()).unwrap();
        }
        let fifth = trail.follow(b"/5", &rules()).unwrap_err();
        let mut trail = Trail::new(&first);
        trail.follow(b"/1", &rules()).unwrap();
        let circle = trail.follow(b"/0", &rules()).unwrap_err();

        assert_eq!((fifth.code(), circle.code()), (Code::RedirectLimit, Code::RedirectLimit));
        assert!(circle.to_string().contains("circle"), "{circle}");
    }
}
