"""Large arrays are written and read a part at a time: the same bytes, the same checks, and not all of it in memory."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgx_compiler.evidence import canonical
from pgx_compiler.evidence.canonical import archive, write_archive
from pgx_compiler.evidence.store import Artifact, DamagedEvidence, Record, Store


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "a": rng.normal(size=(300, 7)), "by_columns": np.asfortranarray(rng.normal(size=(301, 7)).astype(np.float32)),
        "words": np.array(["x", "yy", "grün"]), "nothing": np.zeros((0, 3)), "one": np.float64(3), "flags": rng.random(999) < 0.5,
        "turned": np.arange(24).reshape(2, 3, 4)[:, ::-1],
    }  # fmt: skip


def at_once(held: dict[str, Any]) -> bytes:
    """The archive by its definition: every member in one piece."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in sorted(held):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(held[name]), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            bundle.writestr(info, member.getvalue(), compresslevel=4)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [8, 77, 1000, 2**24])
def test_an_archive_in_parts_is_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(canonical, "_AT_ONCE", size)
    with (tmp_path / "arrays.npz").open("wb") as file:
        write_archive(file, arrays())
    assert (tmp_path / "arrays.npz").read_bytes() == archive(arrays()) == at_once(arrays())


def test_objects_are_not_written() -> None:
    with pytest.raises(ValueError, match="Python objects"):
        archive({"x": np.array([{}, None], object)})


def kept(tmp_path: Path) -> tuple[Store, Record, Path]:
    store = Store(tmp_path / "store")
    record = store.keep("k" * 64, Artifact({"n": 1}, arrays()), {}, {}, 0.0)
    assert record.arrays is not None
    return store, record, store.path(record.arrays, ".npz")


def test_arrays_read_when_asked_for_are_those_read_at_once(tmp_path: Path) -> None:
    store, record, _ = kept(tmp_path)
    whole, found = store.load(record), store.load(record, at_hand=0)
    assert found.document == whole.document
    assert sorted(found.arrays) == sorted(whole.arrays)
    assert ("words" in found.arrays, "none" in found.arrays, found.arrays.get("none")) == (True, False, None)
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype
    assert isinstance(store.load(record, at_hand=2**20).arrays, dict)


def test_what_is_changed_while_it_is_held_is_found_and_not_used(tmp_path: Path) -> None:
    """Every byte: at opening, and at each reading after it."""
    store, record, path = kept(tmp_path)
    content = path.read_bytes()
    for place in range(0, len(content), 97):
        found = store.load(record, at_hand=0)
        path.chmod(0o644)
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DamagedEvidence, match="was changed"):
            found.arrays["words"]
        assert not path.exists(), "it was not set aside"
        with pytest.raises(DamagedEvidence, match="is missing"):
            found.arrays["words"]
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert not store.whole(record)
        path.write_bytes(content)
        assert store.whole(record)
