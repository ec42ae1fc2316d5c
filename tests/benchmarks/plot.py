"""A plain SVG of three panels: speed and peak memory by the number of rows, and memory over one import."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tests.benchmarks.cases import Record

_COLOURS = ("#888888", "#1f77b4", "#2ca02c", "#d62728", "#9467bd", "#8c564b")
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 440, 300, 62, 34, 44, 34


@dataclass(frozen=True)
class Line:
    """One curve."""

    name: str
    points: Sequence[tuple[float, float]]


def drawing(records: Sequence[Record]) -> str:
    """Return the whole picture. Only imports at zero latency with batches of 100 are drawn."""
    imports = [one for one in records if one.section == "import" and one.batch == 100]
    names = list(dict.fromkeys(one.what for one in imports))
    most = max((one.rows for one in imports), default=0)
    speed = [Line(name, _by_rows(imports, name, "rows_per_second")) for name in names]
    memory = [Line(name, _by_rows(imports, name, "command_mb")) for name in names]
    course = [Line(one.what, one.memory) for one in imports if one.rows == most and one.round == 0]
    panels = [
        _panel(speed, "rows a second, by rows", logarithmic=True),
        _panel(memory, "peak MB of the command, by rows", logarithmic=True),
        _panel(course, f"MB of the command over {most:,} rows, by seconds", logarithmic=False),
    ]
    legend = "".join(
        f'<text x="{20 + at * 250}" y="{_HEIGHT + 22}" fill="{_colour(at)}">\u25cf {escape(name)}</text>'
        for at, name in enumerate(names)
    )
    moved = "".join(f'<g transform="translate({at * _WIDTH},0)">{one}</g>' for at, one in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{3 * _WIDTH}" height="{_HEIGHT + 36}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f"{moved}{legend}</svg>\n"
    )


def _by_rows(records: Sequence[Record], name: str, what: str) -> list[tuple[float, float]]:
    """Return a curve's points: the best round of each size."""
    found: dict[int, list[float]] = {}
    for one in records:
        if one.what == name and (value := getattr(one, what)) is not None:
            found.setdefault(one.rows, []).append(value)
    return [(float(rows), max(values)) for rows, values in sorted(found.items())]


def _panel(lines: Sequence[Line], title: str, *, logarithmic: bool) -> str:
    """Return one diagram; ``logarithmic``: its horizontal axis."""
    xs = [x for line in lines for x, _ in line.points] or [1.0]
    top = _round_up(max([y for line in lines for _, y in line.points] or [1.0]))
    low, high = (min(xs), max(xs)) if logarithmic else (0.0, max(xs))

    def across(x: float) -> float:
        share = math.log(x / low) / (math.log(high / low) or 1) if logarithmic else x / high
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def up(y: float) -> float:
        return _HEIGHT - _BOTTOM - y / top * (_HEIGHT - _TOP - _BOTTOM)

    parts = [f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(title)}</text>']
    for tick in (0, top / 4, top / 2, top * 3 / 4, top):
        parts.append(f'<path d="M{_LEFT} {up(tick):.1f}H{_WIDTH - _RIGHT}" stroke="#dddddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{up(tick) + 4:.1f}" text-anchor="end">{tick:,.0f}</text>')
    for x in sorted(set(xs)) if logarithmic else (0.0, high / 2, high):
        label = f"{x:,.0f}" if logarithmic else f"{x:.3g}"
        at = _HEIGHT - _BOTTOM + 18
        parts.append(f'<text x="{across(x):.1f}" y="{at}" text-anchor="middle">{label}</text>')
    for number, line in enumerate(lines):
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line.points)
        look = f'fill="none" stroke="{_colour(number)}" stroke-width="2"'
        parts.append(f'<polyline points="{path}" {look}/>')
        if logarithmic:
            parts += [
                f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{_colour(number)}"/>'
                for x, y in line.points
            ]
    return "".join(parts)


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 4, 5 or 10 times a power of ten, so that the ticks are round."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * power for step in (1, 2, 4, 5, 10) if step * power >= value)


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]
