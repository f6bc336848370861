"""What the staff console takes of mandates: the trend as a picture for a page."""

from collections.abc import Sequence

from authsvc.mandates import chart
from authsvc.mandates.figures import DayFigures


def trend(days: Sequence[DayFigures]) -> str:
    """The adoption over time as SVG for a page: with the page's own style, as a page refuses one that is inside."""
    drawn = chart.adoption(days).replace(f"  <style>{chart.STYLE}  </style>\n", "")
    return drawn.replace("chart-title", "trend-title").replace("chart-description", "trend-description")
