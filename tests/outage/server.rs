//! A server that a test has for itself.

use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/xtask/services.sh");

/// Above those of `cargo xtask services`, below those that systems give away by themselves.
const PORTS: std::ops::Range<u16> = 31_000..32_700;
const PORTS_EACH: u16 = 10;

/// A server with its data. It goes with this value, and with this process however it ends.
pub(crate) struct Server {
    store: String,
    folder: TempDir,
    port: u16,
    guard: Child,
}

impl Server {
    /// A server for this store, with durable writes.
    pub(crate) fn start(store: &str) -> Self {
        let folder = TempDir::with_prefix("apscheduler-outage-").unwrap();
        // In a session of its own, which what ends this process does not reach.
        let mut guard = Command::new("setsid");
        guard.args(["bash", SCRIPT, "guard"]).arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::null());
        let server = Self { store: store.to_owned(), folder, port: free_port(), guard: guard.spawn().unwrap() };
        server.start_again();
        server
    }

    pub(crate) fn url(&self) -> String {
        self.script(&["url", &self.store, &self.port.to_string()])
    }

    /// Ends it at once, as a power failure of its process.
    pub(crate) fn kill(&self) {
        self.script(&["kill", &self.store, &self.data()]);
    }

    /// Starts it on the data that are there, and waits until it answers.
    pub(crate) fn start_again(&self) {
        self.script(&["start", &self.store, &self.data(), &self.port.to_string()]);
    }

    /// Stops the process, so that it answers no client.
    pub(crate) fn pause(&self) {
        self.script(&["pause", &self.store, &self.data()]);
    }

    /// Lets it answer again.
    pub(crate) fn go_on(&self) {
        self.script(&["go-on", &self.store, &self.data()]);
    }

    fn data(&self) -> String {
        self.folder.path().join(&self.store).display().to_string()
    }

    fn script(&self, args: &[&str]) -> String {
        let output = Command::new("bash").arg(SCRIPT).args(args).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "services.sh {}: {told}", args.join(" "));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// A free port, with a free one behind it, which etcd takes. Random, since tests run side by side.
fn free_port() -> u16 {
    let count = (PORTS.end - PORTS.start) / PORTS_EACH;
    let first = (RandomState::new().hash_one(()) % u64::from(count)) as u16;
    let mut ports = (0..count).map(|n| PORTS.start + (first + n) % count * PORTS_EACH);
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    ports.find(|port| is_free(*port) && is_free(port + 1)).expect("a port is free")
}
