//! Connections to addresses that were vetted, and to no others.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use darkroom_jobs::ErrorCode as Code;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{error::Error, vet::BLOCKED};

/// Most addresses of a host that are tried.
pub const MAX_ADDRESSES: usize = 4;
/// After so long without a connection the next address is tried beside the others (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first of the addresses that answers. Ends by itself when all have failed; a time limit is the caller's.
///
/// # Errors
///
/// `connect_failed`; `address_blocked` when the other end is not the one that was asked for.
pub(super) async fn connect(addresses: &[IpAddr], port: u16) -> Result<TcpStream, Error> {
    let mut left = addresses.iter().take(MAX_ADDRESSES).map(|address| SocketAddr::new(*address, port));
    let mut running = JoinSet::new();
    loop {
        if let Some(address) = left.next() {
            running.spawn(async move { (TcpStream::connect(address).await, address) });
        }
        let next = Instant::now() + HEAD_START;
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(Ok((Ok(socket), address))) => return checked(socket, address),
                Some(Ok((Err(error), _))) => tracing::debug!(error = %error, "an address did not answer"),
                Some(Err(died)) => tracing::debug!(error = %died, "an attempt to connect died"),
                None => return Err(Error::new(Code::ConnectFailed, "the server could not be reached")),
            },
            () = sleep_until(next), if left.len() > 0 => {}
        }
    }
}

/// The address that was vetted is the one that we talk to.
fn checked(socket: TcpStream, asked: SocketAddr) -> Result<TcpStream, Error> {
    let canonical = |address: SocketAddr| (address.ip().to_canonical(), address.port());
    let peer: io::Result<SocketAddr> = socket.peer_addr();
    let peer = peer.map_err(|_| Error::new(Code::ConnectFailed, "the connection ended at once"))?;
    if canonical(peer) != canonical(asked) {
        return Err(Error::new(Code::AddressBlocked, BLOCKED));
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_fails_or_is_silent() {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // Nobody has it: the connection fails, or nothing ever comes back.
        let nobody = "127.255.255.254".parse().unwrap();
        let silent = "192.0.2.1".parse().unwrap();

        let addresses = [silent, nobody, HERE];
        let socket = tokio::time::timeout(Duration::from_secs(5), connect(&addresses, port)).await;

        assert_eq!(socket.expect("it ends").unwrap().peer_addr().unwrap().ip(), HERE);
    }

    #[tokio::test]
    async fn a_connection_that_leads_elsewhere_is_not_used() {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let there = listener.local_addr().unwrap();
        let other = SocketAddr::new("93.184.215.14".parse().unwrap(), there.port());
        let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), there.port());
        let connected = async |asked| checked(TcpStream::connect(there).await.unwrap(), asked);

        assert_eq!(connected(other).await.unwrap_err().code(), Code::AddressBlocked);
        assert!(connected(mapped).await.is_ok() && connected(there).await.is_ok());
    }

    #[tokio::test]
    async fn when_all_have_failed_it_ends_at_once_and_only_four_are_tried() {
        let port = {
            let listener = TcpListener::bind((HERE, 0)).await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let live = TcpListener::bind(("127.0.0.9", port)).await.unwrap();
        let dead = |last| IpAddr::from([127, 0, 0, last]);

        let began = Instant::now();
        let refused = connect(&[dead(1), dead(2), dead(3), dead(4), dead(9)], port).await.unwrap_err();

        assert_eq!(refused.code(), Code::ConnectFailed);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        drop(live);
    }
}
