//! An address of Redis that can be made to lead to another server: connections that stand stay where they are.

use std::sync::{Arc, Mutex};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

/// The proxy; it ends with the test's runtime.
pub struct Address {
    pub url: String,
    target: Arc<Mutex<String>>,
}

impl Address {
    /// Leads to the server at `url`.
    pub async fn of(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let ours = format!("redis://{}", listener.local_addr().expect("it is bound"));
        let target = Arc::new(Mutex::new(url.replace("redis://", "")));
        let current = Arc::clone(&target);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = current.lock().expect("nobody panics with it").clone();
                tokio::spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(target).await {
                        // However it ends, both sides are closed.
                        drop(copy_bidirectional(&mut client, &mut server).await);
                    }
                });
            }
        });
        Self { url: ours, target }
    }

    /// Leads new connections to another server.
    pub fn lead_to(&self, url: &str) {
        *self.target.lock().expect("nobody panics with it") = url.replace("redis://", "");
    }
}
