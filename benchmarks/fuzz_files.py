"""Fuzz of ``pgx check`` with broken model and data files: no traceback, no warning, nothing over 5 seconds or 1 GiB.

    python benchmarks/fuzz_files.py [--cases N] [--seed N] [--only CASE]

Each case damages one file of one of the audits under ``specs/`` and checks the audit. Files are cut short, and their bytes
flipped, deleted, repeated and overwritten; so that damage also reaches what lies behind checksums, a member of an archive
(``.keras``, ``.npz``) is damaged inside and packed again, the configuration of a Keras file is mutated as a tree, and the
fields of an ONNX graph are changed one by one. A case is a pure function of seed and number.

Prints the number of cases by outcome, the slowest, the peak memory of a worker and every distinct failure with an example.

Found so far (seed 20261123, within 300 cases), each with a test of its own since (tests/runtimes/test_damaged_files.py):

- case 44: a Keras layer whose build configuration is text; now any part of a model file that does not fit refuses the file;
- case 193: an ONNX file whose producer is not UTF-8;
- cases 229, 244: trees whose lists of nodes differ in length;
- an array's header that is no Python literal.
"""

import contextlib
import io
import json
import random
import shutil
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import fuzz_specs
import limited_workers

AUDITS = {
    "digits.yaml": ["models/digits.keras", "models/digits.onnx", "data/digits-train.npz", "data/digits-border.png"],
    "german-credit.yaml": [
        "models/german-credit.keras",
        "models/german-credit.onnx",
        "data/german-credit-onehot-train.csv",
        "data/german-credit-onehot-test.csv",
    ],
    "german-credit-trees.yaml": ["models/german-credit-trees.onnx", "data/german-credit-train.csv"],
}
NUMBERS = (0, -1, 1, 2, 7, 255, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63))


def damage(dice: random.Random, name: str, content: bytes) -> bytes:
    """A broken version of a file."""
    kind, suffix = dice.random(), Path(name).suffix
    if kind < 0.15:
        return content[: dice.randrange(len(content))]
    if kind < 0.75 and suffix == ".onnx":
        return _onnx(dice, content)
    if kind < 0.75 and suffix in (".keras", ".npz"):
        return _archive(dice, content)
    if kind < 0.5 and suffix == ".csv":
        return _table(dice, content)
    return flipped(dice, content)


def flipped(dice: random.Random, content: bytes) -> bytes:
    """Bytes changed, deleted, repeated; half of the time near the start, where formats say what they are."""
    found = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        at = dice.randrange(min(len(found), dice.choice((64, 400, len(found) or 1))) or 1)
        length = dice.choice((1, 1, 4, 32))
        match dice.randrange(5):
            case 0 | 1:
                found[at : at + 1] = bytes([dice.randrange(256)])
            case 2:
                del found[at : at + length]
            case 3:
                found[at:at] = found[at : at + length] * dice.choice((1, 2, 50))
            case _:
                found[at : at + length] = dice.choice((b"\0", b"\xff", b"9", b"-", b"(", b",")) * length
    return bytes(found)


def _archive(dice: random.Random, content: bytes) -> bytes:
    """One member changed, renamed, left out or given twice; checksums and lengths are right again."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at = dice.randrange(len(members))
    name, inside = members[at]
    match dice.randrange(10):
        case 0:
            del members[at]
        case 1:
            members[at] = (dice.choice(("", "../x", "/x", "x" * 300, name + "x", "é", "config.json", "y.npy")), inside)
        case 2:
            members.append((name, flipped(dice, inside)))
        case 3:
            members[at] = (name, inside[: dice.randrange(len(inside) + 1)])
        case 4 | 5 | 6 if name.endswith(".json"):
            tree = json.loads(inside)
            for _ in range(dice.choice((1, 1, 2, 4))):
                tree = fuzz_specs.grow(dice, tree, [json.loads(inside)])
            with contextlib.suppress(ValueError, RecursionError):
                inside = json.dumps(tree, default=str).encode("utf-8", "surrogatepass")
            members[at] = (name, inside)
        case _:
            members[at] = (name, flipped(dice, inside))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive, contextlib.suppress(ValueError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two members of one name are meant
        for name, inside in members:
            archive.writestr(zipfile.ZipInfo(name), inside)
    return packed.getvalue()


def _onnx(dice: random.Random, content: bytes) -> bytes:
    """Some fields of the model's messages cleared, cut, repeated or given other values."""
    import onnx

    model = onnx.ModelProto()
    model.ParseFromString(content)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        places = list(_messages(model))
        message = dice.choice(places) if dice.random() < 0.5 else dice.choice(places[: 1 + len(places) // 20])
        if message.ListFields():
            field, value = dice.choice(message.ListFields())
            # a value of a kind, or of a size, that the field does not take leaves the message as it is
            with contextlib.suppress(TypeError, ValueError, AttributeError):
                _change(dice, message, field, value)
    return bytes(model.SerializePartialToString())


def _messages(message: Any) -> Any:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                yield from _messages(one)


def _change(dice: random.Random, message: Any, field: Any, value: Any) -> None:
    if field.message_type is not None or dice.random() < 0.2:
        if not field.is_repeated or dice.random() < 0.2:
            message.ClearField(field.name)
        elif dice.random() < 0.5:
            del value[dice.randrange(len(value))]
        elif field.message_type is not None:
            value.add().CopyFrom(dice.choice(value))
        return
    was = value[dice.randrange(len(value))] if field.is_repeated else value
    if isinstance(was, str):
        new: Any = dice.choice((fuzz_specs.misspelt(dice, was), "", "Softmax", "ZipMap", "Sigmoid", "x" * 500, "é"))
    elif isinstance(was, bytes):
        new = flipped(dice, was) if was else b"\xff"
    else:
        new = (
            dice.choice((*NUMBERS, was + 1, was - 1))
            if isinstance(was, int)
            else dice.choice((float("nan"), 1e30, -was))
        )
    if field.is_repeated:
        value[dice.randrange(len(value))] = new
    else:
        setattr(message, field.name, new)


def _table(dice: random.Random, content: bytes) -> bytes:
    """Lines left out, repeated, cut or mixed up; cells of other kinds."""
    lines = content.decode().splitlines()
    for _ in range(dice.choice((1, 1, 2, 5))):
        at = dice.choice((0, dice.randrange(len(lines))))
        cells = lines[at].split(",")
        place = dice.randrange(len(cells))
        match dice.randrange(7):
            case 0 if len(lines) > 1:
                del lines[at]
            case 1:
                lines.insert(at, lines[at])
            case 2:
                lines[at] = lines[at].replace(",", dice.choice((";", "\t", ",,", '","', ' ,"')), dice.choice((1, -1)))
            case 3:
                cells.insert(place, dice.choice(("", "x", "1")))
                lines[at] = ",".join(cells)
            case 4:
                del cells[place]
                lines[at] = ",".join(cells)
            case _:
                odd = (
                    "",
                    "nan",
                    "inf",
                    "1e400",
                    "-0",
                    "9" * 400,
                    "1,5",
                    '"',
                    '"a\nb"',
                    "x" * 200_000,
                    "\0",
                    "한",
                    "007",
                    "=1+1",
                )
                cells[place] = dice.choice(odd)
                lines[at] = ",".join(cells)
    return dice.choice(("\n", "\n", "\r\n", "\r")).join(lines).encode()


def _case(seed: int, case: int, folder: Path) -> tuple[str, str, bytes]:
    """The audit, the file that is damaged, and its new content."""
    dice = random.Random(f"{seed}/{case}")  # noqa: S311  (nothing secret)
    audit = dice.choice(list(AUDITS))
    name = dice.choice(AUDITS[audit])
    return audit, name, damage(dice, name, (folder / name).read_bytes())


def prepare(seed: int) -> limited_workers.Case:
    """Import everything and make the project; what is returned runs one case."""
    from pgx_compiler.analysis.checked import check
    from pgx_compiler.words import show_diagnostics

    folder = limited_workers.fresh_folder("fuzz-files")
    sound = folder / "sound"
    fuzz_specs.make_project(sound)
    project = folder / "project"
    shutil.copytree(sound, project)
    for audit in AUDITS:
        check(project / audit)  # imports what it needs; the first case is not to pay for it

    def run(case: int) -> str:
        audit, name, content = _case(seed, case, sound)
        (project / name).write_bytes(content)
        try:
            with contextlib.redirect_stderr(io.StringIO()) as shown:
                checked = check(project / audit)
                show_diagnostics(checked.diagnostics, checked.sources, "text", audit)
        finally:
            shutil.copyfile(sound / name, project / name)
        shown.getvalue().encode("utf-8")
        if checked.audit is None and not any(item.severity == "error" for item in checked.diagnostics):
            raise AssertionError("refused without saying why")
        return "valid" if checked.audit else "refused"

    return run


def show(seed: int, case: int) -> None:
    """Say which file is damaged, and leave its damaged version in the current folder."""
    sound = limited_workers.fresh_folder("fuzz-files")
    fuzz_specs.make_project(sound)
    audit, name, content = _case(seed, case, sound)
    kept = Path(f"case-{case}{Path(name).suffix}")
    kept.write_bytes(content)
    print(f"{audit} with {name} replaced by ./{kept}", flush=True)


if __name__ == "__main__":
    sys.exit(limited_workers.main(__file__, __doc__ or "", 10_000, prepare, show))
