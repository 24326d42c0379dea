"""Runs one program over a clip and prints one JSON object: its own figures, and what the system says of the process.

The program's figures are the last line of its standard output, or a file that it writes (`--stats`). Imports little, because a
process's largest memory counts from what its parent had.

Usage: run_program.py [--stats FILE] NAME OUT.mp4 -- COMMAND...
"""

import argparse
import json
import os
import subprocess
import time


def count_frames(path):
    """Video packets in a file, by ffprobe."""
    command = ["ffprobe", "-v", "error", "-count_packets", "-select_streams", "v:0"]
    command += ["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", path]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().rstrip(","))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stats", help="file that COMMAND writes its figures to")
    parser.add_argument("name")
    parser.add_argument("out")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()

    start = time.perf_counter()
    process = subprocess.Popen(args.command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"run_program: {args.name} exited with {process.returncode}")
    if args.stats:
        with open(args.stats, encoding="utf-8") as file:
            figures = json.load(file)
    else:
        figures = json.loads(output.strip().splitlines()[-1])

    result = {
        "program": args.name,
        "fps": figures["fps"],
        "cpu_ms_per_frame": figures["cpu_ms_per_frame"],
        "frames": count_frames(args.out),
        "start_up_s": wall - figures["wall_s"],
        "whole_cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_rss_mb": usage.ru_maxrss / 1024,
    }
    if result["frames"] != figures["frames_out"]:
        raise SystemExit(f"run_program: {args.name} reports {figures['frames_out']} frames, wrote {result['frames']}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
