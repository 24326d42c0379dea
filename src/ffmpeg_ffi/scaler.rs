//! swscale with the right matrix and range.

use std::ptr;

use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Error, ffi, frame};

use super::check;
use crate::frame::{ColorModel, ColorSpec};

/// Conversion between pixel formats and sizes that knows matrix and range of both ends.
pub(crate) struct Scaler {
    context: *mut ffi::SwsContext,
    flags: i32,
    key: Option<(ScaleEnd, ScaleEnd)>,
}

// SAFETY: a scaling context is not tied to a thread, and it is only reached through `&mut self`.
unsafe impl Send for Scaler {}

#[derive(Debug, Clone, Copy, PartialEq)]
struct ScaleEnd {
    format: Pixel,
    width: u32,
    height: u32,
    color: ColorSpec,
}

impl ScaleEnd {
    fn of(frame: &frame::Video, color: ColorSpec) -> Self {
        Self {
            format: frame.format(),
            width: frame.width(),
            height: frame.height(),
            color,
        }
    }

    /// swscale's name for the matrix; RGB has none, the other end's decides.
    fn matrix(self) -> Option<i32> {
        match self.color.model {
            ColorModel::Rgb => None,
            ColorModel::YuvBt601 => Some(ffi::SWS_CS_ITU601),
            ColorModel::YuvBt709 => Some(ffi::SWS_CS_ITU709),
            ColorModel::YuvBt2020 => Some(ffi::SWS_CS_BT2020),
        }
    }
}

impl Scaler {
    /// Exact conversions.
    pub(crate) fn new() -> Self {
        Self::with_flags(ffi::SWS_BICUBIC | ffi::SWS_ACCURATE_RND | ffi::SWS_FULL_CHR_H_INT)
    }

    /// Conversions for a glance: several times faster, within a few grey levels.
    pub(crate) fn fast() -> Self {
        Self::with_flags(ffi::SWS_FAST_BILINEAR)
    }

    fn with_flags(flags: i32) -> Self {
        Self {
            context: ptr::null_mut(),
            flags,
            key: None,
        }
    }

    /// Fills `target` with the scaled and converted `source`; the conversion is set up again
    /// whenever an end changes.
    pub(crate) fn run(
        &mut self,
        source: &frame::Video,
        source_color: ColorSpec,
        target: &mut frame::Video,
        target_color: ColorSpec,
    ) -> Result<(), Error> {
        let from = ScaleEnd::of(source, source_color);
        let to = ScaleEnd::of(target, target_color);
        if self.key != Some((from, to)) {
            self.rebuild(from, to)?;
        }
        // SAFETY: both frames hold memory for the format and size the context was made for (that is
        // the key); the target is exclusively borrowed.
        let rows = unsafe {
            let (input, output) = (&*source.as_ptr(), &mut *target.as_mut_ptr());
            ffi::sws_scale(
                self.context,
                input.data.as_ptr() as *const *const u8,
                input.linesize.as_ptr(),
                0,
                input.height,
                output.data.as_ptr(),
                output.linesize.as_ptr(),
            )
        };
        check(rows)
    }

    fn rebuild(&mut self, from: ScaleEnd, to: ScaleEnd) -> Result<(), Error> {
        self.key = None;
        // SAFETY: freeing null is allowed; formats and sizes come from live frames, the optional
        // pointers may be null, and the coefficient tables are static.
        unsafe {
            ffi::sws_freeContext(self.context);
            self.context = ffi::sws_getContext(
                from.width as i32,
                from.height as i32,
                from.format.into(),
                to.width as i32,
                to.height as i32,
                to.format.into(),
                self.flags,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null(),
            );
            if self.context.is_null() {
                return Err(Error::InvalidData);
            }
            let fallback = ffi::SWS_CS_ITU601;
            let source_matrix = from.matrix().or(to.matrix()).unwrap_or(fallback);
            let target_matrix = to.matrix().or(from.matrix()).unwrap_or(fallback);
            // The return value only says that equal ends need no conversion; the ranges are kept.
            ffi::sws_setColorspaceDetails(
                self.context,
                ffi::sws_getCoefficients(source_matrix),
                i32::from(from.color.is_full_range),
                ffi::sws_getCoefficients(target_matrix),
                i32::from(to.color.is_full_range),
                0,
                1 << 16,
                1 << 16,
            );
        }
        self.key = Some((from, to));
        Ok(())
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        // SAFETY: the context is null or was made by `sws_getContext` and is freed once.
        unsafe { ffi::sws_freeContext(self.context) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{allocate_frame, plane_row, plane_row_mut};
    use super::*;
    use crate::frame::Transfer;

    #[test]
    fn the_scaler_uses_the_matrix_it_is_told() {
        let red = |model| {
            let mut rgb = allocate_frame(Pixel::GBRP, 16, 16).unwrap();
            for (plane, value) in [(0, 0), (1, 0), (2, 255)] {
                for row in 0..16 {
                    plane_row_mut(&mut rgb, plane, row, 16).unwrap().fill(value);
                }
            }
            let mut yuv = allocate_frame(Pixel::YUV444P, 16, 16).unwrap();
            let color = ColorSpec {
                model,
                is_full_range: false,
                transfer: Transfer::Sdr,
            };
            Scaler::new()
                .run(&rgb, ColorSpec::RGB, &mut yuv, color)
                .unwrap();
            i32::from(plane_row(&yuv, 0, 8, 16).unwrap()[8])
        };
        // Y' = 16 + 219 Kr
        assert!((red(ColorModel::YuvBt601) - 81).abs() <= 1);
        assert!((red(ColorModel::YuvBt709) - 63).abs() <= 1);
        assert!((red(ColorModel::YuvBt2020) - 74).abs() <= 1);
    }
}
