"""Who computes what, where several runs share a store: each key is computed once, by whoever claims it first.

A claim is a lock of the kernel on the key. It ends with the process that holds it, however that dies, so that a run that
waits for another one's result takes the work over within a moment.
"""

from dataclasses import dataclass, field

from pgx_compiler.evidence.locks import Held
from pgx_compiler.evidence.store import Record, Store

LOOK_AGAIN = 0.2
"""Seconds after which a key that is claimed elsewhere is asked for again."""


@dataclass
class Claims:
    """The claims of one run."""

    store: Store
    _held: dict[str, Held] = field(default_factory=dict)

    def take(self, key: str) -> "Record | bool":
        """Claim a key.

        Returns:
            True: it is ours to compute, until `release`. False: somebody else is at it; ask again. A record: somebody else
            has just finished it.
        """
        held = self.store.claim(key)
        if held is None:
            return False
        # looked up under the lock: between our first look and now another run may have come and gone
        record = self.store.find(key)
        if record is not None and self.store.whole(record):
            held.release()
            return record
        self._held[key] = held
        return True

    def release(self, key: str) -> None:
        """Give a claim back: its result is in the store, or will not come."""
        held = self._held.pop(key, None)
        if held is not None:
            held.release()

    def close(self) -> None:
        """Give everything back."""
        for key in list(self._held):
            self.release(key)
