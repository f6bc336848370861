"""Situations an e-mail domain can be in, from tests/data/scenarios.json (format: docs/domain-scenarios.md).

The resolver and registry of a test answer what a scenario says; its names are never asked of the Internet.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from authsvc.core.evidence import DomainLists
from authsvc.policy.domain_verdict import Baseline, History, Impact

FILE = Path(__file__).parent / "data" / "scenarios.json"


@dataclass(frozen=True)
class Scenario:
    """One case of the file."""

    id: str
    title: str
    account: dict[str, Any]
    expect: dict[str, Any]
    stored_baseline: dict[str, Any]
    stored_history: dict[str, Any]
    records: list[list[str]]
    behaviour: list[dict[str, Any]]
    rdap: dict[str, Any]
    lists: DomainLists
    tlds_without_rdap: frozenset[str]
    now: datetime

    def __str__(self) -> str:
        return f"{self.id}-{self.title}"

    @property
    def email(self) -> str:
        """The address as typed."""
        return str(self.account["email"])

    def at(self, key: str) -> datetime | None:
        """A time of the account."""
        return _time(self.account[key])

    @property
    def blocked_at(self) -> datetime | None:
        """Since when a block on resets is stored."""
        return _time((self.account["block"] or {}).get("since"))

    @property
    def impact(self) -> Impact:
        """How much hangs on the account."""
        return Impact(self.account["impact"])

    @property
    def baseline(self) -> Baseline:
        """What was seen when the address was verified."""
        seen = self.stored_baseline
        return Baseline(
            mx=frozenset(seen["mx"] or ()),
            ns=frozenset(seen["ns"] or ()),
            registered_at=_time(seen["registration"]),
            expires_at=_time(seen["expiration"]),
            registrar=seen["registrar"] or "",
            handle=seen["handle"] or "",
        )

    @property
    def history(self) -> History:
        """Earlier checks."""
        seen = self.stored_history
        return History(
            consecutive_failures=seen["consecutive_failures"],
            first_failure_at=_time(seen["first_failure_at"]),
            last_healthy_at=_time(seen["last_healthy_at"]),
            last_rdap_ok_at=_time(seen["last_rdap_ok_at"]),
        )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def thresholds() -> dict[str, Any]:
    """The figures that the file's expectations were worked out with."""
    policy: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))["policy"]
    return policy


@cache
def scenarios() -> tuple[Scenario, ...]:
    """Every case of the file, each with the records that all share."""
    file = json.loads(FILE.read_text(encoding="utf-8"))
    common = file["common"]
    return tuple(
        Scenario(
            id=case["id"],
            title=case["title"],
            account=case["account"],
            expect=case["expect"],
            stored_baseline=case["baseline"],
            stored_history=case["history"],
            records=common["records"] + case["dns"]["records"],
            behaviour=case["dns"]["behaviour"],
            rdap=common["rdap"] | case["rdap"],
            tlds_without_rdap=frozenset(file["policy"]["tlds_without_rdap"]),
            lists=DomainLists(
                parking=frozenset(file["policy"]["parking_nameserver_domains"]),
                disposable=frozenset(file["policy"]["disposable_domains"]),
            ),
            now=datetime.fromisoformat(file["now"]),
        )
        for case in file["scenarios"]
    )
