//! Drawing: colour map, overlay, label, layout.
