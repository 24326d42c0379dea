//! How the report looks: wide and narrow, light and dark.

use std::path::Path;

use serde_json::json;

use super::{PATIENCE, open, text};
use crate::common::browser::Browser;

/// Contrast that WCAG AA asks of text.
const LEAST_CONTRAST: f64 = 4.5;

/// Has `tooFaint(least)`: texts with less contrast than that.
const CONTRASTS: &str = include_str!("contrasts.js");

/// In both schemes and on a small phone: nothing sticks out, every text can be read.
pub fn check_looks(browser: &Browser, path: &Path) {
    for (width, scheme) in [
        (1280, "light"),
        (1280, "dark"),
        (360, "light"),
        (360, "dark"),
    ] {
        browser.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}),
        );
        browser.devtools(
            "Emulation.setEmulatedMedia",
            &json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
        let opened = text(
            browser,
            "data.findings.length > 0 ? hashOf(EVERYTHING, idOf(data.findings[0])) : ''",
        );
        for hash in ["", &opened] {
            open(browser, path, hash);
            browser.execute(
                "for (const part of document.querySelectorAll('main details')) part.open = true;",
            );
            let shape = format!("{width} px, {scheme}, {hash}");
            browser.wait_until("data.videos.length === 0 || document.querySelector('.video').childElementCount > 1", PATIENCE);
            let too_wide = browser.execute(
                "const sizes = [document.documentElement, document.querySelector('#detail-body')];
                 return Math.max(...sizes.map((element) => element.scrollWidth - element.clientWidth));",
            );
            assert!(too_wide.as_f64().unwrap() <= 0.0, "{shape}: {too_wide} px");
            let unreadable =
                browser.execute(&format!("{CONTRASTS} return tooFaint({LEAST_CONTRAST});"));
            assert_eq!(unreadable, json!([]), "{shape}");
        }
    }
    browser.devtools("Emulation.clearDeviceMetricsOverride", &json!({}));
    browser.devtools("Emulation.setEmulatedMedia", &json!({"features": []}));
}
