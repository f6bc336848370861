"""Does a session still look like the browser that began it? (POLICY 3: changing networks never costs anybody anything)

Facts in, decision out. `access` gathers the facts for each request by cookie, and writes the decision down.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A session and the request that shows its cookie. Countries are ISO codes, empty where nothing is known."""

    family_then: str  # "Firefox", of the browser that signed in
    family_now: str
    countries: tuple[str, ...]  # those it was proved from; none without a GeoIP file
    country_now: str


@dataclass(frozen=True)
class Keep:
    """It goes on as it is."""


@dataclass(frozen=True)
class StepDown:
    """It counts `aal1` and its browser signs in again; `why` is `other_browser` or `new_country`."""

    why: str


def decide(seen: Seen) -> Keep | StepDown:
    """Judge a session by where it is seen. Raises nothing.

    Neither the IP address nor the network counts, the version of the browser or its system neither: phones change the
    first hourly, and the last with a switch. What is not known never counts against anybody.
    """
    if seen.family_now != seen.family_then:
        return StepDown("other_browser")
    if seen.countries and seen.country_now and seen.country_now not in seen.countries:
        return StepDown("new_country")
    return Keep()
