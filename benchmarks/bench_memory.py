"""Memory while 100,000 lines go through the readers, the recording embedder and the discarding adapter.

Each size runs in a process of its own; its peak is what the operating system counted. The growth from 20,000 to 100,000
lines is what an ingestion keeps for each line: a digest of the id, by which doubles are found.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path


def run(lines: int) -> dict[str, float]:
    """Ingest that many lines; peak memory in MiB."""
    from nestvec._client import connect
    from nestvec._documents.upsert import Incoming
    from nestvec._readers import ReadDocument, read
    from nestvec.runtime import Runtime
    from nestvec_testing.registry import test_registry

    values = {
        "backends": {"none": {"use": "discarding"}},
        "embedders": {"model": {"use": "recording", "dimensions": 256, "keep": 1}},
        "collections": {"docs": {"fields": {"n": "integer"}}},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.jsonl"
        with path.open("w") as file:
            for i in range(lines):
                text = f"Line {i % 500} says this and that. " * 8
                file.write(json.dumps({"id": f"line-{i}", "text": text, "n": i}) + "\n")
        with connect(values, Runtime(test_registry())) as client:
            client.apply()
            items = (Incoming(item.document, item.line) for item in read([path]) if isinstance(item, ReadDocument))
            report = client["docs"].upsert(items)
    assert report.documents == lines
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"lines": lines, "peak_mib": peak, "seconds": report.seconds}


def main() -> None:
    """Print peaks and growth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", type=int, help="run one size in this process")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(run(options.only)))
        return
    results = []
    for lines in (20_000, 100_000):
        command = [sys.executable, __file__, "--only", str(lines)]
        results.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    grown = results[1]["peak_mib"] - results[0]["peak_mib"]
    per_line = grown * 2**20 / 80_000
    if options.json:
        print(json.dumps({"runs": results, "grown_mib": grown, "bytes_a_line": per_line}))
        return
    for result in results:
        print(f"{result['lines']:>7} lines: peak {result['peak_mib']:.1f} MiB, {result['seconds']:.1f} s")
    print(f"growth: {grown:.1f} MiB, {per_line:.0f} bytes a line")


if __name__ == "__main__":
    main()
