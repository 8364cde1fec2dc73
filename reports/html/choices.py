"""What the good architectures choose at each stage, and how much each choice matters."""

from collections.abc import Sequence

from reports import analysis
from reports.html.charts import DrawnInterval, interval_chart
from reports.html.markup import Markup, element, text
from reports.html.page import Section, pair, paragraph, titled
from reports.html.parallel_chart import parallel_chart
from reports.html.shares_chart import SharesBar, shares_chart
from reports.notation import signed
from reports.palette import short
from reports.record import Record
from studies.trials import Candidate


def attention(record: Record) -> Section | None:
    """Which attention the good architectures have at each stage, and what each is worth."""
    candidates = analysis.alike([one.candidate for one in record.evaluated])
    if len(candidates) < 2 or not analysis.have_attention(candidates):
        return None
    good = analysis.top(candidates)
    groups = ((f"best {len(good)}", good), (f"all {len(candidates):,}", candidates))
    bars = [
        SharesBar(index + 1, who, analysis.attention_shares(some, index))
        for index in range(len(candidates[0].architecture.stage_rows()))
        for who, some in groups
    ]
    content = [
        paragraph(
            text(
                f"Share of the blocks with each attention, of the {len(good)} candidates that scored best and of all "
                f"{len(candidates):,}. The search looks where candidates score well, so both lean towards what it "
                "believed in early; what follows below takes the other decisions into account."
            )
        ),
        shares_chart(bars, "attention by stage, of the best candidates and of all"),
    ]
    content += _worth(record, candidates)
    return Section("attention", "Attention", "Which attention the good architectures choose", content)


def _worth(record: Record, candidates: Sequence[Candidate]) -> list[Markup]:
    by_kind = analysis.effects(candidates, lambda attention: attention.kind)
    by_ratio = analysis.effects(candidates, lambda attention: attention.label)
    found = [effect for stage in (*by_kind, *by_ratio) for effect in stage]
    if not found:
        few = "What each is worth is not told from so few candidates: there are more decisions than they could tell."
        return [paragraph(text(few), quiet=True)]
    factor, unit = record.metric.scale, record.metric.differences
    counted = unit if record.metric.higher_is_better else f"{unit} ({record.metric.direction})"
    reach = (_spread([effect.low for effect in found], 0.05), _spread([effect.high for effect in found], 0.95))
    panels = []
    none: list[list[analysis.Effect]] = [[] for _ in by_kind]
    for index, (kinds, ratios) in enumerate(zip(by_kind, by_ratio or none, strict=True), 1):
        rows = []
        for effect in kinds:
            own = [ratio for ratio in ratios if ratio.kind == effect.kind]
            rows.append(_interval(effect, short(effect.kind), factor, unit))
            if [ratio.label for ratio in own] != [effect.label]:
                for ratio in own:
                    rows.append(_interval(ratio, f"ratio {ratio.label.rpartition('/')[2]}", factor, unit))
        if rows:
            limits = (factor * min(reach[0], 0.0), factor * max(reach[1], 0.0))
            told = f"what attention is worth at stage {index}"
            chart = interval_chart(rows, limits, lambda value: signed(value) if value else "0", counted, told)
            panels.append(titled(f"Stage {index}", chart))
    said = (
        f"What a stage's attention is worth against none there, in {counted}, with all other decisions held equal: a "
        f"ridge regression over the {len(candidates):,} candidates, with 95 % intervals from {analysis.RESAMPLES} "
        "resamples of them. Open circles are not told apart from zero. A score of the search, not of trained networks."
    )
    return [titled("What each is worth", paragraph(text(said))), pair(*panels)]


def _spread(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _interval(effect: analysis.Effect, label: str, factor: float, unit: str) -> DrawnInterval:
    value, low, high = (factor * number for number in (effect.value, effect.low, effect.high))
    told = f"{effect.label}: {signed(value)} {unit}\n95 %: {signed(low)} to {signed(high)}\nin {effect.seen} candidates"
    return DrawnInterval(label, effect.label, value, low, high, f"var(--kind-{effect.kind})", told)


def decisions_section(record: Record) -> Section | None:
    """How much each decision matters, by Optuna's importances."""
    candidates = analysis.alike([one.candidate for one in record.evaluated])
    found = analysis.importances(candidates)
    if not found:
        return None
    content = [
        paragraph(
            text(
                "fANOVA: the share of the score's variance over the candidates that a decision explains by itself. "
                "PED-ANOVA: how much it tells the best tenth from the rest. Both are Optuna's and sum to 100 %."
            )
        )
    ]
    for name, field in (("fANOVA", "fanova"), ("PED-ANOVA", "ped_anova")):
        content.append(titled(name, _matrix(found, field)))
    said = (
        "A line for each candidate, through the decisions that matter most by fANOVA; those of the best tenth stand "
        "out. Draw along an axis, or use the arrow keys on it, to see only the candidates that pass there; a line of "
        "the front's is chosen like its point."
    )
    chart = element("div", parallel_chart(record, candidates, found), class_="scroll")
    content.append(titled("What the best decide", paragraph(text(said)), chart))
    return Section("decisions", "Decisions", "How much each decision matters", content)


def _matrix(found: Sequence[analysis.Importance], field: str) -> Markup:
    """Decisions by stages, the darker the more they matter."""
    values = {(one.stage, one.decision): getattr(one, field) for one in found}
    most = max(values.values()) or 1.0
    stages = sorted({one.stage for one in found})
    names = list(dict.fromkeys(one.decision for one in found))
    heads = ["decision", *(f"stage {stage}" if stage else "input" for stage in stages), "all"]
    rows = []
    for name in names:
        cells = [element("td", text(name), class_="words")]
        for stage in stages:
            value = values.get((stage, name))
            if value is None:
                cells.append(element("td"))
                continue
            cells.append(
                element("td", text(f"{100 * value:.1f}"), class_="heat", style=f"--heat:{50 * value / most:.0f}")
            )
        total = sum(value for (_, decision), value in values.items() if decision == name)
        rows.append(element("tr", *cells, element("td", element("b", text(f"{100 * total:.1f} %")))))
    looks = ("words", *(None for _ in heads[1:]))
    named = [element("th", text(name), scope="col", class_=look) for name, look in zip(heads, looks, strict=True)]
    head = element("tr", *named)
    whole = element("table", element("thead", head), element("tbody", *rows), class_="matrix")
    return element("div", whole, class_="scroll")
