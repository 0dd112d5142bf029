//! A relay to the server, which can cut its connections or stop passing anything on.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::tables::address;

#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    is_silent: Arc<AtomicBool>,
}

impl Relay {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay =
            Self { address: listener.local_addr().unwrap(), connections: Arc::default(), is_silent: Arc::default() };
        let (connections, is_silent) = (relay.connections.clone(), relay.is_silent.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(address()).unwrap());
                connections.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                let (to, from) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                for (from, to) in [(from, to), (server, client)] {
                    let is_silent = is_silent.clone();
                    std::thread::spawn(move || pass(from, to, &is_silent));
                }
            }
        });
        relay
    }

    /// Ends all connections, as a server does that stops, and says how many there were.
    pub(crate) fn cut(&self) -> usize {
        let cut = std::mem::take(&mut *self.connections.lock().unwrap());
        for connection in &cut {
            drop(connection.shutdown(Shutdown::Both));
        }
        cut.len() / 2
    }

    /// Passes nothing on from now on, as a network does that has gone.
    pub(crate) fn fall_silent(&self) {
        self.is_silent.store(true, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_silent: &AtomicBool) {
    let mut bytes = [0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if !is_silent.load(Ordering::Relaxed) && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
}
