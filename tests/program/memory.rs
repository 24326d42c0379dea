//! Memory must not grow with the length of the video.

use std::path::Path;

use crate::common::{ffmpeg, run_ok};

/// 320x240 in 4:2:0: 112 KiB a frame, so that 3,000 leaked frames would show as 330 MiB.
const SIZE: &str = "320x240";

fn peak_rss_mb(folder: &Path, frames: u32) -> f64 {
    let (input, stats) = (
        folder.join(format!("{frames}.mp4")),
        folder.join(format!("{frames}.json")),
    );
    let secs = frames / 30;
    ffmpeg(
        &format!(
            "-f lavfi -i testsrc2=s={SIZE}:r=30:d={secs} -f lavfi -i sine=d={secs} -c:v libx264 -preset ultrafast -c:a aac"
        ),
        &input,
    );
    run_ok([
        input.to_str().unwrap(),
        folder.join("out.mp4").to_str().unwrap(),
        "-y",
        "--stride",
        "60",
        "--preset",
        "ultrafast",
        // The built-in weights leave memory only where no other process runs the same program, as other tests may.
        "--weights",
        "weights/resnet50-keras-f16.safetensors",
        "--stats",
        stats.to_str().unwrap(),
    ]);
    let stats: serde_json::Value = serde_json::from_slice(&std::fs::read(stats).unwrap()).unwrap();
    assert_eq!(stats["frames_out"], frames);
    stats["peak_rss_mb"].as_f64().unwrap()
}

#[test]
fn three_thousand_frames_need_no_more_memory_than_three_hundred() {
    let folder = tempfile::tempdir().unwrap();
    let (short, long) = (
        peak_rss_mb(folder.path(), 300),
        peak_rss_mb(folder.path(), 3300),
    );
    println!("peak memory: {short:.0} MiB for 300 frames, {long:.0} MiB for 3,300");
    assert!(
        long < short + 30.0,
        "{short} MiB for 300 frames, {long} MiB for 3,300"
    );
}
