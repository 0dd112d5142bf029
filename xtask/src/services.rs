//! `cargo xtask services`: real servers for the stores that need one, on free ports of this machine.
//!
//! What each server needs is in `xtask/services.sh`; here it is decided where they run and for how long.

use std::{
    env, fs,
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use crate::{
    misuse,
    process::output,
    stores::{is_server, servers},
    workspace::Workspace,
};

/// What makes a server fast where its data need not outlive the machine, and big enough.
const FAST: [(&str, &str); 2] = [
    ("postgres", "-c fsync=off -c max_connections=400"),
    ("mysql", "--innodb-flush-log-at-trx-commit=0 --max-connections=400"),
];

/// Below the ports that systems give away by themselves, with room for the second one that etcd takes.
const PORTS: std::ops::Range<u16> = 20_000..31_000;
const PORTS_EACH: u16 = 10;

/// `cargo xtask services VERB [NAME...]`.
pub(crate) fn run(arguments: &[&str]) -> Result<bool, String> {
    let Some((verb, chosen)) = arguments.split_first() else {
        return Err(misuse("`services` needs one of `install`, `start`, `stop`, `kill`, `list` and `browser`"));
    };
    if let ("browser", []) = (*verb, chosen) {
        for (name, path) in browser(&Workspace::read()?)? {
            println!("export {name}='{path}'");
        }
        return Ok(true);
    }
    if let Some(unknown) = chosen.iter().find(|name| !is_server(name)) {
        return Err(format!("there is no server for `{unknown}`; there are {}", servers().join(", ")));
    }
    let names = if chosen.is_empty() { servers() } else { chosen.to_vec() };
    let workspace = Workspace::read()?;
    let location = Location::lasting(&workspace);
    match *verb {
        "install" => print!("{}", install(&workspace, &names)?),
        "start" => {
            install(&workspace, &names)?;
            for (name, url) in location.start(&names)? {
                println!("export {}='{url}'", variable(&name));
            }
        }
        "stop" => {
            names.iter().try_for_each(|name| location.stop(name))?;
            // Other servers may still be in it.
            let _ = fs::remove_dir(&location.folder);
        }
        "kill" => names.iter().try_for_each(|name| location.kill(name))?,
        "list" => names.iter().for_each(|name| println!("{name:<10} {}", location.state(name))),
        verb => return Err(misuse(&format!("unknown verb `{verb}`"))),
    }
    Ok(true)
}

/// Installs what is missing; says what took how long.
fn install(workspace: &Workspace, names: &[&str]) -> Result<String, String> {
    output(script(&workspace.root).arg("install").args(names)).map_err(|error| {
        format!("{error}; `--stores` names the stores to be tested, `--stores none` those without one")
    })
}

/// Installs a library or tool that an example or a check needs, if it is missing.
pub(crate) fn install_library(workspace: &Workspace, name: &str) -> Result<(), String> {
    output(script(&workspace.root).args(["library", name])).map(drop)
}

/// The variables that tell tests where a browser is, and what looks for findings in its pages; installs what is missing.
pub(crate) fn browser(workspace: &Workspace) -> Result<Vec<(String, String)>, String> {
    let told = output(script(&workspace.root).arg("browser"))
        .map_err(|error| format!("without the browser that shows the dashboard, {error}"))?;
    let paths: Vec<_> = told.lines().collect();
    let [.., chromium, axe] = paths.as_slice() else { return Err(format!("`services.sh browser` says: {told}")) };
    Ok(vec![variable_of("chromium", chromium), variable_of("axe", axe)])
}

fn variable_of(name: &str, value: &str) -> (String, String) {
    (variable(name), value.to_owned())
}

/// Servers that go with this value, and with this process however it ends.
#[derive(Debug)]
pub(crate) struct Servers {
    urls: Vec<(String, String)>,
    guard: Child,
}

impl Servers {
    /// Installs what is missing and starts a server for each of these stores.
    pub(crate) fn start(workspace: &Workspace, names: &[&str]) -> Result<Self, String> {
        println!("servers for {}: installing what is missing, then starting", names.join(", "));
        let installed = install(workspace, names)?;
        print!("{installed}");
        let location = Location::passing(workspace);
        fs::create_dir_all(&location.folder).map_err(|error| format!("{}: {error}", location.folder.display()))?;
        // Before any server, so that none is left if this process is killed while they start.
        let mut servers = Self { urls: Vec::new(), guard: location.guard()? };
        servers.urls = location.start(names)?;
        Ok(servers)
    }

    /// What tells the tests where the servers are.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        self.urls.iter().map(|(name, url)| (variable(name), url.clone())).collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // Fails only if the guard was killed from outside; what it would have ended is then left.
        let _ = self.guard.wait();
    }
}

fn variable(store: &str) -> String {
    format!("SCHEDULER_TEST_{}", store.to_uppercase())
}

/// A folder with a folder for each server.
#[derive(Debug)]
struct Location {
    root: PathBuf,
    folder: PathBuf,
}

impl Location {
    /// One that is found again by the next call, as long as it is for the same workspace.
    fn lasting(workspace: &Workspace) -> Self {
        let mut hasher = DefaultHasher::new();
        workspace.root.hash(&mut hasher);
        Self::named(workspace, &format!("apscheduler-services-{:016x}", hasher.finish()))
    }

    /// One of its own for this process. Paths of sockets are short, so it is not in the workspace.
    fn passing(workspace: &Workspace) -> Self {
        Self::named(workspace, &format!("apscheduler-test-{}-{:08x}", std::process::id(), random() as u32))
    }

    fn named(workspace: &Workspace, name: &str) -> Self {
        Self { root: workspace.root.clone(), folder: env::temp_dir().join(name) }
    }

    /// Starts servers, all at once; those that run already are left alone. Gives their names with their URLs.
    fn start(&self, names: &[&str]) -> Result<Vec<(String, String)>, String> {
        let ports = names.iter().map(|name| self.port(name)).collect::<Vec<_>>();
        let mut free = free_ports();
        let ports = ports.into_iter().map(|port| port.or_else(|| free.next()).ok_or("no port is free"));
        let ports = ports.collect::<Result<Vec<_>, _>>()?;
        thread::scope(|scope| {
            let starts = names.iter().zip(ports).map(|(name, port)| scope.spawn(move || self.start_one(name, port)));
            let starts: Vec<_> = starts.collect();
            let urls = starts.into_iter().map(|start| start.join().unwrap_or_else(|_| Err("it panicked".to_owned())));
            names.iter().map(ToString::to_string).zip(urls).map(|(name, url)| Ok((name, url?))).collect()
        })
    }

    fn start_one(&self, name: &str, port: u16) -> Result<String, String> {
        let fast = FAST.iter().find(|(known, _)| *known == name).map_or("", |(_, fast)| fast);
        let mut command = self.script();
        command.args(["start", name]).arg(self.folder.join(name)).arg(port.to_string()).env("SERVICES_ARGS", fast);
        Ok(output(&mut command)?.trim().to_owned())
    }

    /// Ends a server in good order; its data go with it.
    fn stop(&self, name: &str) -> Result<(), String> {
        let folder = self.folder.join(name);
        if !folder.exists() {
            return Ok(());
        }
        output(self.script().args(["stop", name]).arg(&folder))?;
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))
    }

    /// Ends a server at once; its data stay for the next start.
    fn kill(&self, name: &str) -> Result<(), String> {
        output(self.script().args(["kill", name]).arg(self.folder.join(name))).map(drop)
    }

    /// Where a server is, or was.
    fn state(&self, name: &str) -> String {
        let Some(port) = self.port(name) else { return "-".to_owned() };
        let url = output(self.script().args(["url", name, &port.to_string()])).unwrap_or_default();
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => format!("was killed; a start brings it back to {}", url.trim()),
            Err(_) => url.trim().to_owned(),
        }
    }

    /// The port that a server was started on.
    fn port(&self, name: &str) -> Option<u16> {
        fs::read_to_string(self.folder.join(name).join("port")).ok()?.trim().parse().ok()
    }

    /// A process that kills the servers and removes the folder as soon as this one has let go of it, or is no more.
    fn guard(&self) -> Result<Child, String> {
        // In a session of its own, which Ctrl-C does not reach.
        let mut command = Command::new("setsid");
        command.arg("bash").arg(script_path(&self.root)).arg("guard").arg(&self.folder);
        let guard = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        guard.map_err(|error| format!("the guard of the servers cannot be started: {error}"))
    }

    fn script(&self) -> Command {
        script(&self.root)
    }
}

fn script(root: &Path) -> Command {
    let mut command = Command::new("bash");
    command.arg(script_path(root));
    command
}

fn script_path(root: &Path) -> PathBuf {
    root.join("xtask/services.sh")
}

/// Free ports, from a random one on, so that calls at the same time do not choose the same.
fn free_ports() -> impl Iterator<Item = u16> {
    let count = (PORTS.end - PORTS.start) / PORTS_EACH;
    let first = (random() % u64::from(count)) as u16;
    let ports = (0..count).map(move |n| PORTS.start + (first + n) % count * PORTS_EACH);
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    ports.filter(move |port| is_free(*port) && is_free(port + 1))
}

fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace").to_owned()
    }

    #[test]
    fn the_script_knows_the_same_servers() {
        let list = output(script(&here()).arg("list")).unwrap();
        assert_eq!(list.split_whitespace().collect::<Vec<_>>(), servers());
    }

    #[test]
    fn the_guard_removes_the_folder_when_its_holder_lets_go() {
        let folder = env::temp_dir().join(format!("apscheduler-guard-{:016x}", random()));
        let location = Location { root: here(), folder };
        fs::create_dir_all(location.folder.join("redis")).unwrap();
        let servers = Servers { urls: Vec::new(), guard: location.guard().unwrap() };
        assert!(location.folder.exists());
        drop(servers);
        assert!(!location.folder.exists());
    }

    #[test]
    fn ports_are_free_apart_and_below_those_that_systems_give_away() {
        let ports: Vec<u16> = free_ports().take(3).collect();
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| PORTS.contains(port) && port % PORTS_EACH == 0), "{ports:?}");
    }

    #[test]
    fn servers_are_asked_for_by_name() {
        assert!(is_server("redis") && !is_server("sqlite"));
        let unknown = run(&["start", "oracle"]).unwrap_err();
        assert!(unknown.contains("no server for `oracle`"), "{unknown}");
        assert!(run(&[]).unwrap_err().contains("usage:"));
    }
}
