//! `gradcam-video evaluate` on real photos.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::common::{file, gradcam_video, outcome, run};
use serde_json::Value;

#[test]
fn methods_are_measured_beside_two_that_know_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(
        path("boxes.csv"),
        "file,x0,y0,x1,y1,label\ncatdog.png,78,14,165,148,bull_mastiff\ncatdog.png,0,0,224,224,tabby\n",
    )
    .unwrap();
    fs::write(path("broken.png"), b"no picture").unwrap();
    let photo = file("tests/media/catdog.png");
    let (boxes, plot, broken) = (path("boxes.csv"), path("curves.svg"), path("broken.png"));
    let arguments = [
        "evaluate",
        photo.to_str().unwrap(),
        &broken,
        "--method",
        "gradcam,eigencam",
        "--pixels-per-step",
        "12544",
        "--boxes",
        &boxes,
        "--plot",
        &plot,
        "--json",
        "-q",
    ];
    let (code, stdout, stderr) = run(arguments);
    assert_eq!(code, 3, "one of two pictures is broken: {stderr}");
    assert!(
        stderr.contains("broken.png") && stderr.contains("1 of 2"),
        "{stderr}"
    );
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["settings"]["pixels_per_step"], 12544);
    assert_eq!(report["weights_sha256"].as_str().unwrap().len(), 64);
    let methods = report["methods"].as_array().unwrap();
    let names: Vec<&str> = methods
        .iter()
        .map(|row| row["method"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["gradcam", "eigencam", "centre", "random"]);
    let value = |row: usize, key: &str| methods[row][key].as_f64().unwrap();
    // What Grad-CAM shows first matters more than what chance shows first.
    assert!(value(0, "deletion_auc") < value(3, "deletion_auc"));
    assert!(value(0, "insertion_auc") > value(3, "insertion_auc"));
    assert!(value(0, "road") > value(3, "road"));
    assert!((0.0..100.0).contains(&value(0, "average_drop_percent")));
    assert_eq!(value(0, "pointing_percent"), 100.0);
    // The other class's box holds the whole picture.
    assert!((0.6..0.95).contains(&value(0, "energy_in_box")));
    assert_eq!(report["agreement"]["spearman"][0][0], 1.0);
    let scores = ["logit".into(), Value::Null];
    for (explainer, score) in report["explainers"].as_array().unwrap().iter().zip(scores) {
        assert_eq!(explainer["score"], score, "EigenCAM explains none");
    }
    // A random classifier changes Grad-CAM's map of a class; EigenCAM knows no class, so that only other features change it.
    let step = |method: usize, step: usize| {
        report["randomisation"][method]["steps"][step]["spearman"]
            .as_f64()
            .unwrap()
    };
    assert!(step(0, 0) < 0.7, "{}", step(0, 0));
    assert!(step(1, 0) > 0.999_9);
    assert!(step(1, 1).abs() < 0.9);
    let svg = fs::read_to_string(plot).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("gradcam") && svg.contains("random"));
}

#[test]
fn the_tables_name_every_setting() {
    let photo = file("tests/media/catdog.png");
    let arguments = [
        "evaluate",
        photo.to_str().unwrap(),
        "--method",
        "gradcam",
        "--class",
        "tabby",
        "--pixels-per-step",
        "12544",
        "-q",
    ];
    let (code, stdout, stderr) = run(arguments);
    assert_eq!(code, 0, "{stderr}");
    for part in [
        "12544 pixels per step",
        "11x11 blur",
        "20, 40, 60, 80 %",
        "seed",
        "tabby (281)",
        "centre",
        "randomisation",
        "layer4",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
}

/// An option that concerns one method does not stop the others, and each says how it explains.
#[test]
fn methods_of_different_kinds_are_compared() {
    let photo = file("tests/media/catdog.png");
    let photo = photo.to_str().unwrap();
    let arguments = "--method lime,gradcam,lime --samples 4 --layer layer3 --pixels-per-step 25088 --no-randomisation -q --json";
    let mut all = vec!["evaluate", photo];
    all.extend(arguments.split(' '));
    let (code, stdout, stderr) = run(all);
    assert_eq!(code, 0, "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["layer"], "layer3");
    let explainers = report["explainers"].as_array().unwrap();
    assert_eq!(explainers.len(), 2);
    assert_eq!(explainers[0]["samples"], 4);
    assert_eq!(explainers[0]["score"], "softmax");
    assert!(
        explainers[0]["settings"]
            .as_str()
            .unwrap()
            .contains("superpixels: 50")
    );
    assert!(explainers[1]["samples"].is_null());
    assert!(report["randomisation"].is_null());
}

#[test]
fn an_interrupt_keeps_the_pictures_that_are_finished() {
    let photo = file("tests/media/catdog.png");
    let mut child = gradcam_video()
        .arg("evaluate")
        .args([&photo, &photo, &photo])
        .args(["--method", "gradcam", "--pixels-per-step", "6272", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let is_second = |line: &str| line.contains("(2 of 3)");
    said.find(|line| is_second(line.as_ref().unwrap()))
        .unwrap()
        .unwrap();
    let status = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(status.unwrap().success());
    let stderr: Vec<String> = said.map(Result::unwrap).collect();
    let (code, stdout, _) = outcome(child.wait_with_output().unwrap());
    assert_eq!(code, 130, "{stderr:?}");
    let told = stderr.join("\n");
    assert!(told.contains("stopped after 1 of 3 pictures"), "{told}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["pictures"].as_array().unwrap().len(), 1);
    assert!(report["randomisation"].is_null());
}

#[test]
fn bad_requests_are_one_line() {
    let photo = file("tests/media/catdog.png");
    let photo = photo.to_str().unwrap();
    for (arguments, code, hint) in [
        (vec![photo, "--plot", "a.png"], 2, ".svg"),
        (
            vec![photo, "--boxes", "/nowhere/b.csv"],
            1,
            "/nowhere/b.csv",
        ),
        (vec![photo, "--method", "gradcam,magic"], 2, "magic"),
        (vec![photo, "--class", "unicorn"], 2, "unicorn"),
        (
            vec![photo, "--method", "gradcam,lime", "--samples", "1"],
            2,
            "at least 2",
        ),
        (
            vec![photo, "--method", "gradcam", "--samples", "9"],
            2,
            "takes no samples",
        ),
        (
            vec![photo, "--method", "lime", "--layer", "layer3"],
            2,
            "looks at no layer",
        ),
        (vec!["/nowhere/p.png"], 1, "no picture could be evaluated"),
        (
            vec![photo, "--method", "gradcam++", "--score", "softmax"],
            2,
            "logits",
        ),
        (
            vec![photo, "--method", "eigencam", "--score", "softmax"],
            2,
            "no score",
        ),
        // Meant for the other one.
        (
            vec![
                "/nowhere/p.png",
                "--method",
                "gradcam,eigencam",
                "--score",
                "softmax",
            ],
            1,
            "no picture could be evaluated",
        ),
    ] {
        let mut all = vec!["evaluate"];
        all.extend(&arguments);
        let (got, _, stderr) = run(all);
        assert_eq!(got, code, "{arguments:?}: {stderr}");
        assert!(stderr.contains(hint), "{arguments:?}: {stderr}");
    }
}
