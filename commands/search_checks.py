"""What of a search's settings does not go together, found before anything is read."""

from commands.presets import ONLY_FOR, SearchSettings, preset
from search_space.errors import InputError
from studies.choices import ENGINES
from studies.storages import check_address


def without_effect(settings: SearchSettings) -> list[str]:
    """What was given and changes nothing with the other settings: a few words each."""
    usual = preset(settings.preset).settings
    given = [name for name in vars(usual) if getattr(settings, name) != getattr(usual, name)]
    unused = [
        f"--{name.replace('_', '-')} (it is for --evaluator {ONLY_FOR[name]})"
        for name in given
        if name in ONLY_FOR and ONLY_FOR[name] != settings.evaluator
    ]
    if "runtime" in given and (settings.max_latency_ms is None or settings.latency_table is not None):
        unused.append("--runtime (it is for --max-latency-ms without --latency-table)")
    if settings.supernet and settings.evaluator == "supernet":
        told = [name for name in given if name in ("supernet_epochs", "batch_size", "init")]
        unused += [f"--{name.replace('_', '-')} (the weights of --supernet are trained)" for name in told]
    if "init" in given and settings.evaluator == "tabular":
        unused.append("--init (the table's networks are trained)")
    return unused


def check_engine(settings: SearchSettings) -> None:
    """Raises InputError for an unknown engine, or what it cannot do."""
    if settings.engine not in ENGINES:
        raise InputError(f"--engine {settings.engine}: unknown; known: {', '.join(ENGINES)}")
    if settings.engine != "processes" and settings.evaluator == "proxy":
        raise InputError(
            f"--engine {settings.engine}: the proxy's candidates compete in one process; use --engine processes"
        )
    if settings.engine != "nni" and settings.nni_port is not None:
        raise InputError("--nni-port is for --engine nni")
    if settings.engine != "ray" and (settings.ray_address or settings.worker_gpus):
        raise InputError("--ray-address and --worker-gpus are for --engine ray")


def check_latency(settings: SearchSettings) -> None:
    """Raises InputError for an objective of latency without latencies."""
    if (
        "latency_ns" in (settings.objectives or ())
        and settings.max_latency_ms is None
        and settings.latency_table is None
    ):
        raise InputError("--objectives latency: no latency is known; give --latency-table FILE or --max-latency-ms too")


def check_shared(settings: SearchSettings) -> None:
    """Raises InputError for what several processes cannot share."""
    if settings.evaluator == "proxy" and (settings.storage is not None or settings.workers > 1):
        raise InputError("--evaluator proxy: its candidates compete in one process; leave --workers and --storage out")
    if settings.storage is not None:
        check_address(settings.storage)
