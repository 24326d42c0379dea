//! What the browser preview must do, at any address: `check_page`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::browser::Browser;
use super::protection::ask;

/// Nothing takes longer than this.
const PATIENCE: Duration = Duration::from_secs(15);

/// The page on its way through everything that can be done with it.
pub struct Page {
    /// Where it is open.
    pub browser: Browser,
}

impl Page {
    pub fn status(&self) -> Value {
        self.browser
            .execute("return fetch('/status').then(answer => answer.json());")
    }

    /// Waits until what the program says is as expected.
    pub fn wait_for(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        let begin = Instant::now();
        while !is_so(&self.status()) {
            assert!(begin.elapsed() < PATIENCE, "{what}: {}", self.status());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    pub fn wait_for_setting(&self, name: &str, value: &Value) {
        self.wait_for(&format!("{name} becomes {value}"), |status| {
            &status["settings"][name] == value
        });
    }

    pub fn wait_until(&self, js: &str) {
        self.browser.wait_until(js, PATIENCE);
    }

    /// A small copy of the picture, as text.
    pub fn grab(&self) -> String {
        let grabbed = self.browser.execute(
            "const canvas = document.createElement('canvas'); canvas.width = canvas.height = 16;
             const drawing = canvas.getContext('2d');
             drawing.drawImage(document.querySelector('#picture'), 0, 0, 16, 16);
             return drawing.getImageData(0, 0, 16, 16).data.join();",
        );
        grabbed.as_str().unwrap().to_owned()
    }

    pub fn wait_for_another_picture(&self) {
        let (before, begin) = (self.grab(), Instant::now());
        while self.grab() == before {
            assert!(begin.elapsed() < PATIENCE, "the picture does not change");
        }
    }

    /// Names of the quick choices of a setting.
    pub fn choices(&self, name: &str) -> Vec<Value> {
        let status = self.status();
        let choices = status["choices"][name].as_array().unwrap();
        let quick = choices.iter().filter(|choice| choice["is_slow"] != true);
        quick
            .map(|choice| choice.get("name").unwrap_or(choice).clone())
            .collect()
    }

    /// The quick choice after the present one, as the keys go through them.
    pub fn next_choice(&self, name: &str) -> Value {
        let choices = self.choices(name);
        let present = self.status()["settings"][name].clone();
        let index = choices
            .iter()
            .position(|choice| *choice == present)
            .unwrap();
        choices[(index + 1) % choices.len()].clone()
    }

    pub fn press(&self, key: &str) {
        self.browser.type_text("body", key);
    }
}

/// Opens the page and does everything that can be done with it.
pub fn check_page(url: &str) {
    let page = Page {
        browser: Browser::start(1280, 900, &[]),
    };
    let browser = &page.browser;
    browser.open(url);
    page.wait_until("document.querySelector('#picture').naturalWidth > 0 && !document.querySelector('#picture').hidden");
    page.wait_until("document.querySelector('#state').dataset.state === 'live'");
    page.wait_until("document.querySelectorAll('#top li').length > 1");
    assert_eq!(
        browser.execute("return location.search;"),
        "",
        "the token leaves the address"
    );
    assert_eq!(page.status()["viewers"], 1);
    page.wait_for_another_picture();
    let width = "document.querySelector('#top .bar').style.width";
    let before = browser.execute(&format!("return {width};"));
    page.wait_until(&format!("{width} !== {before}"));
    page.wait_until("document.querySelectorAll('#top .is-explained').length > 0");
    let errors = browser.console_errors();
    assert!(errors.is_empty(), "{errors:?}");
    provoke_error(&page);
    check_settings(&page);
    check_keys(&page);
    check_that_the_error_went(&page);
    check_places(&page, url);
    let errors = browser.console_errors();
    let is_expected =
        |line: &String| line.contains("status of 400") || line.contains("status of 503");
    assert!(errors.iter().all(is_expected), "{errors:?}");
}

/// Every control changes what the program does.
fn check_settings(page: &Page) {
    let browser = &page.browser;
    for name in ["method", "layer", "layout", "colormap"] {
        let wish = page
            .choices(name)
            .into_iter()
            .find(|choice| *choice != page.status()["settings"][name]);
        let wish = wish.unwrap();
        browser.click(&format!("#{name} option[value={wish}]"));
        page.wait_for_setting(name, &wish);
        // A focused control is left alone, and is brought up to date afterwards.
        let present = page.next_choice(name);
        browser.execute(&format!("document.querySelector('#{name}').focus();"));
        browser.execute(&format!(
            "return fetch('/control', {{ method: 'POST', headers: {{ 'Content-Type': 'application/json' }},
             body: JSON.stringify({}) }}).then(answer => answer.status);",
            json!({ name: present })
        ));
        page.wait_for_setting(name, &present);
        std::thread::sleep(Duration::from_millis(300));
        let shown = format!("document.querySelector('#{name}').value");
        assert_eq!(browser.execute(&format!("return {shown};")), wish);
        browser.execute(&format!("document.querySelector('#{name}').blur();"));
        page.wait_until(&format!("{shown} === {present}"));
    }
    browser.set_value("#alpha", "0.75");
    page.wait_for_setting("alpha", &json!(0.75));
    browser.type_text("#alpha", "\u{e012}"); // the left arrow
    page.wait_for_setting("alpha", &json!(0.7));
    let name = page.status()["top"][1]["label"].clone();
    browser.type_text(
        "#class",
        &format!("{}\n", name.as_str().unwrap().replace('_', " ")),
    );
    page.wait_for_setting("class", &name);
    page.wait_until(&format!(
        "document.querySelector('#class').value === {name}.replaceAll('_', ' ')"
    ));
    browser.click("#class-next");
    page.wait_for("another class", |status| {
        status["settings"]["class"] != name
    });
    browser.click("#class-top");
    page.wait_for_setting("class", &json!("top1"));
    browser.click("#freeze");
    page.wait_for("frozen", |status| status["state"] == "frozen");
    page.wait_until("document.querySelector('#freeze').ariaPressed === 'true'");
    page.wait_until("document.querySelector('#state').dataset.state === 'frozen'");
    // The frame that stays still gets a map of its own.
    let explained = || page.status()["frames"]["explained"].clone();
    let mut before = explained();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(1500));
        let after = explained();
        if std::mem::replace(&mut before, after.clone()) == after {
            break;
        }
    }
    let still = page.grab();
    std::thread::sleep(Duration::from_millis(500));
    assert!(
        page.grab() == still,
        "the picture moves though it is frozen"
    );
    browser.click("#freeze");
    page.wait_for_setting("frozen", &json!(false));
    page.wait_for_another_picture();
    let saved = browser.execute(
        "return fetch('/snapshot.png').then(async answer => [answer.headers.get('Content-Disposition'),
         [...new Uint8Array(await answer.arrayBuffer())].slice(1, 4)]);",
    );
    let name = saved[0].as_str().unwrap();
    assert!(
        name.starts_with("attachment; filename=\"gradcam-2") && name.ends_with("Z.png\""),
        "{name}"
    );
    assert_eq!(saved[1], json!(b"PNG"));
}

/// The keys do what the controls do, except while somebody types.
fn check_keys(page: &Page) {
    let browser = &page.browser;
    browser.execute("document.activeElement.blur();");
    for (key, name) in [("m", "method"), ("l", "layout"), ("p", "colormap")] {
        for _ in 0..2 {
            let next = page.next_choice(name);
            page.press(key);
            page.wait_for_setting(name, &next);
        }
    }
    page.press("c");
    page.wait_for("another class", |status| {
        status["settings"]["class"] != "top1"
    });
    browser.click("#class-top");
    page.wait_for_setting("class", &json!("top1"));
    browser.execute("document.activeElement.blur();");
    page.press(" ");
    page.wait_for_setting("frozen", &json!(true));
    page.press(" ");
    page.wait_for_setting("frozen", &json!(false));
    browser.execute(
        "document.querySelector('#snapshot').addEventListener('click', event => { event.preventDefault(); window.wasSaved = true; });",
    );
    page.press("s");
    page.wait_until("window.wasSaved");
    page.press("?");
    page.wait_until("document.querySelector('#help').open");
    let before = page.status()["settings"].clone();
    page.press("l");
    browser.click("#close-help");
    page.wait_until("!document.querySelector('#help').open");
    browser.type_text("#class", "clmps");
    browser.execute("const e = document.querySelector('#class'); e.value = ''; e.blur();");
    // Ctrl (down, and up again) makes it somebody else's key.
    page.press("\u{e009}l\u{e000}");
    std::thread::sleep(Duration::from_millis(300));
    let after = page.status()["settings"].clone();
    let kept = |settings: &Value| {
        [
            settings["method"].clone(),
            settings["layout"].clone(),
            settings["colormap"].clone(),
            settings["frozen"].clone(),
        ]
    };
    assert_eq!(kept(&after), kept(&before));
}

/// A wish that cannot be is answered in words.
fn provoke_error(page: &Page) {
    let browser = &page.browser;
    browser.execute(
        "const error = document.querySelector('#error');
         new MutationObserver(() => {
             if (error.hidden) window.errorShownMs = performance.now() - window.errorBeganMs;
             else window.errorBeganMs ??= performance.now();
         }).observe(error, { attributes: true });",
    );
    browser.type_text("#class", "no such class\n");
    page.wait_until("!document.querySelector('#error').hidden && document.querySelector('#error').textContent !== ''");
}

/// The words of before are gone by now or soon.
fn check_that_the_error_went(page: &Page) {
    page.wait_until("window.errorShownMs");
    let shown_ms = page
        .browser
        .execute("return window.errorShownMs;")
        .as_f64()
        .unwrap();
    assert!((4900.0..7000.0).contains(&shown_ms), "{shown_ms} ms");
}

/// One viewer too many is told so, and watches when there is a place.
fn check_places(page: &Page, url: &str) {
    let browser = &page.browser;
    let most = page.status()["most_viewers"].as_u64().unwrap();
    let others: Vec<_> = (1..most)
        .map(|_| ask(url, "GET /stream.mjpg", &[], ""))
        .collect();
    assert!(
        others
            .iter()
            .all(|(_, answer)| answer.starts_with("HTTP/1.1 200"))
    );
    page.wait_for("all watch", |status| status["viewers"] == most);
    let (_, refused) = ask(url, "GET /stream.mjpg", &[], "");
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    // The page is one too many now: it says so, and goes on when there is a place.
    browser.open("about:blank");
    let mut others = others;
    let begin = Instant::now();
    while others.len() < most as usize {
        let (socket, answer) = ask(url, "GET /stream.mjpg", &[], "");
        if answer.starts_with("HTTP/1.1 200") {
            others.push((socket, answer));
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "the page keeps its place though it is closed"
        );
    }
    browser.open(url);
    page.wait_until(
        "document.querySelector('#no-picture').textContent.includes('too many viewers, at most')",
    );
    drop(others);
    page.wait_until("!document.querySelector('#picture').hidden && document.querySelector('#picture').naturalWidth > 0");
    page.wait_for_another_picture();
}
