"""The store against a dictionary: sixteen writers at a time, damage, sweeps, crashes; used by the tests and by a script."""

import os
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pgx_compiler.evidence.canonical import digest
from pgx_compiler.evidence.retention import Rule
from pgx_compiler.evidence.store import Artifact, DamagedEvidence, Store
from pgx_compiler.evidence.sweep import seal_run, sweep
from pgx_compiler.execute.claims import Claims

WRITERS = 16
KEYS = [digest(f"key {number}") for number in range(12)]
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  (mkdtemp makes it private)


def result_of(key):
    """What a key's work gives: some of them the same."""
    number = KEYS.index(key)
    return Artifact({"n": number % 5}, {"v": np.arange(number % 3)} if number % 2 else {})


class StoreMachine(RuleBasedStateMachine):
    """Every rule leaves the store as the dictionary says, or as if what was damaged had never been."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        self.root = Path(self.folder.name) / "store"
        self.known = {}
        """Key to content digest of what must be found."""
        self.lost = {}
        """The same for keys whose objects are gone or damaged: they are back once another key has the same objects."""
        self.sealed = set()
        self.seals = []
        self.taking_part = threading.Lock()

    def teardown(self):
        self.folder.cleanup()

    @rule(asked=st.lists(st.sampled_from(KEYS), min_size=1, max_size=WRITERS))
    def writers_ask_together(self, asked):
        """As many runs at once, each wanting one key: whoever claims it computes it, the others wait for that."""
        before = set(self.known)
        start = threading.Barrier(len(asked))
        tally = Counter()

        def want(key):
            claims = Claims(Store(self.root))
            start.wait()
            while (taken := claims.take(key)) is False:
                time.sleep(0.001)
            if taken is True:
                tally[key] += 1
                taken = claims.store.keep(key, result_of(key), {}, {}, 0.0)
                claims.release(key)
            return key, taken

        with ThreadPoolExecutor(len(asked)) as pool:
            for key, record in pool.map(want, asked):
                assert record.key == key
                assert self.known.setdefault(key, record.content) == record.content
        for key in set(asked):
            expected = {0} if key in before else {0, 1} if key in self.lost else {1}
            assert tally[key] in expected, f"computed {tally[key]} times"

    @rule(key=st.sampled_from(KEYS), which=st.sampled_from(["document", "arrays", "record"]), data=st.data())
    def a_byte_is_changed(self, key, which, data):
        store = Store(self.root)
        record = store.find(key)
        if record is None or (which == "arrays" and record.arrays is None):
            return
        path = {
            "record": store.record_path(key),
            "document": store.path(record.document, ".json"),
            "arrays": store.path(record.arrays or "", ".npz"),
        }[which]
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        path.chmod(0o644)
        path.write_bytes(bytes(content))
        self._forget_damaged()

    @rule(key=st.sampled_from(KEYS))
    def an_object_vanishes(self, key):
        record = Store(self.root).find(key)
        if record is not None:
            Store(self.root).path(record.document, ".json").unlink()
            self._forget_damaged()

    def _forget_damaged(self):
        """What is damaged is found out, and is from then on as if it had never been."""
        store = Store(self.root)
        for key in list(self.known):
            record = store.find(key)
            if record is None or not store.whole(record):
                self.lost[key] = self.known.pop(key)

    @rule(key=st.sampled_from(KEYS))
    def a_writer_dies_in_the_middle(self, key):
        """It leaves a claim that its death gives back, and files without a final name."""
        claims = Claims(Store(self.root))
        if claims.take(key) is True:
            for place in (self.root / "incoming" / ".incoming.1.ab", self.root / "objects" / "ab" / ".x.json.1.cd"):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(b"half of a resu")
            held = claims._held.pop(key)
            os.close(held._descriptor)

    @rule()
    def a_run_ends(self):
        store = Store(self.root)
        contents = {key: (key, content) for key, content in self.known.items()}
        _, seal = seal_run(store, {"audit": "a"}, contents, (), ())
        self.seals.append(seal)
        self.sealed = set(self.known)

    @rule()
    def the_store_is_swept(self):
        swept = sweep(Store(self.root), Rule(keep_runs=1), pretend=False, now=time.time() + 1e6)
        assert swept is not None
        for key in set(self.known) - self.sealed:
            self.lost[key] = self.known.pop(key)

    @rule()
    def nobody_sweeps_under_a_run(self):
        with Store(self.root).enter():
            assert sweep(Store(self.root), Rule(), pretend=False, now=time.time() + 1e6) is None

    @invariant()
    def the_store_is_as_the_dictionary_says(self):
        store = Store(self.root)
        for key in KEYS:
            record = store.find(key)
            there = record is not None and store.whole(record)
            if there and key not in self.known:
                self.known[key] = self.lost.pop(key)
            assert there == (key in self.known), key[:8]
            if there:
                assert record.content == self.known[key]
                made = store.load(record)
                assert made.document == result_of(key).document
                for name, array in result_of(key).arrays.items():
                    assert np.array_equal(made.arrays[name], array)
        assert store.conflicts == []

    @invariant()
    def the_ledger_holds(self):
        seals = [entry.seal for entry in Store(self.root).ledger.entries()]
        assert [seal for seal in seals if seal in self.seals] == self.seals

    @invariant()
    def nothing_is_ever_served_damaged(self):
        store = Store(self.root)
        for path in (self.root / "objects").glob("*/[!.]*"):
            try:
                store.get(path.stem, path.suffix)
            except DamagedEvidence:
                assert not path.exists()
