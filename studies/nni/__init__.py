"""NNI: its tuners as samplers, and its experiments as an engine."""

from studies.nni import tuners  # they register themselves

__all__ = ["tuners"]
