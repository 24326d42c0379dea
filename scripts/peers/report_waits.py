"""What each stage of a run waited for: report_waits.py NAME STATS.json."""

import json
import sys


def main():
    """One line for the run, one per stage."""
    name, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        stats = json.load(file)
    print(f"\n{name}: {stats['frames_out']} frames in {stats['wall_s']:.1f} s, {stats['fps']:.1f} per second, on {stats['device']}\n")
    print("| stage | CPU ms | waits ms |\n|---|---|---|")
    for stage, times in stats["stages"].items():
        print(f"| {stage} | {times['cpu_ms']:.0f} | {times['wait_ms']:.0f} |")


if __name__ == "__main__":
    main()
