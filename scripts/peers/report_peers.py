"""Turns the measurements of bench_peers.sh (JSON lines, one per program and round) into a Markdown table.

Usage: report_peers.py RUNS.jsonl FRAMES
"""

import json
import statistics
import sys
from collections import defaultdict

from machine import description

OURS = "gradcam-video"
NOTE = """\
ResNet50 alone at 224x224, batch 1, the same weights; every peer's logits were checked against Keras' first. {rounds} rounds of
{frames} frames; in each round every program ran once, in a process of its own, one after the other. *CPU ms per frame* is the CPU time
of all threads: the median over rounds, and the smallest and largest round. *Frames at once*: 1 means that all threads work on one frame,
2 that each of two has a frame of its own. The ratios are ours by theirs in the same precision and number of threads, the median of
each round's: below 1 in CPU and above 1 in fps means that we are faster."""
HEADER = """\
| threads | precision | program | frames at once | CPU ms per frame | smallest to largest | fps | CPU, ours / theirs | fps, ours / theirs |
|---|---|---|---|---|---|---|---|---|"""


def read_groups(path):
    """Runs by configuration (threads, precision, program, frames at once), in the order of the rounds."""
    groups = defaultdict(list)
    with open(path, encoding="utf-8") as file:
        for run in map(json.loads, file):
            groups[run["threads"], run["precision"], run["program"], run["in_flight"]].append(run)
    return groups


def ratio(ours, theirs, key):
    """Median over rounds of ours by theirs."""
    return statistics.median(our[key] / their[key] for our, their in zip(ours, theirs, strict=True))


def row(key, runs, ours):
    threads, precision, program, in_flight = key
    cpu = [run["cpu_ms_per_frame"] for run in runs]
    isa = f" ({runs[0]['isa']})" if program == OURS else ""
    ratios = ["", ""]
    if ours and program != OURS:
        ratios = [f"{ratio(ours, runs, name):.2f}" for name in ("cpu_ms_per_frame", "fps")]
    cells = [threads, precision, program + isa, in_flight, f"{statistics.median(cpu):.1f}"]
    cells += [f"{min(cpu):.1f} to {max(cpu):.1f}", f"{statistics.median(run['fps'] for run in runs):.1f}", *ratios]
    return f"| {' | '.join(map(str, cells))} |"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    groups = read_groups(sys.argv[1])
    rounds = {len(runs) for runs in groups.values()}
    if len(rounds) != 1:
        sys.exit(f"{sys.argv[1]}: programs ran different numbers of rounds: {sorted(rounds)}")
    lines = [*description(), "", NOTE.format(rounds=rounds.pop(), frames=sys.argv[2]), "", HEADER]

    def order(key):
        threads, precision, program, _ = key
        cpu = statistics.median(run["cpu_ms_per_frame"] for run in groups[key])
        return threads, precision != "f32", program != OURS, cpu

    for key in sorted(groups, key=order):
        threads, precision, _, _ = key
        lines.append(row(key, groups[key], groups.get((threads, precision, OURS, threads))))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
