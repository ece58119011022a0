//! A DNS server of a test's own, over UDP and TCP on one port, which remembers what it was asked.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::SOA},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
};

/// What is said of one family of a name's addresses.
#[derive(Clone, Debug)]
pub enum Says {
    /// These.
    Addresses(Vec<IpAddr>),
    /// The first time these, later those; nothing is to be remembered.
    Turns(Vec<IpAddr>, Vec<IpAddr>),
    /// The server failed.
    ServFail,
    /// Nothing, ever.
    Silence,
}

/// The server; it ends with the test's runtime. A name that was not given does not exist.
pub struct TestDns {
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    names: Mutex<HashMap<(String, RecordType), Says>>,
    asked: Mutex<Vec<(String, RecordType)>>,
}

impl TestDns {
    pub async fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a port is free");
            let address = udp.local_addr().expect("it is bound");
            if let Ok(tcp) = TcpListener::bind(address).await {
                break (udp, tcp);
            }
        };
        let (address, state) = (udp.local_addr().expect("it is bound"), Arc::<State>::default());
        tokio::spawn(over_udp(udp, Arc::clone(&state)));
        tokio::spawn(over_tcp(tcp, Arc::clone(&state)));
        Self { address, state }
    }

    /// Gives a name addresses of both families.
    pub fn name(&self, name: &str, addresses: &[&str]) {
        let parsed = addresses.iter().map(|text| text.parse::<IpAddr>().expect("an address"));
        let (v4, v6): (Vec<_>, Vec<_>) = parsed.partition(IpAddr::is_ipv4);
        self.says(name, RecordType::A, Says::Addresses(v4));
        self.says(name, RecordType::AAAA, Says::Addresses(v6));
    }

    pub fn says(&self, name: &str, family: RecordType, says: Says) {
        self.state.names.lock().expect("nobody panics with it").insert((name.to_owned(), family), says);
    }

    /// How often the addresses of a family of this name were asked for.
    pub fn asked(&self, name: &str, family: RecordType) -> usize {
        let asked = self.state.asked.lock().expect("nobody panics with it");
        asked.iter().filter(|(of, which)| of == name && *which == family).count()
    }

    /// Every name that was asked for, once.
    pub fn names_asked(&self) -> Vec<String> {
        let asked = self.state.asked.lock().expect("nobody panics with it");
        let mut names: Vec<_> = asked.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl State {
    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).ok()?;
        let query = question.queries.first()?.clone();
        let name = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let family = query.query_type();
        let key = (name, family);
        let nth = {
            let mut asked = self.asked.lock().expect("nobody panics with it");
            asked.push(key.clone());
            asked.iter().filter(|before| **before == key).count()
        };
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata.recursion_desired = true;
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        let (addresses, ttl) = match self.names.lock().expect("nobody panics with it").get(&key) {
            Some(Says::Addresses(addresses)) => (addresses.clone(), 60),
            Some(Says::Turns(first, _)) if nth == 1 => (first.clone(), 0),
            Some(Says::Turns(_, later)) => (later.clone(), 0),
            Some(Says::ServFail) => {
                answer.metadata.response_code = ResponseCode::ServFail;
                (vec![], 0)
            }
            Some(Says::Silence) => return None,
            None => {
                answer.metadata.response_code = ResponseCode::NXDomain;
                (vec![], 0)
            }
        };
        if addresses.is_empty() {
            // Without it nobody remembers that there is nothing.
            let zone = SOA::new(Name::root(), Name::root(), 1, 60, 60, 60, ttl);
            answer.add_authority(Record::from_rdata(Name::root(), ttl, RData::SOA(zone)));
        }
        for address in addresses {
            answer.add_answer(Record::from_rdata(query.name().clone(), ttl, RData::from(address)));
        }
        Some(answer.to_vec().expect("an answer can be written"))
    }
}

async fn over_udp(socket: UdpSocket, state: Arc<State>) {
    let mut buffer = [0; 4096];
    while let Ok((bytes, from)) = socket.recv_from(&mut buffer).await {
        if let Some(answer) = state.answer(&buffer[..bytes]) {
            // Whoever asked may be gone.
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

async fn over_tcp(listener: TcpListener, state: Arc<State>) {
    while let Ok((socket, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            // Whoever asked may be gone.
            let _ = one_connection(socket, &state).await;
        });
    }
}

async fn one_connection(mut socket: TcpStream, state: &State) -> std::io::Result<()> {
    loop {
        let length = socket.read_u16().await?;
        let mut question = vec![0; length.into()];
        socket.read_exact(&mut question).await?;
        if let Some(answer) = state.answer(&question) {
            socket.write_u16(u16::try_from(answer.len()).expect("it is short")).await?;
            socket.write_all(&answer).await?;
        }
    }
}
