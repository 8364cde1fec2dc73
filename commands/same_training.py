"""The command that makes the same trainings again, without the run and the folder: a report knows where these lie."""

from collections.abc import Sequence
from dataclasses import fields

from commands.recipes import RetrainSettings
from commands.typed_again import typed_again


def same_training(settings: RetrainSettings, plugins: Sequence[str]) -> str:
    """The flags that were given and change what is trained."""
    usual = {field.name: field.default for field in fields(settings)}
    return typed_again(("python", "retrain.py"), settings, usual, plugins)
