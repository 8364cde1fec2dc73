"""What a user may type after a training, as it can be copied."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from deployment.export import check_exported
from foundation.errors import InputError
from foundation.plugins import loaded_plugins
from foundation.progress import Reporter
from foundation.started_as import as_typed
from training.task import Answering, Task

PICTURES = "PICTURES"
"""Stands for what a user has."""

OF_TASKS = {"pose": "python track.py {network} FRAMES"}
"""What there is for one task alone, by its name."""


def say_next(
    task: Task, out: Path, network: Path, arguments: Sequence[str], reporter: Reporter, *, exported: bool
) -> None:
    """How to test, use and export what was trained; nothing where networks act, for which there is no such command.

    Args:
        out: the retraining's folder, with all its networks.
        network: the folder of the one that was found.
        arguments: of the retraining, which exports once more than it did.
        exported: whether it has.
    """
    if not isinstance(task, Answering):
        return
    own, whole = shlex.quote(str(network)), shlex.quote(str(out))
    plugins = "".join(f" --plugin {shlex.quote(path)}" for path in loaded_plugins())
    lines = [f"python evaluate.py {whole}{plugins}", f"python predict.py {own} {PICTURES}{plugins}"]
    kind = task.name.partition(":")[0]
    if kind in OF_TASKS:
        lines.append(OF_TASKS[kind].format(network=own) + plugins)
    if not exported and _is_exported(task):
        lines.append(f"python retrain.py {shlex.join(arguments)} --export onnx")
    for number, line in enumerate(lines):
        reporter.say_command("" if number else "next:", as_typed(line))


def _is_exported(task: Task) -> bool:
    try:
        check_exported(task, ("onnx",))
    except InputError:
        return False
    return True
