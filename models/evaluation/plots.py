"""Small charts as SVG text: lines and bars on plain axes, nothing to install."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 30, 44
LABEL_WIDTH: Final = 250
COLOURS: Final = ("#0b6e4f", "#c8553d", "#3d5a80", "#8d6a9f", "#7a7a7a")

Points = Sequence[tuple[float, float]]


def lines(
    title: str, x_label: str, y_label: str, series: dict[str, Points], *, diagonal: bool = False
) -> str:
    """A line for each series. Axes begin at 0; `diagonal` draws y = x for comparison."""
    x_max = max((x for points in series.values() for x, _ in points), default=1.0) or 1.0
    y_max = max((y for points in series.values() for _, y in points), default=1.0) or 1.0
    if diagonal:
        x_max = y_max = max(x_max, y_max)
    drawn = [_axes(title, x_label, y_label, x_max, y_max)]
    if diagonal:
        drawn.append(_path([(0, 0), (x_max, y_max)], x_max, y_max, "#bbb", dashed=True))
    for index, (name, points) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        drawn.append(_path(points, x_max, y_max, colour))
        drawn.append(_text(WIDTH - RIGHT, TOP + 14 + 14 * index, name, anchor="end", fill=colour))
    return _document(drawn)


def bars(title: str, x_label: str, values: Sequence[tuple[str, float]]) -> str:
    """Horizontal bars with their names, in the order given."""
    biggest = max((value for _, value in values), default=1.0) or 1.0
    height = TOP + 20 * len(values) + 24
    drawn = [_title(title)]
    for index, (name, value) in enumerate(values):
        y = TOP + 20 * index
        length = (WIDTH - LABEL_WIDTH - 70) * value / biggest
        drawn.append(_text(LABEL_WIDTH - 6, y + 13, name, anchor="end"))
        drawn.append(
            f'<rect x="{LABEL_WIDTH}" y="{y + 2}" width="{length:.1f}" height="14" fill="{COLOURS[0]}"/>'
        )
        drawn.append(_text(LABEL_WIDTH + length + 4, y + 13, f"{value:.3g}"))
    drawn.append(_text(LABEL_WIDTH, height - 6, x_label))
    return _document(drawn, height)


def _document(parts: Sequence[str], height: int = HEIGHT) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="11">'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>{"".join(parts)}</svg>'
    )


def _title(text: str) -> str:
    return f'<text x="10" y="18" font-weight="bold">{escape(text)}</text>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", fill: str = "black") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{escape(text)}</text>'


def _at(x: float, y: float, x_max: float, y_max: float) -> tuple[float, float]:
    across = (WIDTH - LEFT - RIGHT) * x / x_max
    up = (HEIGHT - TOP - BOTTOM) * y / y_max
    return LEFT + across, HEIGHT - BOTTOM - up


def _path(points: Points, x_max: float, y_max: float, colour: str, *, dashed: bool = False) -> str:
    places = " ".join("{:.1f},{:.1f}".format(*_at(x, y, x_max, y_max)) for x, y in points)
    dash = ' stroke-dasharray="4 4"' if dashed else ""
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.8"{dash}/>'


def _axes(title: str, x_label: str, y_label: str, x_max: float, y_max: float) -> str:
    drawn = [_title(title)]
    for quarter in range(5):
        share = quarter / 4
        x, y = _at(share * x_max, 0, x_max, y_max)
        drawn.append(_text(x, y + 14, f"{share * x_max:.3g}", anchor="middle"))
        x, y = _at(0, share * y_max, x_max, y_max)
        drawn.append(_text(x - 4, y + 4, f"{share * y_max:.2g}", anchor="end"))
        drawn.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eee"/>')
    drawn.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_label, anchor="middle"))
    turned = f'transform="translate(14 {HEIGHT / 2}) rotate(-90)"'
    drawn.append(f'<text {turned} text-anchor="middle">{escape(y_label)}</text>')
    return "".join(drawn)
