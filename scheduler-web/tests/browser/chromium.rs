//! A real Chromium without a window, driven by its own protocol (CDP) over a pair of pipes: no port, no driver, no crate.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

/// Longer than anything takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a condition that does not hold is left alone before it is looked at again.
const PAUSE: Duration = Duration::from_millis(20);
/// So many looks take at least the deadline.
const LOOKS: u128 = DEADLINE.as_millis() / PAUSE.as_millis();

/// What a fresh profile would do by itself, on a machine of its own and without the internet: nothing.
const ARGUMENTS: [&str; 14] = [
    "--headless=new",
    "--no-sandbox", // There is none for root in a container; only pages of this test are shown.
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "about:blank",
];

/// A browser with one page, which ends with this value.
pub(crate) struct Chromium {
    process: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    last_id: u64,
    session: Option<String>,
    /// What the page has complained about since it was last asked: exceptions, and what its policy forbade.
    complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// Starts the browser that `cargo xtask test` has found or installed.
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        // The browser has its pipes as the files 3 and 4.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 3<&0 4>&1 1>&2 2>/dev/null", "sh"]);
        command.arg(from_xtask("SCHEDULER_TEST_CHROMIUM"));
        command.arg(format!("--user-data-dir={}", profile.path().display())).args(ARGUMENTS);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, out) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (sender, from) = mpsc::channel();
        thread::spawn(move || {
            // Each message ends with a zero byte.
            for message in BufReader::new(out).split(0) {
                let Ok(message) = message else { return };
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    return;
                }
            }
        });
        let mut browser =
            Self { process, to, from, last_id: 0, session: None, complaints: Vec::new(), _profile: profile };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attach = json!({"targetId": target, "flatten": true});
        let session = browser.ask("Target.attachToTarget", attach)["sessionId"].as_str().unwrap().to_owned();
        browser.session = Some(session);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.ask(domain, json!({}));
        }
        browser
    }

    /// Calls a method of the protocol, and gives its result.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        self.try_ask(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_ask(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let mut told = match self.from.recv_timeout(DEADLINE) {
                Ok(told) => told,
                Err(error) => panic!("Chromium has not answered to {method}: {error}"),
            };
            if told["id"] != json!(self.last_id) {
                self.note(&told);
            } else if told["error"].is_null() {
                return Ok(told["result"].take());
            } else {
                return Err(told["error"].take());
            }
        }
    }

    /// Keeps what an event complains about.
    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(params["exceptionDetails"].to_string()),
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                self.complaints.push(params["entry"].to_string());
            }
            Some("Page.javascriptDialogOpening") => self.complaints.push(params.to_string()),
            _ => {}
        }
    }

    /// What the page has complained about since this was last called.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    /// Opens an address, and waits until the page is there.
    pub(crate) fn open(&mut self, address: &str) {
        self.then_page(|browser| {
            let told = browser.ask("Page.navigate", json!({"url": address}));
            assert!(told["errorText"].is_null(), "{address}: {told}");
        });
    }

    /// Does what leads to another page, and waits until that is there.
    pub(crate) fn then_page(&mut self, leave: impl FnOnce(&mut Self)) {
        self.ask("Runtime.evaluate", json!({"expression": "window.isLeft = true"}));
        leave(self);
        self.wait_for("document.readyState === 'complete' && !window.isLeft");
    }

    /// The value of an expression of JavaScript in the page. It is not subject to the policy of the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        self.try_value(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn try_value(&mut self, expression: &str) -> Result<Value, Value> {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut told = self.try_ask("Runtime.evaluate", params)?;
        match told["exceptionDetails"].is_null() {
            true => Ok(told["result"]["value"].take()),
            false => Err(told["exceptionDetails"].take()),
        }
    }

    pub(crate) fn text(&mut self, expression: &str) -> String {
        self.value(expression).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true. Between two pages there is none in which it could be looked at.
    pub(crate) fn wait_for(&mut self, expression: &str) {
        for _ in 0..LOOKS {
            if self.try_value(expression).is_ok_and(|value| value == json!(true)) {
                return;
            }
            match self.from.recv_timeout(PAUSE) {
                Ok(event) => self.note(&event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("Chromium has ended"),
            }
        }
        let page = self.text("document.body.innerText");
        panic!("it has not become true that {expression}; the page is:\n{page}");
    }

    /// Clicks, with the mouse, on the only element that is meant.
    pub(crate) fn click(&mut self, selector: &str) {
        let place = format!(
            "(() => {{
                const all = document.querySelectorAll({selector:?});
                if (all.length !== 1) throw new Error(all.length + ' elements');
                all[0].scrollIntoView({{block: 'center', behavior: 'instant'}});
                const box = all[0].getBoundingClientRect();
                return [box.left + Math.min(box.width, 20) / 2, box.top + box.height / 2];
            }})()"
        );
        let place = self.value(&place);
        for kind in ["mousePressed", "mouseReleased"] {
            let (x, y) = (&place[0], &place[1]);
            let event = json!({"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1});
            self.ask("Input.dispatchMouseEvent", event);
        }
    }

    /// Clicks on what leads to another page, and waits for that.
    pub(crate) fn follow(&mut self, selector: &str) {
        self.then_page(|browser| browser.click(selector));
    }

    /// Writes a text into a field in place of what is there.
    pub(crate) fn write(&mut self, selector: &str, text: &str) {
        self.click(selector);
        self.value(&format!("document.querySelector({selector:?}).select()"));
        self.ask("Input.insertText", json!({"text": text}));
    }

    /// Presses a key that gives a letter.
    pub(crate) fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.ask("Input.dispatchKeyEvent", json!({"type": kind, "key": key, "text": key}));
        }
    }

    /// Whether pages run their scripts.
    pub(crate) fn run_scripts(&mut self, scripts: Scripts) {
        let disabled = scripts == Scripts::Off;
        self.ask("Emulation.setScriptExecutionDisabled", json!({"value": disabled}));
    }

    /// Runs this in each page to come, before its own scripts.
    pub(crate) fn run_before_each_page(&mut self, script: &str) {
        self.ask("Page.addScriptToEvaluateOnNewDocument", json!({"source": script}));
    }

    /// How wide the window is, in pixels, and which colours its user prefers: `light` or `dark`.
    pub(crate) fn look(&mut self, width: u32, colours: &str) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", size);
        let features = json!([{"name": "prefers-color-scheme", "value": colours}]);
        self.ask("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Writes a picture of the whole page.
    pub(crate) fn picture(&mut self, file: &Path) {
        let told = self.ask("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": true}));
        fs::write(file, from_base64(told["data"].as_str().unwrap())).unwrap();
    }

    /// What axe-core finds in the page, as `rule: element`.
    pub(crate) fn findings_of_axe(&mut self) -> Vec<String> {
        let axe = fs::read_to_string(from_xtask("SCHEDULER_TEST_AXE")).unwrap();
        self.ask("Runtime.evaluate", json!({"expression": axe}));
        let found = self.value(
            "axe.run().then((told) => ({
                held: told.passes.length,
                broken: told.violations.flatMap((it) =>
                    it.nodes.map((node) => it.id + ': ' + node.html + ' ' + node.failureSummary)),
            }))",
        );
        assert!(found["held"].as_u64() > Some(10), "axe-core has not looked at the page: {found}");
        found["broken"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It ends when its pipe does; what has not is ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether pages run their scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scripts {
    On,
    Off,
}

/// A path that `cargo xtask test` gives.
fn from_xtask(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).unwrap_or_else(|| {
        panic!("{variable} is not set: `cargo xtask test` sets it, and `cargo xtask services browser` says to what")
    });
    PathBuf::from(path)
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = group.iter().fold(0_u32, |bits, letter| bits << 6 | u32::from(value(*letter)));
        let bits = bits << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}
