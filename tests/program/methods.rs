//! What can be asked of a picture on the command line: methods, classes, contrast, the recipe.

use std::path::Path;

use crate::common::{file, records, run, run_ok};
use serde_json::Value;

/// Edges in pixels of catdog.png, which has 224x224.
const DOG: [f64; 4] = [78.0, 14.0, 165.0, 148.0];
const CAT: [f64; 4] = [44.0, 118.0, 199.0, 224.0];

/// Explains catdog.png; all records but the header.
fn explain(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let jsonl = folder.join("r.jsonl");
    let (photo, output) = (file("tests/media/catdog.png"), folder.join("o.png"));
    let mut all = vec![
        photo.to_str().unwrap(),
        output.to_str().unwrap(),
        "-y",
        "-q",
    ];
    all.extend(["--records", jsonl.to_str().unwrap()]);
    all.extend(arguments);
    run_ok(all);
    records(&jsonl).split_off(1)
}

fn rows(record: &Value) -> Vec<Vec<f64>> {
    serde_json::from_value(record["heatmap"].clone()).unwrap()
}

/// Whether the peak lies in the box, and the share of the positive map in it, by the centres of cells.
fn in_box(map: &[Vec<f64>], [x0, y0, x1, y1]: [f64; 4]) -> (bool, f64) {
    let cell = 224.0 / map.len() as f64;
    let (mut peak, mut is_peak_inside) = (f64::MIN, false);
    let (mut inside, mut all) = (0.0, 0.0);
    for (row, values) in map.iter().enumerate() {
        for (column, value) in values.iter().enumerate() {
            let (x, y) = ((column as f64 + 0.5) * cell, (row as f64 + 0.5) * cell);
            let is_inside = (x0..x1).contains(&x) && (y0..y1).contains(&y);
            if *value > peak {
                (peak, is_peak_inside) = (*value, is_inside);
            }
            all += value.max(0.0);
            inside += if is_inside { value.max(0.0) } else { 0.0 };
        }
    }
    (is_peak_inside, inside / all)
}

/// With a part of the default budgets, so that the test is quick.
#[test]
fn methods_that_query_the_model_light_the_right_animal() {
    let folder = tempfile::tempdir().unwrap();
    for (method, samples) in [
        ("occlusion", None),
        ("lime", Some("150")),
        ("kernelshap", Some("300")),
        ("rise", Some("300")),
    ] {
        let mut arguments = vec![
            "--method",
            method,
            "--class",
            "bull_mastiff",
            "--class",
            "tabby",
        ];
        arguments.extend(samples.iter().flat_map(|samples| ["--samples", *samples]));
        let records = explain(folder.path(), &arguments);
        for (record, edges) in records.iter().zip([DOG, CAT]) {
            let class = &record["target"]["label"];
            assert_eq!(record["layer"], "input");
            let (is_peak_inside, share) = in_box(&rows(record), edges);
            assert!(
                is_peak_inside && share >= 0.6,
                "{method} {class}: peak inside {is_peak_inside}, share {share:.3}"
            );
        }
    }
}

#[test]
fn a_seed_decides_all_that_is_random_and_threads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let map = |seed: &str, workers: &str| {
        let arguments = [
            "--method",
            "lime",
            "--samples",
            "12",
            "--seed",
            seed,
            "--workers",
            workers,
        ];
        rows(&explain(folder.path(), &arguments)[0])
    };
    let first = map("3", "1");
    assert_eq!(map("3", "3"), first);
    assert_ne!(map("4", "1"), first);
}

#[test]
fn a_contrast_is_the_difference_of_the_two_maps() {
    let folder = tempfile::tempdir().unwrap();
    let map = |arguments: &[&str]| rows(&explain(folder.path(), arguments)[0]).concat();
    let (cat, dog) = (map(&["--class", "tabby"]), map(&["--class", "243"]));
    let contrast = explain(folder.path(), &["--class", "tabby", "--contrast", "243"]).remove(0);
    assert_eq!(contrast["contrast"]["label"], "bull_mastiff");
    for ((both, cat), dog) in rows(&contrast).concat().iter().zip(&cat).zip(&dog) {
        assert!((both - (cat - dog)).abs() < 1e-4, "{both} {cat} {dog}");
    }
    let (is_peak_inside, share) = in_box(&rows(&contrast), CAT);
    assert!(is_peak_inside && share > 0.8, "{share}");
    // Of the picture's own class: why the second and not the first?
    let second = explain(folder.path(), &["--contrast", "243"]).remove(0);
    assert_eq!(second["top"][0]["index"], 243);
    assert_eq!(second["target"]["index"], second["top"][1]["index"]);
    assert_eq!(second["flags"], serde_json::json!([]));
}

#[test]
fn several_classes_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let both = explain(folder.path(), &["--class", "243", "--class", "tabby"]);
    assert_eq!(both.len(), 2);
    for (record, (class, edges)) in both.iter().zip([(243, DOG), (281, CAT)]) {
        assert_eq!(record["target"]["index"], class);
        assert!(in_box(&rows(record), edges).0);
    }
    let picture = image::open(folder.path().join("o.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (448, 224));
    let nine = ["--class", "1"].repeat(9);
    let photo = file("samples/chelsea.png");
    let mut arguments = vec![photo.to_str().unwrap(), "o.png"];
    arguments.extend(nine);
    let (code, _, stderr) = run(arguments);
    assert!(code == 2 && stderr.contains("8 times"), "{stderr}");
}

#[test]
fn under_the_threshold_pixels_stay_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let before = image::open(file("tests/media/catdog.png"))
        .unwrap()
        .to_rgb8();
    let changed = |threshold: &str| {
        explain(
            folder.path(),
            &["--top-k", "0", "--threshold", threshold, "--class", "tabby"],
        );
        let after = image::open(folder.path().join("o.png")).unwrap().to_rgb8();
        let pairs = before.pixels().zip(after.pixels());
        let changed: Vec<bool> = pairs.map(|(before, after)| before != after).collect();
        changed
    };
    // A blue wash over everything without, the cat alone with it.
    let all = changed("0").iter().filter(|changed| **changed).count();
    assert!(all > 45_000, "{all}");
    let half = changed("0.5");
    let [x0, y0, x1, y1] = CAT.map(|edge| edge as usize);
    for (index, changed) in half.iter().enumerate() {
        let (x, y) = (index % 224, index / 224);
        let is_near = (x0 - 10..x1 + 10).contains(&x) && (y0 - 10..y1).contains(&y);
        assert!(is_near || !changed, "{x} {y}");
    }
    let count = half.iter().filter(|changed| **changed).count();
    assert!((2_000..20_000).contains(&count), "{count}");
}

/// Keras' own picture, made with the shipped weights.
#[test]
fn the_keras_recipe_equals_keras_within_two_grey_levels() {
    let folder = tempfile::tempdir().unwrap();
    for (photo, name) in [
        ("samples/chelsea.png", "chelsea"),
        ("tests/media/coffee.png", "coffee"),
        ("tests/media/catdog.png", "catdog"),
    ] {
        let output = folder.path().join("o.png");
        let arguments = [
            file(photo),
            output.clone(),
            "-y".into(),
            "--recipe".into(),
            "keras".into(),
        ];
        let (code, stdout, stderr) = run(arguments);
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(
            stdout.lines().count(),
            5,
            "the top five, as the walk-through prints them"
        );
        let ours = image::open(&output).unwrap().to_rgb8();
        let keras = image::open(file(&format!("tests/golden/keras_{name}.png")))
            .unwrap()
            .to_rgb8();
        assert_eq!(ours.dimensions(), keras.dimensions());
        let differences = ours
            .as_raw()
            .iter()
            .zip(keras.as_raw())
            .map(|(a, b)| a.abs_diff(*b));
        let largest = differences.max().unwrap();
        assert!(largest <= 2, "{name}: {largest}");
    }
}

#[test]
fn what_does_not_go_together_is_a_usage_error() {
    let photo = file("samples/chelsea.png");
    for (arguments, hint) in [
        (
            vec!["--method", "rise", "--layer", "layer3"],
            "looks at no layer",
        ),
        (
            vec!["--method", "gradcam", "--samples", "5"],
            "takes no samples",
        ),
        (
            vec!["--method", "occlusion", "--samples", "5"],
            "takes no samples",
        ),
        (vec!["--method", "lime", "--samples", "1"], "at least"),
        (
            vec!["--method", "eigencam", "--contrast", "tabby"],
            "--contrast",
        ),
        (vec!["--method", "finercam", "--score", "softmax"], "logits"),
        (
            vec!["--method", "eigencam", "--score", "softmax"],
            "leave out --score softmax",
        ),
        (vec!["--contrast", "unicorn"], "unicorn"),
        (
            vec!["--class", "tabby", "--contrast", "281"],
            "the class itself",
        ),
        (vec!["--recipe", "keras", "--alpha", "0.3"], "--alpha"),
        (
            vec!["--recipe", "keras", "--class", "1", "--class", "2"],
            "one class",
        ),
        (vec!["--hold", "1.5"], "--hold"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("o.png");
        let mut all = vec![photo.to_str().unwrap(), output.to_str().unwrap()];
        all.extend(&arguments);
        let (code, _, stderr) = run(all);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(stderr.contains(hint), "{arguments:?}: {stderr}");
        assert!(!output.exists());
    }
    let video = file("samples/cup.mp4");
    let (code, _, stderr) = run([video.to_str().unwrap(), "o.mp4", "--recipe", "keras"]);
    assert!(code == 2 && stderr.contains("still images"), "{stderr}");
}
