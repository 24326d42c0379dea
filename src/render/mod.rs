//! Drawing: colour map, overlay, label, layout.

mod canvas;
mod colormap;
mod glyphs;
mod keras;
mod label;
mod layout;
mod overlay;
mod palette;
mod ramps;
mod renderer;
mod stencil;

pub use colormap::ColorMap;
pub use label::{LabelLine, LabelPainter};
pub use layout::Layout;
pub use overlay::Overlay;
pub use palette::Palette;
pub use renderer::{DrawStyle, Panel, RenderOptions, Renderer};
