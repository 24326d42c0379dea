"""Turns the measurements of bench_programs.sh (JSON lines, one per program and round) into a Markdown table.

Usage: report_programs.py RUNS.jsonl CLIP
"""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

from machine import description
from run_program import count_frames

OURS = "gradcam-video"
NOTE = """\
Whole programs from file to file: decode, explain every frame, draw, encode, on `{clip}` ({frames} frames), two cores, the same weights.
{rounds} rounds; in each every program ran once, one after the other; medians, and in brackets the smallest and largest. fps and CPU time
(user and system, all threads) leave loading out: they begin with the first decoded frame, which is explained once before as a warm-up,
and end with the closed file; ours are those of `--stats`. *Start* is the rest of the process's wall time: loading, checks of the logits, warm-up.
The ratios are ours by theirs in the same precision (f32 unless named), the median of each round's: below 1 in CPU and above 1 in
fps means that we are faster.
We write H.264 and copy audio; OpenCV writes MPEG-4 part 2, which costs less CPU time, and loses audio."""
HEADER = """\
| program | fps | CPU ms per frame | peak MB | frames | start, s | CPU, ours / theirs | fps, ours / theirs |
|---|---|---|---|---|---|---|---|"""


def spread(runs, key, digits=1):
    """Median, smallest and largest."""
    values = [run[key] for run in runs]
    median, least, most = (f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return f"{median} ({least} to {most})"


def row(name, runs, ours):
    ratios = [
        f"{statistics.median(our[key] / their[key] for our, their in zip(ours, runs, strict=True)):.2f}"
        if ours and not name.startswith(OURS)
        else ""
        for key in ("cpu_ms_per_frame", "fps")
    ]
    peak = f"{statistics.median(run['peak_rss_mb'] for run in runs):.0f}"
    start = f"{statistics.median(run['start_up_s'] for run in runs):.1f}"
    frames = "/".join(str(count) for count in sorted({run["frames"] for run in runs}))
    cells = [name, spread(runs, "fps"), spread(runs, "cpu_ms_per_frame"), peak, frames, start, *ratios]
    return f"| {' | '.join(cells)} |"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    runs_path, clip = sys.argv[1:]
    groups = defaultdict(list)
    with open(runs_path, encoding="utf-8") as file:
        for run in map(json.loads, file):
            groups[run["program"]].append(run)
    rounds = {len(runs) for runs in groups.values()}
    if len(rounds) != 1:
        sys.exit(f"{runs_path}: programs ran different numbers of rounds: {sorted(rounds)}")

    note = NOTE.format(clip=Path(clip).name, frames=count_frames(clip), rounds=rounds.pop())
    lines = [*description(), "", note, "", HEADER]
    by_fps = sorted(groups, key=lambda name: statistics.median(run["fps"] for run in groups[name]))
    for name in by_fps:
        precision = "bf16" if "bf16" in name else "f32"
        lines.append(row(name, groups[name], groups.get(f"{OURS} {precision}")))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
