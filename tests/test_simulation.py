"""The attack simulation still fits the application: it replaces the hash, clocks and waits in the queue."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_town_of_fifty_accounts_is_attacked_at_all_three_doors() -> None:
    # Given the benchmark at the smallest size that still means something
    command = [
        sys.executable,
        str(ROOT / "benchmarks/attack_simulation.py"),
        "--scale",
        "0.005",
        "--jobs",
        "1",
        "--json",
    ]
    # When its owners sign in and somebody guesses from one network
    ran = subprocess.run(
        [*command, "--only", "guessing, 1 network"], capture_output=True, check=True, cwd=ROOT, text=True
    )
    rows = {row["door"]: row for row in json.loads(ran.stdout)["rows"] if row["scenario"] == "guessing, 1 network"}
    # Then every door was tried as often, and every owner got in at ours
    assert set(rows) == {"authsvc", "lock-out", "per IP"}
    assert {row["tries"] for row in rows.values()} == {rows["authsvc"]["planned"]}
    assert rows["authsvc"]["honest"] > 0
    assert rows["authsvc"]["shut_out"] == 0
