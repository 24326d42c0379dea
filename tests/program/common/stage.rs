//! What tests of live video need: X displays without a screen, pictures on them, processes that end with the test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use image::RgbImage;

use super::{ffmpeg, file, gradcam_video};

/// Longest wait for what takes a moment: machines are slow while others build.
pub const SOON: Duration = Duration::from_secs(30);

/// Waits until `get` has something.
pub fn wait_for<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(value) = get() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A process that is killed at the end of the test.
pub struct Process(pub Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let program = command.get_program().to_owned();
        let child = command.spawn();
        Self(child.unwrap_or_else(|error| panic!("{}: {error}", program.display())))
    }

    /// Starts what says READY on its stdout.
    pub fn start_ready(command: &mut Command) -> Self {
        let mut process = Self::start(command.stdout(Stdio::piped()));
        assert_eq!(process.first_line(), "READY");
        process
    }

    pub fn first_line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.0.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the end of a process", || self.0.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An X server without a screen.
pub struct Display {
    process: Process,
    pub name: String,
    pub size: (u32, u32),
}

impl Display {
    pub fn start(width: u32, height: u32) -> Self {
        let screen = format!("{width}x{height}x24");
        let mut command = Command::new("Xvfb");
        command
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                &screen,
                "-nolisten",
                "tcp",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = Process::start(&mut command);
        let number = process.first_line();
        assert!(!number.is_empty(), "Xvfb did not start");
        Self {
            process,
            name: format!(":{number}"),
            size: (width, height),
        }
    }

    /// Shows an image at its own size; gone when the result is dropped.
    pub fn show(&self, image: &Path, left: u32, top: u32) -> Process {
        let (width, height) = image::image_dimensions(image).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ppm = folder.path().join("image.ppm");
        ffmpeg(&format!("-i {}", image.display()), &ppm);
        Process::start_ready(
            Command::new("/usr/bin/python3")
                .arg(file("scripts/live_clock.py"))
                .args(["show", "--no-clock", "--display", &self.name, "--image"])
                .arg(&ppm)
                .args(["--geometry", &format!("{width}x{height}+{left}+{top}")]),
        )
    }

    /// What is on the screen.
    pub fn screenshot(&self) -> RgbImage {
        let folder = tempfile::tempdir().unwrap();
        let png = folder.path().join("screen.png");
        let (width, height) = self.size;
        ffmpeg(
            &format!(
                "-f x11grab -draw_mouse 0 -video_size {width}x{height} -i {} -frames:v 1",
                self.name
            ),
            &png,
        );
        image::open(png).unwrap().to_rgb8()
    }

    /// What happens to the server.
    pub fn signal(&self, name: &str) {
        let pid = self.process.0.id().to_string();
        // It may be dead already.
        let _ = Command::new("kill").args(["-s", name, &pid]).status();
    }

    /// Presses a key, by X's name of it.
    pub fn press(&self, key: &str) {
        let status = Command::new("xdotool")
            .env("DISPLAY", &self.name)
            .args(["key", key])
            .status();
        assert!(status.unwrap().success());
    }
}

/// A run of `gradcam-video live` in a folder of its own.
pub struct Live {
    pub process: Process,
    pub folder: tempfile::TempDir,
    stderr: PathBuf,
}

impl Live {
    /// Starts it with `arguments`, split at spaces, and other settings.
    pub fn start(arguments: &str, configure: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stderr = folder.path().join("stderr");
        let mut command = gradcam_video();
        command
            .arg("live")
            .args(arguments.split(' '))
            .current_dir(folder.path())
            .env_remove("DISPLAY")
            .stdin(Stdio::null())
            .stderr(fs::File::create(&stderr).unwrap());
        configure(&mut command);
        Self {
            process: Process::start(&mut command),
            folder,
            stderr,
        }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// Waits for words on stderr.
    pub fn says(&mut self, words: &str) {
        let stderr = self.stderr.clone();
        let text = || fs::read_to_string(&stderr).unwrap();
        wait_for(words, || {
            let is_said = text().contains(words);
            if let (false, Some(status)) = (is_said, self.process.0.try_wait().unwrap()) {
                panic!("{status} before {words:?}: {}", text());
            }
            is_said.then_some(())
        });
    }

    /// Waits for the end; exit code and stderr.
    pub fn finish(&mut self) -> (i32, String) {
        let status = self.process.wait();
        (status.code().unwrap_or(-1), self.stderr())
    }

    pub fn stats(&self) -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(self.file("stats.json")).unwrap()).unwrap()
    }
}

/// A TCP port of this machine that is free now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Mean squared difference of two pictures as PSNR in dB; both of one size.
pub fn psnr(one: &RgbImage, two: &RgbImage) -> f64 {
    assert_eq!(one.dimensions(), two.dimensions());
    let pairs = one.as_raw().iter().zip(two.as_raw());
    let sum: f64 = pairs.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0_f64.powi(2) * one.as_raw().len() as f64 / sum.max(1e-9)).log10()
}
