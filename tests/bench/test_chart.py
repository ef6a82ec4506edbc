"""The picture: well-formed, a bar for everything measured, and longer where it is faster."""

from typing import Any
from xml.etree import ElementTree

import pytest

from bench.compare.chart import LEFT, WIDTH, draw
from bench.compare.operations import LIST, NESTED
from bench.compare.parts import COLD, WARM
from bench.compare.world import FIXED, MERCURIUS, MODPLANE, STRAWBERRY

SVG = "{http://www.w3.org/2000/svg}"


def cell(variant: str, cpu_us: float, *, operation: str = LIST, part: str = WARM) -> dict[str, Any]:
    return {"part": part, "variant": variant, "operation": operation, "cpu_us": cpu_us}


def bars(svg: str) -> list[float]:
    return [float(each.attrib["width"]) for each in ElementTree.fromstring(svg).iter(f"{SVG}rect")]


def test_faster_goes_to_the_right_and_slower_to_the_left() -> None:
    svg = ElementTree.fromstring(draw([cell(MERCURIUS, 100), cell(MODPLANE, 10), cell(STRAWBERRY, 1000)]))
    begins = [float(each.attrib["x"]) for each in svg.iter(f"{SVG}rect")]
    assert begins == pytest.approx([LEFT + WIDTH * 0.5, LEFT + WIDTH * 0.5, LEFT + WIDTH * 0.25], abs=0.1)


def test_bars_stand_on_a_scale_of_powers_of_ten() -> None:
    svg = draw([cell(MODPLANE, 10), cell(MERCURIUS, 100), cell(STRAWBERRY, 1000), cell(FIXED, 1)])
    # 0.01 to 100 is the whole width, and a bar begins at once: ten times is as far from there as a tenth
    assert bars(svg) == pytest.approx([WIDTH * 0.25, 0, WIDTH * 0.25, WIDTH * 0.5], abs=0.1)
    assert [text for text in ("10.00x", "1.00x", "0.10x", "100.00x") if f">{text}<" in svg] == [
        "10.00x",
        "1.00x",
        "0.10x",
        "100.00x",
    ]


def test_what_is_off_the_scale_ends_at_its_end() -> None:
    svg = draw([cell(MERCURIUS, 100), cell(MODPLANE, 0.001), cell(STRAWBERRY, 1e9)])
    assert bars(svg) == [WIDTH / 2, 0, WIDTH / 2]
    assert float(ElementTree.fromstring(svg).attrib["width"]) > LEFT + WIDTH


def test_only_the_warm_ones_are_drawn_and_only_beside_mercurius() -> None:
    measured = [
        cell(MERCURIUS, 100),
        cell(MODPLANE, 50),
        cell(MERCURIUS, 1, part=COLD),
        cell(MODPLANE, 1, operation=NESTED),
    ]
    assert len(bars(draw(measured))) == 2


def test_nothing_measured_is_still_a_picture() -> None:
    assert bars(draw([])) == []
