//! A server that asks who is there: one of the test's own, since nobody else could use it.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use scheduler_core::{
    JobStore,
    store::{Hint, StoreErrorKind},
};
use scheduler_stores::{EtcdOptions, EtcdStore};
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on};
use tempfile::TempDir;

use crate::place::etcdctl_at;

#[test]
fn a_login_is_checked_used_and_renewed() {
    let mut server = OwnServer::start();
    server.ask_who_is_there();
    let address = server.address();
    block_on(async {
        for url in [format!("etcd://{address}"), format!("etcd://ann:wrong@{address}")] {
            let error = EtcdStore::connect(&url).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
            let message = error.to_string();
            assert!(message.contains("another user and password") && !message.contains("wrong"), "{message}");
        }
        let error = EtcdStore::connect(&format!("etcd://ann:p%40ss@{address}/other_")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
        assert!(error.to_string().contains("`other_*`: the user may not do that; grant"), "{error}");

        let a = EtcdStore::connect(&format!("etcd://ann:p%40ss@{address}")).await.unwrap();
        let b = EtcdOptions::new().login("ann", "p@ss").connect(&format!("etcd://{address}")).await.unwrap();
        let bench = Bench::new(StoreUnderTest::new(a.clone(), b));
        let seen = a.changed(0).await.unwrap().seen;
        let mut waiting = Box::pin(a.changed(seen));
        assert!(futures_lite::future::poll_once(&mut waiting).await.is_none(), "nothing has changed");
        bench.due_job("report").await;
        let change = waiting.await.unwrap();
        assert_eq!(change.hint, Some(Hint::Resync));

        server.restart();
        // The server has forgotten its tokens.
        assert_eq!(bench.b().claim_one("report").await.job.id, "report");
        let mut waiting = Box::pin(a.changed(change.seen));
        assert!(futures_lite::future::poll_once(&mut waiting).await.is_none(), "nothing has changed");
        bench.due_job("another").await;
        assert_eq!(waiting.await.unwrap().hint, Some(Hint::Resync));
    });
}

/// It ends with the test.
struct OwnServer {
    folder: TempDir,
    ports: [u16; 2],
    process: Child,
}

impl OwnServer {
    fn start() -> Self {
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

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    fn ask_who_is_there(&self) {
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

    fn restart(&mut self) {
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
