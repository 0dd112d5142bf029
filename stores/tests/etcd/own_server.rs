//! A server of the test's own.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::test_store::etcdctl_at;

/// How often a test looks for what happens soon: many seconds, since the server takes a millisecond or more to answer.
pub(crate) const LOOKS: usize = 5_000;

/// It ends with the test.
pub(crate) struct OwnServer {
    folder: TempDir,
    ports: [u16; 2],
    process: Child,
}

impl OwnServer {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let ports = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).map(|it| it.local_addr().unwrap().port());
        let server = Self { process: Self::launch(&folder, ports), folder, ports };
        server.wait();
        server
    }

    fn launch(folder: &TempDir, ports: [u16; 2]) -> Child {
        let [clients, peers] = ports.map(|port| format!("http://127.0.0.1:{port}"));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(folder.path().join("data"));
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &format!("default={peers}")]);
        command.args(["--heartbeat-interval", "20", "--election-timeout", "200"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Until it answers.
    fn wait(&self) {
        etcdctl_at(&format!("http://{}", self.address()), &["--command-timeout", "60s", "member", "list"], "");
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// How many watches the server keeps, of all its clients.
    pub(crate) fn watches(&self) -> usize {
        let mut connection = TcpStream::connect(self.address()).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut numbers = String::new();
        connection.read_to_string(&mut numbers).unwrap();
        let mut lines = numbers.lines().filter_map(|line| line.strip_prefix("etcd_debugging_mvcc_watcher_total "));
        lines.next().expect("etcd counts its watches").trim().parse().unwrap()
    }

    /// Returns once the server keeps so many watches.
    pub(crate) fn wait_for_watches(&self, wanted: usize) {
        assert!((0..LOOKS).any(|_| self.watches() == wanted), "{} watches instead of {wanted}", self.watches());
    }

    pub(crate) fn ask_who_is_there(&self) {
        let url = format!("http://{}", self.address());
        for command in [
            "user add root:root",
            "user add ann:p@ss",
            "role add scheduler",
            "role grant-permission --prefix=true scheduler readwrite scheduler_",
            "user grant-role ann scheduler",
            "user grant-role root root",
            "auth enable",
        ] {
            etcdctl_at(&url, &command.split(' ').collect::<Vec<_>>(), "");
        }
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.process = Self::launch(&self.folder, self.ports);
        self.wait();
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.stop();
    }
}
