"""The audit: asks for known weaknesses of every pinned package, and says what it could not ask about.

pip-audit by itself calls a package that its source does not know "not audited" and ends well all the same, so
that a machine without a source of advisories would find everything in order.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def main(words: list[str]) -> int:
    """`words`: the program, and files of pins. 0: none known; 1: there are some; 2: not all was audited."""
    program, *files = words
    pins = [word for file in files for word in ("-r", file)]
    line = [program, "--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off", *pins]
    done = subprocess.run(line, capture_output=True, text=True)
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(f"audit: nothing was audited: {last}", file=sys.stderr)
        return 2
    return told(found)


def told(found: list[dict[str, Any]]) -> int:
    """Say what was found, and the exit status for it."""
    weak = [(one, weakness) for one in found for weakness in one.get("vulns", ())]
    for one, weakness in weak:
        fixed = ", ".join(weakness["fix_versions"]) or "no version yet"
        print(f"{one['name']} {one['version']}: {weakness['id']}, fixed in {fixed}")
    unasked = [one["name"] for one in found if "skip_reason" in one]
    print(
        f"audit: {len(found) - len(unasked)} of {len(found)} packages audited, {len(weak)} known weaknesses"
    )
    if unasked:
        names = "all of them" if len(unasked) == len(found) else ", ".join(unasked)
        print(
            f"audit: the source of advisories knows nothing of {names}; run it where pypi.org can be reached",
            file=sys.stderr,
        )
    return 1 if weak else 2 if unasked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
