//! A headless Chromium, driven by the DevTools protocol over a pipe: one page, its answers, and what it complained of.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The browser with one page.
pub struct Browser {
    child: Child,
    /// None once closed.
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    session: Option<String>,
    next: u64,
    /// Console messages, exceptions and log entries, violations of the policy among them.
    pub complaints: Vec<String>,
    /// Addresses that were asked for.
    pub requests: Vec<String>,
    _profile: TempDir,
}

/// Whether tests that need a browser are left out, as the environment says in so many words.
pub fn is_left_out() -> bool {
    let left_out = std::env::var("TUNEBENCH_NO_BROWSER").is_ok_and(|value| value == "1");
    if left_out {
        eprintln!("TUNEBENCH_NO_BROWSER=1: the report was not opened in a browser");
    }
    left_out
}

fn executable() -> String {
    if let Ok(named) = std::env::var("CHROMIUM") {
        return named;
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&paths).flat_map(|folder| NAMES.map(|name| folder.join(name))).find(|p| p.is_file());
    let found = found.expect(
        "no Chromium in PATH: install it (`apt-get install chromium`), name it in CHROMIUM, or leave these tests out \
         with TUNEBENCH_NO_BROWSER=1",
    );
    found.to_str().unwrap().to_owned()
}

impl Browser {
    /// Starts it, with an empty page.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let executable = executable();
        // The browser reads commands from descriptor 3 and writes to 4; the shell moves our pipes there.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>/dev/null"#, &executable])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--remote-debugging-pipe", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{executable} does not start: {error}"));
        let (sender, messages) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for message in output.split(0).map_while(Result::ok) {
                let Ok(value) = serde_json::from_slice(&message) else { return };
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        let (complaints, requests) = (Vec::new(), Vec::new());
        let mut browser =
            Self { child, input, messages, session: None, next: 0, complaints, requests, _profile: profile };
        browser.attach();
        browser
    }

    /// Opens a file, whose load has ended when this returns.
    pub fn show(&mut self, page: &Path) {
        self.command("Page.navigate", json!({ "url": format!("file://{}", page.display()) }));
        self.until("document.readyState === 'complete'");
    }

    fn attach(&mut self) {
        let target = self.command("Target.createTarget", json!({ "url": "about:blank" }));
        let session = self.command("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        self.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.command(&format!("{domain}.enable"), json!({}));
        }
        let size = json!({ "width": 1200, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", size);
    }

    /// Sends a command and waits for its result.
    pub fn command(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.input.as_mut().unwrap().write_all(&bytes).unwrap();
        let id = self.next;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut message = self.messages.recv_timeout(left).unwrap_or_else(|_| panic!("no answer to {method}"));
            if message["id"] == json!(id) {
                assert!(message.get("error").is_none(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded") => {
                self.complaints.push(parameters.to_string());
            }
            Some("Network.requestWillBeSent") => {
                self.requests.extend(parameters["request"]["url"].as_str().map(str::to_owned));
            }
            _ => {}
        }
    }

    /// The value of an expression of the page; a promise is waited for.
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut result = self.command("Runtime.evaluate", parameters);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].take()
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(expression) != json!(true) {
            assert!(Instant::now() < deadline, "never true: {expression}");
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    /// A key of the keyboard, down and up.
    pub fn press(&mut self, key: &str, code: u32, text: &str) {
        let mut parameters = json!({ "type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code });
        if !text.is_empty() {
            parameters["text"] = json!(text);
        }
        self.command("Input.dispatchKeyEvent", parameters.clone());
        parameters["type"] = json!("keyUp");
        self.command("Input.dispatchKeyEvent", parameters);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends when its commands end; if not, it is made to.
        self.input = None;
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                _ => return,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
