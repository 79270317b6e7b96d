"""What an audit by pip-audit means: `python audit.py EXIT_CODE REPORT ERRORS` prints one verdict.

`clean: ...`, `unreachable: ...` (no advisory source answered for some or all packages), `findings: ...`, or `broken:
...`.
"""

import json
import re
import sys
from pathlib import Path

# How pip-audit, and requests below it, name a source that cannot be reached. Nothing else of its output counts.
_UNREACHABLE = re.compile(
    r"pip_audit\S*(?:ServiceError|ConnectionError)|(?:requests|urllib3)\.exceptions\.\w*(?:Connect|Timeout|MaxRetry)\w*"
    r"|Could not connect to \w+'s vulnerability feed"
)
# pip is what fails where the tool itself cannot be fetched.
_NO_TOOL = "No matching distribution found for pip-audit"
_UNKNOWN = "not found on PyPI and could not be audited"


def verdict(exit_code: int, report: str, errors: str) -> str:
    """Findings come before everything else, whatever else was printed."""
    try:
        packages = json.loads(report)["dependencies"]
    except (LookupError, TypeError, ValueError):
        if exit_code and (found := _UNREACHABLE.search(errors)):
            return f"unreachable: {found[0]}"
        if exit_code and _NO_TOOL in errors:
            return "unreachable: pip-audit itself cannot be installed"
        return f"broken: exit code {exit_code} and no report"
    vulnerable = [
        f"{package['name']} {package['version']} ({', '.join(vuln['id'] for vuln in package['vulns'])})"
        for package in packages
        if package.get("vulns")
    ]
    if vulnerable:
        return f"findings: {'; '.join(vulnerable)}"
    if exit_code or not packages:
        return f"broken: exit code {exit_code}, {len(packages)} packages, no findings"
    skipped = [package["skip_reason"] for package in packages if "skip_reason" in package]
    if strange := [reason for reason in skipped if _UNKNOWN not in reason]:
        return f"broken: {strange[0]}"
    # Some are of no index at all. But where none is known, nothing was looked up.
    if len(skipped) == len(packages):
        return f"unreachable: the advisory source knows none of {len(packages)} packages"
    known = len(packages) - len(skipped)
    return f"clean: {known} packages without findings, {len(skipped)} unknown to the advisory source"


if __name__ == "__main__":
    print(verdict(int(sys.argv[1]), *(Path(path).read_text(errors="replace") for path in sys.argv[2:4])))
