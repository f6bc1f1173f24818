"""Section C of the catalogue: data of strangers, as far as a file shows it before it is used."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tests.hostile.pieces import Case, canary_of, data_audit, keras, spec

Make = Callable[[Path], None]
HEAD = b"a,b,c,d,y\n"
ROW = b"1,2,3,4,0\n"


def table(content: bytes) -> Make:
    return lambda folder: data_audit(folder, content)


def array(header: bytes, body: bytes = b"") -> bytes:
    """An ``.npy`` file with a header of one's own."""
    padded = header.ljust(118 - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + body


def said(shape: str, dtype: str = "<f4") -> bytes:
    return f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()


def npz(members: dict[str, bytes], packed: bool = False) -> Make:
    def make(folder: Path) -> None:
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        data_audit(folder, held.getvalue(), "rows.npz")

    return make


def objects(folder: Path) -> None:
    held = io.BytesIO()
    np.savez(held, x=np.array([[print]], object), y=np.zeros(1, np.int64))
    data_audit(folder, held.getvalue(), "rows.npz")


def labels() -> bytes:
    held = io.BytesIO()
    np.save(held, np.arange(10) % 2)
    return held.getvalue()


def bomb(folder: Path) -> None:
    """Half a megabyte that declares eight gigabytes and would inflate to 256 megabytes."""
    npz({"x.npy": array(said("(500000000, 4)")) + bytes(2**28), "y.npy": labels()}, packed=True)(folder)


def png(width: int, height: int, body: bytes = b"") -> bytes:
    """A PNG's first bytes, honest or not."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + body


def mask(content: bytes) -> Make:
    """An audit of pictures with a region that somebody has drawn."""

    def make(folder: Path) -> None:
        given = {"module": "keras.layers", "class_name": "InputLayer", "registered_name": None}
        given |= {"config": {"name": "x", "batch_shape": [None, 4, 4, 1], "dtype": "float32"}}
        flat = {"module": "keras.layers", "class_name": "Flatten", "config": {"name": "flat"}, "registered_name": None}
        out = {"module": "keras.layers", "class_name": "Dense", "registered_name": None}
        out |= {"config": {"name": "out", "units": 2, "activation": "softmax", "use_bias": True}}
        out |= {"build_config": {"input_shape": [None, 16]}}
        config = {"module": "keras", "class_name": "Sequential", "registered_name": None}
        keras(folder, {**config, "config": {"name": "m", "layers": [given, flat, out]}})
        np.savez(folder / "rows.npz", x=np.zeros((10, 4, 4, 1), np.float32), y=np.arange(10) % 2)
        (folder / "mask.png").write_bytes(content)
        data = {
            "modality": "image",
            "train": {"path": "rows.npz", "target": "y"},
            "features": {"r": {"mask": "mask.png"}},
        }
        spec(folder, data=data)

    return make


def lines_of(folder: Path, content: str) -> None:
    data_audit(folder, content.encode(), "rows.jsonl")


def pipe(folder: Path) -> None:
    data_audit(folder, b"")
    (folder / "rows.csv").unlink()
    os.mkfifo(folder / "rows.csv")


def linked_out(folder: Path) -> None:
    data_audit(folder, b"")
    (folder / "rows.csv").unlink()
    (folder / "rows.csv").symlink_to(canary_of(folder))


def cases() -> Iterator[Case]:
    """Every case of the section that a file shows."""
    at, c, n = "audit.yaml:", "`rows.csv`", "`rows.npz`"
    rows = ROW * 5
    yield Case("C1", "ragged", table(HEAD + rows + b"1,2,3\n"), (at, c, "row 6 (line 7) has 3 cells"))
    yield Case("C1", "twice", table(b"a,b,a,d,y\n" + rows), (at, c, "columns 1 and 3 are both called `a`"))
    yield Case("C1", "nul", table(HEAD + rows + b"1,2,\0,4,0\n"), (at, c, "line 7 holds a NUL byte"))
    yield Case("C1", "latin-1", table(HEAD + rows + b"1,2,\xe9,4,0\n"), (at, c, "line 7 is not UTF-8"))
    yield Case("C1", "utf-16", table((HEAD + rows).decode().encode("utf-16")), (at, c, "UTF-16"))
    yield Case("C1", "empty", table(b""), (at, c, "is empty"))
    yield Case("C1", "header-only", table(HEAD), (at, c, "a header and no rows"))
    yield Case("C1", "crlf-and-bom", table(b"\xef\xbb\xbf" + (HEAD + rows).replace(b"\n", b"\r\n")), (), 0, help=False)
    yield Case("C1", "semicolons", table((HEAD + rows).replace(b",", b";")), (at, c, "semicolons"))
    yield Case("C1", "quotes", table(HEAD + rows + b'"1,2,3,4,0\n'), (at, c))
    yield Case("C1", "pipe", pipe, (at, c, "is not a regular file"))
    yield Case("C1", "link-out", linked_out, (at, c, "link out"))
    words = HEAD + rows + b"NA,2,3,4,0\n"
    yield Case("C2", "words-among-numbers", table(words), (at, "column `a` holds text"))
    yield Case("C2", "beyond-exact", table(HEAD + rows + b"9007199254740993,2,3,4,0\n"), (at, "column `a`"))
    yield Case("C3", "one-label", table(HEAD + ROW), (), 0, help=False)
    yield Case("C4", "objects", objects, (at, n, "Python objects"))
    for name, shape in (("vast", "(1000000000000, 4)"), ("overflow", f"({2**62}, {2**62})")):
        yield Case("C4", name, npz({"x.npy": array(said(shape)), "y.npy": labels()}), (at, n, "declares more than"))
    yield Case("C4", "negative", npz({"x.npy": array(said("(-1, 4)")), "y.npy": labels()}), (at, n, "`x`"))
    broken = npz({"x.npy": array(b"{'descr': '<f4', (")})
    yield Case("C4", "no-header", broken, (at, n, "the array `x` is damaged"))
    yield Case("C4", "truncated", lambda f: data_audit(f, b"PK\x03\x04rest", "rows.npz"), (at, n, "truncated"))
    yield Case("C4", "short-body", npz({"x.npy": array(said("(10, 4)")), "y.npy": labels()}), (at, n, "`x`"))
    yield Case("C5", "bomb", bomb, (at, n, "declares more than"))
    ratio = npz({"x.npy": array(said("(1000, 4)")), "more.npy": bytes(2**26), "y.npy": labels()}, packed=True)
    yield Case("C5", "ratio", ratio, (at, n))
    for side in (100_000_000, 2**31 - 1):
        yield Case("C6", f"pixels-{side}", mask(png(side, 1)), (at, "`mask.png`", "pixels"))
    yield Case("C6", "eps", mask(b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(64)), (at, "`mask.png`", "is not a PNG file"))
    yield Case("C6", "truncated", mask(b"\x89PNG\r\n\x1a\n"), (at, "`mask.png`", "is not a PNG file"))
    wide = b",".join(b"c%d" % place for place in range(200_000)) + b"\n"
    yield Case("C7", "columns", table(wide), (at, c, "200,000 columns"))
    one_line = "{" + ", ".join(f'"c{place}": 1' for place in range(30_000)) + "}\n"
    yield Case("C7", "keys", lambda f: lines_of(f, one_line), (at, "`rows.jsonl`"))
    lengths = npz({"x.npy": array(said("(7, 4)")) + bytes(112), "y.npy": labels()})
    yield Case("C8", "other-length", lengths, (at, n, "7", "10"))
