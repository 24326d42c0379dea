//! A browser for tests: headless Chromium, driven through chromedriver (Debian: `chromium` and `chromium-driver`).

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The name under which WebDriver passes elements on.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// No command of ours takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Closing takes no longer, unless something hangs.
const QUIT_PATIENCE: Duration = Duration::from_secs(5);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(30);

/// A browser with one window; closed on drop.
pub struct Browser {
    /// Process id of the browser itself.
    process: u64,
    /// Dropped after the browser is gone.
    _driver: Driver,
    /// Address of the session; empty while there is none.
    session: String,
    agent: ureq::Agent,
}

/// The process between us and the browser; killed on drop.
struct Driver {
    child: Child,
    /// Kept open: what it says later must go somewhere.
    _said: BufReader<ChildStdout>,
    /// Profiles and whatever else the browser leaves behind; removed with it.
    _folder: tempfile::TempDir,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    /// Starts a browser with a window of this size; further `arguments` go to Chromium.
    pub fn start(width: u32, height: u32, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new("chromedriver")
            .env("TMPDIR", folder.path())
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed");
        let mut said = BufReader::new(child.stdout.take().expect("piped"));
        let mut port = None;
        let mut line = String::new();
        while port.is_none() && said.read_line(&mut line).expect("text") > 0 {
            let number = line
                .trim_end()
                .trim_end_matches('.')
                .rsplit_once("on port ");
            // First it repeats the 0 that it was asked for.
            port =
                number.and_then(|(_, number)| number.parse::<u16>().ok().filter(|port| *port != 0));
            line.clear();
        }
        let driver = Driver {
            child,
            _said: said,
            _folder: folder,
        };
        let port = port.expect("chromedriver says its port");
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build()
            .new_agent();
        let mut browser = Self {
            process: 0,
            _driver: driver,
            session: String::new(),
            agent,
        };
        let mut flags = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            format!("--window-size={width},{height}"),
        ];
        flags.extend(arguments.iter().map(|flag| (*flag).to_owned()));
        let url = format!("http://127.0.0.1:{port}/session");
        let wish = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer = browser.ask(&url, &wish);
        let id = answer["sessionId"].as_str().expect("a session");
        browser.session = format!("{url}/{id}");
        let process = &answer["capabilities"]["goog:processID"];
        browser.process = process.as_u64().expect("a process");
        browser
    }

    /// Opens an address and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// Id of the element that `css` selects.
    pub fn find(&self, css: &str) -> String {
        let wish = json!({"using": "css selector", "value": css});
        let found = self.post("element", &wish);
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// Clicks as a person would: the element must be visible.
    pub fn click(&self, css: &str) {
        let element = self.find(css);
        self.post(&format!("element/{element}/click"), &json!({}));
    }

    /// Types into an element (`body` for keys that the page itself takes).
    pub fn type_text(&self, css: &str, text: &str) {
        let element = self.find(css);
        self.post(
            &format!("element/{element}/value"),
            &json!({ "text": text }),
        );
    }

    /// Sets a control's value as if the user had: with the events of that.
    pub fn set_value(&self, css: &str, value: &str) {
        let (css, value) = (json!(css), json!(value));
        self.execute(&format!(
            "const e = document.querySelector({css}); e.value = {value};
             for (const kind of ['input', 'change']) e.dispatchEvent(new Event(kind, {{ bubbles: true }}));"
        ));
    }

    /// Runs the body of a function; what it returns (promises are waited for).
    pub fn execute(&self, js: &str) -> Value {
        self.post("execute/sync", &json!({"script": js, "args": []}))
    }

    /// Waits until the expression `js` is true.
    pub fn wait_until(&self, js: &str, timeout: Duration) {
        let begin = Instant::now();
        while self.execute(&format!("return Boolean({js});")) != true {
            assert!(begin.elapsed() < timeout, "not within {timeout:?}: {js}");
            std::thread::sleep(POLL);
        }
    }

    /// Errors and warnings in the console since the last call.
    pub fn console_errors(&self) -> Vec<String> {
        let entries = self.post("se/log", &json!({"type": "browser"}));
        let is_bad = |entry: &&Value| entry["level"] == "SEVERE" || entry["level"] == "WARNING";
        let entries = entries.as_array().expect("a log").iter();
        entries
            .filter(is_bad)
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    /// A command of Chromium's own (DevTools protocol).
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post(
            "goog/cdp/execute",
            &json!({"cmd": command, "params": parameters}),
        )
    }

    fn post(&self, command: &str, wish: &Value) -> Value {
        self.ask(&format!("{}/{command}", self.session), wish)
    }

    /// Sends one command; panics with the browser's words if it fails.
    fn ask(&self, url: &str, wish: &Value) -> Value {
        let answer = self.agent.post(url).send_json(wish);
        let mut answer = answer.unwrap_or_else(|error| panic!("{url}: {error}"));
        let mut text: Value = answer
            .body_mut()
            .with_config()
            .limit(1 << 28)
            .read_json()
            .expect("JSON");
        assert!(
            answer.status() == 200,
            "{url}: {}",
            text["value"]["message"]
        );
        text["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if self.session.is_empty() {
            return;
        }
        // The driver takes the browser away; if it cannot, because a page hangs, the browser would outlive it.
        let quit = self.agent.delete(&self.session).config();
        let quit = quit.timeout_global(Some(QUIT_PATIENCE)).build().call();
        if !quit.is_ok_and(|answer| answer.status() == 200) {
            let _ = Command::new("kill")
                .args(["-9", &self.process.to_string()])
                .status();
        }
    }
}
