//! Drawing: colour map, overlay, label, layout.

mod colormap;
mod overlay;
mod palette;
mod ramps;

pub use colormap::ColorMap;
pub use overlay::Overlay;
pub use palette::Palette;
