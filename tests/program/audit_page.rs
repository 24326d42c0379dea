//! The report of an audit in a real browser, with made-up data: everything, nothing, and what wants to break out; and a real one.

use crate::common::browser::Browser;
use crate::common::report_checks::{check_is_alone, check_report, open};
use crate::common::synthetic_report;
use crate::common::{file, run_ok};
use gradcam_video::audit::report::data::ReportData;
use gradcam_video::audit::report::write_page;

/// Writes the report and opens it.
fn with_report(data: &ReportData, check: impl FnOnce(&Browser, &std::path::Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    let mut file = std::fs::File::create(&path).unwrap();
    write_page(data, &mut file).unwrap();
    check(&Browser::start(1280, 900, &[]), &path);
}

#[test]
fn a_report_with_everything_works() {
    with_report(&synthetic_report::rich(), check_report);
}

#[test]
fn a_report_of_nothing_works() {
    with_report(&synthetic_report::empty(), check_report);
}

#[test]
fn a_report_without_labels_and_videos_works() {
    with_report(&synthetic_report::unlabelled(), |browser, path| {
        open(browser, path, "");
        check_is_alone(browser);
        let said = browser.execute("return document.querySelector('#kinds-clean').textContent;");
        let said = said.as_str().unwrap();
        let end = "Not looked for: label disagrees (no labels); unstable label, frozen frames (no videos).";
        assert!(
            said.ends_with(end) && said.matches("label disagrees").count() == 1,
            "{said}"
        );
    });
}

#[test]
fn hostile_texts_do_nothing() {
    with_report(&synthetic_report::hostile(), |browser, path| {
        open(browser, path, "#finding=exact_duplicate-1");
        check_is_alone(browser);
        let strangers = browser.execute("return document.querySelectorAll('img:not([src^=\"data:\"]), script:not([id]) ~ script, [onerror], [onload]').length;");
        assert_eq!(strangers, 0);
    });
}

#[test]
fn a_real_report_works() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("photos");
    std::fs::create_dir_all(root.join("tabby")).unwrap();
    for (from, to) in [
        ("samples/chelsea.png", "tabby/cat.png"),
        ("samples/chelsea.png", "copy.png"),
        ("tests/media/china.jpg", "tabby/china.jpg"),
        ("tests/media/coffee.png", "coffee.png"),
        ("samples/cup.mp4", "cup.mp4"),
    ] {
        std::fs::copy(file(from), root.join(to)).unwrap();
    }
    let out = folder.path().join("report");
    run_ok([
        "audit".as_ref(),
        root.as_os_str(),
        "--out".as_ref(),
        out.as_os_str(),
    ]);
    let path = out.join("report.html");
    let text = std::fs::read_to_string(&path).unwrap();
    for address in ["http:", "https:", "file:", "//www"] {
        assert!(!text.contains(address), "{address} in the report");
    }
    let browser = Browser::start(1280, 900, &[]);
    check_report(&browser, &path);
    // The picture that a card shows is the file in `thumbs`: original, heatmap, overlay.
    open(&browser, &path, "#finding=exact_duplicate-1");
    let sizes = browser.execute(
        "return [...document.querySelectorAll('dialog img')].map((image) => [image.naturalWidth, image.naturalHeight]);",
    );
    assert!(
        sizes
            .as_array()
            .unwrap()
            .contains(&serde_json::json!([480, 106])),
        "{sizes}"
    );
}
