//! The command line as a contract: results, messages, exit codes.

use std::fs;
use std::path::Path;

use crate::common::{file, gradcam_video, outcome, records, run, run_ok};

/// A small picture of a cat, so that tests are quick.
fn small_photo(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("photo.png");
    image::open(file("samples/chelsea.png"))
        .unwrap()
        .thumbnail(226, 150)
        .save(&path)
        .unwrap();
    path
}

#[test]
fn a_photo_is_explained_into_a_photo_and_its_top_five_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.png");
    let (code, stdout, stderr) = run([file("samples/chelsea.png"), output.clone()]);
    assert_eq!(code, 0, "{stderr}");
    let lines: Vec<Vec<&str>> = stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 5, "{stdout}");
    assert_eq!(lines[0][..3], ["285", "n02124075", "Egyptian_cat"]);
    let probabilities: Vec<f64> = lines.iter().map(|line| line[3].parse().unwrap()).collect();
    assert!(
        probabilities.is_sorted_by(|a, b| a >= b) && probabilities[0] > 0.8,
        "{stdout}"
    );

    let (input, explained) = (
        image::open(file("samples/chelsea.png")).unwrap(),
        image::open(&output).unwrap(),
    );
    assert_eq!(
        (input.width(), input.height()),
        (explained.width(), explained.height())
    );
    // Jet: warm where the cat's face is, cold in the corner behind it.
    let redness = |x, y| {
        let pixel = |image: &image::DynamicImage| image.to_rgb8().get_pixel(x, y).0.map(i32::from);
        let (before, after) = (pixel(&input), pixel(&explained));
        (after[0] - before[0]) - (after[2] - before[2])
    };
    let (face, corner) = (redness(225, 120), redness(440, 10));
    assert!(face > 40 && corner < -40, "face {face}, corner {corner}");
}

#[test]
fn the_chosen_class_decides_where_the_heat_lies() {
    let folder = tempfile::tempdir().unwrap();
    let peak = |class: &str| {
        let name = folder.path().join(class);
        let (image, jsonl) = (name.with_extension("png"), name.with_extension("jsonl"));
        run_ok([
            file("tests/media/catdog.png").as_os_str(),
            image.as_os_str(),
            "--class".as_ref(),
            class.as_ref(),
            "--records".as_ref(),
            jsonl.as_os_str(),
        ]);
        let record = records(&jsonl).remove(1);
        (
            record["target"]["index"].as_u64().unwrap(),
            record["peak"][1].as_f64().unwrap(),
        )
    };
    // The dog sits in the upper half, the cat lies in the lower.
    let (dog, dog_y) = peak("bull_mastiff");
    let (cat, cat_y) = peak("n02123045");
    assert_eq!((dog, cat), (243, 281));
    assert!(dog_y < 0.5 && cat_y > 0.5, "dog {dog_y}, cat {cat_y}");
}

#[test]
fn records_hold_a_header_and_the_raw_map() {
    let folder = tempfile::tempdir().unwrap();
    let photo = small_photo(folder.path());
    let (jsonl, stats) = (folder.path().join("r.jsonl"), folder.path().join("s.json"));
    run_ok([
        photo.as_os_str(),
        folder.path().join("o.jpg").as_os_str(),
        "--records".as_ref(),
        jsonl.as_os_str(),
        "--stats".as_ref(),
        stats.as_os_str(),
        "--layer".as_ref(),
        "conv4_block6_out".as_ref(),
        "--top-k".as_ref(),
        "2".as_ref(),
    ]);
    let lines = records(&jsonl);
    assert_eq!(lines.len(), 2);
    let (header, record) = (&lines[0], &lines[1]);
    assert_eq!(header["header"], true);
    assert_eq!(header["size"], serde_json::json!([226, 150]));
    assert_eq!(header["layer"], "layer3");
    assert_eq!(header["weights_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(record["top"].as_array().unwrap().len(), 2);
    let rows = record["heatmap"].as_array().unwrap();
    assert_eq!((rows.len(), rows[0].as_array().unwrap().len()), (14, 14));
    let stats: serde_json::Value = serde_json::from_slice(&fs::read(stats).unwrap()).unwrap();
    assert_eq!(
        (&stats["frames_in"], &stats["frames_out"]),
        (&1.into(), &1.into())
    );
    for stage in [
        "decode",
        "preprocess",
        "model",
        "explain",
        "render",
        "encode",
    ] {
        assert!(
            stats["stages"][stage]["cpu_ms"].as_f64().unwrap() >= 0.0,
            "{stage}"
        );
    }
    assert!(stats["stages"]["model"]["cpu_ms"].as_f64().unwrap() > 1.0);
    assert!(stats["peak_rss_mb"].as_f64().unwrap() > 50.0);
}

#[test]
fn csv_records_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (csv_path, image) = (folder.path().join("r.csv"), folder.path().join("o.png"));
    run_ok([
        small_photo(folder.path()).as_os_str(),
        image.as_os_str(),
        "--records".as_ref(),
        csv_path.as_os_str(),
        "--score".as_ref(),
        "softmax".as_ref(),
    ]);
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_path(&csv_path)
        .unwrap();
    let headers = reader.headers().unwrap().clone();
    let row = reader.records().next().unwrap().unwrap();
    let cell = |name: &str| &row[headers.iter().position(|header| header == name).unwrap()];
    assert_eq!(cell("target_wnid"), "n02124075");
    let map: Vec<Vec<f32>> = serde_json::from_str(cell("heatmap")).unwrap();
    assert_eq!(map.len(), 7);
    assert!(
        fs::read_to_string(&csv_path)
            .unwrap()
            .starts_with("# {\"header\":true")
    );
}

#[test]
fn alpha_zero_without_label_leaves_a_png_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let (photo, output) = (small_photo(folder.path()), folder.path().join("o.png"));
    run_ok([
        photo.to_str().unwrap(),
        output.to_str().unwrap(),
        "--alpha",
        "0",
        "--top-k",
        "0",
    ]);
    assert_eq!(
        image::open(photo).unwrap().to_rgb8(),
        image::open(output).unwrap().to_rgb8()
    );
}

#[test]
fn layouts_palettes_and_resize_policies_shape_the_picture() {
    let folder = tempfile::tempdir().unwrap();
    let photo = small_photo(folder.path());
    let picture = |arguments: &str| {
        let output = folder.path().join("o.png");
        let mut all = vec![
            photo.to_str().unwrap(),
            output.to_str().unwrap(),
            "-y",
            "-q",
            "--top-k",
            "0",
        ];
        all.extend(arguments.split(' '));
        assert_eq!(run_ok(all), "", "quiet says nothing");
        image::open(&output).unwrap().to_rgb8()
    };
    let original = image::open(&photo).unwrap().to_rgb8();
    let side_by_side = picture("--layout side-by-side");
    assert_eq!(side_by_side.dimensions(), (452, 150));
    assert_eq!(side_by_side.get_pixel(100, 75), original.get_pixel(100, 75));
    assert_eq!(picture("--layout triple").dimensions(), (678, 150));
    let gray = picture("--layout heatmap --colormap gray");
    assert!(
        gray.pixels()
            .all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
    );
    assert!(gray.pixels().any(|pixel| pixel[0] > 250) && gray.pixels().any(|pixel| pixel[0] < 30));
    // A crop leaves what the model did not see as it was.
    let cropped = picture("--resize crop");
    assert_eq!(cropped.get_pixel(10, 75), original.get_pixel(10, 75));
    assert_ne!(cropped.get_pixel(113, 75), original.get_pixel(113, 75));
    assert_ne!(
        picture("--resize letterbox").get_pixel(10, 75),
        original.get_pixel(10, 75)
    );
    let thresholded = picture("--threshold 0.5");
    assert!(
        thresholded
            .pixels()
            .zip(original.pixels())
            .any(|(a, b)| a == b)
    );
}

#[test]
fn several_layers_are_averaged_on_the_finest_grid() {
    let folder = tempfile::tempdir().unwrap();
    let jsonl = folder.path().join("r.jsonl");
    run_ok([
        small_photo(folder.path()).to_str().unwrap(),
        folder.path().join("o.png").to_str().unwrap(),
        "--layer",
        "layer3,layer4",
        "--records",
        jsonl.to_str().unwrap(),
    ]);
    let record = records(&jsonl).remove(1);
    assert_eq!(record["layer"], "layer3,layer4");
    let values: Vec<f64> = record["heatmap"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| {
            row.as_array()
                .unwrap()
                .iter()
                .map(|value| value.as_f64().unwrap())
        })
        .collect();
    assert_eq!(values.len(), 14 * 14);
    assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
}

/// Exit code and the one line on stderr for arguments that cannot work.
fn failure(arguments: &[&str]) -> (i32, String) {
    let (code, stdout, stderr) = run(arguments);
    assert_eq!(stdout, "");
    assert!(!stderr.contains("panicked"), "{stderr}");
    (code, stderr)
}

#[test]
fn requests_that_make_no_sense_are_usage_errors_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let photo = small_photo(folder.path());
    let (photo, output) = (photo.to_str().unwrap(), folder.path().join("o.png"));
    let output = output.to_str().unwrap();
    for (arguments, hint) in [
        (vec!["--layer", "layer9"], "layer4 (layer4.0 to layer4.2)"),
        (vec!["--class", "unicorn"], "unknown class \"unicorn\""),
        (vec!["--class", "1000"], "0 to 999"),
        (vec!["--class", "crane"], "ambiguous"),
        (vec!["--layout", "diagonal"], "side-by-side"),
        (vec!["--colormap", "pink"], "viridis"),
        (vec!["--alpha", "1.5"], "alpha"),
        (vec!["--alpha", "nan"], "alpha"),
        (vec!["--normalize", "fixed=0"], "fixed=V"),
        (vec!["--records", "r.txt"], ".jsonl, .csv or .parquet"),
        (vec!["--start", "1:99"], "no time"),
        (vec!["--start", "1"], "INPUT is a still image"),
        (vec!["--stats", output], "named twice"),
        (vec!["--stride", "0"], "stride"),
        (vec!["--workers", "0"], "workers"),
        (vec!["--method", "magic"], "gradcam"),
        (vec!["--device", "gpu"], "cuda:N,M"),
        (vec!["--device", "cuda:0,0"], "cuda:N,M"),
        (vec!["--device", "cuda"], "built without CUDA"),
        (
            vec!["--device", "cpu", "--batch", "8"],
            "--batch is for GPUs",
        ),
        (vec!["--batch", "0"], "batch"),
        (vec!["--crf", "3"], "--crf is for videos"),
        (vec!["--frag"], "--frag is for videos"),
    ] {
        let mut all = vec![photo, output];
        all.extend(&arguments);
        let (code, stderr) = failure(&all);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(stderr.contains(hint), "{arguments:?}: {stderr}");
        assert!(!Path::new(output).exists());
    }
    assert_eq!(failure(&[photo]).0, 2);
    let video = folder.path().join("o.mkv");
    let (code, stderr) = failure(&[photo, video.to_str().unwrap(), "--frag"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains(".mp4, .m4v and .mov"), "{stderr}");
    let video_into_png = failure(&[file("samples/cup.mp4").to_str().unwrap(), output]);
    assert_eq!(video_into_png.0, 2);
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_batch_that_no_gpu_will_take_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let photo = small_photo(folder.path());
    let output = folder.path().join("o.png");
    let stderr = run_ok([
        photo.as_os_str(),
        output.as_os_str(),
        "--batch".as_ref(),
        "8".as_ref(),
    ]);
    assert!(stderr.contains("--batch is for GPUs"), "{stderr}");
    assert!(output.exists());
}

#[test]
fn bad_inputs_and_outputs_get_one_line_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("empty.mp4"), b"").unwrap();
    fs::write(path("garbage.mp4"), [7; 5000]).unwrap();
    fs::write(path("garbage.png"), [7; 5000]).unwrap();
    fs::create_dir(path("folder")).unwrap();
    fs::write(path("taken.mp4"), b"mine").unwrap();
    crate::common::ffmpeg(
        "-f lavfi -i sine=d=0.2 -c:a aac",
        Path::new(&path("audio.m4a")),
    );
    let photo = small_photo(folder.path());
    let cases = [
        (path("missing.mp4"), path("o.mp4"), "missing.mp4"),
        (path("empty.mp4"), path("o.mp4"), "empty"),
        (path("garbage.mp4"), path("o.mp4"), "garbage.mp4"),
        (path("garbage.png"), path("o.png"), "garbage.png"),
        (path("folder"), path("o.mp4"), "folder"),
        (path("audio.m4a"), path("o.mp4"), "no video stream"),
        (
            photo.to_str().unwrap().to_owned(),
            path("nowhere/o.png"),
            "nowhere",
        ),
        (
            file("samples/cup.mp4").to_str().unwrap().to_owned(),
            path("taken.mp4"),
            "use -y",
        ),
        (
            file("samples/cup.mp4").to_str().unwrap().to_owned(),
            path("o.xyz"),
            ".mp4",
        ),
    ];
    let before = fs::read_dir(folder.path()).unwrap().count();
    for (input, output, hint) in &cases {
        let (code, stderr) = failure(&[input, output]);
        assert!(
            code == 1 || (hint == &".mp4" && code == 2),
            "{input}: {code} {stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{input}: {stderr}");
        assert!(
            stderr.starts_with("gradcam-video: ") && stderr.contains(hint),
            "{input}: {stderr}"
        );
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            before,
            "{input} left a file"
        );
    }
    assert_eq!(fs::read(path("taken.mp4")).unwrap(), b"mine");
    let (code, stderr) = failure(&[photo.to_str().unwrap(), photo.to_str().unwrap(), "-y"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("it is the input"), "{stderr}");
}

#[test]
fn bad_weights_get_one_line_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let photo = small_photo(folder.path());
    let good = fs::read(file("weights/resnet50-keras-f16.safetensors")).unwrap();
    let path = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    // An unknown value of the same length keeps the header's offsets right.
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let mut bytes = good.clone();
        let at = bytes
            .windows(from.len())
            .position(|window| window == from.as_bytes())
            .unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let cases = [
        (
            folder.path().join("missing.safetensors"),
            "cannot read weights",
        ),
        (
            path("truncated.safetensors", &good[..1_000_000]),
            "truncated",
        ),
        (
            path("text.safetensors", b"hello, this is no weight file"),
            "no safetensors file",
        ),
        (
            path("arch.safetensors", &replaced("resnet50\"", "resnet99\"")),
            "\"resnet99\" is unknown",
        ),
        (
            path("preprocess.safetensors", &replaced("\"caffe:", "\"coffe:")),
            "preprocess",
        ),
        (
            path("epsilon.safetensors", &replaced("1.001e-5\"", "1.00xe-5\"")),
            "bn_eps",
        ),
        (
            path("name.safetensors", &replaced("\"fc.bias\"", "\"fc.bios\"")),
            "fc.bias is missing",
        ),
    ];
    for (weights, hint) in cases {
        let output = folder.path().join("o.png");
        let (code, stderr) = failure(&[
            photo.to_str().unwrap(),
            output.to_str().unwrap(),
            "--weights",
            weights.to_str().unwrap(),
        ]);
        assert_eq!((code, stderr.lines().count()), (1, 1), "{hint}: {stderr}");
        assert!(
            stderr.contains(hint) && stderr.contains("weights convert"),
            "{hint}: {stderr}"
        );
    }
    // The environment names weights too, and the option wins.
    let by_variable = |extra: &[&str]| {
        let output = folder.path().join("env.png");
        let mut command = gradcam_video();
        command.env("GRADCAM_VIDEO_WEIGHTS", "/nowhere/w.safetensors");
        outcome(
            command
                .arg(&photo)
                .arg(output)
                .arg("-y")
                .args(extra)
                .output()
                .unwrap(),
        )
    };
    let (code, _, stderr) = by_variable(&[]);
    assert!(
        code == 1 && stderr.contains("/nowhere/w.safetensors"),
        "{stderr}"
    );
    let weights = file("weights/resnet50-keras-f16.safetensors");
    assert_eq!(by_variable(&["--weights", weights.to_str().unwrap()]).0, 0);
}

#[test]
fn the_binary_needs_nothing_but_itself() {
    let folder = tempfile::tempdir().unwrap();
    let photo = small_photo(folder.path());
    let program = folder.path().join("moved-binary");
    fs::copy(env!("CARGO_BIN_EXE_gradcam-video"), &program).unwrap();
    let run = std::process::Command::new(&program)
        .current_dir(folder.path())
        .env_clear()
        .arg(photo.file_name().unwrap())
        .arg("o.png")
        .output()
        .unwrap();
    let (code, stdout, stderr) = outcome(run);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("Egyptian_cat"));
    // The weights are inside, not found through the path of the checkout.
    assert!(fs::metadata(&program).unwrap().len() > 50_000_000);
}

#[test]
fn the_summary_is_keras_table() {
    let (code, stdout, stderr) = run(["summary"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("Total params: 25,636,712"), "{stdout}");
    assert!(stdout.contains("Trainable params: 25,583,592"), "{stdout}");
    assert!(stdout.contains("Non-trainable params: 53,120"), "{stdout}");
    let line = stdout
        .lines()
        .find(|line| line.starts_with("avg_pool "))
        .unwrap();
    let cells: Vec<_> = line
        .split("  ")
        .filter(|cell| !cell.is_empty())
        .map(str::trim)
        .collect();
    assert_eq!(
        cells,
        [
            "avg_pool (GlobalAveragePooling2D)",
            "(None, 2048)",
            "0",
            "[conv5_block3_out]"
        ]
    );
}

#[test]
fn weights_info_describes_the_file() {
    let (code, stdout, _) = run(["weights", "info"]);
    assert_eq!(code, 0);
    for expected in [
        "origin: (built in)",
        "stride_in_1x1: true",
        "bn_eps: 1.001e-5",
        "labels: 1000 entries",
    ] {
        assert!(stdout.contains(expected), "{stdout}");
    }
}

#[test]
fn help_and_version_succeed() {
    for arguments in [
        vec!["--help"],
        vec!["--version"],
        vec!["weights", "convert", "--help"],
    ] {
        let (code, stdout, _) = run(arguments);
        assert_eq!(code, 0);
        assert!(!stdout.is_empty());
    }
    assert!(
        run(["--help"])
            .1
            .contains("Exit codes: 0 done; 1 failed; 2 usage; 3")
    );
}

#[test]
fn every_instruction_set_can_be_forced_and_sees_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let explain = |isa: &str, arguments: &[&str]| {
        let output = folder.path().join("out.png");
        let mut command = gradcam_video();
        command.env("GRADCAM_VIDEO_ISA", isa).arg("-yv");
        command.arg(file("samples/chelsea.png")).arg(output);
        outcome(command.args(arguments).output().unwrap())
    };
    let (code, fastest, _) = explain("", &[]);
    assert_eq!(code, 0);
    let top = |text: &str| text.split_whitespace().nth(2).unwrap().to_owned();
    let mut isas = vec!["scalar", "candle"];
    isas.extend(is_x86_feature_detected!("avx2").then_some("avx2"));
    for isa in isas {
        let (code, stdout, stderr) = explain(isa, &[]);
        assert_eq!(code, 0, "{stderr}");
        assert!(stderr.contains(&format!("{isa} kernels")), "{stderr}");
        assert_eq!(top(&stdout), top(&fastest));
    }
    let (code, stdout, stderr) = explain("", &["--precision", "bf16"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(top(&stdout), top(&fastest));
    assert_eq!(
        stderr.contains("it is emulated"),
        !is_x86_feature_detected!("avx512bf16")
    );

    let (code, stdout, stderr) = explain("", &["--precision", "f16"]);
    if is_x86_feature_detected!("avx512fp16") {
        assert_eq!((code, top(&stdout)), (0, top(&fastest)), "{stderr}");
    } else {
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("AVX512_FP16"), "{stderr}");
    }
    let (code, _, stderr) = explain("scalar", &["--precision", "f16"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("AVX512_FP16"), "{stderr}");

    let (code, _, stderr) = explain("mmx", &[]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("\"mmx\"") && stderr.contains("scalar"),
        "{stderr}"
    );
    let (code, _, stderr) = explain("candle", &["--precision", "bf16"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("f32 only"), "{stderr}");
}

#[test]
fn bench_prints_what_scripts_read() {
    let (code, stdout, stderr) = run(["bench", "--frames", "2", "--threads", "2", "--json"]);
    assert_eq!(code, 0, "{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["precision"], "f32");
    assert_eq!(report["threads"], 2);
    assert_eq!(report["frames"], 2);
    assert!(report["isa"].is_string());
    for stage in ["preprocess", "model", "explain", "pipeline"] {
        assert!(
            report[stage]["cpu_ms_per_frame"].as_f64().unwrap() > 0.0,
            "{stage}"
        );
    }
    for stage in ["model", "pipeline"] {
        assert!(report[stage]["fps"].as_f64().unwrap() > 0.0, "{stage}");
    }
    let (code, stdout, _) = run(["bench", "--frames", "1"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("ms CPU per frame"), "{stdout}");
}

#[test]
fn converted_weights_replace_a_file_only_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let existing = folder.path().join("precious");
    fs::write(&existing, "precious").unwrap();
    for (flags, hint) in [(&[][..], "use -y to overwrite it"), (&["-y"], "model.json")] {
        let result = gradcam_video()
            .args(["weights", "convert"])
            .args([folder.path(), &existing])
            .args(flags)
            .output()
            .unwrap();
        assert_eq!(result.status.code(), Some(1));
        let stderr = String::from_utf8(result.stderr).unwrap();
        assert!(stderr.contains(hint), "{stderr}");
        assert_eq!(fs::read(&existing).unwrap(), b"precious");
    }
}
