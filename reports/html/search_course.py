"""How the search went, and how far its ranking can be trusted."""

import shlex
import statistics
from collections import defaultdict
from collections.abc import Set

from foundation.metric import ACCURACY
from reports import analysis
from reports.html.charts import Frame, Series, line_chart
from reports.html.front_section import cost_axis
from reports.html.markup import Markup, text
from reports.html.page import Section, command_block, pair, paragraph, titled
from reports.html.scores_chart import scores_chart
from reports.notation import COST_NAMES, plural
from reports.record import Record
from reports.recorded_command import RETRAINING
from reports.verdict import trained_beside


def progress(record: Record) -> Section | None:
    """Hypervolume over candidates."""
    cost = cost_axis(record)
    steps = analysis.course(record.evaluated, cost, record.bounds.get(cost))
    if len(steps) < 2:
        return None
    rejected = [f"{count:,} {reason}" for reason, count in sorted(record.rejected.items())]
    refused = f" Rejected before they cost an evaluation: {', '.join(rejected)}." if rejected else ""
    failed = f" {record.failed} evaluations failed." if record.failed else ""
    late = next(step.number for step in steps if step.hypervolume >= 0.99)
    reached = f" 99 % of the area were reached after {late:,} candidates."
    chart = line_chart(
        [Series("", [(step.number, step.hypervolume) for step in steps], "")],
        x_label="candidates",
        x_format=lambda value: f"{value:.0f}",
        y_label="share of the final area",
        y_format=lambda value: f"{100 * value:.4g} %",
        told="hypervolume over candidates",
        counts=True,
    )
    content = [
        paragraph(
            text(
                f"{len(steps):,} candidates were evaluated.{refused}{failed}{reached} The area (hypervolume) is that "
                f"under the front of {record.metric.words} and {COST_NAMES[cost]}: it grows whenever a candidate is "
                "better or cheaper than all before. Beside it every candidate's score by the number of its trial, with "
                "the best until then."
            )
        ),
        pair(titled("Front's area", chart), titled("Scores", scores_chart(record))),
    ]
    return Section("search", "Search", "How the search went", content)


def trust(record: Record) -> Section | None:
    """How far the search's ranking agrees with networks trained by themselves."""
    if not record.identity:
        return None
    scored = record.metric
    trainings = next((record.place(name).metric for name in record.places), ACCURACY)
    scores = {one.candidate.architecture.digest(): one.candidate.score for one in record.evaluated}
    scores |= {one.architecture.digest(): one.score for one in (*record.front, *filter(None, [record.best]))}
    trained: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in record.retrained:
        trained[one.architecture.digest()][one.place].append(one.value)
    # Of each network its longest training: those of other folders can have another recipe.
    values = {digest: statistics.mean(places[record.longest(places)[0]]) for digest, places in trained.items()}
    pairs = [(scores[digest], value) for digest, value in values.items() if digest in scores]
    tau = analysis.agreement([(scored.merit(score), trainings.merit(value)) for score, value in pairs])
    name = (record.identity.get("evaluator") or {}).get("name", "evaluator")
    content: list[Markup] = []
    if tau is not None:
        results = plural(trainings.name, len(pairs))
        content.append(
            paragraph(
                text(
                    f"Kendall's τ between the search's scores and the test {results} of {len(pairs)} networks "
                    f"that were trained by themselves is {tau:.2f}: 1 is the same order, 0 none. Few networks say "
                    "little."
                )
            )
        )
        frame = Frame(
            [score for score, _ in pairs],
            [value for _, value in pairs],
            x_label=f"{scored.column} in the search",
            y_label=f"test {trainings.column}, trained by itself",
            x_format=scored.tick,
            y_format=trainings.tick,
        )
        dots = []
        for point in pairs:
            told = f"{scored.written(point[0])} in the search\n{trainings.written(point[1])} trained"
            dots.append(frame.dot(point, 5.5, told, class_="member"))
        content.append(pair(frame.chart(*dots, told=f"scores of the search against trained {results}")))
    else:
        known = {0: "no network has both", 1: "one network has both", 2: "two networks have both"}
        few = known.get(len(pairs), "they are all the same")
        content.append(
            paragraph(
                text(
                    "Unknown for this run: to hold the ranking against trained networks, at least three must have been "
                    f"scored in the search and trained by themselves, and {few}. Until then the winner is the best by "
                    f"an estimate ({name}), and worth a comparison before it is shipped. So another network of the "
                    "front is trained:"
                )
            )
        )
        content.append(command_block(_of_another(record, set(trained))))
    if record.title.trust:
        content.append(paragraph(text(record.title.trust)))
    return Section("trust", "Trust", "How far the ranking can be trusted", content)


def _of_another(record: Record, trained: Set[str]) -> str:
    """The command that trains the first network of the front that has not been, as the best was trained."""
    best = set() if record.best is None else {record.best.architecture.digest()}
    numbers = [n for n, one in enumerate(record.front, 1) if one.architecture.digest() not in trained | best]
    leading, _ = trained_beside(record)
    flags = (record.place(leading).command or "").removeprefix(shlex.join(RETRAINING))
    network = f" --network {numbers[0] if numbers else 1}"
    return f"python retrain.py {shlex.quote(str(record.folder))}{network}{'' if '--network' in flags else flags}"
