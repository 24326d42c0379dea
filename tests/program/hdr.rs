//! HDR video through the whole program: what the network sees, tags, and the brightness of what is drawn.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{ffmpeg, file, probe, records, run_ok};

/// FFmpeg's names of PQ and HLG, and the 10-bit limited-range luma of 203 cd/m2 in them (58.07 % and 75 %).
const TRANSFERS: [(&str, u16); 2] = [("smpte2084", 573), ("arib-std-b67", 721)];

/// How far coding overshoots at the edges of letters with `--crf 1`.
const CODING_ERROR: u16 = 8;

const WIDTH: usize = 450;
const HEIGHT: usize = 300;

/// `source` (arguments for the ffmpeg program) as an HDR clip whose white is at 203 cd/m2.
fn hdr_clip(folder: &Path, source: &str, transfer: &str) -> PathBuf {
    let path = folder.join(format!("{transfer}.mp4"));
    // Without agamma=0, zscale would approximate HLG's system gamma.
    let filters = format!(
        "format=gbrp,crop={WIDTH}:{HEIGHT},zscale=transferin=bt709:primariesin=bt709:rangein=full:transfer={transfer}:\
         primaries=2020:matrix=2020_ncl:range=limited:npl=203:agamma=0,format=yuv420p10le"
    );
    ffmpeg(
        &format!("{source} -vf {filters} -c:v libx265 -x265-params log-level=none -crf 10"),
        &path,
    );
    path
}

fn cat() -> String {
    let photo = file("samples/chelsea.png");
    format!("-loop 1 -framerate 25 -t 0.2 -i {}", photo.display())
}

/// Luma codes of the first frame.
fn luma(path: &Path) -> Vec<u16> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args([
            "-frames:v",
            "1",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p10le",
            "-",
        ])
        .output()
        .unwrap();
    assert!(output.status.success());
    let (samples, _) = output.stdout.as_chunks::<2>();
    let luma = &samples[..WIDTH * HEIGHT];
    luma.iter().map(|pair| u16::from_le_bytes(*pair)).collect()
}

/// Top class of the first frame, and its probability.
fn top(clip: &Path) -> (String, f64) {
    let (output, path) = (clip.with_extension("top.mkv"), clip.with_extension("jsonl"));
    run_ok([clip, &output, Path::new("--records"), &path]);
    let lines = records(&path);
    let prediction = &lines[1]["top"][0];
    let name = prediction["label"].as_str().unwrap().to_owned();
    (name, prediction["prob"].as_f64().unwrap())
}

#[test]
fn the_network_sees_an_hdr_cat_as_it_sees_the_sdr_one() {
    let folder = tempfile::tempdir().unwrap();
    let sdr = folder.path().join("sdr.mp4");
    let filters = format!("crop={WIDTH}:{HEIGHT},format=yuv420p");
    ffmpeg(
        &format!("{} -vf {filters} -c:v libx264 -crf 8", cat()),
        &sdr,
    );
    let (name, wanted) = top(&sdr);
    assert_eq!(name, "Egyptian_cat");
    for (transfer, _) in TRANSFERS {
        let (name, probability) = top(&hdr_clip(folder.path(), &cat(), transfer));
        assert_eq!(name, "Egyptian_cat", "{transfer}");
        assert!(
            (probability - wanted).abs() < 0.1,
            "{transfer}: {probability}, SDR {wanted}"
        );
    }
}

#[test]
fn tags_survive_and_nothing_is_drawn_brighter_than_sdr_white() {
    let folder = tempfile::tempdir().unwrap();
    // Grey at 20 cd/m2 or so; whatever is brighter was drawn.
    let grey = format!("-f lavfi -t 0.2 -i color=0x606060:s={WIDTH}x{HEIGHT}:r=25");
    for (transfer, white) in TRANSFERS {
        let input = hdr_clip(folder.path(), &grey, transfer);
        let background = luma(&input).into_iter().max().unwrap();
        assert!(background < white - 100);
        let output = folder.path().join("out.mp4");
        for colormap in ["jet", "gray"] {
            let arguments = [
                "--layout",
                "overlay",
                "--crf",
                "1",
                "--alpha",
                "1",
                "--colormap",
                colormap,
            ];
            let paths = [input.as_os_str(), output.as_os_str(), "-y".as_ref()];
            run_ok(paths.into_iter().chain(arguments.map(AsRef::as_ref)));
            let tags = "stream=pix_fmt,color_range,color_space,color_transfer,color_primaries";
            assert_eq!(
                probe(&output, tags),
                format!("yuv420p10le,tv,bt2020nc,{transfer},bt2020")
            );
            let drawn = luma(&output);
            let brightest = drawn.iter().copied().max().unwrap();
            assert!(
                brightest <= white + CODING_ERROR,
                "{transfer} {colormap}: {brightest}, white is {white}"
            );
            // The label's letters lie at the top left, and they are white.
            let rows = drawn.chunks(WIDTH).take(40);
            let letters = rows.flat_map(|row| &row[..150]).copied().max().unwrap();
            assert!(
                letters >= white - 40,
                "{transfer} {colormap}: {letters}, white is {white}"
            );
        }
    }
}
