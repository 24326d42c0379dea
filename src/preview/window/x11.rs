//! A window of an X11 display, in safe code: when the display goes away, that is an error, not the end of the process.

use std::borrow::Cow;

use x11rb::connection::Connection as _;
use x11rb::errors::{ConnectError, ConnectionError, ReplyError, ReplyOrIdError};
use x11rb::image::{BitsPerPixel, Image, ImageOrder, ScanlinePad};
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ConnectionExt as _, CreateGCAux, CreateWindowAux, EventMask, Gcontext,
    GetKeyboardMappingReply, KeyButMask, KeyPressEvent, PropMode, Window as WindowId, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// Why there is no window, or none any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum X11Error {
    /// There is no display, or it lets nobody in.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// The display is gone.
    #[error("the display is gone: {0}")]
    Connection(#[from] ConnectionError),
    /// The display refuses something.
    #[error("the display refuses: {0}")]
    Reply(#[from] ReplyError),
    /// As above.
    #[error("the display refuses: {0}")]
    Id(#[from] ReplyOrIdError),
    /// Pictures cannot be shown on it.
    #[error("the display shows no colours of 8 bits")]
    Depth,
}

x11rb::atom_manager! {
    /// Names that window managers know.
    Atoms: AtomsCookie {
        WM_PROTOCOLS,
        WM_DELETE_WINDOW,
        _NET_WM_NAME,
        UTF8_STRING,
    }
}

/// Something that happened to the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    /// A key was pressed that types this character, or Escape.
    Typed(char),
    /// The window must be drawn again.
    Exposed,
    /// The user closed it.
    Closed,
}

/// How this machine stores words.
const OWN_ORDER: ImageOrder = if cfg!(target_endian = "little") {
    ImageOrder::LsbFirst
} else {
    ImageOrder::MsbFirst
};

/// What the escape key types.
pub(super) const ESCAPE: char = '\u{1b}';
/// X's name of that key.
const ESCAPE_SYMBOL: u32 = 0xff1b;

/// An open window.
pub(super) struct X11Window {
    connection: RustConnection,
    window: WindowId,
    context: Gcontext,
    atoms: Atoms,
    depth: u8,
    size: (usize, usize),
    keyboard: Keyboard,
}

impl X11Window {
    /// Opens a window on `$DISPLAY`.
    pub(super) fn open(title: &str, (width, height): (usize, usize)) -> Result<Self, X11Error> {
        let (connection, screen) = x11rb::connect(None)?;
        let atoms = Atoms::new(&connection)?.reply()?;
        let setup = connection.setup();
        let screen = setup.roots.get(screen).ok_or(X11Error::Depth)?;
        let depth = screen.root_depth;
        if !matches!(depth, 24 | 32) {
            return Err(X11Error::Depth);
        }
        let (window, context) = (connection.generate_id()?, connection.generate_id()?);
        let events = EventMask::KEY_PRESS
            | EventMask::KEY_RELEASE
            | EventMask::EXPOSURE
            | EventMask::STRUCTURE_NOTIFY;
        let look = CreateWindowAux::new()
            .event_mask(events)
            .background_pixel(screen.black_pixel);
        connection
            .create_window(
                depth,
                window,
                screen.root,
                0,
                0,
                length(width),
                length(height),
                0,
                WindowClass::INPUT_OUTPUT,
                screen.root_visual,
                &look,
            )?
            .check()?;
        connection.create_gc(context, window, &CreateGCAux::new())?;
        let closing = [atoms.WM_DELETE_WINDOW];
        let replace = PropMode::REPLACE;
        connection.change_property32(
            replace,
            window,
            atoms.WM_PROTOCOLS,
            AtomEnum::ATOM,
            &closing,
        )?;
        let class = b"gradcam-video\0gradcam-video\0";
        connection.change_property8(
            replace,
            window,
            AtomEnum::WM_CLASS,
            AtomEnum::STRING,
            class,
        )?;
        let keyboard = Keyboard::read(&connection)?;
        let opened = Self {
            connection,
            window,
            context,
            atoms,
            depth,
            size: (width, height),
            keyboard,
        };
        opened.set_title(title)?;
        opened.connection.map_window(window)?;
        opened.connection.flush()?;
        Ok(opened)
    }

    /// Width and height in pixels.
    pub(super) fn size(&self) -> (usize, usize) {
        self.size
    }

    pub(super) fn set_title(&self, title: &str) -> Result<(), X11Error> {
        let (connection, atoms) = (&self.connection, &self.atoms);
        for (name, kind) in [
            (atoms._NET_WM_NAME, atoms.UTF8_STRING),
            (AtomEnum::WM_NAME.into(), atoms.UTF8_STRING),
        ] {
            connection.change_property8(
                PropMode::REPLACE,
                self.window,
                name,
                kind,
                title.as_bytes(),
            )?;
        }
        connection.flush()?;
        Ok(())
    }

    /// Shows `width` times `height` pixels in rows, 0RGB words in this machine's byte order.
    pub(super) fn show(
        &self,
        bytes: &[u8],
        (width, height): (usize, usize),
    ) -> Result<(), X11Error> {
        let image = Image::new(
            length(width),
            length(height),
            ScanlinePad::Pad32,
            self.depth,
            BitsPerPixel::B32,
            OWN_ORDER,
            Cow::Borrowed(bytes),
        )
        .map_err(ConnectionError::from)?;
        image.put(&self.connection, self.window, self.context, 0, 0)?;
        // Waits until it is drawn: a picture that waits in a queue is late.
        self.connection.get_input_focus()?.reply()?;
        Ok(())
    }

    /// What has happened since the last look.
    pub(super) fn happenings(&mut self) -> Result<Vec<Happening>, X11Error> {
        let mut happenings = Vec::new();
        while let Some(event) = self.connection.poll_for_event()? {
            match event {
                Event::KeyPress(key) => {
                    happenings.extend(self.keyboard.press(key).map(Happening::Typed));
                }
                Event::KeyRelease(key) => self.keyboard.released = Some((key.detail, key.time)),
                Event::Expose(_) => happenings.push(Happening::Exposed),
                Event::ConfigureNotify(event) => {
                    let size = (usize::from(event.width), usize::from(event.height));
                    if size != self.size {
                        self.size = size;
                        happenings.push(Happening::Exposed);
                    }
                }
                Event::ClientMessage(message)
                    if message.format == 32
                        && message.data.as_data32()[0] == self.atoms.WM_DELETE_WINDOW =>
                {
                    happenings.push(Happening::Closed);
                }
                Event::DestroyNotify(_) => happenings.push(Happening::Closed),
                Event::MappingNotify(_) => self.keyboard = Keyboard::read(&self.connection)?,
                _ => {}
            }
        }
        Ok(happenings)
    }
}

/// A length as X counts it.
fn length(pixels: usize) -> u16 {
    u16::try_from(pixels).unwrap_or(u16::MAX).max(1)
}

/// What the keys type.
struct Keyboard {
    first: u8,
    mapping: GetKeyboardMappingReply,
    /// The key that was let go last, and when: a key that is held is let go and pressed at the same time, again and again.
    released: Option<(u8, u32)>,
}

impl Keyboard {
    fn read(connection: &RustConnection) -> Result<Self, X11Error> {
        let setup = connection.setup();
        let first = setup.min_keycode;
        let count = setup.max_keycode.saturating_sub(first).saturating_add(1);
        Ok(Self {
            first,
            mapping: connection.get_keyboard_mapping(first, count)?.reply()?,
            released: None,
        })
    }

    /// The character that a key types; `None` for keys that type none, and for one that is held.
    fn press(&self, key: KeyPressEvent) -> Option<char> {
        if self.released == Some((key.detail, key.time)) {
            return None;
        }
        let is_shifted = key.state.contains(KeyButMask::SHIFT);
        let per_key = usize::from(self.mapping.keysyms_per_keycode);
        let start = usize::from(key.detail.checked_sub(self.first)?) * per_key;
        let symbols = self.mapping.keysyms.get(start..start + per_key)?;
        character(symbols, is_shifted)
    }
}

/// The character of a key's symbols: plain, with shift, and the same of other alphabets.
fn character(symbols: &[u32], is_shifted: bool) -> Option<char> {
    let typed = symbols.get(usize::from(is_shifted)).copied();
    // Symbols of ASCII are its codes. Without one with shift, the plain one counts.
    match typed
        .filter(|symbol| *symbol != 0)
        .or(symbols.first().copied())?
    {
        ESCAPE_SYMBOL => Some(ESCAPE),
        symbol @ 0x20..=0x7e => char::from_u32(symbol),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_type_what_is_printed_on_them() {
        // An American and a German question mark.
        assert_eq!(character(&[0x2f, 0x3f], true), Some('?'));
        assert_eq!(character(&[0xdf, 0x3f, 0x5c], true), Some('?'));
        assert_eq!(character(&[0xdf, 0x3f], false), None);
        assert_eq!(character(&[0x63, 0x43], false), Some('c'));
        assert_eq!(character(&[0x63, 0x43], true), Some('C'));
        assert_eq!(character(&[ESCAPE_SYMBOL, 0], true), Some(ESCAPE));
        assert_eq!(character(&[], false), None);
    }
}
