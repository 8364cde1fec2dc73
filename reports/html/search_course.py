"""How the search went, and how far its ranking can be trusted."""

import shlex
import statistics
from collections import defaultdict

from reports import analysis
from reports.html.charts import Frame, Series, line_chart
from reports.html.front_section import cost_axis
from reports.html.markup import Markup, text
from reports.html.page import Section, command_block, pair, paragraph
from reports.notation import COST_NAMES, percent, score, tick_format
from reports.record import RETRAIN, Record


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
                f"under the front of {record.objective} and {COST_NAMES[cost]}: it grows whenever a candidate is "
                "better or cheaper than all before."
            )
        ),
        pair(chart),
    ]
    return Section("search", "Search", "How the search went", content)


def trust(record: Record) -> Section | None:
    """How far the search's ranking agrees with networks trained by themselves."""
    if not record.identity:
        return None
    scores = {one.candidate.architecture.digest(): one.candidate.score for one in record.evaluated}
    scores |= {one.architecture.digest(): one.score for one in (*record.front, *filter(None, [record.best]))}
    trained: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in record.retrained:
        trained[one.architecture.digest()][one.place].append(one.accuracy)
    # Of each network its longest training: those of other folders can have another recipe.
    accuracies = {digest: statistics.mean(places[record.longest(places)[0]]) for digest, places in trained.items()}
    pairs = [(scores[digest], accuracy) for digest, accuracy in accuracies.items() if digest in scores]
    tau = analysis.agreement(pairs)
    name = (record.identity.get("evaluator") or {}).get("name", "evaluator")
    content: list[Markup] = []
    if tau is not None:
        content.append(
            paragraph(
                text(
                    f"Kendall's τ between the search's scores and the test accuracies of {len(pairs)} networks that "
                    f"were trained by themselves is {tau:.2f}: 1 is the same order, 0 none. Few networks say little."
                )
            )
        )
        frame = Frame(
            [score for score, _ in pairs],
            [accuracy for _, accuracy in pairs],
            x_label=f"{record.objective} in the search",
            y_label="test accuracy, trained by itself",
            x_format=tick_format(record.objective),
            y_format=lambda value: f"{100 * value:.4g} %",
        )
        dots = []
        for point in pairs:
            told = f"{score(record.objective, point[0])} in the search\n{percent(point[1])} trained"
            dots.append(frame.dot(point, 5.5, told, class_="member"))
        content.append(pair(frame.chart(*dots, told="scores of the search against trained accuracies")))
    else:
        known = {0: "no network has both", 1: "one network has both", 2: "two networks have both"}
        few = known.get(len(pairs), "they are all the same")
        content.append(
            paragraph(
                text(
                    "Unknown for this run: to hold the ranking against trained networks, at least three must have been "
                    f"scored in the search and trained by themselves, and {few}. Until then the winner is the best by "
                    f"an estimate ({name}), and worth a comparison before it is shipped. So another network of the "
                    "front is trained; the search's command again then writes this page anew:"
                )
            )
        )
        folder = str(record.folder)
        file = f"{folder}/network-1.json"
        data = record.free.get("data") or record.data or "SPEC"
        content.append(
            command_block(
                shlex.join(["python", "describe.py", folder, "--network", "1", "--json", file]),
                shlex.join(["python", "retrain.py", file, "--data", data, "--out", f"{folder}/{RETRAIN}-1"]),
            )
        )
    if name == "supernet":
        measured = (
            "How far a ranking can be trusted is measured in docs/ranking.md: on networks that were each trained by "
            "themselves, against how well two trainings of the same networks agree."
        )
        content.append(paragraph(text(measured)))
    return Section("trust", "Trust", "How far the ranking can be trusted", content)
