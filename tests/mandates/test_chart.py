"""The charts: they say in words what they draw, whatever the names and numbers."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, date, datetime

from authsvc.mandates import chart
from authsvc.mandates.figures import DayFigures, Figures, PhaseFigures

SVG = "{http://www.w3.org/2000/svg}"
PHASE = PhaseFigures(
    phase="top-100",
    strength="any_second_factor",
    enforced_from=None,
    packages=7,
    accounts=10,
    with_two_keys=1,
    with_key=2,
    with_app=3,
    met=6,
    stopped=4,
)
PLAN = Figures(
    as_of=datetime(2026, 11, 24, tzinfo=UTC), phases=(PHASE,), stopped=(), stopped_in_all=0, names_without_account=0
)
DAY = DayFigures(
    day=date(2026, 11, 24), phase="top-100", accounts=10, with_two_keys=0, with_key=0, with_app=1, met=1, stopped=0
)


def drawn(text: str) -> ET.Element:
    """The picture, which is well-formed."""
    return ET.fromstring(text)  # noqa: S314 (our own)


def widths(picture: ET.Element, css: str) -> list[float]:
    """Of the bars of a class, the legend's left out."""
    bars = (float(r.get("width", 0)) for r in picture.iter(f"{SVG}rect") if r.get("class") == css)
    return [width for width in bars if width != 14]


def test_a_chart_has_a_title_and_a_description_that_says_it_all() -> None:
    picture = drawn(chart.cohorts(PLAN))
    assert picture.get("role") == "img"
    assert picture.findtext(f"{SVG}title") == "Second steps by phase"
    assert picture.findtext(f"{SVG}desc") == (
        "top-100: 10 accounts; 1 with two keys or more, 2 with one, 3 with an app, 4 with nothing; 4 would be stopped."
    )


def test_bars_are_as_long_as_their_numbers() -> None:
    picture = drawn(chart.cohorts(replace(PLAN, phases=(PHASE, replace(PHASE, phase="all", accounts=20)))))
    assert [round(w / widths(picture, "two")[0]) for w in widths(picture, "app")] == [3, 3]
    assert [round(w / widths(picture, "two")[0]) for w in widths(picture, "none")] == [4, 14]


def test_a_name_cannot_leave_its_place_in_the_chart() -> None:
    wild = '</text><script>alert("1")</script>'
    picture = drawn(chart.cohorts(replace(PLAN, phases=(replace(PHASE, phase=wild),))))
    assert not list(picture.iter(f"{SVG}script"))
    assert not list(drawn(chart.adoption([replace(DAY, phase=wild)])).iter(f"{SVG}script"))


def test_a_chart_of_nothing_says_so() -> None:
    assert drawn(chart.cohorts(replace(PLAN, phases=()))).findtext(f"{SVG}desc") == "No phase."
    assert drawn(chart.cohorts(replace(PLAN, phases=(replace(PHASE, accounts=0, stopped=0),)))) is not None
    assert drawn(chart.adoption([])).findtext(f"{SVG}desc") == "Nothing was kept yet."
    assert drawn(chart.adoption([replace(DAY, accounts=0)])).findtext(f"{SVG}desc") == "Nobody was covered."


def test_adoption_is_a_line_for_each_phase_from_the_first_day_to_the_last() -> None:
    days = [replace(DAY, day=date(2026, 11, n), met=n % 11) for n in range(1, 11)]
    days += [replace(DAY, day=date(2026, 11, 10), phase="all", met=10)]
    picture = drawn(chart.adoption(days))
    assert picture.findtext(f"{SVG}desc") == "all: 100 % to 100 %. top-100: 10 % to 100 %."
    lines = [line.get("points", "").split() for line in picture.iter(f"{SVG}polyline")]
    assert [len(points) for points in lines] == [2, 10]
    heights = [float(point.split(",")[1]) for point in lines[1]]
    assert heights == sorted(heights, reverse=True)
