#!/usr/bin/python3
"""Serves live pictures at rtsp://127.0.0.1:PORT/live (JPEG over RTP) and prints READY once it accepts connections.

SIGUSR1 stops the frames and leaves the connections open, SIGUSR2 lets them go on. Debian's python3-gi and
gir1.2-gst-rtsp-server-1.0 bring all it needs; they belong to the system's Python, not to a virtual environment.
"""

import argparse
import signal
import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402


def pipeline(arguments):
    """Describes the source in GStreamer's own notation, paced by the clock as a camera is."""
    width, height = arguments.size
    if arguments.image:
        pictures = f'filesrc location="{arguments.image}" ! jpegdec ! imagefreeze is-live=true'
    else:
        pictures = "videotestsrc is-live=true pattern=ball"
    return (
        f"( {pictures} ! videoconvert ! videoscale"
        f" ! video/x-raw,format=I420,width={width},height={height},framerate={arguments.fps}/1"
        " ! valve name=tap ! jpegenc quality=85 ! rtpjpegpay name=pay0 pt=26 )"
    )


class Server:
    """GStreamer's server with one picture source for all clients and a tap before the encoder."""

    def __init__(self, arguments):
        self.is_stalled = False
        self.tap = None
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(pipeline(arguments))
        factory.set_shared(True)
        # UDP would need free ports; all tests want the one connection that can break.
        factory.set_protocols(GstRtsp.RTSPLowerTrans.TCP)
        factory.connect("media-configure", self.take_tap)
        # Port reuse after a kill is the server's own default.
        self.server = GstRtspServer.RTSPServer(address="127.0.0.1", service=str(arguments.port))
        self.server.get_mount_points().add_factory("/live", factory)

    def start(self):
        """Listens; tells whether it could."""
        return self.server.attach(None) != 0

    def take_tap(self, _factory, media):
        """Keeps the tap of a source that is being built, closed if the stream is stalled."""
        self.tap = media.get_element().get_by_name("tap")
        self.apply()

    def set_stalled(self, is_stalled):
        """Stops the frames or lets them go on."""
        self.is_stalled = is_stalled
        self.apply()
        return GLib.SOURCE_CONTINUE

    def apply(self):
        if self.tap:
            self.tap.set_property("drop", self.is_stalled)


def size(text):
    """Reads WIDTHxHEIGHT."""
    width, height = (int(part) for part in text.split("x"))
    return width, height


def main():
    """Serves until a signal ends it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--size", type=size, default=(640, 480), metavar="WxH")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--image", type=Path, metavar="FILE.jpg", help="repeat this picture")
    arguments = parser.parse_args()
    if arguments.image and not arguments.image.is_file():
        parser.error(f"no such file: {arguments.image}")

    Gst.init(None)
    server = Server(arguments)
    if not server.start():
        sys.exit(f"rtsp_server: cannot listen on port {arguments.port}")
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGUSR1, server.set_stalled, True)
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGUSR2, server.set_stalled, False)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print("READY", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
