//! A proxy that takes a prefix off the path, as those in front of services do.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

/// Starts a proxy for what is below `prefix`; gives its address.
pub(crate) fn start(prefix: &'static str, server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            // A browser that leaves closes its connections at any time.
            thread::spawn(move || hand_on(prefix, client, server).ok());
        }
    });
    address
}

/// One request for each connection: the answer says that it is the last.
fn hand_on(prefix: &str, client: TcpStream, server: SocketAddr) -> io::Result<()> {
    let mut from_client = BufReader::new(client.try_clone()?);
    let mut to_server = TcpStream::connect(server)?;
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        from_client.read_line(&mut line)?;
        let lower = line.to_ascii_lowercase();
        match lower.strip_prefix("content-length:") {
            Some(value) => length = value.trim().parse().map_err(io::Error::other)?,
            None if lower.starts_with("connection:") => continue,
            None => {}
        }
        if head.is_empty() {
            let (method, target) = line.split_once(' ').ok_or(io::ErrorKind::InvalidData)?;
            // What is not below the prefix is not this service's.
            let target = target.strip_prefix(prefix).ok_or(io::ErrorKind::NotFound)?;
            let slash = if target.starts_with('/') { "" } else { "/" };
            line = format!("{method} {slash}{target}");
        }
        if line.trim().is_empty() {
            head.extend_from_slice(b"connection: close\r\n\r\n");
            break;
        }
        head.extend_from_slice(line.as_bytes());
    }
    to_server.write_all(&head)?;
    io::copy(&mut from_client.take(length), &mut to_server)?;
    io::copy(&mut to_server, &mut &client)?;
    Ok(())
}
