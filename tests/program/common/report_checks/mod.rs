//! What the report of an audit must do in a browser, whatever it holds: `check_report`.

mod findings;
mod looks;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use self::findings::{check_filters, check_link, check_opening, check_orders, check_search};
use self::looks::check_looks;
use super::browser::Browser;

/// Nothing takes longer than this.
const PATIENCE: Duration = Duration::from_secs(15);

// Keys, as WebDriver names them.
const ENTER: &str = "\u{E007}";
const ESCAPE: &str = "\u{E00C}";
const END: &str = "\u{E010}";
const RIGHT: &str = "\u{E014}";

/// Goes through the whole report: everything that this one has.
pub fn check_report(browser: &Browser, path: &Path) {
    open(browser, path, "");
    check_is_alone(browser);
    check_verdict(browser);
    check_sections(browser);
    if number(browser, "data.findings.length") > 0 {
        check_filters(browser);
        check_search(browser);
        check_orders(browser);
        check_opening(browser);
        check_link(browser, path);
    }
    if number(browser, "data.videos.length") > 0 {
        check_timeline(browser);
    }
    check_looks(browser, path);
    check_is_alone(browser);
}

/// Opens the report; `hash` is what stands behind the address.
pub fn open(browser: &Browser, path: &Path, hash: &str) {
    let path = path.canonicalize().expect("the report");
    // Another address first: a change of the hash alone would not load the page.
    browser.open("about:blank");
    browser.open(&format!("file://{}{hash}", path.display()));
}

/// No error, no request, nothing that could make one.
pub fn check_is_alone(browser: &Browser) {
    let errors = browser.console_errors();
    assert!(errors.is_empty(), "{errors:?}");
    let requests = browser.execute(
        "return performance.getEntriesByType('resource').map((entry) => entry.name).filter((name) => !name.startsWith('data:'));",
    );
    assert_eq!(requests, json!([]));
    let foreign = browser.execute(
        "const isForeign = (value) => value && !/^(#|data:)/.test(value);
         return [...document.querySelectorAll('[src], [href]')].filter((element) =>
             isForeign(element.getAttribute('src')) || isForeign(element.getAttribute('href'))).length;",
    );
    assert_eq!(foreign, 0, "addresses that lead elsewhere");
    let policy = text(
        browser,
        "document.querySelector('meta[http-equiv]').content",
    );
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    // The policy holds: an attribute that the hashes do not cover has no effect.
    let is_refused = browser.execute(
        "const probe = document.createElement('p'); probe.setAttribute('style', 'width: 7px'); document.body.append(probe);
         const width = getComputedStyle(probe).width; probe.remove(); return width !== '7px';",
    );
    assert_eq!(is_refused, true);
    // The probe's refusal was said on the console.
    let said = browser.console_errors();
    assert!(
        said.iter()
            .all(|line| line.contains("Content Security Policy")),
        "{said:?}"
    );
}

fn check_verdict(browser: &Browser) {
    let verdict = text(browser, "document.querySelector('#verdict').textContent");
    for (count, word) in [("errors", "error"), ("warnings", "warning")] {
        let count = number(browser, &format!("data.counts.{count}"));
        if count > 0 {
            assert!(verdict.contains(word), "{verdict}");
        }
    }
    // What is confirmed stands before everything else.
    let confirmed = number(
        browser,
        "data.clustered.flatMap((entry) => entry.clusters).filter((cluster) => cluster.suspicion && cluster.test?.is_confirmed).length",
    );
    let alarms = number(
        browser,
        "document.querySelectorAll('main > section:first-child:not([hidden]) .cluster.error').length",
    );
    assert_eq!(alarms, confirmed);
}

/// Sections that have nothing to show are not there, and neither are links to them.
fn check_sections(browser: &Browser) {
    for (section, data) in [("videos", "data.videos"), ("clusters", "data.clustered")] {
        let is_there = number(browser, &format!("{data}.length")) > 0;
        for css in [format!("#{section}"), format!("nav a[href='#{section}']")] {
            let is_shown = is(
                browser,
                &format!("!document.querySelector({}).hidden", json!(css)),
            );
            assert_eq!(is_shown, is_there, "{css}");
        }
    }
}

/// The timeline of the first video obeys keys and clicks.
fn check_timeline(browser: &Browser) {
    let points = number(browser, "data.videos[0].points.length");
    browser.execute("document.querySelector('.video').open = true;");
    if points == 0 {
        return;
    }
    let now = "Number(document.querySelector('[role=slider]').getAttribute('aria-valuenow'))";
    browser.wait_until("document.querySelector('[role=slider] svg')", PATIENCE);
    browser.type_text("[role=slider]", END);
    assert_eq!(number(browser, now), points - 1);
    let time = text(browser, "seconds(data.videos[0].points.at(-1).time_s)");
    let spoken = text(
        browser,
        "document.querySelector('[role=slider]').getAttribute('aria-valuetext')",
    );
    assert!(spoken.starts_with(&time), "{spoken}");
    browser.click("[role=slider]");
    assert!(
        points < 3 || number(browser, now) < points - 1,
        "a click into the middle"
    );
    let of_video = "data.findings.find((finding) => finding.path === data.videos[0].path && finding.time_s !== null)";
    if is(browser, of_video) {
        browser.execute(&format!("location.hash = hashOf(view, idOf({of_video}));"));
        browser.wait_until("document.querySelector('#detail').open", PATIENCE);
        browser.click(".to-timeline");
        wait_until_closed(browser);
        browser.wait_until("document.activeElement.matches('[role=slider]')", PATIENCE);
        let at = format!("nearest(data.videos[0], {of_video}.time_s)");
        assert_eq!(number(browser, now), number(browser, &at));
        assert!(is(
            browser,
            "Math.abs(document.querySelector('.video').getBoundingClientRect().top) < innerHeight / 2"
        ));
    }
}

fn wait_until_closed(browser: &Browser) {
    browser.wait_until(
        "!document.querySelector('#detail').open && !location.hash.includes('finding=')",
        PATIENCE,
    );
}

/// What an expression yields, as text.
fn text(browser: &Browser, js: &str) -> String {
    let value = browser.execute(&format!("return String({js});"));
    value.as_str().expect("text").to_owned()
}

fn number(browser: &Browser, js: &str) -> u64 {
    let value = browser.execute(&format!("return {js};"));
    value.as_u64().unwrap_or_else(|| panic!("{js}: {value}"))
}

fn is(browser: &Browser, js: &str) -> bool {
    browser.execute(&format!("return Boolean({js});")) == Value::Bool(true)
}
