"""What `import nestvec` costs, as a share of importing numpy: fresh processes, interleaved, medians."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

PROGRAM = "import time; s = time.perf_counter(); import {}; print(time.perf_counter() - s)"


def seconds(module: str) -> float:
    """Seconds that the import takes in a process of its own."""
    output = subprocess.run([sys.executable, "-c", PROGRAM.format(module)], capture_output=True, text=True, check=True)
    return float(output.stdout)


def main() -> None:
    """Print both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pairs = [(seconds("nestvec"), seconds("numpy")) for _ in range(options.rounds)]
    ours, numpy = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    result = {"nestvec_ms": round(ours * 1e3, 2), "numpy_ms": round(numpy * 1e3, 2), "ratio": round(ratio, 3)}
    print(
        json.dumps(result)
        if options.json
        else f"import nestvec {result['nestvec_ms']} ms, "
        f"numpy {result['numpy_ms']} ms, ratio {result['ratio']} (wanted: under 0.2)"
    )


if __name__ == "__main__":
    main()
