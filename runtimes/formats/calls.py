"""Many rows in calls of a bearable size; a call that memory does not suffice for is made again with half the rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from runtimes.capabilities import Floats, Spent

_OF_MEMORY = ("failed to allocate memory", "bad_alloc", "bad allocation", "out of memory", "not enough memory")


class Calling(Protocol):
    """A handle as far as its calls go."""

    rows_per_call: int
    spent: Spent


def in_calls(
    handle: Calling, items: int, answer: Callable[[int, int], Floats], *, rows: int = 1, fixed: int | None = None
) -> Floats:
    """Answer items a call at a time.

    Args:
        handle: its ``rows_per_call`` is halved for good, and ``spent.halved`` counted up, when memory does not suffice.
        items: how many there are, at least one.
        answer: makes the rows of the items from ``start`` to ``stop - 1``.
        rows: model rows that one item stands for.
        fixed: rows that every call must hold, which cannot be halved.
    """
    done, parts = 0, []
    while done < items:
        stop = min(items, done + max(1, (fixed or handle.rows_per_call) // rows))
        try:
            parts.append(answer(done, stop))
        except Exception as error:
            if fixed or stop - done < 2 or not is_of_memory(error):
                raise
            handle.rows_per_call = max(1, (stop - done) * rows // 2)
            handle.spent.halved += 1
            continue
        done = stop
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def is_of_memory(error: Exception) -> bool:
    """Whether an allocation has failed; ONNX Runtime's exceptions say so in their message alone."""
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in _OF_MEMORY)


@contextmanager
def memory_as_one_error() -> Iterator[None]:
    """Whatever says that an allocation has failed is a `MemoryError`, for which whoever asks has smaller ways."""
    try:
        yield
    except Exception as error:
        if is_of_memory(error) and not isinstance(error, MemoryError):
            raise MemoryError(str(error)) from error
        raise
