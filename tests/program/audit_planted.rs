//! A planted artefact is found, named, placed and confirmed; where it is not, nothing is.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::browser::Browser;
use crate::common::report_checks::check_report;
use crate::common::{file, run};
use serde_json::Value;

/// What `scripts/make_planted_dataset.sh` makes.
fn planted(folder: &Path) -> Value {
    crate::planted::write_dataset(&file("."), folder).unwrap();
    serde_json::from_slice(&fs::read(folder.join("truth.json")).unwrap()).unwrap()
}

/// The findings about suspicious clusters, and how the run ended with `--fail-on error`.
fn suspicions(dataset: &Path, weights: &Path) -> (Vec<Value>, i32, PathBuf) {
    let out = dataset.with_extension("report");
    let options = ["--labels", "folders", "--fail-on", "error", "-q"];
    let (code, _, stderr) = run([
        "audit".as_ref(),
        dataset.as_os_str(),
        "--out".as_ref(),
        out.as_os_str(),
        "--weights".as_ref(),
        weights.as_os_str(),
    ]
    .into_iter()
    .chain(options.map(AsRef::as_ref)));
    let report = fs::read(out.join("findings.json")).unwrap_or_else(|_| panic!("{stderr}"));
    let report: Value = serde_json::from_slice(&report).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let found = findings.filter(|finding| finding["kind"] == "suspicious_cluster");
    (found.cloned().collect(), code, out)
}

#[test]
fn a_planted_artefact_is_found_and_confirmed_and_its_clean_twin_is_silent() {
    let folder = tempfile::tempdir().unwrap();
    let truth = planted(folder.path());
    let weights = folder.path().join("weights.safetensors");

    let (found, code, out) = suspicions(&folder.path().join("planted"), &weights);
    assert_eq!(code, 4);
    assert_eq!(found.len(), 1, "{found:#?}");
    let finding = &found[0];
    let class = truth["class"].as_str().unwrap();
    assert_eq!(finding["severity"], "error");
    let message = finding["message"].as_str().unwrap();
    let place = message.contains("top right corner") && truth["corner"] == "upper right";
    assert!(
        message.starts_with(&class.replace('_', " ")) && place,
        "{message}"
    );
    assert!(
        message.contains("confirmed: ") && !message.contains("not confirmed"),
        "{message}"
    );
    let value = |name: &str| finding["values"][name].as_f64().unwrap();
    let drop = value("probability") - value("probability_without_the_region");
    let random_drop = value("probability") - value("probability_without_a_random_region");
    assert!(
        drop > 0.2 && random_drop < 0.1,
        "{drop} against {random_drop}"
    );

    // Its members are the pictures with the artefact.
    let marked: Vec<&str> = truth["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let mut members: Vec<&str> = vec![finding["path"].as_str().unwrap()];
    members.extend(
        finding["related"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["path"].as_str().unwrap()),
    );
    let right = members.iter().filter(|name| marked.contains(name)).count();
    assert!(
        10 * right >= 9 * members.len() && 10 * right >= 8 * marked.len(),
        "{right} of {members:?}"
    );

    // The region in the report is where the artefact is.
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    let data = page
        .split_once("id=\"data\">")
        .unwrap()
        .1
        .split_once("</script>")
        .unwrap()
        .0;
    let data: Value = serde_json::from_str(data).unwrap();
    let clusters = data["clustered"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|class| class["clusters"].as_array().unwrap());
    let flagged: Vec<&Value> = clusters
        .filter(|cluster| !cluster["suspicion"].is_null())
        .collect();
    assert_eq!(flagged.len(), 1);
    assert_eq!(flagged[0]["test"]["is_confirmed"], true);
    let corner: Vec<u64> = truth["corner_cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cell| cell[1].as_u64().unwrap() * 7 + cell[0].as_u64().unwrap())
        .collect();
    let region = flagged[0]["region"].as_array().unwrap();
    assert!(
        region
            .iter()
            .all(|cell| corner.contains(&cell.as_u64().unwrap())),
        "{region:?} is not in {corner:?}"
    );

    check_report(&Browser::start(1280, 900, &[]), &out.join("report.html"));

    let (found, code, _) = suspicions(&folder.path().join("clean"), &weights);
    assert_eq!((found.as_slice(), code), ([].as_slice(), 0));
}
