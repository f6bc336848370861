"""What the service defends against, as `/threats` shows it: attack, defence, and where the defence is tested."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Threat:
    """One way accounts were taken elsewhere, and what stands in its way here."""

    title: str
    attack: str
    defence: str
    tested_in: str | None = None
    figure: str | None = None


THREATS: list[Threat] = []
