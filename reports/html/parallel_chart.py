"""Parallel coordinates: a line for each candidate, through what was decided for it, to its score."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from reports import analysis
from reports.html.candidate_points import told_of
from reports.html.charts import as_csv, rounded_axis
from reports.html.markup import Markup, element, text
from reports.notation import COST_NAMES, amount
from reports.record import Record
from studies.trials import Candidate

MOST_LINES = 500
"""Candidates that are drawn: the best, and of the others as many as can be told apart, evenly over the search."""

MOST_DECISIONS = 6
_WIDTH, _HEIGHT, _TOP, _BOTTOM = 860, 380, 58, 360
_LEFT, _RIGHT = 96, 804
_APART = 7.0  # pixels that lines through the same option spread over, so that they can be told apart


class _Axis(NamedTuple):
    """An axis: its words by line, each candidate's place on it (0 below to 1 on top), and words at places."""

    name: tuple[str, ...]
    values: Sequence[object]
    places: Sequence[float]
    ticks: Sequence[tuple[float, str]]
    spread: float = 0.0


def parallel_chart(record: Record, candidates: Sequence[Candidate], found: Sequence[analysis.Importance]) -> Markup:
    """The decisions that matter most, a cost and the score, each an axis; the best tenth stands out.

    Args:
        candidates: of one family.
        found: how much each decision matters.
    """
    drawn = _drawn(candidates)
    digests = [one.architecture.digest() for one in candidates]
    all_of_them = dict(zip(digests, analysis.decisions([one.architecture for one in candidates]), strict=True))
    decisions = [all_of_them[one.architecture.digest()] for one in drawn]
    most = sorted(found, key=lambda one: -one.fanova)[:MOST_DECISIONS]
    axes = [_decision(decisions, one) for one in sorted(most, key=lambda one: (one.stage, one.decision))]
    axes.append(_number(COST_NAMES["macs"], [one.cost.macs for one in drawn], lambda value: amount("macs", value)))
    axes.append(_number(record.metric.words, [one.score for one in drawn], record.metric.tick))
    best = {one.architecture.digest() for one in analysis.top(candidates)}
    members = {one.architecture.digest(): number for number, one in enumerate(record.front, 1)}
    step = (_RIGHT - _LEFT) / (len(axes) - 1)
    lines = []
    for index, one in enumerate(drawn):
        digest = one.architecture.digest()
        aside = int(digest[:4], 16) / 0xFFFF - 0.5  # the same in every run
        points = " ".join(
            f"{_LEFT + step * number:.1f},{_at(axis.places[index]) + aside * axis.spread:.1f}"
            for number, axis in enumerate(axes)
        )
        number = members.get(digest)
        told = told_of(record, one) if number is None else f"network {number}: {told_of(record, one)}"
        own = {"class_": "way best" if digest in best else "way", "data_tip": told}
        own |= {} if number is None else {"data_show": f"network-{number}"}
        lines.append((digest in best, element("polyline", points=points, fill="none", **own)))
    rows = [[*(axis.values[index] for axis in axes), one.architecture.digest()] for index, one in enumerate(drawn)]
    return element(
        "svg",
        element("g", *(line for _, line in sorted(lines, key=lambda pair: pair[0])), class_="ways"),
        *(_axis(axis, _LEFT + step * number) for number, axis in enumerate(axes)),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"what was decided for each candidate, and its {record.metric.words}",
        class_="chart wide parallel",
        data_csv=as_csv([*(" ".join(axis.name) for axis in axes), "digest"], rows),
    )


def _drawn(candidates: Sequence[Candidate]) -> list[Candidate]:
    best = analysis.top(candidates)[:MOST_LINES]
    chosen = {one.architecture.digest() for one in best}
    others = [one for one in candidates if one.architecture.digest() not in chosen]
    return [*best, *others[:: -(-len(others) // max(1, MOST_LINES - len(best))) or 1]]


def _at(place: float) -> float:
    return _BOTTOM - place * (_BOTTOM - _TOP)


def _decision(decisions: Sequence[Mapping[str, str]], one: analysis.Importance) -> _Axis:
    """An axis with the options of a decision, numbers by their size, evenly."""
    name = f"{one.stage} {one.decision}"
    values = [row[name] for row in decisions]
    options = analysis.in_order(values)
    places = {option: number / max(1, len(options) - 1) for number, option in enumerate(options)}
    ticks = [(place, option) for option, place in places.items()]
    stage = f"stage {one.stage}" if one.stage else "input"
    decision, _, block = one.decision.partition(" of ")
    return _Axis((stage, *filter(None, [block]), decision), values, [places[value] for value in values], ticks, _APART)


def _number(name: str, values: Sequence[float], written: Callable[[float], str]) -> _Axis:
    """An axis of numbers, from a round one to a round one."""
    axis, marks = rounded_axis(values, 0.0, 1.0, ticks=4)
    return _Axis((name,), values, [axis.at(one) for one in values], [(axis.at(one), written(one)) for one in marks])


def _axis(axis: _Axis, x: float) -> Markup:
    parts = [element("line", x1=x, x2=x, y1=_TOP - 8, y2=_BOTTOM + 8, class_="zero")]
    for above, words in enumerate(reversed(axis.name)):
        last = {"class_": "name"} if above == 0 else {}
        parts.append(element("text", text(words), x=x, y=_TOP - 14 - 15 * above, text_anchor="middle", **last))
    for place, words in axis.ticks:
        beside = {"x": x - 7, "y": _at(place), "dy": ".35em", "text_anchor": "end"}
        parts.append(element("text", *_in_lines(words, x - 7), **beside, class_="on halo"))
    reach = {"x": x - 12, "width": 24, "y": _TOP - 8, "height": _BOTTOM - _TOP + 16}
    return element("g", *parts, element("rect", **reach, class_="reach"), class_="axis")


def _in_lines(words: str, x: float) -> list[Markup]:
    """Of a name a word a line, around the text's own place, with a space between for who reads it aloud."""
    lines = words.split() if words.replace(" ", "").isalpha() else [words]  # a number and its unit stay together
    if len(lines) < 2:
        return [text(words)]
    ends = [" "] * (len(lines) - 1) + [""]
    drops = [f"{0.35 - 0.5 * (len(lines) - 1):.2f}em"] + ["1em"] * (len(lines) - 1)
    spans = zip(lines, ends, drops, strict=True)
    return [element("tspan", text(line + end), x=x, dy=drop) for line, end, drop in spans]
