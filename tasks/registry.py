"""The tasks that there are. A room of its own for each, which registers itself here; nothing else names one.

What a task is, `training.task` says: trainings ask for loss and measure, and stand below the tasks.
"""

from collections.abc import Callable

from foundation.errors import InputError
from foundation.registry import Registry
from training.task import Task

TASKS: Registry[Callable[..., Task]] = Registry("task")
"""Those of `--task`: what makes each, given a head if one is asked for. It may say in `heads` which ones there are.

Where it has `named`, what stands after the colon of its name is for itself to read: no head, but its own settings, of
that form.
"""


def task(name: str, head: str | None = None) -> Task:
    """The task of that name, which may end in `:HEAD`, as files have it. Raises InputError for an unknown one.

    Args:
        head: instead of the name's.
    """
    kind, _, own = name.partition(":")
    if kind not in TASKS:
        raise InputError(f"`task` {name}: unknown; known: {TASKS.known()}")
    named = getattr(TASKS[kind], "named", None)
    if own and named is not None and not head:
        try:
            return TASKS[kind](own)
        except InputError as error:
            raise InputError(f"`task` {name}: {error}; give {kind}:{named}") from None
    wanted = head or own
    if not wanted:
        return TASKS[kind]()
    heads = getattr(TASKS[kind], "heads", ())
    if wanted.partition("/")[0] not in heads:
        known = f"known: {', '.join(heads)}, each also with /CHANNELS" if heads else "leave it out"
        raise InputError(f"`head` {wanted}: unknown to task {kind}; {known}")
    try:
        return TASKS[kind](wanted)
    except InputError as error:
        raise InputError(f"`head` {wanted}: {error}") from None


def has_settings(kind: str) -> bool:
    """Whether what stands after the colon of the task's name is for itself to read, and no head."""
    return kind in TASKS and getattr(TASKS[kind], "named", None) is not None


def name_and_channels(head: str) -> tuple[str, int | None]:
    """What `NAME` or `NAME/CHANNELS` says of a head. Raises InputError for channels that are no number."""
    name, _, channels = head.partition("/")
    if channels and not channels.isdecimal():
        raise InputError(f"expected a number of channels after {name}/, got {channels}")
    return name, int(channels) if channels else None
