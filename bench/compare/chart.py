"""The comparison as a picture: a group of bars for each operation, by hand and without a plotting library.

Bars go from the speed of Mercurius, to the right where faster and to the left where slower, on a scale of powers of
ten: figures that differ a hundredfold stay to be seen, and a bar is as long for ten times as for a tenth.
The picture brings its own paper, light or dark as the viewer likes it: readable wherever it is shown.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench.compare.operations import OPERATIONS
from bench.compare.parts import WARM
from bench.compare.world import APOLLO, ARIADNE, FIXED, MERCURIUS, MODPLANE, STRAWBERRY

BARS = {
    MODPLANE: ("Modplane", "own"),
    MERCURIUS: ("Mercurius, JIT", "peer"),
    APOLLO: ("Apollo Server", "peer"),
    STRAWBERRY: ("Strawberry, ORM", "peer"),
    ARIADNE: ("Ariadne, asyncpg", "peer"),
    FIXED: ("limit: bare ASGI", "limit"),
}
LEFT, WIDTH, BAR, GAP, TITLE = 150, 560, 16, 5, 30
LEAST, MOST = 0.01, 100.0
SAYS = "Speed against Mercurius JIT, by processor time per request"
STYLE = """<style>
  text { font: 12px system-ui, sans-serif; fill: #1f2937 } .title { font-weight: 600 } .small { fill: #6b7280 }
  .own { fill: #2563eb } .peer { fill: #9ca3af } .limit { fill: #d1d5db } .line { stroke: #e5e7eb }
  .one { stroke: #6b7280; stroke-dasharray: 3 3 } .paper { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e5e7eb } .small { fill: #9ca3af } .own { fill: #60a5fa } .peer { fill: #6b7280 }
    .limit { fill: #4b5563 } .line { stroke: #374151 } .one { stroke: #9ca3af }
    .paper { fill: #111827 }
  }
</style>"""


def draw(cells: Sequence[Mapping[str, Any]]) -> str:
    """The warm cells as SVG; what was not measured has no bar."""
    costs = {(cell["variant"], cell["operation"]): cell["cpu_us"] for cell in cells if cell["part"] == WARM}
    shapes: list[str] = []
    top = 48.0
    for operation in OPERATIONS:
        peer = costs.get((MERCURIUS, operation))
        speeds = (
            {} if peer is None else {name: peer / costs[name, operation] for name in BARS if (name, operation) in costs}
        )
        top = _group(shapes, operation, speeds, top=top)
    grid = [_axis(value, bottom=top) for value in (0.01, 0.1, 1.0, 10.0, 100.0)]
    width, height = LEFT + WIDTH + 70, top + 24
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" width="{width}" height="{height:g}"'
    )
    label = f' role="img" aria-label="{SAYS}">'
    paper = '<path class="paper" d="M0 0H2000V2000H0Z"/>'
    title = f'<text class="title" x="12" y="22">{SAYS}; more is better</text>'
    return "\n".join([head + label, STYLE, paper, title, *grid, *shapes, "</svg>"]) + "\n"


def _group(shapes: list[str], operation: str, speeds: Mapping[str, float], *, top: float) -> float:
    """One operation's bars from `top` down; returns where the next group starts."""
    shapes.append(f'<text class="title" x="12" y="{top + 14:g}">{operation}</text>')
    top += TITLE - 8
    for name, speed in speeds.items():
        says, kind = BARS[name]
        middle, ends = top + BAR - 4, sorted((_place(1), _place(speed)))
        shapes.append(f'<text class="small" x="{LEFT - 8}" y="{middle:g}" text-anchor="end">{says}</text>')
        length = ends[1] - ends[0]
        shapes.append(
            f'<rect class="{kind}" x="{ends[0]:.1f}" y="{top:g}" width="{length:.1f}" height="{BAR}" rx="2"/>'
        )
        shapes.append(f'<text x="{ends[1] + 6:.1f}" y="{middle:g}">{_ratio(speed)}</text>')
        top += BAR + GAP
    return top + 10


def _axis(value: float, *, bottom: float) -> str:
    at, kind = _place(value), "one" if value == 1 else "line"
    line = f'<line class="{kind}" x1="{at:.1f}" y1="40" x2="{at:.1f}" y2="{bottom:g}"/>'
    return f'{line}<text class="small" x="{at:.1f}" y="{bottom + 14:g}" text-anchor="middle">{value:g}x</text>'


def _place(speed: float) -> float:
    """Where a speed is on the scale, in pixels; what is off the scale is at its end."""
    share = math.log(min(max(speed, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + WIDTH * share


def _ratio(speed: float) -> str:
    return f"{speed:.3f}x" if speed < 0.1 else f"{speed:.2f}x"
