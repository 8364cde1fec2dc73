"""Text files as people's editors leave them."""

from pathlib import Path

from search_space.errors import InputError


def read_text(path: Path, longest: int, named_by: str | None = None) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark; at most one character more than `longest`.

    Args:
        named_by: what the user typed, for the message; by default the path.

    Raises InputError for a missing file, one that cannot be read, or one that is not UTF-8 text.
    """
    named_by = named_by or str(path)
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read(longest + 1)
    except FileNotFoundError:
        raise InputError(f"{named_by}: no such file") from None
    except OSError as error:
        raise InputError(f"{named_by}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{named_by}: not UTF-8 text; save it as UTF-8, or give the right file") from None
