//! Made-up reports: one with everything, and the extremes.

mod charts;
mod clusters;
mod findings;
mod kinds;
mod pictures;
mod videos;

use gradcam_video::audit::report::data::{
    Accuracy, ConfusedPair, Confusion, Counts, Measure, ReportData, Settings, Severity, Unit,
};

use self::charts::{class_counts, confidence, matrix};
use self::clusters::clustered;
use self::findings::finding;
use self::kinds::{KINDS, kind};
use self::pictures::Pictures;
use self::videos::video;

const CLASSES: [&str; 12] = [
    "tabby",
    "tiger_cat",
    "Egyptian_cat",
    "lynx",
    "Siamese_cat",
    "Persian_cat",
    "Pembroke",
    "golden_retriever",
    "German_shepherd",
    "Border_collie",
    "kit_fox",
    "red_fox",
];

/// Random numbers that are the same for ever: a linear congruential generator.
pub struct Dice(pub u64);

impl Dice {
    /// Evenly from [0, 1).
    pub fn fraction(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.fraction() * end as f64) as usize
    }

    pub fn class(&mut self) -> String {
        CLASSES[self.below(CLASSES.len())].to_owned()
    }
}

/// Everything that there is: all kinds, videos, confirmed and unconfirmed clusters.
pub fn rich() -> ReportData {
    let (mut dice, mut pictures) = (Dice(7), Pictures::new());
    let mut findings = Vec::new();
    let mut kinds = Vec::new();
    for (place, text) in KINDS.iter().enumerate() {
        let shown = if text.0 == "ambiguous" {
            0
        } else {
            2 + dice.below(if place == 1 { 60 } else { 24 })
        };
        let count = if shown > 20 { 5 * shown } else { shown };
        kinds.push(kind(text, count as u64, shown as u64));
        for rank in 1..=shown {
            findings.push(finding(text, rank, &mut dice, &mut pictures));
        }
    }
    let count = |severity| {
        findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count() as u64
    };
    let counts = Counts {
        images: 2412,
        videos: 3,
        frames: 412,
        pictures: 2820,
        unreadable: 4,
        labelled: 2406,
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        infos: count(Severity::Info),
    };
    let videos = [
        "clips/garden.mp4",
        "clips/2024-05-01 고양이 영상/kitchen camera (1).mkv",
        "clips/still.mov",
    ];
    ReportData {
        title: "Audit of photos/pets-2024".to_owned(),
        dataset: "photos/pets-2024".to_owned(),
        version: "0.1.0".to_owned(),
        settings: settings(),
        counts,
        notices: vec![
            "Boxes were given for 310 of 2,412 images; attention outside of the box was measured on these only.".to_owned(),
            "Clusters need at least 30 heatmaps: 4 classes have fewer and were left out.".to_owned(),
        ],
        kinds,
        classes: class_counts(true, &mut dice),
        confidence: confidence(true),
        accuracy: Some(Accuracy { top1: 0.8412, top5: 0.9638, pictures: 2406 }),
        confusion: Some(matrix(&mut dice)),
        findings,
        videos: videos.iter().enumerate().map(|(place, path)| video(path, place, &mut dice, &mut pictures)).collect(),
        clustered: clustered(&mut dice, &mut pictures),
        pictures: pictures.made,
    }
}

/// Nothing was found, and nothing else is known.
pub fn empty() -> ReportData {
    ReportData {
        title: "Audit of photos".to_owned(),
        dataset: "photos".to_owned(),
        version: "0.1.0".to_owned(),
        settings: settings(),
        counts: Counts {
            images: 1,
            pictures: 1,
            ..Counts::default()
        },
        kinds: KINDS.iter().map(|text| kind(text, 0, 0)).collect(),
        ..ReportData::default()
    }
}

/// Images only, without labels; nothing worse than warnings.
pub fn unlabelled() -> ReportData {
    let mut data = rich();
    data.videos.clear();
    data.clustered.iter_mut().for_each(|class| {
        for cluster in &mut class.clusters {
            cluster.purity = None;
            if let Some(test) = &mut cluster.test {
                test.is_confirmed = false;
            }
        }
    });
    data.findings.retain(|finding| {
        finding.severity != Severity::Error
            && finding.kind != "label_disagrees"
            && finding.time_s.is_none()
    });
    for finding in &mut data.findings {
        finding.label = None;
    }
    for kind in &mut data.kinds {
        kind.shown = data
            .findings
            .iter()
            .filter(|finding| finding.kind == kind.name)
            .count() as u64;
        kind.count = kind.shown;
        kind.lacking = match kind.name.as_str() {
            "label_disagrees" => Some("no labels".to_owned()),
            "unstable_label" | "frozen_frames" => Some("no videos".to_owned()),
            _ => None,
        };
    }
    data.counts = Counts {
        videos: 0,
        frames: 0,
        labelled: 0,
        unreadable: 0,
        errors: 0,
        ..data.counts
    };
    data.settings = Settings {
        labels: None,
        boxes: None,
        sample_fps: None,
        ..data.settings
    };
    data.notices.clear();
    data.accuracy = None;
    data.confusion = None;
    data.confidence = confidence(false);
    data.classes = class_counts(false, &mut Dice(3));
    data
}

/// Texts that want to be more than text, names that are too long, numbers that are none; 1,000 findings.
pub fn hostile() -> ReportData {
    const EVIL: [&str; 7] = [
        "</script><img src=x onerror=alert(1)>.jpg",
        "\"'><svg onload=alert(2)>/&lt;b&gt;.png",
        "사진/고양이와 강아지 2024년 여름 휴가/아주 긴 이름을 가진 파일입니다.jpg",
        "a{{script}}/${alert(3)}/%00/\u{202e}gpj.exe",
        "javascript:alert(4)//.jpg",
        "<!-- --!><script>alert(5)</script>.jpg",
        "https://example.invalid/a.jpg?b=c&d=e#f",
    ];
    let mut data = rich();
    let mut dice = Dice(5);
    let long = format!(
        "{}/{}.jpg",
        "a_very_long_folder_name_without_any_break".repeat(6),
        "x".repeat(180)
    );
    data.title = EVIL[0].to_owned();
    data.dataset = format!("{}/{long}", EVIL[1]);
    data.notices = EVIL.iter().map(|text| (*text).to_owned()).collect();
    data.confusion = Some(Confusion::Pairs {
        pairs: (0..30)
            .map(|place| ConfusedPair {
                label: EVIL[place % 7].to_owned(),
                predicted: dice.class(),
                count: 90 - 3 * place as u64,
            })
            .collect(),
    });
    let (text, how) = (KINDS[2].0, EVIL[0]);
    data.findings.retain(|finding| finding.kind != text);
    let missing = 1000 - data.findings.len();
    for rank in 1..=missing {
        let mut finding = finding(&KINDS[2], rank, &mut dice, &mut Pictures::new());
        finding.picture = Some(dice.below(data.pictures.len()));
        data.findings.push(finding);
    }
    let low = &mut data.kinds[2];
    (low.count, low.shown, low.how) = (123_456, missing as u64, how.to_owned());
    data.counts.warnings = 1_234_567;
    for (place, finding) in data.findings.iter_mut().enumerate() {
        finding.path = if place % 8 == 7 {
            long.clone()
        } else {
            EVIL[place % 8].to_owned()
        };
        finding.message = format!("{} is {}", finding.path, EVIL[(place + 1) % 7]);
        finding.predicted = Some(EVIL[(place + 2) % 7].to_owned());
        finding.confidence = if place % 5 == 0 {
            Some(f64::NAN)
        } else {
            finding.confidence
        };
        finding.values.push(Measure {
            name: EVIL[0].to_owned(),
            value: Some(f64::INFINITY),
            unit: Unit::None,
        });
    }
    for video in &mut data.videos {
        video.path = long.clone();
        video.classes = EVIL.iter().map(|text| (*text).to_owned()).collect();
        video
            .points
            .iter_mut()
            .for_each(|point| point.top.retain(|(class, _)| *class < 7));
        // Of a long video.
        video.sampled += 100_000;
    }
    data.videos[1].points.truncate(1);
    data.videos[2].points.clear();
    for class in &mut data.clustered {
        class.class = EVIL[0].to_owned();
    }
    data
}

fn settings() -> Settings {
    Settings {
        method: "gradcam".to_owned(),
        layer: "layer4.2".to_owned(),
        score: "logit".to_owned(),
        resize: "stretch".to_owned(),
        precision: "f32".to_owned(),
        weights_sha256: "2b5fd0e4a1c2".repeat(6)[..64].to_owned(),
        sample_fps: Some(2.0),
        labels: Some("names of the folders".to_owned()),
        boxes: Some("boxes.json".to_owned()),
    }
}
