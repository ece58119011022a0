//! Which addresses may be connected to: those that are public, and nothing beside them.
//!
//! The tables are the IANA special-purpose registries (RFC 6890 and its updates), as of 2025: every block that is not
//! globally reachable, and some that are and still lead nowhere good.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::fetch::meant;

/// An IPv4 network of these octets.
const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// An IPv6 network that begins with these two groups.
const fn v6(first: u16, second: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), prefix)
}

/// IPv4 that is not connected to, with the registry's names.
pub const REFUSED_V4: [(Ipv4Net, &str); 17] = [
    (v4(0, 0, 0, 0, 8), "This network"),
    (v4(10, 0, 0, 0, 8), "Private-Use"),
    (v4(100, 64, 0, 0, 10), "Shared Address Space"),
    (v4(127, 0, 0, 0, 8), "Loopback"),
    (v4(168, 63, 129, 16, 32), "Azure's platform address, in no registry"),
    (v4(169, 254, 0, 0, 16), "Link Local"),
    (v4(172, 16, 0, 0, 12), "Private-Use"),
    (v4(192, 0, 0, 0, 24), "IETF Protocol Assignments, the global ones in it too"),
    (v4(192, 0, 2, 0, 24), "Documentation (TEST-NET-1)"),
    (v4(192, 88, 99, 0, 24), "Deprecated (6to4 Relay Anycast)"),
    (v4(192, 168, 0, 0, 16), "Private-Use"),
    (v4(198, 18, 0, 0, 15), "Benchmarking"),
    (v4(198, 51, 100, 0, 24), "Documentation (TEST-NET-2)"),
    (v4(203, 0, 113, 0, 24), "Documentation (TEST-NET-3)"),
    (v4(224, 0, 0, 0, 4), "Multicast, of the address space's registry"),
    (v4(240, 0, 0, 0, 4), "Reserved"),
    (v4(255, 255, 255, 255, 32), "Limited Broadcast"),
];

/// The only part of IPv6 that was ever given out.
pub const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);

/// What is not connected to in [`GLOBAL_V6`], with the registry's names.
pub const REFUSED_V6: [(Ipv6Net, &str); 4] = [
    (v6(0x2001, 0, 23), "IETF Protocol Assignments, with Teredo, Benchmarking and ORCHID"),
    (v6(0x2001, 0xdb8, 32), "Documentation"),
    (v6(0x2002, 0, 16), "6to4"),
    (v6(0x3fff, 0, 20), "Documentation"),
];

/// What an operator adds to the rule, and what is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRule {
    /// Not connected to, whatever is opened.
    pub deny: Vec<IpNet>,
    /// Connected to although it is not public.
    pub allow: Vec<IpNet>,
}

impl AddressRule {
    /// Whether an address may be connected to. One that stands for an IPv4 address is judged by that.
    pub fn permits(&self, address: IpAddr) -> bool {
        let judged = meant(address);
        let lies_in = |networks: &[IpNet]| {
            networks.iter().any(|network| network.contains(&judged) || network.contains(&address))
        };
        !lies_in(&self.deny) && (is_public(judged) || lies_in(&self.allow))
    }
}

/// Whether the registries call an address globally reachable, less what the tables refuse.
pub fn is_public(address: IpAddr) -> bool {
    match meant(address) {
        IpAddr::V4(address) => !REFUSED_V4.iter().any(|(block, _)| block.contains(&address)),
        IpAddr::V6(address) => {
            let refused = REFUSED_V6.iter().any(|(block, _)| block.contains(&address));
            GLOBAL_V6.contains(&address) && !refused && !is_isatap(address)
        }
    }
}

/// RFC 5214: an interface id that carries an IPv4 address, in any prefix.
fn is_isatap(address: Ipv6Addr) -> bool {
    let [.., first, second, _, _] = address.segments();
    matches!(first, 0 | 0x200) && second == 0x5efe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap_or_else(|_| panic!("{text} is no address")))
    }

    /// Every row of the IANA IPv4 Special-Purpose Address Registry: first and last address, and whether we connect.
    const REGISTRY_V4: [(&str, &str, &str, bool); 27] = [
        ("0.0.0.0", "0.255.255.255", "This network", false),
        ("0.0.0.0", "0.0.0.0", "This host on this network", false),
        ("10.0.0.0", "10.255.255.255", "Private-Use", false),
        ("100.64.0.0", "100.127.255.255", "Shared Address Space", false),
        ("127.0.0.0", "127.255.255.255", "Loopback", false),
        ("169.254.0.0", "169.254.255.255", "Link Local", false),
        ("172.16.0.0", "172.31.255.255", "Private-Use", false),
        ("192.0.0.0", "192.0.0.255", "IETF Protocol Assignments", false),
        ("192.0.0.0", "192.0.0.7", "IPv4 Service Continuity Prefix", false),
        ("192.0.0.8", "192.0.0.8", "IPv4 dummy address", false),
        ("192.0.0.9", "192.0.0.9", "Port Control Protocol Anycast, global", false),
        ("192.0.0.10", "192.0.0.10", "Traversal Using Relays around NAT Anycast, global", false),
        ("192.0.0.170", "192.0.0.171", "NAT64/DNS64 Discovery", false),
        ("192.0.2.0", "192.0.2.255", "Documentation (TEST-NET-1)", false),
        ("192.31.196.0", "192.31.196.255", "AS112-v4, global", true),
        ("192.52.193.0", "192.52.193.255", "AMT, global", true),
        ("192.88.99.0", "192.88.99.255", "Deprecated (6to4 Relay Anycast)", false),
        ("192.168.0.0", "192.168.255.255", "Private-Use", false),
        ("192.175.48.0", "192.175.48.255", "Direct Delegation AS112 Service, global", true),
        ("198.18.0.0", "198.19.255.255", "Benchmarking", false),
        ("198.51.100.0", "198.51.100.255", "Documentation (TEST-NET-2)", false),
        ("203.0.113.0", "203.0.113.255", "Documentation (TEST-NET-3)", false),
        ("240.0.0.0", "255.255.255.255", "Reserved", false),
        ("255.255.255.255", "255.255.255.255", "Limited Broadcast", false),
        // Not in that registry.
        ("224.0.0.0", "239.255.255.255", "Multicast", false),
        ("168.63.129.16", "168.63.129.16", "Azure's platform address", false),
        ("1.0.0.0", "9.255.255.255", "given out", true),
    ];

    /// Every row of the IANA IPv6 Special-Purpose Address Registry.
    const REGISTRY_V6: [(&str, &str, &str, bool); 27] = [
        ("::1", "::1", "Loopback Address", false),
        ("::", "::", "Unspecified Address", false),
        ("::ffff:127.0.0.1", "::ffff:10.255.255.255", "IPv4-mapped Address, private", false),
        ("::ffff:8.8.8.8", "::ffff:8.8.8.8", "IPv4-mapped Address, public", true),
        ("64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "IPv4-IPv6 Translation, private", false),
        ("64:ff9b::8.8.8.8", "64:ff9b::8.8.8.8", "IPv4-IPv6 Translation, public", true),
        ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:8.8.8.8", "IPv4-IPv6 Translation, local", false),
        ("100::", "100::ffff:ffff:ffff:ffff", "Discard-Only Address Block", false),
        ("100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff", "Dummy IPv6 Prefix", false),
        ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "IETF Protocol Assignments", false),
        ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "TEREDO", false),
        ("2001:1::1", "2001:1::3", "Port Control, TURN and DNS-SD Anycast, global", false),
        ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", "Benchmarking", false),
        ("2001:3::", "2001:3:ffff:ffff:ffff:ffff:ffff:ffff", "AMT, global", false),
        ("2001:4:112::", "2001:4:112:ffff:ffff:ffff:ffff:ffff", "AS112-v6, global", false),
        ("2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", "Deprecated (ORCHID)", false),
        ("2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", "ORCHIDv2, global", false),
        ("2001:30::", "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff", "Drone Remote ID, global", false),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "Documentation", false),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "6to4", false),
        ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "Direct Delegation AS112, global", true),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "Documentation", false),
        ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "Segment Routing (SRv6) SIDs", false),
        ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "Unique-Local", false),
        ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "Link-Local Unicast", false),
        // Not in that registry.
        ("fec0::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "Site-Local and Multicast", false),
        ("2606:4700::", "2606:4700:ffff:ffff:ffff:ffff:ffff:ffff", "given out", true),
    ];

    #[test]
    fn every_block_of_the_registries_is_judged_at_both_of_its_ends() {
        for (first, last, name, connected) in REGISTRY_V4.into_iter().chain(REGISTRY_V6) {
            assert_eq!((public(first), public(last)), (connected, connected), "{name}: {first} to {last}");
        }
    }

    #[test]
    fn what_lies_beside_a_refused_block_is_connected_to() {
        let beside = "1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15 \
            168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 \
            192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 \
            198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 2000:: 2001:200:: \
            2001:db7:ffff:ffff:ffff:ffff:ffff:ffff 2001:db9:: 2003:: 3ffe:ffff:: 3fff:1000::";

        for address in beside.split_whitespace() {
            assert!(public(address), "{address} is refused");
        }
    }

    #[test]
    fn ipv4_inside_of_ipv6_does_not_get_through() {
        for address in [
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "2606:4700::5efe:10.0.0.1",
            "2606:4700::200:5efe:10.0.0.1",
            "2606:4700:0:0:0200:5efe:8.8.8.8",
        ] {
            assert!(!public(address), "{address} is connected to");
        }
        assert!(public("2606:4700::1:5efe:808:808"), "an id that only looks like it is refused");
    }

    #[test]
    fn what_is_opened_is_judged_by_the_address_that_is_meant_and_what_is_denied_stays_shut() {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let rule = AddressRule {
            deny: networks(&["10.0.0.0/24", "8.8.8.0/24"]),
            allow: networks(&["10.0.0.0/8", "fd00::/8"]),
        };
        let permits = |text: &str| rule.permits(text.parse().unwrap());

        assert!(permits("10.1.0.1") && permits("::ffff:10.1.0.1") && permits("64:ff9b::10.1.0.1"));
        assert!(permits("fd00::1") && permits("1.1.1.1") && permits("2606:4700::1"));
        assert!(!permits("10.0.0.1") && !permits("::ffff:10.0.0.1") && !permits("8.8.8.8"));
        assert!(!permits("127.0.0.1") && !permits("fe80::1"));
    }
}
