"""The command line that makes the same again, from settings: what changes no result is left out."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from commands.command_line import flag_name
from commands.values import typed


def typed_again(
    words: Sequence[str], settings: Any, usual: Mapping[str, Any], plugins: Sequence[str], **kept_otherwise: Any
) -> str:
    """The words, and the flags by which the settings differ from the usual ones in what changes results.

    Args:
        usual: the values that need no flag, by field.
        kept_otherwise: values as they are typed, of fields that keep them in another way.
    """
    line = list(words)
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.metadata.get("reproduced") and value != usual[field.name]:
            value = kept_otherwise.get(field.name, value)
            line += [flag_name(field.name), *([] if field.default is False else [typed(value)])]
    for path in plugins:
        line += ["--plugin", path]
    return shlex.join(line)
