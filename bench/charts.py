"""Charts as SVG, drawn here: lines over two logarithmic axes, the names beside the axes, each led to where its line ends."""

from __future__ import annotations

from html import escape
from math import ceil, floor, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 830, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 300, 44, 48
COLOURS = ("#c0392b", "#e08a00", "#7f8c8d", "#1e8449", "#2471a3", "#7d3c98", "#17202a")
_LABEL_HEIGHT = 15


def line_chart(
    title: str,
    x_name: str,
    y_name: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    names: Sequence[str] = (),
) -> str:
    """Return a chart. Points whose value is not positive have no place on it and are left out.

    `names` are those that have the same colour in every chart.
    """
    shown = {name: [(x, y) for x, y in points if x > 0 and y > 0] for name, points in series.items()}
    shown = {name: points for name, points in shown.items() if points}
    xs = sorted({x for points in shown.values() for x, _ in points})
    ys = [y for points in shown.values() for _, y in points]
    low, high = floor(log10(min(ys))), max(ceil(log10(max(ys))), floor(log10(min(ys))) + 1)

    def x_at(x: float) -> float:
        span = log10(xs[-1] / xs[0]) or 1
        return LEFT + (WIDTH - LEFT - RIGHT) * log10(x / xs[0]) / span

    def y_at(y: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (log10(y) - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="15" font-weight="bold">{escape(title)}</text>',
        f'<text x="{LEFT}" y="38" fill="#555555">{escape(y_name)}</text>',
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end" fill="#555555">{escape(x_name)}</text>',
    ]
    for power in range(low, high + 1):
        for step in range(1, 10):
            value = step * 10**power
            if step > 1 and power == high:
                break
            y, colour = y_at(value), "#bbbbbb" if step == 1 else "#eeeeee"
            parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{colour}"/>')
            if step == 1:
                parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    for x in xs:
        parts.append(f'<path d="M{x_at(x):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#dddddd"/>')
        parts.append(f'<text x="{x_at(x):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_number(x)}</text>')
    order = [*names, *(name for name in shown if name not in names)]
    labels = sorted((y_at(points[-1][1]), order.index(name), name) for name, points in shown.items())
    lowest, edge = 0.0, WIDTH - RIGHT
    for y, place, name in labels:
        points, colour = shown[name], COLOURS[place % len(COLOURS)]
        way = "L".join(f"{x_at(px):.1f} {y_at(py):.1f}" for px, py in points)
        parts.append(f'<path d="M{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x_at(px):.1f}" cy="{y_at(py):.1f}" r="3" fill="{colour}"/>' for px, py in points]
        lowest = max(y, lowest + _LABEL_HEIGHT)
        end = f"M{x_at(points[-1][0]):.1f} {y:.1f}L{edge + 8} {lowest:.1f}"
        parts.append(f'<path d="{end}" stroke="{colour}" stroke-dasharray="1 3"/>')
        parts.append(f'<text x="{edge + 11}" y="{lowest + 4:.1f}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
