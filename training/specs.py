"""How a command line names pictures, teachers and tasks. Without torch, for a command's help shows it."""

import re
from pathlib import Path


def _specs() -> list[str]:
    """How each source of pictures is named, read from its file: to import one takes a second."""
    files = sorted((Path(__file__).parent / "data/sources").glob("[a-z]*.py"))
    found = (re.search(r'^SPECS = "(.+)"$', file.read_text(encoding="utf-8"), re.MULTILINE) for file in files)
    return [match[1] for match in found if match]


DATA = ", ".join(_specs())
OTHERS = "others: docs/data.md"
"""Where it says what there is besides `DATA`, which are pictures with classes."""

TEACHERS = "torchvision:NAME, timm:NAME, each also with =FILE for weights of your own, or a weights.safetensors"
METHOD = "labels"
"""The method where none is named."""

TASK = "classification"
"""The task where none is named. What a run or a file says of its task it says of another one only."""

ROBUST = "robust"
"""The task of adversarial training, and of a search whose first objective is of that name."""

ADAPTED = "adapted"
"""The task of a search for the network that adapts best to pictures without labels."""

NEURAL = "neural"
"""The task of a search for the network whose features predict simulated neurons best."""

JUDGES = (ADAPTED, NEURAL)
"""Tasks that `--score` names: networks learn the classes of pictures, and are judged otherwise than by accuracy."""

OF_CLASSES = (TASK, ROBUST, *JUDGES)
"""Tasks whose networks say the class of a picture."""

TO = "->"
"""Between the pictures that are learnt from and those that are adapted to."""
ACTIONS, CROWDED, WEIGHED = "actions", "crowded-actions", "wf_map"
"""The task of what people do, the same judged by the metric in which crowded frames count more, and that metric."""

CONTROL, PPO = "control", "ppo"
"""The task of networks that act, and the method that trains them."""

PRETRAINING = "pretraining"
"""What files say of a backbone that was trained without labels: a task that no command can name."""


def named(kind: str, name: str) -> dict[str, str]:
    """What files say of a task or a method: nothing of the default, which all had before there were others."""
    return {} if name == {"task": TASK, "method": METHOD}[kind] else {kind: name}
