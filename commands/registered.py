"""The names in the program's registries, read from its source for a command's help.

A registry fills where its modules are imported, and these import torch and Optuna, which takes seconds. A list of names
beside each registry would be a second place to keep. What a plugin registers is known once the plugin was run, and is
in no help.
"""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent


def registered(place: str, by: str = "register") -> tuple[str, ...]:
    """What stands in `@register("…")` in a module, or in those of a folder in the order in which they are imported.

    Args:
        by: the decorator, as it is written there.
    """
    at = ROOT / place
    paths = sorted(at.glob("*.py"), key=lambda path: (path.stem != "registry", path.stem)) if at.is_dir() else [at]
    names: list[str] = []
    for path in paths:
        names += re.findall(rf'^@{re.escape(by)}\("(.+)"\)$', path.read_text(encoding="utf-8"), re.MULTILINE)
    return tuple(names)


def keys(module: str, name: str) -> tuple[str, ...]:
    """The keys of the dictionary of that name in a module's source. Raises LookupError where none is written out."""
    for node in ast.parse((ROOT / module).read_text(encoding="utf-8")).body:
        match node:
            case (
                ast.AnnAssign(target=ast.Name(id=found), value=ast.Dict(keys=written))
                | ast.Assign(targets=[ast.Name(id=found)], value=ast.Dict(keys=written))
            ) if found == name:
                return tuple(str(ast.literal_eval(key)) for key in written if key is not None)
    raise LookupError(f"{module}: writes out no dictionary {name}")


def scores() -> tuple[str, ...]:
    """Of `evaluators.zero_cost`: the aggregates first."""
    return (*keys("evaluators/zero_cost/registry.py", "AGGREGATES"), *registered("evaluators/zero_cost"))


def samplers() -> tuple[str, ...]:
    """Of `studies.samplers`, without those of `--framework nni`, which have names of their own there."""
    return tuple(name for name in registered("studies/samplers") if ":" not in name)


def evaluators() -> tuple[str, ...]:
    """Of the evaluators' rooms."""
    rooms = sorted(path.relative_to(ROOT) for path in (ROOT / "evaluators").glob("*/room.py"))
    return tuple(name for room in rooms for name in registered(str(room), "EVALUATORS.register"))


def tasks() -> tuple[str, ...]:
    """Of the tasks' rooms."""
    rooms = sorted(path.relative_to(ROOT) for path in (ROOT / "tasks").glob("*/room.py"))
    return tuple(name for room in rooms for name in registered(str(room), "TASKS.register"))


def heads() -> tuple[str, ...]:
    """Of the tasks' rooms: those that a command can choose."""
    rooms = sorted(path.relative_to(ROOT) for path in (ROOT / "tasks").glob("*/*.py"))
    return tuple(name for room in rooms for name in registered(str(room), "HEADS.register"))


def methods() -> tuple[str, ...]:
    """Of `training.methods`."""
    return registered("training/methods", "METHODS.register")


def attacks() -> tuple[str, ...]:
    """Of `training.attacks`."""
    return registered("training/attacks/registry.py", "ATTACKS.register")


def spaces() -> tuple[str, ...]:
    """Of `search_space.spaces`."""
    return _of_families("spaces.py", "SPACES.register")


def family_of(space: str) -> str | None:
    """The family of a space by its name; None for one that is not the program's own."""
    for room in _rooms("spaces.py"):
        if space in registered(str(room), "SPACES.register"):
            return room.parent.name
    return None


def backbones() -> tuple[str, ...]:
    """Of `search_space.hand_designed`."""
    return _of_families("backbones.py", "BACKBONES.register")


def told(names: Iterable[str]) -> str:
    """Names for a help, those that differ in a last number alone as one: `t2t_vit_7…24`."""
    numbers: dict[str, list[str]] = {}
    for name in names:
        stem, _, last = name.rpartition("_")
        numbered = last.isdigit()
        numbers.setdefault(f"{stem}_" if numbered else name, []).append(last if numbered else "")
    return ", ".join(stem + "…".join(dict.fromkeys((found[0], found[-1]))) for stem, found in numbers.items())


def _of_families(file: str, by: str) -> tuple[str, ...]:
    return tuple(name for room in _rooms(file) for name in registered(str(room), by))


def _rooms(file: str) -> list[Path]:
    """That file of every family's room that has one."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / "search_space/families").glob(f"*/{file}"))
