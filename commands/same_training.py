"""The command that makes the same trainings again, without the run and the folder: a report knows where these lie."""

import shlex
from collections.abc import Sequence
from dataclasses import fields

from commands.command_line import flag_name
from commands.recipes import RetrainSettings
from commands.values import typed


def same_training(settings: RetrainSettings, plugins: Sequence[str]) -> str:
    """The flags that were given and change what is trained."""
    words = ["python", "retrain.py"]
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.metadata.get("reproduced") and value != field.default:
            words += [flag_name(field.name), *([] if value is True else [typed(value)])]
    for path in plugins:
        words += ["--plugin", path]
    return shlex.join(words)
