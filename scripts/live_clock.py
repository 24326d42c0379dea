#!/usr/bin/env python3
"""Measures how old the picture in a live preview is: shows a clock in one X display and reads it back in another.

    live_clock.py show --display :1 --image photo.ppm        # what the program under test films
    live_clock.py read --display :2 --window NAME --seconds 10   # what its window shows: a JSON report

The clock is a strip of CELLS cells over the whole width: milliseconds of the monotonic clock in Gray code, then check
bits. A cell is two halves, one above the other, of opposite colours: which one is brighter is the bit. So it survives
scaling and a translucent heatmap, whose colour the two halves share. Needs libX11 and a display of 24 bits.
"""

import argparse
import ctypes
import json
import re
import signal
import sys
import time
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_uint, c_ulong, c_void_p

CLOCK_BITS = 20
CHECK_BITS = 4
CELLS = CLOCK_BITS + CHECK_BITS
# The clock starts again after 17 minutes; what seems older than this is a misreading.
OLDEST_MS = 60_000
# Of 255: the halves of a cell under a heatmap at alpha 0.4 still differ by 153.
LEAST_CONTRAST = 24

WHITE = 0xFFFFFF
BLACK = 0
Z_PIXMAP = 2
ALL_PLANES = 0xFFFFFFFF
EXPOSURE_MASK = 1 << 15
CW_OVERRIDE_REDIRECT = 1 << 9


class XImage(ctypes.Structure):
    """Xlib's picture, up to the fields that matter here."""

    _fields_ = [
        ("width", c_int),
        ("height", c_int),
        ("xoffset", c_int),
        ("format", c_int),
        ("data", c_void_p),
        ("byte_order", c_int),
        ("bitmap_unit", c_int),
        ("bitmap_bit_order", c_int),
        ("bitmap_pad", c_int),
        ("depth", c_int),
        ("bytes_per_line", c_int),
        ("bits_per_pixel", c_int),
    ]


class XSetWindowAttributes(ctypes.Structure):
    """What a new window is like."""

    _fields_ = [
        ("background_pixmap", c_ulong),
        ("background_pixel", c_ulong),
        ("border_pixmap", c_ulong),
        ("border_pixel", c_ulong),
        ("bit_gravity", c_int),
        ("win_gravity", c_int),
        ("backing_store", c_int),
        ("backing_planes", c_ulong),
        ("backing_pixel", c_ulong),
        ("save_under", c_int),
        ("event_mask", c_long),
        ("do_not_propagate_mask", c_long),
        ("override_redirect", c_int),
        ("colormap", c_ulong),
        ("cursor", c_ulong),
    ]


class XColor(ctypes.Structure):
    """A colour; all zeros is black."""

    _fields_ = [
        ("pixel", c_ulong),
        ("red", ctypes.c_ushort),
        ("green", ctypes.c_ushort),
        ("blue", ctypes.c_ushort),
        ("flags", ctypes.c_byte),
        ("pad", ctypes.c_byte),
    ]


ERROR_HANDLER = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p)
DISPLAY, WINDOW, GC = c_void_p, c_ulong, c_void_p
PROTOTYPES = {
    "XOpenDisplay": (DISPLAY, [c_char_p]),
    "XSetErrorHandler": (c_void_p, [ERROR_HANDLER]),
    "XDefaultScreen": (c_int, [DISPLAY]),
    "XDefaultDepth": (c_int, [DISPLAY, c_int]),
    "XDefaultVisual": (c_void_p, [DISPLAY, c_int]),
    "XDefaultRootWindow": (WINDOW, [DISPLAY]),
    "XDisplayWidth": (c_int, [DISPLAY, c_int]),
    "XDisplayHeight": (c_int, [DISPLAY, c_int]),
    "XCreateWindow": (
        WINDOW,
        [DISPLAY, WINDOW, c_int, c_int, c_uint, c_uint, c_uint, c_int, c_uint, c_void_p, c_ulong]
        + [POINTER(XSetWindowAttributes)],
    ),
    "XStoreName": (c_int, [DISPLAY, WINDOW, c_char_p]),
    "XFetchName": (c_int, [DISPLAY, WINDOW, POINTER(c_void_p)]),
    "XSelectInput": (c_int, [DISPLAY, WINDOW, c_long]),
    "XMapRaised": (c_int, [DISPLAY, WINDOW]),
    "XPending": (c_int, [DISPLAY]),
    "XNextEvent": (c_int, [DISPLAY, c_void_p]),
    "XSync": (c_int, [DISPLAY, c_int]),
    "XFree": (c_int, [c_void_p]),
    "XCreatePixmap": (c_ulong, [DISPLAY, WINDOW, c_uint, c_uint, c_uint]),
    "XCreatePixmapCursor": (
        c_ulong,
        [DISPLAY, c_ulong, c_ulong, POINTER(XColor), POINTER(XColor), c_uint, c_uint],
    ),
    "XCreateBitmapFromData": (c_ulong, [DISPLAY, WINDOW, c_char_p, c_uint, c_uint]),
    "XDefineCursor": (c_int, [DISPLAY, WINDOW, c_ulong]),
    "XSetWindowBackgroundPixmap": (c_int, [DISPLAY, WINDOW, c_ulong]),
    "XCreateGC": (GC, [DISPLAY, c_ulong, c_ulong, c_void_p]),
    "XSetGraphicsExposures": (c_int, [DISPLAY, GC, c_int]),
    "XSetForeground": (c_int, [DISPLAY, GC, c_ulong]),
    "XFillRectangle": (c_int, [DISPLAY, c_ulong, GC, c_int, c_int, c_uint, c_uint]),
    "XCopyArea": (c_int, [DISPLAY, c_ulong, c_ulong, GC, c_int, c_int, c_uint, c_uint, c_int, c_int]),
    "XCreateImage": (
        c_void_p,
        [DISPLAY, c_void_p, c_uint, c_int, c_int, c_char_p, c_uint, c_uint, c_int, c_int],
    ),
    "XPutImage": (c_int, [DISPLAY, c_ulong, GC, c_void_p, c_int, c_int, c_int, c_int, c_uint, c_uint]),
    "XGetImage": (POINTER(XImage), [DISPLAY, c_ulong, c_int, c_int, c_uint, c_uint, c_ulong, c_int]),
    "XDestroyImage": (c_int, [POINTER(XImage)]),
    "XQueryTree": (
        c_int,
        [DISPLAY, WINDOW, POINTER(WINDOW), POINTER(WINDOW), POINTER(POINTER(WINDOW)), POINTER(c_uint)],
    ),
    "XGetGeometry": (
        c_int,
        [DISPLAY, c_ulong, POINTER(WINDOW)] + [POINTER(c_int)] * 2 + [POINTER(c_uint)] * 4,
    ),
}


class Display:
    """A connection to an X server: Xlib's functions as methods, without their first argument."""

    def __init__(self, name):
        self.xlib = ctypes.CDLL("libX11.so.6")
        for function, (result, arguments) in PROTOTYPES.items():
            getattr(self.xlib, function).restype = result
            getattr(self.xlib, function).argtypes = arguments
        # A window that is gone is no reason to exit, as Xlib's own handler does.
        self.ignore_errors = ERROR_HANDLER(lambda _display, _event: 0)
        self.xlib.XSetErrorHandler(self.ignore_errors)
        self.handle = self.xlib.XOpenDisplay(name.encode())
        if not self.handle:
            sys.exit(f"live_clock: cannot open display {name}")
        self.screen = self.XDefaultScreen()
        self.root = self.XDefaultRootWindow()
        if self.XDefaultDepth(self.screen) != 24:
            sys.exit(f"live_clock: display {name} is not 24 bits deep")

    def __getattr__(self, name):
        function = getattr(self.xlib, name)
        return lambda *arguments: function(self.handle, *arguments)

    def geometry(self, window):
        """Width and height; None if the window is gone."""
        root, x, y = WINDOW(), c_int(), c_int()
        width, height, border, depth = c_uint(), c_uint(), c_uint(), c_uint()
        parts = [byref(part) for part in (root, x, y, width, height, border, depth)]
        return (width.value, height.value) if self.XGetGeometry(window, *parts) else None

    def children(self, window):
        """The windows in a window."""
        root, parent, array, count = WINDOW(), WINDOW(), POINTER(WINDOW)(), c_uint()
        if not self.XQueryTree(window, byref(root), byref(parent), byref(array), byref(count)):
            return []
        windows = array[: count.value]
        if array:
            self.xlib.XFree(array)
        return windows

    def name(self, window):
        """A window's title."""
        text = c_void_p()
        if not self.XFetchName(window, byref(text)) or not text:
            return ""
        title = ctypes.string_at(text).decode(errors="replace")
        self.xlib.XFree(text)
        return title

    def find(self, name):
        """The first window whose title contains `name`, from the outside inwards; None if there is none."""
        level = self.children(self.root)
        while level:
            for window in level:
                if name in self.name(window):
                    return window
            level = [child for window in level for child in self.children(window)]
        return None

    def picture(self, window, left, top, width, height):
        """A part of what a window shows, 4 bytes a pixel (blue, green, red, nothing); None if it does not show."""
        image = self.XGetImage(window, left, top, width, height, ALL_PLANES, Z_PIXMAP)
        if not image:
            return None
        content = image.contents
        data = ctypes.string_at(content.data, content.bytes_per_line * content.height)
        self.xlib.XDestroyImage(image)
        return data


def encode(milliseconds):
    """The cells' bits, of which the first cell's is the highest."""
    value = milliseconds % (1 << CLOCK_BITS)
    gray = value ^ (value >> 1)
    return gray << CHECK_BITS | check(gray)


def decode(bits):
    """The milliseconds, modulo the clock's range, or None if the check bits are wrong."""
    gray = bits >> CHECK_BITS
    if check(gray) != bits % (1 << CHECK_BITS):
        return None
    value = 0
    while gray:
        value ^= gray
        gray >>= 1
    return value


def check(gray):
    """All groups of four bits, one upon the other."""
    sum_ = 0
    while gray:
        sum_ ^= gray
        gray >>= CHECK_BITS
    return sum_ % (1 << CHECK_BITS)


def edges(strip, width, height):
    """Where the strip's cells and halves begin and end in a window of that size: xs, ys in pixels."""
    left, top, wide, high = strip
    xs = [round(width * (left + wide * i / CELLS)) for i in range(CELLS + 1)]
    ys = [round(height * (top + high * i / 2)) for i in range(3)]
    return xs, ys


# -- show --


def read_ppm(path):
    """Width, height and the pixels of a binary PPM, 4 bytes each as X wants them."""
    with open(path, "rb") as file:
        data = file.read()
    header = re.match(rb"P6\s+(?:#.*\s+)*(\d+)\s+(\d+)\s+255\s", data)
    if not header:
        sys.exit(f"live_clock: {path} is no binary PPM of 8 bits (P6)")
    width, height = int(header[1]), int(header[2])
    rgb = data[header.end() : header.end() + width * height * 3]
    if len(rgb) < width * height * 3:
        sys.exit(f"live_clock: {path} is too short")
    pixels = bytearray(width * height * 4)
    for channel in range(3):
        pixels[2 - channel :: 4] = rgb[channel::3]
    return width, height, bytes(pixels)


class Clock:
    """The clock's strip in a window. Drawn aside first: a grab never sees half of a change."""

    def __init__(self, display, window, gc, strip, size):
        self.display, self.window, self.gc = display, window, gc
        self.xs, self.ys = edges(strip, *size)
        self.aside = display.XCreatePixmap(window, size[0], self.ys[2], 24)
        self.bits = None

    def draw(self, bits):
        """Brings the cells that changed up to date."""
        changed = (1 << CELLS) - 1 if self.bits is None else bits ^ self.bits
        self.bits = bits
        cells = [i for i in range(CELLS) if changed >> (CELLS - 1 - i) & 1]
        for i in cells:
            bit = bits >> (CELLS - 1 - i) & 1
            for half in range(2):
                self.display.XSetForeground(self.gc, WHITE if bit ^ half else BLACK)
                left, top = self.xs[i], self.ys[half]
                width, height = self.xs[i + 1] - left, self.ys[half + 1] - top
                self.display.XFillRectangle(self.aside, self.gc, left, top, width, height)
        if cells:
            self.copy(self.xs[cells[0]], self.xs[cells[-1] + 1])

    def copy(self, left, right):
        """Shows a part of the strip, with one request."""
        top, bottom = self.ys[0], self.ys[2]
        self.display.XCopyArea(self.aside, self.window, self.gc, left, top, right - left, bottom - top, left, top)

    def expose(self):
        """Shows all of the strip again."""
        self.copy(self.xs[0], self.xs[-1])


def open_window(display, size, position):
    """A window that no window manager moves or decorates, with nothing to see of the mouse in it."""
    attributes = XSetWindowAttributes(override_redirect=1)
    window = display.XCreateWindow(
        display.root, *position, *size, 0, 24, 1, None, CW_OVERRIDE_REDIRECT, byref(attributes)
    )
    display.XStoreName(window, b"live_clock")
    display.XSelectInput(window, EXPOSURE_MASK)
    empty = display.XCreateBitmapFromData(window, b"\0", 1, 1)
    color = XColor()
    display.XDefineCursor(window, display.XCreatePixmapCursor(empty, empty, byref(color), byref(color), 0, 0))
    return window


def paint_background(display, window, gc, size, placed, color):
    """What lies behind the clock: a colour, and an image with its left upper corner."""
    background = display.XCreatePixmap(window, *size, 24)
    display.XSetForeground(gc, color)
    display.XFillRectangle(background, gc, 0, 0, *size)
    if placed:
        (width, height, pixels), left, top = placed
        visual = display.XDefaultVisual(display.screen)
        picture = display.XCreateImage(visual, 24, Z_PIXMAP, 0, pixels, width, height, 32, 0)
        display.XPutImage(background, gc, picture, 0, 0, left, top, width, height)
    return background


def side_at(now_ms, period_ms):
    """On which side the image is: 0 left, 1 right."""
    return int(now_ms // period_ms) % 2


def show(arguments):
    """Shows the clock, the image or both until a signal ends it."""
    display = Display(arguments.display)
    image = read_ppm(arguments.image) if arguments.image else None
    if arguments.geometry:
        size, position = arguments.geometry
    elif image and not arguments.clock:
        size, position = image[:2], (0, 0)
    else:
        size = display.XDisplayWidth(display.screen), display.XDisplayHeight(display.screen)
        position = (0, 0)
    window = open_window(display, size, position)
    gc = display.XCreateGC(window, 0, None)
    display.XSetGraphicsExposures(gc, 0)
    clock = Clock(display, window, gc, arguments.strip, size) if arguments.clock else None

    # A strip along the top edge pushes the image down.
    top = clock.ys[2] if clock and clock.ys[0] == 0 else 0
    backgrounds = [
        paint_background(display, window, gc, size, image and (image, left, top), 0x808080 if clock else BLACK)
        for left in (0, size[0] - image[0] if image else 0)
    ]
    # As the window's background, the server repaints it without us.
    display.XSetWindowBackgroundPixmap(window, backgrounds[0])
    display.XMapRaised(window)
    if clock:
        clock.draw(encode(time.monotonic_ns() // 1_000_000))
    display.XSync(0)
    print("READY", flush=True)

    event = ctypes.create_string_buffer(24 * ctypes.sizeof(c_long))
    while not clock:
        display.XNextEvent(event)
    due = time.monotonic()
    side = 0
    while True:
        while display.XPending():
            display.XNextEvent(event)
            clock.expose()
        if arguments.flip and side_at(time.monotonic_ns() / 1e6, arguments.flip) != side:
            side = 1 - side
            display.XCopyArea(backgrounds[side], window, gc, 0, top, size[0], image[1], 0, top)
        clock.draw(encode(time.monotonic_ns() // 1_000_000))
        # Waits for the server: changes that queue up there would show an old clock.
        display.XSync(0)
        due = max(due + 1 / arguments.rate, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


# -- read --


class Reader:
    """Finds the clock in a window's pictures."""

    def __init__(self, display, window, strip):
        self.display, self.window, self.strip = display, window, strip
        self.data = self.clock = None
        self.measure()

    def measure(self):
        """Fits the cells to the window's present size."""
        self.size = self.display.geometry(self.window)
        if not self.size:
            return
        xs, ys = edges(self.strip, *self.size)
        upper, lower = (ys[0] + ys[1]) // 2, (ys[1] + ys[2]) // 2
        middles = [(xs[i] + xs[i + 1]) // 2 for i in range(CELLS)]
        # Three pixels from the middle of each half, of the part of the window that is fetched.
        self.part = xs[0], upper, xs[-1] - xs[0], lower - upper + 1
        row = 4 * (xs[-1] - xs[0])
        firsts = [4 * (middle - 1 - xs[0]) for middle in middles]
        self.cells = [(first, first + row * (lower - upper)) for first in firsts]

    def bits(self, data):
        """The cells' bits, or None if one cannot be told."""
        bits = 0
        for upper, lower in self.cells:
            contrast = luma(data, upper) - luma(data, lower)
            if abs(contrast) < LEAST_CONTRAST:
                return None
            bits = bits << 1 | (contrast > 0)
        return bits

    def read(self):
        """The clock and the time at which it was seen; for the clock, None if it cannot be read."""
        data = self.display.picture(self.window, *self.part) if self.size else None
        seen = time.monotonic_ns() / 1e6
        if data is None:
            self.measure()
            self.data = self.clock = None
        elif data != self.data:
            bits = self.bits(data)
            self.data = data
            self.clock = None if bits is None else decode(bits)
        return self.clock, seen


class HeatReader:
    """Finds out on which side of a window the heat lies, and how long after the image came there."""

    def __init__(self, display, window, period_ms, places):
        self.display, self.window, self.period_ms, self.places = display, window, period_ms, places
        self.side = None
        self.latencies = []

    def warmth(self, place, size):
        """How much redder than blue a few pixels are."""
        x, y = (int(fraction * length) for fraction, length in zip(place, size))
        data = self.display.picture(self.window, x, y, 3, 3)
        return None if data is None else sum(data[2::4]) - sum(data[0::4])

    def read(self, size):
        """Notes when the heat arrives where the image is."""
        left, right = (self.warmth(place, size) for place in self.places)
        now_ms = time.monotonic_ns() / 1e6
        if left is None or right is None:
            return
        side = int(right > left)
        if self.side is not None and side != self.side and side == side_at(now_ms, self.period_ms):
            self.latencies.append(now_ms % self.period_ms)
        self.side = side


def luma(data, first):
    """Brightness of three neighbouring pixels."""
    blue, green, red = (sum(data[first + channel : first + 12 : 4]) for channel in range(3))
    return (29 * blue + 150 * green + 77 * red) / (256 * 3)


def percentile(values, percent):
    """The value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def summary(latencies):
    """What half and nineteen of twenty do not exceed, and the largest; nothing of nothing."""
    if not latencies:
        return {}
    percentiles = {"p50": percentile(latencies, 50), "p95": percentile(latencies, 95), "max": max(latencies)}
    return {name: round(value, 2) for name, value in percentiles.items()}


def report(samples, undecodable, backwards, latencies, ages, seconds):
    """The figures as JSON-ready data."""

    def rounded(value):
        return round(value, 2)

    return {
        "seconds": rounded(seconds),
        "samples": samples,
        "undecodable": undecodable,
        "updates": len(latencies),
        "update_rate_hz": rounded(len(latencies) / seconds),
        "backwards": backwards,
        "latency_ms": summary(latencies) or None,
        "age_ms": {"mean": rounded(sum(ages) / len(ages)), "max": rounded(max(ages))} if ages else None,
    }


def wait_for_window(display, name, seconds):
    """The window, which may still have to open."""
    end = time.monotonic() + seconds
    while True:
        window = display.root if name == "root" else display.find(name)
        if window:
            return window
        if time.monotonic() > end:
            sys.exit(f"live_clock: no window called {name}")
        time.sleep(0.05)


def read(arguments):
    """Watches a window and prints the report."""
    display = Display(arguments.display)
    window = wait_for_window(display, arguments.window, arguments.wait)
    reader = Reader(display, window, arguments.strip)
    samples = undecodable = backwards = 0
    latencies, ages = [], []
    last = None
    heat = HeatReader(display, window, arguments.flip, arguments.places) if arguments.flip else None
    start = due = time.monotonic()
    while time.monotonic() < start + arguments.seconds:
        if samples % 100 == 0 and display.geometry(window) != reader.size:
            reader.measure()
        clock, seen = reader.read()
        samples += 1
        if heat and reader.size:
            heat.read(reader.size)
        age = None if clock is None else (seen - clock) % (1 << CLOCK_BITS)
        if age is None or age > OLDEST_MS:
            undecodable += 1
        else:
            ages.append(age)
            if clock != last:
                # Nobody knows for how long the first one was there already.
                if last is not None:
                    latencies.append(age)
                    backwards += (clock - last) % (1 << CLOCK_BITS) > OLDEST_MS
                last = clock
        due = max(due + arguments.interval / 1e3, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
    seconds = time.monotonic() - start
    figures = report(samples, undecodable, backwards, latencies, ages, seconds)
    if heat:
        figures["map_latency_ms"] = summary(heat.latencies) | {"flips": len(heat.latencies)}
    print(json.dumps(figures))
    if not latencies:
        sys.exit("live_clock: never saw the clock change")


# -- the command line --


def geometry(text):
    """Reads WxH+X+Y; the position may be left out."""
    match = re.fullmatch(r"(\d+)x(\d+)(?:\+(\d+)\+(\d+))?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not WxH+X+Y")
    width, height, left, top = (int(part or 0) for part in match.groups())
    return (width, height), (left, top)


def fractions(text):
    """Reads X,Y,W,H, each from 0 to 1."""
    strip = tuple(float(part) for part in text.split(","))
    if len(strip) != 4 or not all(0 <= part <= 1 for part in strip):
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,W,H, each from 0 to 1")
    return strip


def two_places(text):
    """Reads X,Y,X,Y, each from 0 to 1."""
    numbers = fractions(text)
    return numbers[:2], numbers[2:]


def main():
    """Runs one of the two modes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    modes = parser.add_subparsers(dest="mode", required=True)
    shower = modes.add_parser("show", help="show the clock, an image or both until killed; prints READY")
    shower.add_argument("--geometry", type=geometry, metavar="WxH+X+Y", help="all of the display if left out")
    shower.add_argument("--image", metavar="FILE.ppm", help="shown 1:1 below the clock, or alone")
    shower.add_argument("--no-clock", dest="clock", action="store_false", help="only the image")
    shower.add_argument("--rate", type=float, default=500, help="how often a second the clock moves")
    reader = modes.add_parser("read", help="read the clock in a window and print the figures as JSON")
    reader.add_argument("--window", default="root", metavar="NAME", help="part of a title, or root")
    reader.add_argument("--seconds", type=float, default=10)
    reader.add_argument("--interval", type=float, default=2, metavar="MS", help="between two looks")
    reader.add_argument("--wait", type=float, default=10, metavar="S", help="for the window to open")
    reader.add_argument(
        "--places", type=two_places, metavar="X,Y,X,Y", help="where the heat is when the image is left, right; fractions"
    )
    for mode in (shower, reader):
        mode.add_argument("--display", required=True)
        mode.add_argument("--flip", type=float, metavar="MS", help="the image goes from left to right and back, so often")
        mode.add_argument(
            "--strip",
            type=fractions,
            default=(0, 0, 1, 0.1),
            metavar="X,Y,W,H",
            help="where the clock lies, as fractions of the window (default 0,0,1,0.1)",
        )
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    {"show": show, "read": read}[arguments.mode](arguments)


if __name__ == "__main__":
    main()
