"""How to do it again: configuration, versions, and the command that makes the same run."""

import math
import platform
import shlex
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from foundation.metric import is_corrected
from reports.html.markup import text
from reports.html.page import Section, TableRow, command_block, paragraph, table, titled
from reports.record import Record
from reports.recorded_command import SEARCH, recorded_command

PACKAGES = ("coordnas", "torch", "torchvision", "optuna", "numpy", "scikit-learn")


def search_command(record: Record) -> str | None:
    """The command that makes the same run in another folder; None if the run does not say it."""
    said = recorded_command(record.free, SEARCH)
    if said is None:
        return None
    return f"{said} --trials {len(record.evaluated)} --out {shlex.quote(f'{record.folder}-again')}"


def _renamed(record: Record) -> bool:
    """Whether the run began when corrected scores had the metric's own name: another folder has them as scores."""
    evaluator = record.identity.get("evaluator") or {}
    return evaluator.get("prior") is not None and not is_corrected(record.metric)


def reproduction(record: Record) -> Section:
    """Configuration, versions, seeds and commands."""
    content = []
    again = search_command(record)
    if again is not None:
        same = "the same networks, whose corrected scores are called so now" if _renamed(record) else "the same files"
        said = f"On one CPU worker with the recorded number of threads this gives {same}, bit for bit:"
        content += [paragraph(text(said)), command_block(again)]
        if ".py" in again.removeprefix("python search.py"):
            content.append(paragraph(text("It runs the Python files that it names: read those of others first.")))
    if record.identity:
        going_on = f"python retrain.py {record.retraining}"
        content.append(command_block(f"optuna-dashboard {shlex.quote(record.storage)}", going_on))
    rows = [TableRow((name, value)) for name, value in _settings(record)]
    if rows:
        content.append(
            titled("Configuration", table(("setting", "value"), rows, words=("setting", "value"), sortable=False))
        )
    versions = [TableRow(("Python", platform.python_version()))]
    for package in PACKAGES:
        try:
            versions.append(TableRow((package, version(package))))
        except PackageNotFoundError:
            continue
    content.append(
        titled(
            "Versions, where this page was written",
            table(("package", "version"), versions, words=("package", "version"), sortable=False),
        )
    )
    return Section("reproduce", "Reproduce", "How to do it again", content)


def _settings(record: Record) -> list[tuple[str, str]]:
    """The configuration as lines, the space in short."""
    rows = []
    identity = {**record.identity}
    space = identity.pop("space", None)
    if isinstance(space, dict):
        rows.append(("space", f"{space.get('name')}, attention per {space.get('attention_per', 'stage')}"))
    for prefix, values in (("", identity), ("", record.free)):
        for name, value in _flat(prefix, values):
            if name not in ("processes",) and (name, value) not in rows:
                rows.append((name, value))
    seeds = sorted({one.seed for one in record.retrained})
    if seeds:
        rows.append(("retraining seeds", ", ".join(map(str, seeds))))
    return rows


def _flat(prefix: str, values: Any) -> list[tuple[str, str]]:
    if isinstance(values, dict):
        return [row for name in sorted(values) for row in _flat(f"{prefix}.{name}".strip("."), values[name])]
    if isinstance(values, list):
        return [(prefix, ", ".join(map(str, values)))]
    if values is None:
        return []
    number = isinstance(values, float) and math.isfinite(values)
    return [(prefix, f"{values:g}" if number else str(values))]
