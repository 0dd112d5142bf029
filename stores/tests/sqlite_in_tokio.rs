//! The SQLite store holds what the port promises inside of tokio.

mod file;

scheduler_testkit::store_conformance!(file::setup(), block_on = in_tokio);

fn in_tokio(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(test);
}
