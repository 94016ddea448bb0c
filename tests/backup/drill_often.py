"""Drill so often in a row on the demo's data, and say what that shows.

`python -m tests.backup.drill_often --times 59` from the root of the repository, after `make demo`:
starts the demo's stack again, takes three recovery points with orders between them, drills as the
scheduler does (any copy of any tier) and stops the stack. Every tenth drill is of a damaged copy,
which must be found. Ends with 1 when a drill did not pass.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from backup.success import Success

ROOT = Path(__file__).parents[2]
SABOTAGE_EVERY = 10


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the result of the script


def storewatch(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "storewatch.cli.main", *words]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def evidence(*words: str) -> dict[str, Any]:
    """Run a command and return its record."""
    done = storewatch(*words, "--json")
    try:
        record: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"storewatch {' '.join(words)}: {done.stderr.strip()}") from None
    return record


def drill_often(times: int) -> tuple[Success, list[float]]:
    """Drill and print a line each; return what passed and the recovery times."""
    passed, times_s = 0, []
    for number in range(1, times + 1):
        record = evidence("drill", "run", "--scheduled")
        good = record["verdict"] == "PASS"
        passed += good
        values = {one["name"]: one["value"] for one in record["measurements"]}
        say(f"{number:3} {record['subject']:9} {record['verdict']:5} {record['notes'][0]}")
        if good:
            times_s.append(float(values["recovery_time_s"]))
        else:
            say("    " + "; ".join(record["notes"]))
        if number % SABOTAGE_EVERY == 0:
            spoilt = evidence("drill", "sabotage")
            say(f"    sabotage  {spoilt['verdict']:5} {spoilt['notes'][0]}")
            if spoilt["verdict"] != "PASS":
                raise SystemExit("a damaged copy was not found")
    return Success(passed, times), times_s


def main() -> int:
    """Read the command line; return 1 when a drill did not pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=59)
    arguments = parser.parse_args()
    if started := storewatch("up", "--detach").returncode:
        say("the stack does not start; run `make demo` first")
        return started
    try:
        for _ in range(3):
            evidence("load", "run", "checkout", "--profile", "baseline")
            evidence("backup", "run")
        success, times_s = drill_often(arguments.times)
    finally:
        storewatch("down")
    average_s = sum(times_s) / len(times_s) if times_s else 0.0
    say(
        f"{success.passed} of {success.drills} passed: more than {success.at_least:.2%} with 95 %"
        f" confidence; recovery time {average_s:.1f} s on average"
    )
    return int(success.passed < success.drills)


if __name__ == "__main__":
    sys.exit(main())
