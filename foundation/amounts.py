"""Counts and times as people read them, with their units."""


def human(count: int) -> str:
    """A count as people read it: 300.8M, 3.51M, 64.1k; above 1000T with an exponent."""
    if count >= 10**15:
        return f"{count:.3g}"
    for factor, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= factor:
            value = count / factor
            return f"{value:.2f}{unit}" if value < 10 else f"{value:.1f}{unit}"
    return str(count)


def about(low: int, high: int) -> str:
    """A number of networks that is known to lie between two counts; as one number where they differ by little."""
    if low == high:
        return f"{low:,}"
    if high - low <= low // 100 or human(low) == human(high):
        return f"about {human(high)}"
    return f"between {human(low)} and {human(high)}"


def nanoseconds(milliseconds: float | None) -> int | None:
    """A bound on latency in the unit that costs are counted in, at least 1."""
    return None if milliseconds is None else max(1, round(milliseconds * 10**6))


def milliseconds(count: int) -> str:
    """Nanoseconds as people read them: 23.4 ms, 1.23 ms, 0.152 ms."""
    value = count / 10**6
    return f"{value:.3f} ms" if value < 1 else f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms"


def with_unit(name: str, value: int) -> str:
    """A cost with its unit, by its field's name: 300.0M MACs, 3.51M parameters, 23.4 ms."""
    if name == "latency_ns":
        return milliseconds(value)
    return f"{human(value)} {'MACs' if name == 'macs' else 'parameters'}"
