"""Measures one engine in this process and prints one JSON object: CPU milliseconds per frame, frames per second.

Usage: measure.py ENGINE MODEL.onnx [--precision f32|bf16] [--threads N] [--in-flight N] [--frames N] [--program NAME]
"""

import argparse
import itertools
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from common import check_logits, golden_inputs
from engines import ENGINES

WARM_UP_FRAMES = 3


def measure_one_by_one(infer, inputs, frames):
    """Median over frames of CPU time (all threads) and of wall time."""
    cpu, wall = [], []
    for x in itertools.islice(inputs, frames):
        cpu_start, wall_start = time.process_time(), time.perf_counter()
        infer(x)
        cpu.append(time.process_time() - cpu_start)
        wall.append(time.perf_counter() - wall_start)
    return statistics.median(cpu), 1 / statistics.median(wall)


def measure_in_flight(infer, inputs, frames, in_flight):
    """Mean CPU time per frame and throughput with several frames at once, where no frame has a time of its own.

    The number of frames is rounded up to a multiple of `in_flight`, so that none runs alone.
    """
    frames += -frames % in_flight
    with ThreadPoolExecutor(in_flight) as pool:
        list(pool.map(infer, itertools.islice(inputs, WARM_UP_FRAMES * in_flight)))
        cpu_start, wall_start = time.process_time(), time.perf_counter()
        list(pool.map(infer, itertools.islice(inputs, frames)))
        cpu, wall = time.process_time() - cpu_start, time.perf_counter() - wall_start
    return cpu / frames, frames / wall


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("model")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--in-flight", type=int, default=1, help="frames at once, a divisor of --threads")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--program", help="name in the result (default: ENGINE)")
    args = parser.parse_args()
    if min(args.threads, args.in_flight, args.frames) < 1 or args.threads % args.in_flight:
        parser.error("--threads, --in-flight, --frames are at least 1, and --in-flight divides --threads")

    infer = ENGINES[args.engine](args.model, args.precision, args.threads, args.in_flight)
    difference = check_logits(args.engine, lambda x: infer(x)[0], args.precision)
    inputs = itertools.cycle(golden_inputs())
    if args.in_flight > 1:
        cpu, fps = measure_in_flight(infer, inputs, args.frames, args.in_flight)
    else:
        for x in itertools.islice(inputs, WARM_UP_FRAMES):
            infer(x)
        cpu, fps = measure_one_by_one(infer, inputs, args.frames)
    result = {
        "program": args.program or args.engine,
        "precision": args.precision,
        "threads": args.threads,
        "in_flight": args.in_flight,
        "cpu_ms_per_frame": cpu * 1000,
        "fps": fps,
        "largest_logit_difference": difference,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
