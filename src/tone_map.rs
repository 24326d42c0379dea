//! Between HDR and SDR colours: tone mapping of HDR pictures, for a network that was trained on SDR photos, for still images
//! and for live previews; and HDR signals for the SDR colours that are drawn.
//!
//! - PQ: SMPTE ST 2084 (ITU-R BT.2100, table 4). HLG: BT.2100, table 5, on a display with a nominal peak of 1000 cd/m2.
//! - Diffuse white, which is what SDR white becomes: 203 cd/m2, ITU-R BT.2408.
//! - The SDR signal is that of a BT.1886 display with black at 0, a power of 2.4. BT.2408 converts SDR so, and so do FFmpeg's
//!   `zscale` and with it most SDR pictures that are found in HDR video; only the same curve brings them back as they were.
//! - Tone curve: the EETF of ITU-R BT.2390, from 1000 to 203 cd/m2. Applied to the largest of R, G, B as a factor on all three, it
//!   keeps hues. It leaves light up to 87 cd/m2 as it is.
//! - Primaries: BT.2020 for pictures in `YuvBt2020` and for HDR in RGB, else BT.709; the matrices are those of ITU-R BT.2087 and BT.2407. What is outside BT.709 is clipped.

use crate::frame::{ColorModel, ColorSpec, Transfer};

/// SDR white, in cd/m2.
const SDR_WHITE: f64 = 203.0;
const SDR_GAMMA: f64 = 2.4;
/// The brightest light that keeps detail when mapped to SDR, and HLG's full signal, in cd/m2.
const PEAK: f64 = 1000.0;
/// HLG's system gamma for this peak.
const HLG_GAMMA: f64 = 1.2;
/// PQ's full signal, in cd/m2.
const PQ_PEAK: f64 = 10_000.0;

const BT709_TO_BT2020: [[f64; 3]; 3] = [
    [0.627_404, 0.329_283, 0.043_313],
    [0.069_097, 0.919_540, 0.011_363],
    [0.016_391, 0.088_013, 0.895_596],
];
const BT2020_TO_BT709: [[f64; 3]; 3] = [
    [1.660_491, -0.587_641, -0.072_850],
    [-0.124_550, 1.132_900, -0.008_350],
    [-0.018_151, -0.100_579, 1.118_730],
];

/// R', G', B' in the picture's transfer and primaries for an SDR colour (R', G', B' of BT.709 in 0..=1). SDR pictures take it as it is.
pub(crate) fn signal_of_sdr(rgb: [f64; 3], color: ColorSpec) -> [f64; 3] {
    let light = || {
        let light = rgb.map(|value| SDR_WHITE * value.clamp(0.0, 1.0).powf(SDR_GAMMA));
        if is_bt2020(color) {
            BT709_TO_BT2020.map(|row| dot(row, light))
        } else {
            light
        }
    };
    match color.transfer {
        Transfer::Sdr => rgb,
        Transfer::Pq => light().map(pq_signal),
        Transfer::Hlg => hlg_signal(light(), luminance_weights(color)),
    }
}

/// Maps the colours of HDR pictures to SDR. Powers are looked up in tables: a picture has many pixels.
#[derive(Debug)]
pub(crate) struct ToneMap {
    color: ColorSpec,
    /// From a signal to light, as a share of [`PEAK`]: on the display for PQ, in the scene for HLG.
    light: Curve,
    /// For HLG, luminance weights and what light is multiplied with on the way from scene to display, by the root of its luminance.
    scene_to_display: Option<([f32; 3], Curve)>,
    /// What light is multiplied with to be a share of SDR white, by the largest of R, G, B.
    gain: Curve,
    /// None if the picture's primaries are those of SDR.
    to_bt709: Option<[[f32; 3]; 3]>,
    /// From the root of light to an SDR signal.
    sdr_signal: Curve,
}

impl ToneMap {
    /// For pictures of this colour, which is not SDR.
    pub(crate) fn new(color: ColorSpec) -> Self {
        let is_hlg = color.transfer == Transfer::Hlg;
        Self {
            color,
            light: Curve::new(|signal| {
                if is_hlg {
                    hlg_scene_light(signal)
                } else {
                    pq_light(signal) / PEAK
                }
            }),
            scene_to_display: is_hlg.then(|| {
                let weights = luminance_weights(color).map(|weight| weight as f32);
                let factor = |root: f64| root.powf(2.0 * (HLG_GAMMA - 1.0));
                (weights, Curve::new(factor))
            }),
            gain: Curve::new(|brightest| {
                // Its limit at 0 is that of all dark light.
                let light = (brightest * PEAK).max(1e-3);
                compressed(light) / light * (PEAK / SDR_WHITE)
            }),
            to_bt709: is_bt2020(color)
                .then(|| BT2020_TO_BT709.map(|row| row.map(|weight| weight as f32))),
            sdr_signal: Curve::new(|root| root.powf(2.0 / SDR_GAMMA)),
        }
    }

    /// What [`new`](Self::new) was given.
    pub(crate) fn color(&self) -> ColorSpec {
        self.color
    }

    /// The SDR colour (R', G', B' of BT.709 in 0..=1) for R', G', B' of an HDR picture, which are cut to 0..=1.
    pub(crate) fn apply(&self, signal: [f32; 3]) -> [f32; 3] {
        let mut light = signal.map(|value| self.light.at(value));
        if let Some((weights, factors)) = &self.scene_to_display {
            let factor = factors.at(dot(*weights, light).sqrt());
            light = light.map(|value| value * factor);
        }
        let brightest = light[0].max(light[1]).max(light[2]);
        let gain = self.gain.at(brightest) / brightest.max(1.0);
        let mut shown = light.map(|value| value * gain);
        if let Some(matrix) = &self.to_bt709 {
            shown = matrix.map(|row| dot(row, shown));
        }
        shown.map(|value| self.sdr_signal.at(value.max(0.0).sqrt()))
    }
}

/// A function on 0..=1 as a table, fine enough to be read without interpolation: a step is less than a third of an 8-bit code.
#[derive(Debug)]
struct Curve(Box<[f32; CURVE_STEPS + 1]>);

const CURVE_STEPS: usize = 4096;

impl Curve {
    fn new(function: impl Fn(f64) -> f64) -> Self {
        let sample = |index: usize| function(index as f64 / CURVE_STEPS as f64) as f32;
        Self(Box::new(std::array::from_fn(sample)))
    }

    /// The value at `x`, which is cut to 0..=1.
    fn at(&self, x: f32) -> f32 {
        // The cast saturates, so that negative values read the first entry.
        let index = (x * CURVE_STEPS as f32 + 0.5) as u16;
        self.0[usize::from(index).min(CURVE_STEPS)]
    }
}

/// Whether the primaries are BT.2020's: HDR that is stored as RGB has them too.
fn is_bt2020(color: ColorSpec) -> bool {
    color.model == ColorModel::YuvBt2020
        || (color.model == ColorModel::Rgb && color.transfer != Transfer::Sdr)
}

/// Shares of red, green and blue light in luminance, for the picture's primaries.
fn luminance_weights(color: ColorSpec) -> [f64; 3] {
    if is_bt2020(color) {
        [0.2627, 0.6780, 0.0593]
    } else {
        [0.2126, 0.7152, 0.0722]
    }
}

fn dot<T: Copy + std::ops::Add<Output = T> + std::ops::Mul<Output = T>>(a: [T; 3], b: [T; 3]) -> T {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

const PQ_M1: f64 = 2610.0 / 16_384.0;
const PQ_M2: f64 = 2523.0 / 4096.0 * 128.0;
const PQ_C1: f64 = 3424.0 / 4096.0;
const PQ_C2: f64 = 2413.0 / 4096.0 * 32.0;
const PQ_C3: f64 = 2392.0 / 4096.0 * 32.0;

/// Light in cd/m2 for a PQ signal: the EOTF of ST 2084.
fn pq_light(signal: f64) -> f64 {
    let power = signal.max(0.0).powf(1.0 / PQ_M2);
    PQ_PEAK * ((power - PQ_C1).max(0.0) / (PQ_C2 - PQ_C3 * power)).powf(1.0 / PQ_M1)
}

/// The inverse of [`pq_light`].
fn pq_signal(light: f64) -> f64 {
    let power = (light / PQ_PEAK).max(0.0).powf(PQ_M1);
    ((PQ_C1 + PQ_C2 * power) / (1.0 + PQ_C3 * power)).powf(PQ_M2)
}

const HLG_A: f64 = 0.178_832_77;
const HLG_B: f64 = 0.284_668_92;
const HLG_C: f64 = 0.559_910_73;

/// Light of the scene in 0..=1 for an HLG signal: the inverse OETF of BT.2100.
fn hlg_scene_light(signal: f64) -> f64 {
    if signal <= 0.5 {
        signal * signal / 3.0
    } else {
        (((signal - HLG_C) / HLG_A).exp() + HLG_B) / 12.0
    }
}

/// The HLG signals for light on the display in cd/m2: the inverse OOTF, then the OETF.
fn hlg_signal(light: [f64; 3], luminance_weights: [f64; 3]) -> [f64; 3] {
    let shown = light.map(|value| value / PEAK);
    let luminance = dot(luminance_weights, shown);
    if luminance <= 0.0 {
        return [0.0; 3];
    }
    let factor = luminance.powf(1.0 / HLG_GAMMA - 1.0);
    shown.map(|value| {
        let scene = value * factor;
        if scene <= 1.0 / 12.0 {
            (3.0 * scene).sqrt()
        } else {
            HLG_A * (12.0 * scene - HLG_B).ln() + HLG_C
        }
    })
}

/// Light of the source (cd/m2, cut to [`PEAK`]) on a display whose peak is [`SDR_WHITE`]: the EETF of BT.2390, section 5.4.1, with black at 0.
fn compressed(light: f64) -> f64 {
    let source_peak = pq_signal(PEAK);
    let target_peak = pq_signal(SDR_WHITE) / source_peak;
    let knee = 1.5 * target_peak - 0.5;
    let signal = (pq_signal(light) / source_peak).min(1.0);
    if signal <= knee {
        return light;
    }
    // A Hermite spline from the knee, where its slope is 1, to the target's peak, where it is 0.
    let t = (signal - knee) / (1.0 - knee);
    let (t2, t3) = (t * t, t * t * t);
    let spline = (2.0 * t3 - 3.0 * t2 + 1.0) * knee
        + (t3 - 2.0 * t2 + t) * (1.0 - knee)
        + (3.0 * t2 - 2.0 * t3) * target_peak;
    pq_light(spline * source_peak)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PQ: ColorSpec = ColorSpec {
        model: ColorModel::YuvBt2020,
        is_full_range: false,
        transfer: Transfer::Pq,
    };
    const HLG: ColorSpec = ColorSpec {
        transfer: Transfer::Hlg,
        ..PQ
    };

    fn assert_near(got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() <= tolerance, "{got}, not {want}");
    }

    #[test]
    fn published_values_of_pq_and_hlg() {
        // BT.2408, table 1: reference white is 58 % PQ and 75 % HLG; ST 2084: 100 cd/m2 is code 0.5081.
        assert_near(pq_light(0.5081), 100.0, 0.05);
        assert_near(pq_signal(203.0), 0.5807, 1e-4);
        assert_near(pq_signal(1000.0), 0.7518, 1e-4);
        assert_near(pq_light(1.0), 10_000.0, 1e-6);
        assert_near(pq_light(0.0), 0.0, 0.0);
        assert_near(hlg_scene_light(0.5), 1.0 / 12.0, 1e-9);
        assert_near(hlg_scene_light(1.0), 1.0, 1e-6);
        assert_near(PEAK * hlg_scene_light(0.75).powf(HLG_GAMMA), SDR_WHITE, 0.5);
    }

    #[test]
    fn signals_and_light_invert_each_other() {
        for step in 0..=100 {
            let signal = f64::from(step) / 100.0;
            assert_near(pq_signal(pq_light(signal)), signal, 1e-6);
            let scene = hlg_scene_light(signal);
            let light = PEAK * scene.powf(HLG_GAMMA);
            for got in hlg_signal([light; 3], luminance_weights(HLG)) {
                assert_near(got, signal, 1e-5);
            }
        }
    }

    #[test]
    fn the_primaries_matrices_invert_each_other_and_keep_white() {
        for (row, line) in BT2020_TO_BT709.into_iter().enumerate() {
            assert_near(line.iter().sum(), 1.0, 1e-9);
            assert_near(BT709_TO_BT2020[row].iter().sum(), 1.0, 1e-9);
            for column in 0..3 {
                let product = dot(line, BT709_TO_BT2020.map(|line| line[column]));
                assert_near(product, if row == column { 1.0 } else { 0.0 }, 5e-6);
            }
        }
    }

    #[test]
    fn the_tone_curve_rises_ends_at_white_and_keeps_darks() {
        let mut last = -1.0;
        for step in 0..=2000 {
            let light = f64::from(step) / 2.0;
            let shown = compressed(light);
            assert!(shown > last, "{light}");
            assert!(shown <= light);
            if light <= 87.0 {
                assert_near(shown, light, 0.0);
            }
            last = shown;
        }
        assert_near(compressed(PEAK), SDR_WHITE, 1e-6);
        assert_near(compressed(5000.0), SDR_WHITE, 1e-6);
    }

    #[test]
    fn dark_sdr_colours_come_back_and_bright_ones_keep_their_hue() {
        for color in [PQ, HLG] {
            for model in [ColorModel::YuvBt2020, ColorModel::YuvBt709] {
                let color = ColorSpec { model, ..color };
                let tone_map = ToneMap::new(color);
                let there_and_back = |rgb: [f64; 3]| {
                    let signal = signal_of_sdr(rgb, color).map(|value| value as f32);
                    tone_map.apply(signal).map(f64::from)
                };
                for rgb in [
                    [0.0; 3],
                    [0.1; 3],
                    [0.69; 3],
                    [0.65, 0.3, 0.1],
                    [0.0, 0.5, 0.02],
                ] {
                    for (got, want) in there_and_back(rgb).into_iter().zip(rgb) {
                        // 0.02 is linear light of 1e-4, where the matrices' digits end.
                        assert_near(got, want, if want < 0.05 { 5e-3 } else { 1e-3 });
                    }
                }
                for got in there_and_back([1.0; 3]) {
                    assert_near(got, 0.903, 1e-3);
                }
                let light = there_and_back([1.0, 0.8, 0.6]).map(|value| value.powf(SDR_GAMMA));
                assert_near(light[1] / light[0], 0.8_f64.powf(SDR_GAMMA), 3e-3);
                assert_near(light[2] / light[0], 0.6_f64.powf(SDR_GAMMA), 3e-3);
            }
        }
    }

    #[test]
    fn highlights_become_white_and_foreign_colours_are_clipped() {
        let tone_map = ToneMap::new(PQ);
        let at = |light: f64| tone_map.apply([pq_signal(light) as f32; 3]);
        for light in [1000.0, 4000.0, 10_000.0] {
            for got in at(light) {
                assert_near(f64::from(got), 1.0, 2e-4);
            }
        }
        // BT.2020's green is greener than BT.709 can show.
        let green = tone_map.apply([0.0, pq_signal(80.0) as f32, 0.0]);
        assert_eq!((green[0], green[2]), (0.0, 0.0));
        for wild in [-1.0, 2.0, f32::INFINITY] {
            for got in tone_map.apply([wild, 0.3, wild]) {
                assert!((0.0..=1.0).contains(&got));
            }
        }
    }

    #[test]
    fn sdr_colours_are_encoded_as_zscale_encodes_them() {
        // zscale=transferin=bt709:primariesin=bt709:primaries=2020:matrix=2020_ncl:npl=203:agamma=0 of #C04020, as 10 bits.
        use crate::picture::SampleSpace;
        let rgb = [0xC0, 0x40, 0x20].map(|value| f64::from(value) / 255.0);
        for (color, want) in [(PQ, [377, 449, 579]), (HLG, [371, 412, 658])] {
            let codes = SampleSpace::new(color, 10).encode(rgb);
            for (got, want) in codes.into_iter().zip(want) {
                assert!(u16::abs_diff(got, want) <= 1, "{codes:?}");
            }
        }
    }
}
