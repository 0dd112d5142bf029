//! A relay to a server, which can cut its connections or stop passing anything on.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// A relay to a server; its threads go on until the process ends.
#[derive(Debug)]
pub struct Relay {
    /// Where clients connect.
    pub address: SocketAddr,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    is_silent: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    farewell: Farewell,
}

/// What a client gets instead of the server's next answer, at the end of its connection.
type Farewell = Arc<Mutex<Option<Vec<u8>>>>;

impl Relay {
    /// A relay to the server at this host and port.
    pub fn start(server: impl Into<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            is_silent: Arc::default(),
            answered: Arc::default(),
            farewell: Farewell::default(),
        };
        let (connections, is_silent) = (relay.connections.clone(), relay.is_silent.clone());
        let (farewell, answered, address) = (relay.farewell.clone(), relay.answered.clone(), server.into());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&address).unwrap());
                connections.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                let (to, from) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let ways = [
                    (from, to, Arc::default(), Farewell::default()),
                    (server, client, answered.clone(), farewell.clone()),
                ];
                for (from, to, passed, farewell) in ways {
                    let is_silent = is_silent.clone();
                    std::thread::spawn(move || pass(from, to, &is_silent, &passed, &farewell));
                }
            }
        });
        relay
    }

    /// Ends all connections, as a server does that stops, and says how many there were.
    pub fn cut(&self) -> usize {
        let cut = std::mem::take(&mut *self.connections.lock().unwrap());
        for connection in &cut {
            drop(connection.shutdown(Shutdown::Both));
        }
        cut.len() / 2
    }

    /// Gives a client this instead of the next that the server says, and ends the connection: the server has done what
    /// was asked, and the answer is lost.
    pub fn end_at_next_answer(&self, farewell: &[u8]) {
        *self.farewell.lock().unwrap() = Some(farewell.to_vec());
    }

    /// Whether a connection has been ended so, or none was to be.
    pub fn has_ended_one(&self) -> bool {
        self.farewell.lock().unwrap().is_none()
    }

    /// How many bytes the server has answered on all connections.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    /// Passes nothing on from now on, as a network does that has gone.
    pub fn fall_silent(&self) {
        self.is_silent.store(true, Ordering::Relaxed);
    }
}

fn pass(
    mut from: TcpStream,
    mut to: TcpStream,
    is_silent: &AtomicBool,
    passed: &AtomicU64,
    farewell: &Mutex<Option<Vec<u8>>>,
) {
    let mut bytes = [0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if let Some(farewell) = farewell.lock().unwrap().take() {
            drop(to.write_all(&farewell));
            break;
        }
        passed.fetch_add(count as u64, Ordering::SeqCst);
        if !is_silent.load(Ordering::Relaxed) && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
}
