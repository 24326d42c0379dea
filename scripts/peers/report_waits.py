"""What each stage of a run waited for: report_waits.py NAME STATS.json."""

import json
import sys


def main():
    """One line for the run, one per stage."""
    name, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        stats = json.load(file)
    print(f"\n{name}: {stats['frames_out']} frames in {stats['wall_s']:.1f} s, {stats['fps']:.1f} per second, on {stats['device']}\n")
    # The threads of a stage wait at the same time, so that workers can wait for more than the whole run.
    print("| stage | CPU ms per frame | waits, % of the run, all threads of the stage together |\n|---|---|---|")
    for stage, times in stats["stages"].items():
        share = times["wait_ms"] / (stats["wall_s"] * 10)
        print(f"| {stage} | {times['cpu_ms'] / stats['frames_out']:.2f} | {share:.0f} |")


if __name__ == "__main__":
    main()
