"""Who proposes architectures."""

from studies.nni import tuners as nni_tuners  # register themselves
from studies.samplers import evolution, optuna_samplers, predicted, uniform  # register themselves
from studies.samplers.base import Proposal, Sampler, Task, Told, make_sampler, register, sampler_class, sampler_names

__all__ = ["Proposal", "Sampler", "Task", "Told", "make_sampler", "register", "sampler_class", "sampler_names"]
__all__ += ["evolution", "nni_tuners", "optuna_samplers", "predicted", "uniform"]
