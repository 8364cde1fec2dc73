"""An evaluator made in another process, e.g. an actor of Ray on another host."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.base import Evaluator, adopted
from evaluators.choice import EVALUATORS, Setup
from foundation.device import resolve_device
from foundation.plugins import load_plugin
from foundation.progress import Reporter
from tasks.choice import task
from tasks.classification.room import CLASSIFICATION
from training.lanes import use_threads
from training.task import on


@dataclass(frozen=True)
class Elsewhere:
    """Makes and prepares a setup's evaluator in another process, which reads the data for itself.

    Attributes:
        name: of the evaluator.
        settings: the setup's fields, without task, data and reporter.
        data: the specification that the task's data are loaded by, at `side` pixels, onto the device, with the options
            of `Task.data` that `reading` says.
        task: its name, which a plugin may have registered.
        threads: of torch.
        plugins: files that are run first, see `foundation.plugins`.
    """

    name: str
    settings: dict[str, Any]
    data: str
    side: int
    reading: dict[str, Any]
    device: str
    threads: int
    plugins: tuple[str, ...] = ()
    task: str = CLASSIFICATION.name

    def __call__(self) -> Evaluator:
        for path in self.plugins:
            load_plugin(Path(path))
        device = resolve_device(self.device)
        use_threads(self.threads, lanes=device.type == "cpu")
        reporter = Reporter(quiet=True)
        chosen = task(self.task)
        data = chosen.data(self.data, self.side, device, reporter, **self.reading)
        evaluator = adopted(
            EVALUATORS[self.name](Setup(**self.settings, task=on(chosen, data), data=data, reporter=reporter))
        )
        evaluator.prepare()
        return evaluator
