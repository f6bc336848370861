"""Two charts as SVG: the cohorts of a plan, and adoption over time. Text stays text; title and description say it all.

Readable in light and dark, and without colours: every bar and line carries its words.
"""

from collections.abc import Sequence
from datetime import date
from html import escape

from authsvc.mandates.figures import DayFigures, Figures, PhaseFigures

STYLE = """
  svg { background: #fff; color: #1b1f24; font: 14px system-ui, sans-serif }
  text { fill: currentColor } .muted { fill: #57606a } .heading { font-weight: 600; font-size: 16px }
  .two { fill: #0b5a3c } .key { fill: #1a7f5a } .app { fill: #6aa9d8 }
  .none { fill: #d9dee3 } .stopped { fill: #b42318 }
  .grid { stroke: #d9dee3 } .line { fill: none; stroke-width: 2.5 }
  .s0 { stroke: #0b5a3c } .s1 { stroke: #1f6fb2 } .s2 { stroke: #9a5b00 }
  .s3 { stroke: #8a3ffc } .s4 { stroke: #57606a }
  @media (prefers-color-scheme: dark) {
    svg { background: #14181d; color: #e6e9ec } .muted { fill: #a5adb6 }
    .two { fill: #4cc38a } .key { fill: #2e8f66 } .app { fill: #3f7fae }
    .none { fill: #39414a } .stopped { fill: #f0685c }
    .grid { stroke: #39414a }
    .s0 { stroke: #4cc38a } .s1 { stroke: #6cb6ff } .s2 { stroke: #e3a949 }
    .s3 { stroke: #be95ff } .s4 { stroke: #a5adb6 }
  }
"""
WIDTH, LEFT, RIGHT = 760, 140, 24
BAR, STEP, TOP = 24, 80, 92
PARTS = (
    ("two", "with_two_keys", "two keys"),
    ("key", "with_key", "one key"),
    ("app", "with_app", "app"),
    ("none", "", "nothing yet"),
)


def cohorts(found: Figures) -> str:
    """A bar for each phase: what its accounts have, and how many would be stopped."""
    widest = max((phase.accounts for phase in found.phases), default=0) or 1
    body = [_text(16, 30, "Second steps by phase", "heading"), _text(16, 50, f"as of {_date(found.as_of)}", "muted")]
    x = LEFT
    for css, _, words in PARTS:
        body += [f'<rect class="{css}" x="{x}" y="62" width="14" height="14" rx="3"/>', _text(x + 20, 74, words)]
        x += 36 + 8 * len(words)
    for n, phase in enumerate(found.phases):
        body += _bar(phase, TOP + n * STEP, widest)
    said = " ".join(_sentence(phase) for phase in found.phases) or "No phase."
    return _svg(TOP + len(found.phases) * STEP + 8, "Second steps by phase", said, body)


def _bar(phase: PhaseFigures, y: int, widest: int) -> list[str]:
    numbers = _numbers(phase)
    parts, x = [_text(16, y + 17, phase.phase)], float(LEFT)
    for (css, _, _), number in zip(PARTS, numbers, strict=True):
        width = number / widest * (WIDTH - LEFT - RIGHT)
        if number:
            parts.append(f'<rect class="{css}" x="{x:.1f}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}"/>')
        x += width
    words = ", ".join(f"{number:,} {name}" for (_, _, name), number in zip(PARTS, numbers, strict=True) if number)
    below = f"{phase.accounts:,} accounts" + (f": {words}" if words else "")
    parts.append(_text(LEFT, y + BAR + 17, below, "muted"))
    if phase.stopped:
        at = LEFT + (phase.accounts - phase.stopped) / widest * (WIDTH - LEFT - RIGHT)
        wide = max(phase.stopped / widest * (WIDTH - LEFT - RIGHT), 2)
        parts.append(f'<rect class="stopped" x="{at:.1f}" y="{y + BAR - 4}" width="{wide:.1f}" height="4"/>')
        parts.append(_text(LEFT, y + BAR + 35, f"{phase.stopped:,} would be stopped", "stopped"))
    return parts


def _numbers(phase: PhaseFigures) -> list[int]:
    have = [phase.with_two_keys, phase.with_key, phase.with_app]
    return [*have, phase.accounts - sum(have)]


def _sentence(phase: PhaseFigures) -> str:
    two, one, app, nothing = _numbers(phase)
    return (
        f"{phase.phase}: {phase.accounts:,} accounts; {two:,} with two keys or more, {one:,} with one, {app:,} with an "
        f"app, {nothing:,} with nothing; {phase.stopped:,} would be stopped."
    )


def adoption(days: Sequence[DayFigures]) -> str:
    """A line for each phase: the share of its accounts that comply, by day."""
    title, low, high, width = "Accounts that comply, by day", 300, 72, WIDTH - 64 - 150
    body = [_text(16, 30, title, "heading")]
    for per_cent in (0, 25, 50, 75, 100):
        y = low - per_cent / 100 * (low - high)
        body.append(f'<line class="grid" x1="64" x2="{64 + width}" y1="{y:.1f}" y2="{y:.1f}"/>')
        body.append(f'<text class="muted" x="56" y="{y + 5:.1f}" text-anchor="end">{per_cent} %</text>')
    if not days:
        return _svg(340, title, "Nothing was kept yet.", [*body, _text(64, 190, "Nothing was kept yet.")])
    first, last = min(row.day for row in days), max(row.day for row in days)
    span = max((last - first).days, 1)
    body.append(_text(64, low + 24, _date(first), "muted"))
    if last != first:
        end = _date(last)
        body.append(f'<text class="muted" x="{64 + width}" y="{low + 24}" text-anchor="end">{end}</text>')
    said, labels = [], []
    for n, name in enumerate(sorted({row.phase for row in days if row.accounts})):
        rows = [row for row in days if row.phase == name and row.accounts]
        points = [
            (64 + (row.day - first).days / span * width, low - row.met / row.accounts * (low - high)) for row in rows
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points + points[:1] * (len(points) == 1))
        body.append(f'<polyline class="line s{n % 5}" points="{line}"/>')
        now = f"{100 * rows[-1].met // rows[-1].accounts} %"
        labels.append((points[-1][1], points[-1][0], f"{name} {now}"))
        said.append(f"{name}: {100 * rows[0].met // rows[0].accounts} % to {now}.")
    lowest = 0.0
    for y, x, words in sorted(labels):  # one below the other, where lines end close together
        lowest = max(y + 5, lowest + 18)
        body.append(f'<text x="{x + 8:.1f}" y="{lowest:.1f}">{escape(words)}</text>')
    return _svg(340, title, " ".join(said) or "Nobody was covered.", body)


def _date(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _text(x: float, y: float, words: str, css: str = "") -> str:
    marked = f' class="{css}"' if css else ""
    return f'<text{marked} x="{x}" y="{y}">{escape(words)}</text>'


def _svg(height: int, title: str, description: str, body: Sequence[str]) -> str:
    lines = "\n".join(f"  {line}" for line in body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-labelledby="chart-title chart-description">\n  <title id="chart-title">{escape(title)}</title>\n'
        f'  <desc id="chart-description">{escape(description)}</desc>\n  <style>{STYLE}  </style>\n{lines}\n</svg>\n'
    )
