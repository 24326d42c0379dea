//! The page of `live --preview http` in a real browser, and what its server refuses.

use crate::common::browser::Browser;
use crate::common::file;
use crate::common::page::{Page, check_page};
use crate::common::protection::{check_protection, code, parts};
use crate::common::stage::{Live, wait_for};

/// The cup, again and again: what is seen changes. The page is at `listen`.
fn start(listen: &str, options: &str) -> (Live, String) {
    let clip = file("samples/cup.mp4");
    let source = format!(
        "lavfi:movie={}:loop=0,setpts=N/FRAME_RATE/TB",
        clip.display()
    );
    let arguments =
        format!("{source} --preview http --listen {listen} --stats stats.json {options}");
    let live = Live::start(arguments.trim(), |_| {});
    let url = wait_for("the page's address", || {
        let stderr = live.stderr();
        let url = stderr
            .lines()
            .find_map(|line| line.split_once(" is at "))?
            .1;
        Some(url.to_owned())
    });
    (live, url)
}

const ANY_PORT: &str = "127.0.0.1:0";

#[test]
fn the_page_shows_the_picture_and_obeys() {
    let (mut live, url) = start(ANY_PORT, "--record live.mp4");
    check_page(&url);
    live.process.signal("INT");
    let (code, stderr) = live.finish();
    assert_eq!(code, 130, "{stderr}");
    assert!(live.stats()["live"]["latency_ms"]["p95"].is_number());
    assert!(live.file("live.mp4").exists());
}

#[test]
fn a_token_lets_in_and_the_page_outlives_the_program() {
    let (live, url) = start(ANY_PORT, "--token s3cret");
    let page = Page {
        browser: Browser::start(400, 800, &[]),
    };
    page.browser.open(&url);
    page.wait_until("document.querySelector('#picture').naturalWidth > 0");
    let width = page.browser.execute(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth;",
    );
    assert_eq!(width, 0, "nothing sticks out on a phone");
    let errors = page.browser.console_errors();
    assert!(errors.is_empty(), "{errors:?}");
    check_protection(&url);
    let address = parts(&url).0.to_owned();
    drop(live);
    page.wait_until("document.querySelector('#state-name').textContent === 'connection lost'");
    let _again = start(&address, "--token s3cret");
    page.wait_until("document.querySelector('#state').dataset.state === 'live'");
    page.wait_for("watched again", |status| status["viewers"] == 1);
}

#[test]
fn strangers_and_other_sites_are_refused() {
    let (_live, url) = start(ANY_PORT, "");
    // The page is there before the run is.
    wait_for("the run", || {
        let json = "Content-Type: application/json";
        (code(&url, "POST /control", &[json], "{}") == 204).then_some(())
    });
    check_protection(&url);
}

#[test]
fn addresses_that_others_can_reach_get_a_token_of_their_own() {
    let clip = file("samples/cup.mp4");
    let arguments = format!("{} --preview http --listen 0.0.0.0:0 -q", clip.display());
    let live = Live::start(&arguments, |_| {});
    let token = wait_for("a token", || {
        let stderr = live.stderr();
        let token = stderr.trim().split_once("?token=")?.1.to_owned();
        (token.len() == 32).then_some(token)
    });
    assert!(token.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let mut taken = Live::start(
        &format!("{} --preview http --listen 1.2.3.4:5", clip.display()),
        |_| {},
    );
    let (code, stderr) = taken.finish();
    assert_eq!(code, 1);
    assert!(stderr.contains("cannot listen on 1.2.3.4:5"), "{stderr}");
}
