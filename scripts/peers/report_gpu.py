"""Makes a Markdown table of the lines of gpu_bench and gpu_torch.py (JSON, on stdin)."""

import json
import sys
from collections import defaultdict


def main():
    """Reads all lines, prints one table per precision; the exit code is 1 if a check failed."""
    lines = [json.loads(line) for line in sys.stdin if line.startswith("{")]
    checks = [line for line in lines if "check" in line]
    failed = [line for line in checks if not line["passed"]]
    for line in lines:
        if any(key in line for key in ("device", "torch", "error", "unfused", "unrecorded")):
            print(" ".join(f"{key}: {value}" for key, value in line.items()))
    print(f"\nchecks against Keras: {len(checks) - len(failed)} of {len(checks)} passed")
    for line in failed:
        print(f"FAILED: {line['precision']} {line['photo']}: {line['check']} {line['value']}")

    tables = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        if "ms" in line:
            tables[line["precision"]][line["program"]][line["batch"]] = line
    for precision, programs in tables.items():
        batches = sorted({batch for times in programs.values() for batch in times})
        print(f"\n### {precision}: ms per batch (frames/s)\n")
        print("| program | " + " | ".join(str(batch) for batch in batches) + " |")
        print("|---|" + "---|" * len(batches))
        for program, times in programs.items():
            cells = [f"{times[b]['ms']:.2f} ({times[b]['fps']:.0f})" if b in times else "" for b in batches]
            print(f"| {program} | " + " | ".join(cells) + " |")
    raise SystemExit(1 if failed or not checks else 0)


if __name__ == "__main__":
    main()
