"""What the evaluated candidates say together: which attention pays where, what matters, how the search went."""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import create_trial

from reports.record import Evaluated
from search_space.architecture import Architecture, Attention, Row
from studies.trials import Candidate

TOP_SHARE = 0.1
LEAST_TOP = 10
MOST_REGRESSED = 2000
"""Candidates that effects rest on at most, evenly over the search: more would take a while and change little."""

RESAMPLES = 400
PENALTY = 0.1
SPARE = 10
LEAST_CANDIDATES = 20
"""Below this nothing is said of what matters."""

MOST_IMPORTANT = 400
"""Candidates that importances rest on at most: fANOVA's time grows with their square."""

NOTHING = "–"  # what is not decided, and no attention
LEAST_SEEN = 3  # candidates in which an option stands, for its effect to be told


def top(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The tenth that scored best, but at least 10."""
    count = max(LEAST_TOP, round(TOP_SHARE * len(candidates)))
    return sorted(candidates, key=lambda candidate: candidate.merit)[:count]


def alike(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those of the family of the best: stages of two families do not compare."""
    families = {min(candidates, key=lambda candidate: candidate.merit).architecture.family} if candidates else set()
    return [candidate for candidate in candidates if candidate.architecture.family in families]


def have_attention(candidates: Sequence[Candidate]) -> bool:
    """Whether their stages have a place for attention."""
    return any(row.attention for candidate in candidates[:1] for row in candidate.architecture.stage_rows())


def attention_shares(candidates: Sequence[Candidate], stage: int) -> dict[Attention, float]:
    """Share of the blocks at a stage that have each attention, of every candidate alike."""
    shares: defaultdict[Attention, float] = defaultdict(float)
    for candidate in candidates:
        own = candidate.architecture.stage_rows()[stage].attention
        for attention in own:
            shares[attention] += 1 / (len(own) * len(candidates))
    return dict(sorted(shares.items(), key=lambda item: order(item[0])))


def order(attention: Attention) -> tuple[bool, str, int]:
    """Sorts none last, and a kind's small ratios first."""
    return attention.kind == "none", attention.kind, attention.reduction or 0


class Effect(NamedTuple):
    """What an option is worth against none at its stage, other decisions held equal; with a 95% interval."""

    label: str
    kind: str
    value: float
    low: float
    high: float
    seen: int


def effects(candidates: Sequence[Candidate], label: Callable[[Attention], str]) -> list[list[Effect]]:
    """For each stage, the effect on the score of each attention, by its `label`, against none.

    A ridge regression of the score on all decisions at once: the share of each stage's blocks that have the attention,
    and width, depth, expansion, kernel and resolution as numbers. The penalty weighs as much as a tenth of a candidate:
    it settles what cannot be told apart, and hardly biases the rest. Intervals are 1.96 standard deviations over
    resampled candidates to either side; on random candidates with known effects they hold these in 95 % of cases or
    more. With fewer candidates than there are unknowns, and 10 more, nothing is said. Where a stage is never without
    attention, effects are against its most frequent one.
    """
    candidates = candidates[:: -(-len(candidates) // MOST_REGRESSED) or 1]
    if len(candidates) < LEAST_CANDIDATES:
        return []
    scores = np.array([candidate.score for candidate in candidates])
    stage_rows = [candidate.architecture.stage_rows() for candidate in candidates]
    columns: list[NDArray[np.float64]] = []
    named: list[tuple[int, str, str, int]] = []
    for index in range(len(candidates[0].architecture.stage_rows())):
        stages = [rows[index] for rows in stage_rows]
        offered = {attention for stage in stages for attention in stage.attention}
        if not offered:  # a stage without a place for attention
            continue
        kinds = {label(attention): attention.kind for attention in sorted(offered, key=order)}
        shares = {name: np.array([_share(stage, name, label) for stage in stages]) for name in kinds}
        none = [name for name, kind in kinds.items() if kind == "none"]
        base = none[0] if none else max(shares, key=lambda name: float(shares[name].sum()))
        for name, share in shares.items():
            seen = int((share > 0).sum())
            if name != base and seen >= LEAST_SEEN:
                named.append((index, name, kinds[name], seen))
                columns.append(share)
    count = len(columns)
    columns += _sizes([candidate.architecture for candidate in candidates])
    if not count or len(candidates) < len(columns) + SPARE:
        return []
    design = np.stack(columns, 1)
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(scores), size=len(scores)) for _ in range(RESAMPLES)]
    fitted = _ridge(design, scores)[:count]
    resampled = np.stack([_ridge(design[rows], scores[rows])[:count] for rows in drawn])
    reach = 1.96 * resampled.std(0)
    found: list[list[Effect]] = [[] for _ in stage_rows[0]]
    for number, (index, name, kind, seen) in enumerate(named):
        value = float(fitted[number])
        found[index].append(Effect(name, kind, value, value - float(reach[number]), value + float(reach[number]), seen))
    return found


def _share(row: Row, name: str, label: Callable[[Attention], str]) -> float:
    return sum(label(attention) == name for attention in row.attention) / max(1, row.depth)


def _sizes(architectures: Sequence[Architecture]) -> list[NDArray[np.float64]]:
    """Numbers that say each stage's size, each with mean 0 and deviation 1; without those that never change.

    What a stage that is left out does not have is 0.
    """
    stages = [architecture.stage_rows() for architecture in architectures]
    names = [
        dict.fromkeys(name for row in own for name, _ in reversed(row.numbers)) for own in zip(*stages, strict=True)
    ]
    rows = []
    for architecture, own in zip(architectures, stages, strict=True):
        row = [math.log(architecture.resolution)]
        for stage, told in zip(own, names, strict=True):
            numbers = dict(stage.numbers)
            row += [math.log(stage.width), stage.depth, *(numbers.get(name, 0) for name in told)]
        rows.append(row)
    table = np.array(rows, dtype=np.float64)
    spread = table.std(0)
    return list(((table - table.mean(0))[:, spread > 0] / spread[spread > 0]).T)


def _ridge(design: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = design - design.mean(0)
    gram = centred.T @ centred + PENALTY * np.eye(design.shape[1])
    solved: NDArray[np.float64] = np.linalg.solve(gram, centred.T @ (scores - scores.mean()))
    return solved


class Importance(NamedTuple):
    """How much a decision at a stage matters, by Optuna's two measures; each sums to 1 over all decisions."""

    stage: int
    decision: str
    fanova: float
    ped_anova: float


def importances(candidates: Sequence[Candidate]) -> list[Importance]:
    """Of every decision that took more than one value: fANOVA's share of the score's variance, and PED-ANOVA's.

    The study's own parameters are conditional (a ratio's options depend on the width), and Optuna takes those alone
    that every trial has; so the same candidates, or of many as many as are quick, evenly over the search, are told to
    a study of their stages' final values. To fANOVA these are their places in order: of a decision with k names it
    would go through up to 2^k combinations.
    """
    each = -(-len(candidates) // MOST_IMPORTANT) or 1
    rows = decisions([candidate.architecture for candidate in candidates])[::each]  # by the names that all have
    candidates = candidates[::each]
    if len(candidates) < LEAST_CANDIDATES or len({candidate.score for candidate in candidates}) < 2:
        return []
    options = {name: in_order({row[name] for row in rows}) for name in rows[0]}
    varied = {name: found for name, found in options.items() if len(found) > 1}
    if not varied:
        return []
    merits = [candidate.measured.merit for candidate in candidates]
    named = {name: CategoricalDistribution(found) for name, found in varied.items()}
    placed = {name: IntDistribution(0, len(found) - 1) for name, found in varied.items()}
    places = [{name: found.index(row[name]) for name, found in varied.items()} for row in rows]
    # Takes two seconds to import.
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

    fanova = get_param_importances(
        _told(merits, places, placed), evaluator=FanovaImportanceEvaluator(n_trees=24, seed=0)
    )
    ped = get_param_importances(_told(merits, rows, named), evaluator=PedAnovaImportanceEvaluator())
    importances = []
    for name in varied:
        stage, _, decision = name.partition(" ")
        values = (fanova.get(name, 0.0), ped.get(name, 0.0))
        shares = [value if math.isfinite(value) else 0.0 for value in values]
        importances.append(Importance(int(stage), decision, *shares))
    order = list(dict.fromkeys(name.partition(" ")[2] for name in rows[0]))
    return sorted(importances, key=lambda one: order.index(one.decision))


def _told(
    merits: Sequence[float], rows: Sequence[Mapping[str, Any]], distributions: Mapping[str, BaseDistribution]
) -> optuna.Study:
    """A study of the candidates, in memory."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for merit, row in zip(merits, rows, strict=True):
        params = {name: row[name] for name in distributions}
        study.add_trial(create_trial(value=merit, params=params, distributions=dict(distributions)))
    return study


def in_order(options: Iterable[str]) -> list[str]:
    """Options of a decision: none first, numbers by their size, kinds of attention by their names and then ratios."""

    def key(option: str) -> tuple[bool, str, float]:
        kind, _, number = option.rpartition("/")
        try:
            return option != NOTHING, kind, float(number)
        except ValueError:
            return option != NOTHING, option, 0.0

    return sorted(set(options), key=key)


def decisions(architectures: Sequence[Architecture]) -> list[dict[str, str]]:
    """Each one's decisions by stage, `1 kernel` and so on; the resolution as stage 0's. All have the same names.

    A stage where blocks of an architecture differ in their attention has it by block, `4 attention of block 2`. What an
    architecture does not decide, as the kernel of a stage that is left out, is `–`.
    """
    rows = [architecture.stage_rows() for architecture in architectures]
    by_block = {stage.name for row in rows for stage in row if len(set(stage.attention)) > 1}
    found = [_decided(architecture, row, by_block) for architecture, row in zip(architectures, rows, strict=True)]
    names = dict.fromkeys(name for row in found for name in row)
    return [{name: row.get(name, NOTHING) for name in names} for row in found]


def _decided(architecture: Architecture, stages: Sequence[Row], by_block: Collection[str]) -> dict[str, str]:
    row = {"0 resolution": f"{architecture.resolution}"}
    for stage in stages:
        attention: dict[str, str] = {}
        if stage.name in by_block:
            places = enumerate(stage.blocks, 1)
            attention = {f"attention of block {number}": one.label for number, one in places if one is not None}
        elif stage.attention:
            attention = {"attention": stage.attention_label}
        own = {
            **attention,
            "kind": stage.kind.replace("_", " "),
            **dict(stage.numbers),
            "depth": stage.depth,
            "width": stage.width,
        }
        row |= {f"{stage.name} {name}": str(value) for name, value in own.items()}
    return row


class Step(NamedTuple):
    """The search after a candidate: how many there are, seconds since it began, share of hypervolume."""

    number: int
    seconds: float
    hypervolume: float


def course(evaluated: Sequence[Evaluated], cost: str, bound: int | None) -> list[Step]:
    """How the search went: the area under its front of score and one cost, as a share of the area at the end.

    The area is held against the worst score of all and the bound, or the highest cost without one.
    """
    if not evaluated:
        return []
    points = [(getattr(one.candidate.cost, cost), one.candidate.measured.merit) for one in evaluated]
    floor = min(score for _, score in points)
    limit = bound or max(amount for amount, _ in points)
    areas = []
    front: list[tuple[float, float]] = []
    for amount, score in points:
        if not any(other <= amount and known >= score for other, known in front):
            front = [(o, k) for o, k in front if not (amount <= o and score >= k)]
            front = sorted([*front, (amount, score)])
        areas.append(_area(front, floor, limit))
    whole = areas[-1]
    steps = []
    for number, (one, area) in enumerate(zip(evaluated, areas, strict=True), 1):
        steps.append(Step(number, one.seconds, area / whole if whole else 1.0))
    return steps


def _area(front: Sequence[tuple[float, float]], floor: float, limit: float) -> float:
    """Area between a front, sorted by cost, and the corner (limit, floor), in units of the limit."""
    area = 0.0
    for (amount, score), (following, _) in zip(front, [*front[1:], (limit, 0.0)], strict=True):
        area += max(0.0, min(following, limit) - amount) / limit * (score - floor)
    return area


def agreement(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Kendall's τ-b of pairs; None where there are fewer than 3, or one side is all the same."""
    if len(pairs) < 3 or any(len(set(side)) < 2 for side in zip(*pairs, strict=True)):
        return None
    from scipy import stats  # takes a second to import

    return float(stats.kendalltau(*zip(*pairs, strict=True)).statistic)
