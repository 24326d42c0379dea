//! Finding findings: filters, search, order, the opened one, links.

use std::path::Path;

use serde_json::json;

use super::{ENTER, ESCAPE, PATIENCE, RIGHT, is, number, open, text, wait_until_closed};
use crate::common::browser::Browser;

pub(super) fn check_filters(browser: &Browser) {
    browser.execute("document.querySelector('#filters').open = true;");
    let all = number(browser, "data.findings.length");
    let kinds =
        browser.execute("return [...new Set(data.findings.map((finding) => finding.kind))];");
    for kind in kinds.as_array().unwrap().iter().take(3) {
        let box_css = format!("#kind-filter input[value={kind}]");
        browser.click(&box_css);
        let promised = text(
            browser,
            &format!(
                "document.querySelector({}).parentElement.querySelector('.count').textContent",
                json!(box_css)
            ),
        );
        let expected = number(
            browser,
            &format!("data.findings.filter((finding) => finding.kind === {kind}).length"),
        );
        assert_eq!(promised.replace(',', ""), expected.to_string(), "{kind}");
        assert_eq!(shown(browser), expected, "{kind}");
        assert!(is(
            browser,
            &format!("listed.length > 0 && listed.every((finding) => finding.kind === {kind})")
        ));
        assert!(hash(browser).contains(&format!("kind={}", kind.as_str().unwrap())));
        browser.click(&box_css);
        assert_eq!(shown(browser), all);
    }
    let severity = text(browser, "data.findings[0].severity");
    browser.click(&format!("#severity-filter input[value={severity}]"));
    let expected = number(
        browser,
        &format!("data.findings.filter((finding) => finding.severity === '{severity}').length"),
    );
    assert_eq!(shown(browser), expected);
    let classes = browser.execute("return [...document.querySelector('#class-filter').options].map((option) => option.value).slice(0, 2);");
    if let Some(class) = classes.get(1) {
        browser.click("#clear");
        browser.set_value("#class-filter", class.as_str().unwrap());
        let expected = number(
            browser,
            &format!(
                "data.findings.filter((finding) => [finding.label, finding.predicted].includes({class})).length"
            ),
        );
        assert_eq!(shown(browser), expected);
    }
    browser.click("#clear");
    assert_eq!(shown(browser), all);
    assert_eq!(hash(browser), "");
}

pub(super) fn check_search(browser: &Browser) {
    let path = text(browser, "data.findings.at(-1).path");
    browser.set_value("#query", &path.to_uppercase());
    browser.wait_until("location.hash.includes('q=')", PATIENCE);
    let expected = number(
        browser,
        "data.findings.filter((finding) => searchText.get(finding).includes(data.findings.at(-1).path.toLowerCase())).length",
    );
    assert!(expected > 0);
    assert_eq!(shown(browser), expected);
    browser.set_value("#query", "\u{1F9A4} is nowhere");
    browser.wait_until("listed.length === 0", PATIENCE);
    assert!(is(browser, "!document.querySelector('#none-left').hidden"));
    assert!(
        text(
            browser,
            "document.querySelector('#result-count').textContent"
        )
        .starts_with("0 of ")
    );
    browser.click("#clear");
}

pub(super) fn check_orders(browser: &Browser) {
    if is(browser, "!document.querySelector('#more').hidden") {
        browser.click("#show-all");
    }
    let all = number(browser, "data.findings.length");
    let cards = "document.querySelectorAll('#cards > li').length";
    assert_eq!(number(browser, cards), all);
    let orders = [
        (
            "severity",
            "['error', 'warning', 'info'].indexOf(finding.severity)",
        ),
        ("rank", "finding.rank"),
        ("least-confident", "finding.confidence ?? 2"),
        ("most-confident", "-(finding.confidence ?? -1)"),
        ("path", "finding.path"),
    ];
    for (order, key) in orders {
        browser.set_value("#sort", order);
        let is_sorted = format!(
            "[...document.querySelectorAll('#cards > li')].map((card) => findingsById.get(card.dataset.id)).map((finding) => {key})
                .every((key, index, keys) => index === 0 || keys[index - 1] <= key)"
        );
        assert!(is(browser, &is_sorted), "{order}");
        assert!(number(browser, cards) <= all.min(24), "{order}");
    }
    browser.set_value("#sort", "severity");
}

/// By keyboard: open, go on, close; the focus comes back, and so does the address.
pub(super) fn check_opening(browser: &Browser) {
    browser.type_text("#cards li:first-child a", ENTER);
    browser.wait_until("document.querySelector('#detail').open", PATIENCE);
    assert!(is(
        browser,
        "document.querySelector('#detail').contains(document.activeElement)"
    ));
    let first = "location.hash.includes(`finding=${idOf(listed[0])}`)";
    assert!(is(browser, first));
    let body = text(
        browser,
        "document.querySelector('#detail-body').textContent",
    );
    for part in ["listed[0].path", "listed[0].message"] {
        assert!(body.contains(&text(browser, part)), "{part}: {body}");
    }
    if number(browser, "listed.length") > 1 {
        browser.type_text("#close", RIGHT);
        browser.wait_until(
            "location.hash.includes(`finding=${idOf(listed[1])}`)",
            PATIENCE,
        );
        browser.click("#previous");
        browser.wait_until(first, PATIENCE);
        browser.click("#next");
        browser.type_text("#close", ESCAPE);
        wait_until_closed(browser);
        assert!(is(
            browser,
            "document.activeElement === document.querySelectorAll('#cards a')[1]"
        ));
    } else {
        browser.type_text("#close", ESCAPE);
        wait_until_closed(browser);
    }
    // With the mouse, anywhere on the card, and with the browser's own way back.
    browser.click("#cards li:first-child");
    browser.wait_until("document.querySelector('#detail').open", PATIENCE);
    browser.execute("history.back();");
    wait_until_closed(browser);
    browser.click("#cards li:first-child");
    browser.click("#close");
    wait_until_closed(browser);
    assert!(is(
        browser,
        "document.activeElement === document.querySelector('#cards a')"
    ));
}

/// An address with a filter and an opened finding shows both.
pub(super) fn check_link(browser: &Browser, path: &Path) {
    let link = text(
        browser,
        "hashOf({ ...EVERYTHING, kinds: new Set([data.findings.at(-1).kind]) }, idOf(data.findings.at(-1)))",
    );
    open(browser, path, &link);
    assert!(is(browser, "document.querySelector('#detail').open"));
    assert!(is(
        browser,
        "listed.every((finding) => finding.kind === data.findings.at(-1).kind)"
    ));
    let title = text(
        browser,
        "document.querySelector('#detail-title').textContent",
    );
    assert!(
        title.contains(&text(browser, "KINDS.get(data.findings.at(-1).kind).title")),
        "{title}"
    );
    open(
        browser,
        path,
        "#finding=nothing-1&kind=nothing&severity=bad&sort=odd",
    );
    assert!(is(browser, "!document.querySelector('#detail').open"));
    assert_eq!(shown(browser), number(browser, "data.findings.length"));
}

/// How many findings pass the filters, as the page says it.
fn shown(browser: &Browser) -> u64 {
    let said = text(
        browser,
        "document.querySelector('#result-count').textContent",
    );
    let number = said.split(|letter: char| letter.is_whitespace()).next();
    let number = number.unwrap().replace(',', "").parse().unwrap();
    assert_eq!(number, self::number(browser, "listed.length"), "{said}");
    number
}

fn hash(browser: &Browser) -> String {
    text(browser, "location.hash")
}
