//! `gradcam-video audit` on real files: findings, files of the report, going on after a kill, shards.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::common::{ffmpeg, file, gradcam_video, run};
use serde_json::Value;

/// The files of a report that do not depend on how it came about.
const RESULTS: [&str; 3] = ["records.parquet", "findings.json", "report.html"];

/// A dataset in `folder`: labelled photos, a video, and everything that can be wrong with files.
fn dataset(folder: &Path) -> PathBuf {
    let root = folder.join("photos");
    let photo = |name: &str| file(name).display().to_string();
    let (cat, coffee, china) = (
        photo("samples/chelsea.png"),
        photo("tests/media/coffee.png"),
        photo("tests/media/china.jpg"),
    );
    for class in ["Egyptian Cat", "n07920052", "tabby", "strange thing", "285"] {
        fs::create_dir_all(root.join(class)).unwrap();
    }
    fs::copy(&cat, root.join("Egyptian Cat/cat.png")).unwrap();
    fs::copy(&cat, root.join("tabby/copy of cat.png")).unwrap();
    fs::copy(&coffee, root.join("n07920052/coffee.png")).unwrap();
    fs::copy(&china, root.join("strange thing/china.jpg")).unwrap();
    fs::copy(file("samples/cup.mp4"), root.join("cup.mp4")).unwrap();
    let made = |arguments: &str, name: &str| ffmpeg(arguments, &root.join(name));
    made(
        &format!("-i {cat} -vf gblur=sigma=10"),
        "Egyptian Cat/blurred.jpg",
    );
    made(
        &format!("-i {cat} -vf scale=300:-1 -q:v 3"),
        "285/scaled.jpg",
    );
    made(
        &format!("-i {coffee} -vf lutrgb=r=val*0.15:g=val*0.15:b=val*0.15"),
        "n07920052/dark.jpg",
    );
    made(&format!("-i {china} -vf crop=400:50"), "long.jpg");
    made(
        &format!("-loop 1 -i {coffee} -t 6 -r 5 -pix_fmt yuv420p -vf scale=320:240"),
        "frozen.mkv",
    );
    let torn = fs::read(file("samples/cup.mp4")).unwrap();
    fs::write(root.join("torn.mp4"), &torn[..torn.len() / 2]).unwrap();
    fs::write(root.join("broken.jpg"), b"no picture").unwrap();
    fs::write(root.join("empty.png"), b"").unwrap();
    fs::write(root.join("notes.txt"), b"passed over").unwrap();
    // Nobody will ever write to it.
    let pipe = Command::new("mkfifo").arg(root.join("pipe.png")).status();
    assert!(pipe.unwrap().success());
    root
}

fn audit(root: &Path, out: &Path, options: &str) -> (i32, String, String) {
    let (root, out) = (root.to_str().unwrap(), out.to_str().unwrap());
    let mut arguments = vec!["audit", root, "--out", out];
    arguments.extend(options.split(' ').filter(|option| !option.is_empty()));
    run(arguments)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Paths of the findings of a kind, with their severity.
fn found(report: &Value, kind: &str) -> Vec<(String, String)> {
    let findings = report["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings
        .filter(|finding| finding["kind"] == kind)
        .map(|finding| (text(&finding["path"]), text(&finding["severity"])))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = expected
        .iter()
        .map(|(path, severity)| ((*path).to_owned(), (*severity).to_owned()));
    owned.collect()
}

/// What a statement of DuckDB's says of a Parquet file, as JSON.
fn query(parquet: &Path, statement: &str) -> Value {
    let program = "import duckdb, json, sys\n\
                   rows = duckdb.sql(sys.argv[2].replace('RECORDS', f\"'{sys.argv[1]}'\")).fetchall()\n\
                   print(json.dumps(rows))";
    let python = file("target/test-python/bin/python");
    let output = Command::new(python)
        .args(["-c", program])
        .arg(parquet)
        .arg(statement)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_dataset_is_audited_whatever_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = dataset(folder.path());
    let out = root.join("report");
    let (code, stdout, stderr) = audit(&root, &out, "--format json");
    assert_eq!(code, 3, "{stderr}");
    assert!(
        stderr.contains("strange thing") && stderr.contains("4 of 14 files"),
        "{stderr}"
    );
    let report = json(&out.join("findings.json"));
    assert_eq!(serde_json::from_str::<Value>(&stdout).unwrap(), report);

    let kinds = |kind| found(&report, kind);
    assert_eq!(
        kinds("label_disagrees")[0],
        ("tabby/copy of cat.png".into(), "error".into())
    );
    assert_eq!(
        kinds("exact_duplicate"),
        pairs(&[("Egyptian Cat/cat.png", "error")])
    );
    let alike = [
        ("285/scaled.jpg", "info"),
        ("cup.mp4", "info"),
        ("frozen.mkv", "info"),
    ];
    let mut near = kinds("near_duplicate");
    near.sort();
    assert_eq!(near, pairs(&alike), "each with its other version");
    assert_eq!(kinds("dark"), pairs(&[("n07920052/dark.jpg", "warning")]));
    assert_eq!(kinds("blurred")[0].0, "Egyptian Cat/blurred.jpg");
    assert_eq!(kinds("odd_size")[0].0, "long.jpg");
    assert_eq!(kinds("frozen_frames"), pairs(&[("frozen.mkv", "warning")]));
    let unreadable = [
        ("broken.jpg", "error"),
        ("empty.png", "error"),
        ("pipe.png", "error"),
    ];
    assert_eq!(kinds("unreadable"), pairs(&unreadable));
    assert_eq!(kinds("damaged"), pairs(&[("torn.mp4", "error")]));
    let mislabelled = report["findings"].as_array().unwrap().iter();
    let mislabelled = mislabelled
        .filter(|finding| finding["path"] == "tabby/copy of cat.png")
        .find(|finding| finding["kind"] == "label_disagrees")
        .unwrap();
    assert_eq!(
        (&mislabelled["label_index"], &mislabelled["predicted_index"]),
        (&281.into(), &285.into())
    );
    for finding in report["findings"].as_array().unwrap() {
        let related = finding["related"].as_array().unwrap();
        assert_eq!(finding["related_count"], related.len(), "few enough");
        let is_told = finding["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty());
        assert!(is_told, "{finding}");
        assert!(report["kinds"][finding["kind"].as_str().unwrap()]["how"].is_string());
        if let Some(picture) = finding["picture"].as_str() {
            let picture = image::open(out.join(picture)).unwrap();
            assert!(
                picture.width() <= 480
                    && picture.width().is_multiple_of(3)
                    && picture.height() <= 120
            );
        }
    }
    let counts = &report["counts"];
    assert_eq!(
        (&counts["images"], &counts["videos"], &counts["unreadable"]),
        (&8.into(), &3.into(), &3.into())
    );

    let rows = query(
        &out.join("records.parquet"),
        "select path, frame, label_name, top[1].label, heatmap[4][4] is not null, flags, fault is not null, duplicate_of from RECORDS",
    );
    let rows = rows.as_array().unwrap();
    let row = |path: &str| rows.iter().find(|row| row[0] == path).unwrap();
    assert_eq!(row("tabby/copy of cat.png")[2], "tabby");
    assert_eq!(row("tabby/copy of cat.png")[3], "Egyptian_cat");
    assert_eq!(row("tabby/copy of cat.png")[4], true);
    let flags = row("tabby/copy of cat.png")[5].as_array().unwrap();
    assert!(flags.contains(&"label_disagrees".into()) && flags.contains(&"exact_duplicate".into()));
    assert_eq!(row("broken.jpg")[5], Value::from(vec!["unreadable"]));
    assert_eq!(row("broken.jpg")[6], true);
    assert_eq!(row("tabby/copy of cat.png")[7], "Egyptian Cat/cat.png");
    assert_eq!(row("Egyptian Cat/cat.png")[7], "285/scaled.jpg");
    assert_eq!(row("285/scaled.jpg")[7], Value::Null);
    assert_eq!(row("long.jpg")[2], Value::Null);
    let frames: Vec<&Value> = rows
        .iter()
        .filter(|row| row[0] == "frozen.mkv")
        .map(|row| &row[1])
        .collect();
    assert_eq!(frames, [0, 5, 10, 15, 20, 25], "one per second");
    assert_eq!(
        rows.len() as u64,
        counts["images"].as_u64().unwrap() + counts["frames"].as_u64().unwrap() + 3
    );

    let manifest = json(&out.join("manifest.json"));
    assert_eq!(
        (&manifest["files"], &manifest["passed_over"]),
        (&14.into(), &1.into())
    );
    assert_eq!(manifest["arguments"][0], "audit");
    assert!(!out.join("journal").exists());

    let again = audit(&root, &out, "");
    assert_eq!(again.0, 1);
    assert!(
        again.2.contains("use -y to overwrite it, or --resume"),
        "{}",
        again.2
    );
    let (code, _, stderr) = audit(&root, &out, "--resume --fail-on warning");
    assert_eq!(
        code, 4,
        "a finished report still has its findings: {stderr}"
    );
}

/// Photos that differ, enough that a run can be killed in the middle.
fn many_photos(folder: &Path, count: usize) -> PathBuf {
    let root = folder.join("many");
    let cat = image::open(file("samples/chelsea.png")).unwrap();
    for number in 0..count {
        let class = root.join(["tabby", "Egyptian_cat", "none"][number % 3]);
        fs::create_dir_all(&class).unwrap();
        let (x, y) = ((number as u32 * 7) % 90, (number as u32 * 11) % 60);
        let part = cat.crop_imm(x, y, 300, 220).to_rgb8();
        part.save(class.join(format!("{number}.jpg"))).unwrap();
    }
    let clip = file("samples/cup.mp4");
    ffmpeg(
        &format!("-i {} -t 2 -c copy", clip.display()),
        &root.join("cup.mp4"),
    );
    root
}

fn results(out: &Path) -> BTreeMap<&'static str, Vec<u8>> {
    RESULTS
        .into_iter()
        .map(|name| (name, fs::read(out.join(name)).unwrap()))
        .collect()
}

/// Names of all evidence pictures.
fn thumbs(out: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    for folder in fs::read_dir(out.join("thumbs")).unwrap() {
        for entry in fs::read_dir(folder.unwrap().path()).unwrap() {
            names.push(entry.unwrap().path().strip_prefix(out).unwrap().to_owned());
        }
    }
    names.sort();
    names
}

#[test]
fn a_killed_run_goes_on_and_shards_are_put_together_as_if_nothing_had_been() {
    let folder = tempfile::tempdir().unwrap();
    let root = many_photos(folder.path(), 15);
    let whole = folder.path().join("whole");
    let (code, _, stderr) = audit(&root, &whole, "-q --sample-fps 2");
    assert_eq!(code, 0, "{stderr}");
    let expected = results(&whole);

    let killed = folder.path().join("killed");
    let mut kills = 0;
    for attempt in 0.. {
        let mut child = gradcam_video()
            .args([
                "audit",
                root.to_str().unwrap(),
                "--out",
                killed.to_str().unwrap(),
            ])
            .args(["--resume", "-q", "--sample-fps", "2"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // From before the first picture to somewhere behind; later each time, as a video counts only when it was read to its end.
        thread::sleep(Duration::from_millis(
            400 + attempt * 230 + (attempt * 373) % 190,
        ));
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            break;
        }
        kills += 1;
        assert!(kills < 60, "it never ends");
    }
    assert!(kills >= 2, "it was killed {kills} times only");
    assert!(results(&killed) == expected, "killed {kills} times");
    assert_eq!(thumbs(&killed), thumbs(&whole));

    let shards: Vec<PathBuf> = (1..=3)
        .map(|number| folder.path().join(format!("shard{number}")))
        .collect();
    for (number, shard) in shards.iter().enumerate() {
        let (code, _, stderr) = audit(
            &root,
            shard,
            &format!("-q --sample-fps 2 --shard {}/3", number + 1),
        );
        assert_eq!(code, 0, "{stderr}");
        assert!(!shard.join("report.html").exists(), "a part is no report");
    }
    let merged = folder.path().join("merged");
    let merge = |shards: &[&Path]| {
        let mut arguments = vec!["audit", "merge"];
        arguments.extend(shards.iter().map(|shard| shard.to_str().unwrap()));
        arguments.extend([
            "--out",
            merged.to_str().unwrap(),
            "-q",
            "--fail-on",
            "error",
        ]);
        run(arguments)
    };
    let refused = |shards: &[&Path], why: &str| {
        let (code, _, stderr) = merge(shards);
        assert!(code != 0 && stderr.contains(why), "{code} {stderr}");
        assert!(!merged.exists());
    };
    refused(&[&shards[0], &shards[2]], "shard 2 of 3 is missing");
    refused(&[&shards[0], &shards[0]], "is shard 1 already");
    refused(&[&whole], "it is a whole report, not a shard");
    let away = folder.path().join("away");
    fs::rename(&root, &away).unwrap();
    refused(&[&shards[0], &shards[1], &shards[2]], "without the dataset");
    fs::rename(&away, &root).unwrap();
    let (code, _, stderr) = merge(&[&shards[2], &shards[0], &shards[1]]);
    assert_eq!(code, 4, "every third label is wrong: {stderr}");
    assert!(results(&merged) == expected);
    assert_eq!(thumbs(&merged), thumbs(&whole));

    let again = |options: &[&str]| {
        let mut arguments = vec!["audit", "merge", "--out", merged.to_str().unwrap()];
        arguments.extend(shards.iter().map(|shard| shard.to_str().unwrap()));
        arguments.extend(options);
        let (code, _, stderr) = run(arguments);
        assert_eq!(code, 1, "{stderr}");
        assert!(results(&merged) == expected, "the old report stays");
        stderr
    };
    let said = again(&[]);
    assert!(
        said.contains("use -y to overwrite it") && !said.contains("--resume"),
        "{said}"
    );
    let journal = shards[0].join("journal");
    fs::copy(journal.join("0001.jsonl"), journal.join("0002.jsonl")).unwrap();
    let said = again(&["-y"]);
    assert!(said.contains("is in them twice"), "{said}");
}

#[test]
fn an_interrupted_run_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let root = many_photos(folder.path(), 30);
    let out = folder.path().join("out");
    let child = gradcam_video()
        .args([
            "audit",
            root.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
        ])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let journal = out.join("journal/0001.jsonl");
    while fs::metadata(&journal).map_or(0, |metadata| metadata.len()) < 4000 {
        thread::sleep(Duration::from_millis(20));
    }
    let status = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    let (code, _, stderr) = crate::common::outcome(child.wait_with_output().unwrap());
    assert_eq!(code, 130, "{stderr}");
    assert!(stderr.contains("--resume goes on"), "{stderr}");
    assert!(!out.join("manifest.json").exists());
    // A disk that is not mounted at the moment loses nothing.
    // (The frames of a video that was not finished may be cut off: it is looked at again.)
    let finished = || -> Vec<String> {
        let text = fs::read_to_string(&journal).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("{\"item\""));
        lines.map(str::to_owned).collect()
    };
    let kept = finished();
    assert!(!kept.is_empty());
    let away = folder.path().join("away");
    fs::rename(&root, &away).unwrap();
    fs::create_dir(&root).unwrap();
    let (code, _, stderr) = audit(&root, &out, "--resume");
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("it holds no image or video"), "{stderr}");
    assert_eq!(finished(), kept);
    fs::remove_dir(&root).unwrap();
    fs::rename(&away, &root).unwrap();
    let (code, _, stderr) = audit(&root, &out, "--resume --method eigencam");
    assert_eq!(code, 2);
    assert!(
        stderr.contains("it was begun with method \"gradcam\", not \"eigencam\""),
        "{stderr}"
    );
    let (code, stdout, stderr) = audit(&root, &out, "--resume");
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("errors,"), "{stdout}");
    assert!(out.join("report.html").exists());
}

#[test]
fn labels_and_boxes_come_from_files_too() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("photos");
    fs::create_dir(&root).unwrap();
    fs::copy(file("tests/media/catdog.png"), root.join("both.png")).unwrap();
    fs::copy(file("samples/chelsea.png"), root.join("cat.png")).unwrap();
    fs::copy(file("tests/media/china.jpg"), root.join("china.jpg")).unwrap();
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let labels = write(
        "labels.csv",
        "path,label\nboth.png,bull mastiff\ncat.png,unheard of\ngone.png,tabby\n",
    );
    let coco = write(
        "boxes.json",
        r#"{"images":[{"id":1,"file_name":"both.png"},{"id":2,"file_name":"cat.png"}],
            "categories":[{"id":1,"name":"thing"}],
            "annotations":[{"image_id":1,"category_id":1,"bbox":[0,0,1,1]},{"image_id":2,"category_id":1,"bbox":[100,20,300,260]}]}"#,
    );
    let out = folder.path().join("out");
    let (code, _, stderr) = audit(&root, &out, &format!("--labels {labels} --boxes {coco}"));
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("unheard of"), "{stderr}");
    assert!(stderr.contains("1 of 3 images without a box"), "{stderr}");
    let report = json(&out.join("findings.json"));
    assert_eq!(
        found(&report, "attention_outside_box"),
        pairs(&[("both.png", "error")])
    );
    let labelled = query(
        &out.join("records.parquet"),
        "select path, label_name, energy_in_box > 0.5 from RECORDS order by path",
    );
    assert_eq!(
        labelled,
        serde_json::json!([
            ["both.png", "bull_mastiff", false],
            ["cat.png", null, true],
            ["china.jpg", null, null]
        ])
    );
}

#[test]
fn what_cannot_be_audited_is_said_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("empty")).unwrap();
    fs::create_dir(path("full")).unwrap();
    fs::write(path("full/mine.txt"), "x").unwrap();
    fs::copy(file("tests/media/catdog.png"), path("a.png")).unwrap();
    let failing = |root: &str, out: &str, options: &str, expected_code: i32, why: &str| {
        let (code, stdout, stderr) = audit(&path(root), &path(out), options);
        assert_eq!((code, stdout.as_str()), (expected_code, ""), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    };
    failing("nowhere", "out", "", 1, "nowhere");
    failing("empty", "out", "", 1, "it holds no image or video");
    failing(
        "a.png",
        "full",
        "-y",
        1,
        "it is not empty, and what is in it is no report",
    );
    failing("a.png", "a.png", "", 1, "cannot write the report");
    failing("a.png", ".", "-y", 1, "the dataset lies in it");
    failing("a.png", "out", "--labels gone.csv", 1, "gone.csv");
    failing("a.png", "out", "--sample-fps 0", 2, "--sample-fps 0");
    failing("a.png", "out", "--boxes gone.json", 1, "gone.json");
    for options in [
        "--shard 1/2 --fail-on error",
        "--shard 1/2 --format json",
        "--shard 3/2",
        "--fail-on bad",
        "--resume -y",
    ] {
        assert_eq!(
            audit(&path("a.png"), &path("out"), options).0,
            2,
            "{options}"
        );
    }
    let (code, _, stderr) = audit(
        &path("a.png"),
        &path("out"),
        "--method lime --samples 20 --workers 2",
    );
    assert_eq!(
        code, 0,
        "one file is a dataset, and any method goes: {stderr}"
    );
    assert_eq!(fs::read(path("full/mine.txt")).unwrap(), b"x");
    let before = results(&path("out"));
    failing("empty", "out", "-y", 1, "it holds no image or video");
    assert!(results(&path("out")) == before, "the old report stays");
    fs::create_dir(path("torn")).unwrap();
    fs::write(path("torn/a.jpg"), "x").unwrap();
    let said = "1 of 1 files could not be read";
    failing("torn", "shard", "-q --shard 1/1", 3, said);
    failing("torn", "shard", "-q --shard 1/1 --resume", 3, said);
}
