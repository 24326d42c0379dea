//! The report of an audit: one HTML file that holds everything it shows and asks for nothing else.
//!
//! The page's policy (CSP) allows its own style and script by their hashes and pictures from the file itself. It allows no request, no style attribute, no
//! markup made by the script: what stands in file names or labels is text, whatever it says.

pub(super) mod content;
pub mod data;
mod figures;
mod timeline;

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use sha2::{Digest, Sha256};

use self::data::ReportData;

const PAGE: &str = include_str!("page/index.html");

const STYLE: &str = concat!(
    include_str!("page/style.css"),
    include_str!("page/findings.css"),
    include_str!("page/charts.css"),
    include_str!("page/print.css"),
);

/// The parts of the script share one scope; each uses what stands before it.
const SCRIPT: &str = concat!(
    include_str!("page/dom.js"),
    include_str!("page/format.js"),
    include_str!("page/pictures.js"),
    include_str!("page/charts.js"),
    include_str!("page/overview.js"),
    include_str!("page/view.js"),
    include_str!("page/detail.js"),
    include_str!("page/findings.js"),
    include_str!("page/timeline.js"),
    include_str!("page/videos.js"),
    include_str!("page/clusters.js"),
    include_str!("page/report.js"),
);

/// Writes the page with its data.
///
/// # Errors
/// If `output` cannot be written.
pub fn write_page(data: &ReportData, output: &mut dyn Write) -> io::Result<()> {
    let mut rest = PAGE;
    while let Some((before, (marker, after))) = next_marker(rest) {
        output.write_all(before.as_bytes())?;
        match marker {
            "title" => output.write_all(escape(&data.title).as_bytes())?,
            "style" => output.write_all(STYLE.as_bytes())?,
            "style-hash" => output.write_all(hash(STYLE).as_bytes())?,
            "script" => output.write_all(SCRIPT.as_bytes())?,
            "script-hash" => output.write_all(hash(SCRIPT).as_bytes())?,
            "data" => data.serialize(&mut Serializer::with_formatter(&mut *output, Embedded))?,
            _ => return Err(io::Error::other(format!("the page has no part {marker}"))),
        }
        rest = after;
    }
    output.write_all(rest.as_bytes())
}

/// Text before the next `{{marker}}`, the marker's name, and what follows.
fn next_marker(page: &str) -> Option<(&str, (&str, &str))> {
    let (before, marked) = page.split_once("{{")?;
    Some((before, marked.split_once("}}")?))
}

/// What the policy (CSP) calls this style or script.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// As HTML text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// JSON inside of HTML: without `<`, nothing in it can end the element that it stands in.
struct Embedded;

impl Formatter for Embedded {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut parts = fragment.split('<');
        if let Some(first) = parts.next() {
            writer.write_all(first.as_bytes())?;
        }
        for part in parts {
            writer.write_all(b"\\u003c")?;
            writer.write_all(part.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(data: &ReportData) -> String {
        let mut output = Vec::new();
        write_page(data, &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    /// What stands between the first `open` and the next `close`.
    fn between<'a>(text: &'a str, open: &str, close: &str) -> &'a str {
        let (_, inside) = text.split_once(open).unwrap();
        inside.split_once(close).unwrap().0
    }

    #[test]
    fn hostile_text_stays_text() {
        let title = "</title></script><img src=x onerror=alert(1)>{{script}} & \"quotes\" \\";
        let data = ReportData {
            title: title.to_owned(),
            notices: vec![title.to_owned()],
            ..ReportData::default()
        };
        let page = page(&data);
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(!page.contains("<img src=x"));
        let json = between(&page, "id=\"data\">", "</script>");
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(value["notices"][0], title);
    }

    #[test]
    fn the_policy_names_the_hashes_of_what_stands_in_the_page() {
        let page = page(&ReportData::default());
        let policy = between(&page, "Content-Security-Policy\" content=\"", "\"");
        assert!(policy.contains(&hash(between(&page, "<style>", "</style>"))));
        assert!(policy.contains(&hash(between(&page, "<script>", "</script>"))));
        assert!(!policy.contains("unsafe"));
    }

    /// The page is hashed as the browser sees it, which turns CR LF into LF.
    #[test]
    fn the_parts_of_the_page_fit_together() {
        let page = page(&ReportData::default());
        assert!(!page.contains("{{") && !page.contains('\r'));
        assert!(page.ends_with("</html>\n"));
        assert_eq!(page.matches("<script").count(), 2);
    }

    #[test]
    fn the_page_names_no_address() {
        let page = page(&ReportData::default());
        for address in ["://", "//www", "url(", "@import", "srcset"] {
            assert!(!page.contains(address), "{address}");
        }
    }
}
