"""The part that all Python programs share: OpenCV reads a video, a function explains each frame, OpenCV writes a video."""

import argparse
import json
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import cv2
import numpy as np

from common import INPUT_SIZE, cpu_seconds, network_input

ALPHA = 0.4


def arguments(doc):
    """A parser for what each program takes."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip")
    parser.add_argument("out", metavar="OUT.mp4")
    parser.add_argument("--threads", type=int, default=2)
    return parser


def input_of(frame):
    """A BGR frame as the network's input, resized bilinearly."""
    return network_input(cv2.resize(frame, (INPUT_SIZE, INPUT_SIZE))[..., ::-1])


def overlay(frame, heat):
    """Blends a map in [0, 1] of any size over a BGR frame in jet colours."""
    height, width = frame.shape[:2]
    heat = cv2.resize(np.uint8(255 * heat), (width, height))
    return cv2.addWeighted(cv2.applyColorMap(heat, cv2.COLORMAP_JET), ALPHA, frame, 1 - ALPHA, 0)


def write_label(frame, label, probability):
    """Writes the class and its probability into the frame's corner."""
    text = f"{label} {100 * probability:.1f} %"
    cv2.putText(frame, text, (20, 40), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 2, cv2.LINE_AA)
    return frame


def read(capture):
    """The frames of an open capture."""
    while True:
        is_frame, frame = capture.read()
        if not is_frame:
            return
        yield frame


def in_order(compute, frames, in_flight):
    """Pairs of frame and `compute(frame)`; up to `in_flight` frames are computed at once on threads of their own."""
    if in_flight == 1:
        for frame in frames:
            yield frame, compute(frame)
        return
    with ThreadPoolExecutor(in_flight) as pool:
        pending = deque()
        for frame in frames:
            pending.append((frame, pool.submit(compute, frame)))
            if len(pending) > in_flight:
                first, result = pending.popleft()
                yield first, result.result()
        for first, result in pending:
            yield first, result.result()


def transcode(args, compute, draw, in_flight=1):
    """Explains a clip: `draw(frame, compute(frame))` is written for each frame. Prints the result as JSON.

    What is timed begins with the first decoded frame and ends with the closed file. The first frame is explained once before
    that, so that lazy initialisation does not count against a program.
    """
    cv2.setNumThreads(args.threads)
    capture = cv2.VideoCapture(args.clip)
    is_frame, first = capture.read()
    if not is_frame:
        raise SystemExit(f"{args.clip}: no frame can be read")
    draw(first, compute(first))

    cpu_start, wall_start = cpu_seconds(), time.perf_counter()
    height, width = first.shape[:2]
    fourcc = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(args.out, fourcc, capture.get(cv2.CAP_PROP_FPS), (width, height))
    if not writer.isOpened():
        raise SystemExit(f"{args.out}: cannot be written")

    count = 0
    for frame, explanation in in_order(compute, chain([first], read(capture)), in_flight):
        writer.write(draw(frame, explanation))
        count += 1
    writer.release()
    wall, cpu = time.perf_counter() - wall_start, cpu_seconds() - cpu_start
    print(
        json.dumps({"wall_s": wall, "fps": count / wall, "cpu_ms_per_frame": 1000 * cpu / count, "frames_out": count})
    )
