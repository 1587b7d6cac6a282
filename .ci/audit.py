"""Whether anything installed has a known vulnerability, as far as that can be found out from here.

Data come from PyPI through pip-audit. Where they cannot be had, which is no fault of ours, that is said and the run
goes on; a vulnerability that is found fails it, unless it is accepted below with a reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

#: Identifiers of vulnerabilities that do not concern us, each with the reason why.
ACCEPTED: dict[str, str] = {}
SECONDS = 60


def main() -> int:
    """Print what was found; returns the exit status."""
    found = audited()
    if found is None:
        return 0
    unknown = [each["name"] for each in found if "skip_reason" in each]
    known = [each for each in found if "skip_reason" not in each]
    for each in known:
        for vulnerability in each["vulns"]:
            print(described(each, vulnerability))
    print(f"pip-audit: {len(known)} distributions were looked up")
    if unknown:
        print(f"NOT AUDITED: {len(unknown)} distributions, of which no data could be had: {', '.join(unknown)}")
    return int(any(reason(one) is None for each in known for one in each["vulns"]))


def audited() -> list[dict[str, Any]] | None:
    """What pip-audit says of each distribution; None where it could not ask."""
    command = [sys.executable, "-m", "pip_audit", "--skip-editable", "--progress-spinner", "off", "--format", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        print(f"NOT AUDITED: there was no answer within {SECONDS} seconds")
        return None
    if not done.stdout.strip():
        print(f"NOT AUDITED: pip-audit could not ask for vulnerabilities:\n{done.stderr.strip()[-600:]}")
        return None
    result: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    return result


def reason(vulnerability: dict[str, Any]) -> str | None:
    """Why it is accepted, under whichever of its names; None: it is not."""
    names = [vulnerability["id"], *vulnerability.get("aliases", ())]
    return next((ACCEPTED[name] for name in names if name in ACCEPTED), None)


def described(distribution: dict[str, Any], vulnerability: dict[str, Any]) -> str:
    """One line: what is affected, by what, and what helps."""
    accepted = reason(vulnerability)
    fixed = ", ".join(vulnerability.get("fix_versions", ())) or "no version yet"
    verdict = f"accepted: {accepted}" if accepted else f"VULNERABLE: fixed in {fixed}"
    return f"{distribution['name']} {distribution['version']}: {vulnerability['id']}: {verdict}"


if __name__ == "__main__":
    sys.exit(main())
