"""Section A of the catalogue: specs that nobody should have written."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.hostile.pieces import Case, canary_of, keras, layer, sequential, spec, table

HEAD = "apiVersion: pgx/v1\nkind: Audit\nmetadata: {name: hostile}\n"


def text(content: str | bytes) -> Callable[[Path], None]:
    """A spec of these characters or bytes."""

    def make(folder: Path) -> None:
        (folder / "audit.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def honest(**changes: object) -> Callable[[Path], None]:
    """An honest audit with some top-level keys replaced."""

    def make(folder: Path) -> None:
        table(folder)
        keras(folder)
        spec(folder, **changes)

    return make


def merges(levels: int) -> str:
    lines = ["x-0: &a0 {k: 1}"]
    lines += [f"x-{n}: &a{n}\n  <<: [*a{n - 1}, *a{n - 1}]" for n in range(1, levels)]
    return HEAD + "\n".join(lines) + "\n"


def aliases() -> str:
    lines = ["x-0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    return HEAD + "\n".join(lines) + "\n"


def data_path(path: str) -> Callable[[Path], None]:
    return honest(data={"modality": "tabular", "train": {"path": path, "target": "y"}})


def of_kind(kind: str) -> Callable[[Path], None]:
    """A spec that is no plain file that can be read."""

    def make(folder: Path) -> None:
        place = folder / "audit.yaml"
        if kind == "fifo":
            os.mkfifo(place)
        elif kind == "directory":
            place.mkdir()
        elif kind == "device":
            place.symlink_to("/dev/zero")
        else:
            place.write_text(HEAD)
            place.chmod(0)

    return make


def linked_out(folder: Path) -> None:
    honest(data={"modality": "tabular", "train": {"path": "rows.csv", "target": "y"}})(folder)
    (folder / "rows.csv").unlink()
    (folder / "rows.csv").symlink_to(canary_of(folder))


def custom(asked: bool) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        table(folder)
        keras(folder, sequential(layer("Mine", "mine.layers", "mine>Mine")))
        said = {"keras": "model.keras", **({"custom_objects": ["Mine"]} if asked else {})}
        spec(folder, said)

    return make


def cycle(length: int) -> Callable[[Path], None]:
    """Files that start from each other in a ring."""

    def make(folder: Path) -> None:
        for place in range(length):
            name = "audit.yaml" if place == 0 else f"part-{place}.yaml"
            after = "audit.yaml" if place == length - 1 else f"part-{place + 1}.yaml"
            (folder / name).write_text(f"{HEAD}extends: {after}\n")

    return make


def crowded(folder: Path) -> None:
    """Two thousand times five hundred steps."""
    steps = {"use": "kernel_shap", "matrix": {"samples": list(range(100, 2100)), "seeds": list(range(500))}}
    honest(explain={"rows": {"from": "train", "sample": 4}, "perturbation": [steps]})(folder)


def samples(count: int) -> Callable[[Path], None]:
    explain = {"rows": {"from": "train", "sample": 4}, "perturbation": [{"use": "lime", "with": {"samples": count}}]}
    return honest(explain=explain, strategy={"budget": {"model_rows": 10**6}})


def cases() -> Iterator[Case]:
    """Every case of the section."""
    at = "audit.yaml:"
    yield Case("A1", "merges", text(merges(40)), (at,))
    yield Case("A1", "merges-22", text(merges(22)), (at,))
    yield Case("A2", "aliases", text(aliases()), (at,))
    yield Case("A2", "itself", text(HEAD + "x-a: &a [*a]\n"), (at,))
    yield Case("A3", "brackets", text("[" * 500_000), (at, "deep"))
    yield Case("A3", "maps", text(HEAD + "x-a: " + "{a: " * 300 + "1" + "}" * 300), (at, "deep"))
    yield Case("A4", "a-megabyte-and-a-byte", text("#" + "x" * 2**20), ("audit.yaml",))
    yield Case("A4", "items", text(HEAD + "x-a: [" + "1," * 300_000 + "1]"), (at,))
    yield Case("A5", "twice", text(HEAD + "kind: Audit\n"), (at, "kind"))
    yield Case("A5", "twice-deep", text(HEAD + "model:\n  inputs: {a: {pad: 1, pad: 2}}\n"), (at, "pad"))
    words = ("NO", "on", "1:30", "017", "1_000", ".inf", "1e400", "9" * 5000)
    for place, word in enumerate(words):
        yield Case("A6", f"word-{place}", text(f"{HEAD}seed: {word}\n"), (at,))
    for place, tag in enumerate(("!!python/name:os.system", "!!bool foo", "!!timestamp foo", "!!set {a}", "!mine 1")):
        yield Case("A7", f"tag-{place}", text(f"{HEAD}x-a: {tag}\n"), (at,))
    yield Case("A8", "bytes", text(HEAD.encode() + b"x-a: \xff\xfe\n"), ("audit.yaml",))
    yield Case("A8", "utf-16", text(HEAD.encode("utf-16")), ("audit.yaml",))
    yield Case("A8", "nul", text(HEAD + "x-a: \0\n"), (at,))
    yield Case("A8", "surrogate", text(HEAD + 'x-a: "\\ud800"\n'), (at,))
    yield Case("A8", "bidi", text(HEAD + "x-a: a\u202eb\n"), (at,))
    yield Case("A9", "two-documents", text(HEAD + "---\n" + HEAD), (at,))
    for name, content in (("empty", ""), ("scalar", "audit\n"), ("list", "- a\n")):
        yield Case("A9", name, text(content), ("audit.yaml",))
    wrong = text("apiVersion: pgx/v1\nkind: Audit\nmetadta: {name: x}\nseed: many\nrisk: high\n")
    yield Case("A10", "all-at-once", wrong, ("metadata", "seed", "risk"))
    yield Case("A11", "missing-step", honest(gates=[{"fact": "agreement.top_k_overlap", "min": 0.5}]), (at,))
    yield Case("A11", "cycle-of-one", cycle(1), (at,))
    yield Case("A11", "cycle-of-two", cycle(2), ("part-1.yaml",))
    yield Case("A11", "cycle-of-500", cycle(500), ("part-",))
    yield Case("A11", "variable-of-itself", text(HEAD + "vars: {a: '${vars.a}'}\nseed: ${vars.a}\n"), (at, "vars.a"))
    yield Case("A12", "a-million-steps", crowded, (at,))
    yield Case("A12", "samples", samples(10**12), (at,), options=("compile",))
    yield Case("A12", "samples-not-whole", samples(10**400), (at,))
    for place, path in enumerate(
        ("../../etc/shadow", "../canary.txt", "/etc/passwd", "~/x.csv", "hf://a/b.csv", "file:///etc/passwd")
    ):
        yield Case("A13", f"path-{place}", data_path(path), (at, "PGX5001"))
    yield Case("A13", "metadata-service", data_path("http://169.254.169.254/rows.csv"), (at, "is a URL"))
    yield Case("A13", "link-out", linked_out, (at, "link out"))
    for kind in ("fifo", "device", "directory", "unreadable"):
        yield Case("A14", kind, of_kind(kind), ("audit.yaml",))
    yield Case(
        "A15", "custom-object", custom(asked=False), (at, "`evil` is refused", "pgx trust add", "custom_objects")
    )
    yield Case("A15", "asked-for", custom(asked=True), (at, "`evil` is refused", "--for custom-objects"))
