"""What a run's study is called, and which study of a storage is a run's.

In a run's own `study.db` the study is named after the run's folder. Runs that began before are named `coordnas` there,
and a folder may be renamed: the study that is there goes on. A storage that is shared holds studies of many runs and
programs, so there the name is all that counts: `coordnas-` and the folder's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage
from optuna.study._frozen import FrozenStudy

from foundation.errors import InputError

FORMER = "coordnas"
IDENTITY = "coordnas:identity"
"""The study's system attribute with what makes two runs the same: too long for the dashboard, which shows no such."""

FORMER_IDENTITY = "identity"
"""The user attribute that held it."""


def name_of_run(folder: Path, *, shared: bool) -> str:
    """What the study of a run in that folder is called, in a storage that is shared or in the folder's own."""
    name = folder.resolve().name
    return f"{FORMER}-{name}" if shared else name or FORMER


def name_there(storage: BaseStorage, wanted: str) -> str:
    """The name of the run's study in a storage of the run's own; the one that is wanted, if there is none yet.

    Raises InputError if there are several studies of searches, and none is named so.
    """
    studies = {study.study_name: study for study in storage.get_all_studies()}
    if wanted in studies:
        return wanted
    ours = [name for name, study in studies.items() if identity_of(study) is not None]
    if len(ours) > 1:
        raise InputError(
            f"attribute study_name: there are the studies {', '.join(sorted(ours))}, and none is named {wanted}, "
            "as the folder is"
        )
    return ours[0] if ours else FORMER if FORMER in studies else wanted


def identity_of(study: FrozenStudy) -> Mapping[str, Any] | None:
    """What makes the study's run the same as another; None if it says nothing."""
    found = study.system_attrs.get(IDENTITY, study.user_attrs.get(FORMER_IDENTITY))
    return found if isinstance(found, dict) else None


def in_short(identity: Mapping[str, Any]) -> dict[str, str]:
    """What the dashboard shows of an identity: names, where they are said."""
    named = {name: identity.get(name) for name in ("space", "evaluator", "sampler")}
    short = {name: value["name"] for name, value in named.items() if isinstance(value, dict) and "name" in value}
    return {**short, **({"seed": str(identity["seed"])} if "seed" in identity else {})}
