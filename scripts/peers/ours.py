"""Runs `gradcam-video bench` and prints its figures for the network alone as measure.py prints a peer's.

Usage: ours.py BINARY [--precision f32|bf16] [--threads N] [--frames N] [--isa candle]
"""

import argparse
import json
import os
import subprocess


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--isa", help="forces this executor (GRADCAM_VIDEO_ISA)")
    args = parser.parse_args()

    command = [args.binary, "bench", "--json", "--precision", args.precision]
    command += ["--threads", str(args.threads), "--frames", str(args.frames)]
    environment = {name: value for name, value in os.environ.items() if name != "GRADCAM_VIDEO_ISA"}
    if args.isa:
        environment["GRADCAM_VIDEO_ISA"] = args.isa
    finished = subprocess.run(command, check=False, env=environment, stdout=subprocess.PIPE, text=True)
    if finished.returncode != 0:
        raise SystemExit(f"ours: {' '.join(command)} exited with {finished.returncode}")
    bench = json.loads(finished.stdout)

    asked = {"precision": args.precision, "threads": args.threads, "frames": args.frames}
    if args.isa:
        asked["isa"] = args.isa
    wrong = {key: bench.get(key) for key, value in asked.items() if bench.get(key) != value}
    if wrong:
        raise SystemExit(f"ours: asked for {asked}, measured with {wrong}")
    result = {
        "program": "stock candle" if args.isa == "candle" else "gradcam-video",
        "precision": args.precision,
        "threads": args.threads,
        "in_flight": args.threads,
        "isa": bench["isa"],
        "cpu_ms_per_frame": bench["model"]["cpu_ms_per_frame"],
        "fps": bench["model"]["fps"],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
