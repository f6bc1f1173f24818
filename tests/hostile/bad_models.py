"""Section B of the catalogue, as far as a file shows it before it runs: models of strangers."""

import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.hostile.pieces import (
    Case,
    canary_of,
    dense,
    file_audit,
    graph,
    hdf5,
    honest_onnx,
    honest_weights,
    keras_audit,
    keras_members,
    layer,
    onnx_audit,
    sequential,
    spec,
    table,
)

Make = Callable[[Path], None]
LAMBDA = layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wAA", "defaults": None}})


def with_layer(evil: Any) -> Make:
    return lambda folder: keras_audit(folder, sequential(evil, dense()))


def legacy(config: Any, fill: Callable[[Any], None] = lambda file: None, name: str = "model.h5") -> Make:
    """A model as Keras 2 wrote it: HDF5, its configuration an attribute of the root."""

    def make(folder: Path) -> None:
        def whole(file: Any) -> None:
            file.attrs["model_config"] = json.dumps(config)
            group = file.create_group("model_weights")
            honest_weights(group)
            fill(group)

        file_audit(folder, hdf5(whole), name)

    return make


def weights(fill: Callable[[Any, Path], None]) -> Make:
    """An archive whose weights hold something more."""

    def make(folder: Path) -> None:
        def whole(file: Any) -> None:
            honest_weights(file)
            fill(file, canary_of(folder))

        keras_audit(folder, weights=hdf5(whole))

    return make


def external(file: Any, canary: Path) -> None:
    file.create_dataset("layers/dense/vars/2", (4,), "u1", external=[(str(canary), 0, 4)])


def external_link(file: Any, canary: Path) -> None:
    import h5py

    file["layers/other"] = h5py.ExternalLink(str(canary), "/")


def soft_link(file: Any, canary: Path) -> None:
    import h5py

    file["layers/other"] = h5py.SoftLink("/layers/dense")


def virtual(file: Any, canary: Path) -> None:
    import h5py

    made = h5py.VirtualLayout((4,), "f4")
    made[:] = h5py.VirtualSource(str(canary), "x", (4,))
    file.create_virtual_dataset("layers/dense/vars/2", made)


def vast(file: Any, canary: Path) -> None:
    file.create_dataset("layers/dense/vars/2", (10**6, 10**6), "f4")


def zipped(members: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda entry: None) -> bytes:
    """An archive; ``change`` may alter what it says of a member."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100600 << 16
            change(entry)
            archive.writestr(entry, content)
    return held.getvalue()


def deflated(entry: zipfile.ZipInfo) -> None:
    entry.compress_type = zipfile.ZIP_DEFLATED


def linked(entry: zipfile.ZipInfo) -> None:
    if entry.filename == "config.json":
        entry.external_attr = 0o120777 << 16


def members(**more: bytes) -> Callable[[], dict[str, bytes]]:
    return lambda: keras_members() | {name.replace("__", "/"): content for name, content in more.items()}


def archive(
    made: Callable[[], dict[str, bytes]], change: Callable[[zipfile.ZipInfo], None] = lambda entry: None
) -> Make:
    return lambda folder: file_audit(folder, zipped(made(), change))


def slipping(name: str) -> Make:
    return lambda folder: file_audit(folder, zipped({**keras_members(), name: b"x"}))


def twice(folder: Path) -> None:
    held = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(held, "w") as made:
        warnings.simplefilter("ignore")
        for name, content in [*keras_members().items(), ("config.json", b"{}")]:
            made.writestr(name, content)
    file_audit(folder, held.getvalue())


def encrypted(folder: Path) -> None:
    """The flag of encryption set in the directory of the archive and before each member."""
    content = bytearray(zipped(keras_members()))
    for signature, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = content.find(signature)
        while place >= 0:
            content[place + at] |= 1
            place = content.find(signature, place + 4)
    file_audit(folder, bytes(content))


def folder_for_a_file(name: str) -> Make:
    def make(folder: Path) -> None:
        file_audit(folder, b"", name)
        (folder / name).unlink()
        (folder / name).mkdir()
        (folder / name / "checkpoint").write_text("x")

    return make


def pipe(name: str) -> Make:
    def make(folder: Path) -> None:
        file_audit(folder, b"", name)
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return make


def truncated(name: str) -> Make:
    def make(folder: Path) -> None:
        whole = zipped(keras_members()) if name.endswith(".keras") else honest_onnx().SerializeToString()
        file_audit(folder, whole[: len(whole) * 2 // 3], name)

    return make


class Wire:
    """Just enough of protocol buffers to write a SavedModel without TensorFlow."""

    @staticmethod
    def number(field: int, value: int) -> bytes:
        return bytes([field << 3]) + Wire.varint(value)

    @staticmethod
    def varint(value: int) -> bytes:
        out = b""
        while value > 127:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    @staticmethod
    def part(field: int, content: bytes | str) -> bytes:
        raw = content.encode() if isinstance(content, str) else content
        return bytes([field << 3 | 2]) + Wire.varint(len(raw)) + raw


def saved_model(op: str, place: str) -> Make:
    """A SavedModel with one operation in its graph, in a function, or in what is run when it is loaded."""
    node = Wire.part(1, "evil_node") + Wire.part(2, op)
    function = Wire.part(1, Wire.part(1, "__inference_call_1")) + Wire.part(3, node)
    initializer = Wire.part(1, Wire.part(1, "__inference__initializer_7")) + Wire.part(3, node)
    definition = {
        "graph": Wire.part(1, node),
        "function": Wire.part(2, Wire.part(1, function)),
        "initializer": Wire.part(2, Wire.part(1, initializer)),
    }[place]
    objects = Wire.part(2, Wire.part(1, "__inference_call_1") + Wire.part(2, b""))
    whole = Wire.number(1, 1) + Wire.part(2, Wire.part(2, definition) + Wire.part(7, objects))

    def make(folder: Path) -> None:
        table(folder)
        (folder / "saved").mkdir()
        (folder / "saved" / "saved_model.pb").write_bytes(whole)
        spec(folder, {"keras": "saved"})

    return make


def tensor_outside(location: Callable[[Path], str], prepare: Callable[[Path], None] = lambda folder: None) -> Make:
    """The honest model with its weights in another file."""

    def make(folder: Path) -> None:
        model = honest_onnx()
        weight = model.graph.initializer[0]
        content = weight.raw_data
        weight.ClearField("raw_data")
        weight.data_location = weight.EXTERNAL
        for key, value in (("location", location(folder)), ("offset", "0"), ("length", str(len(content)))):
            entry = weight.external_data.add()
            entry.key, entry.value = key, value
        (folder / "honest.bin").write_bytes(content)
        prepare(folder)
        onnx_audit(folder, model)

    return make


def hard_link(folder: Path) -> None:
    os.link(canary_of(folder), folder / "evil.bin")


def symlink(folder: Path) -> None:
    (folder / "evil.bin").symlink_to(canary_of(folder))


def symlinked_folder(folder: Path) -> None:
    (folder / "below").symlink_to(folder.parent)


def doubling(levels: int) -> Make:
    """Functions that each call the one below twice: 2 to the power of ``levels`` nodes."""
    from onnx import TensorProto, helper

    opset = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    identity = helper.make_node("Identity", ["a"], ["b"])
    made = [helper.make_function("mine", "f0", ["a"], ["b"], [identity], opset)]
    for level in range(1, levels + 1):
        first = helper.make_node(f"f{level - 1}", ["a"], ["m"], domain="mine")
        second = helper.make_node(f"f{level - 1}", ["m"], ["b"], domain="mine")
        made.append(helper.make_function("mine", f"f{level}", ["a"], ["b"], [first, second], opset))
    nodes = [helper.make_node(f"f{levels}", ["x"], ["p"], domain="mine")]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    return lambda folder: onnx_audit(folder, graph(nodes, [given], [], functions=made, opset_imports=opset))


def calls_itself(folder: Path) -> None:
    from onnx import TensorProto, helper

    opset = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    node = helper.make_node("f", ["a"], ["b"], domain="mine")
    function = helper.make_function("mine", "f", ["a"], ["b"], [node], opset)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    nodes = [helper.make_node("f", ["x"], ["p"], domain="mine")]
    onnx_audit(folder, graph(nodes, [given], [], functions=[function], opset_imports=opset))


def sized(*dims: int) -> Make:
    """The honest model with a tensor of other sizes than it holds numbers for."""

    def make(folder: Path) -> None:
        model = honest_onnx()
        del model.graph.initializer[0].dims[:]
        model.graph.initializer[0].dims.extend(dims)
        onnx_audit(folder, model)

    return make


def operator(kind: str, domain: str = "", opset: int = 17) -> Make:
    from onnx import TensorProto, helper

    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    nodes = [helper.make_node(kind, ["x"], ["p"], name="evil", domain=domain)]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    return lambda folder: onnx_audit(folder, graph(nodes, [given], [], opset_imports=opsets))


def crowded_onnx(folder: Path) -> None:
    """Nodes of two bytes each, of which a parser makes hundreds."""
    honest = honest_onnx().SerializeToString()
    onnx_audit(folder, honest + Wire.part(7, b"\x0a\x00" * 600_000))


def cases() -> Iterator[Case]:
    """Every case of the section that a file shows."""
    k, o, h, s = "`model.keras`", "`model.onnx`", "`model.h5`", "`saved_model.pb`"
    at = "audit.yaml:"
    yield Case("B1", "lambda", with_layer(LAMBDA), (at, k, "`evil` is refused: Lambda holds code", "--for lambda"))
    old = {"class_name": "Sequential", "config": {"name": "m", "layers": [LAMBDA]}}
    yield Case("B1", "lambda-h5", legacy(old), (at, h, "`evil` is refused: Lambda holds code"))
    gadgets = [
        ("tfsm", layer("TFSMLayer", filepath="/srv/saved"), "TFSMLayer is not on the list"),
        ("system", layer("system", "os"), "the module `os`"),
        ("eval", layer("function", "builtins") | {"config": "eval"}, "a function of its own"),
        ("get-file", layer("get_file", "keras.utils"), "the module `keras.utils`"),
        ("torch", layer("TorchModuleWrapper", module_="x"), "is not on the list"),
        ("string-lookup", layer("StringLookup", vocabulary="/etc/passwd"), "is not on the list"),
        ("text-vectorization", layer("TextVectorization", vocabulary="/etc/passwd"), "is not on the list"),
    ]
    for name, evil, said in gadgets:
        yield Case("B2", name, with_layer(evil), (at, k, said))
    unsafe = sequential(dense(), safe_mode=False)
    yield Case("B2", "safe-mode", lambda folder: keras_audit(folder, unsafe), (at, k, "safe_mode"))
    for name, fill, said in (
        ("external", external, "external storage"),
        ("external-link", external_link, "is a link to elsewhere"),
        ("soft-link", soft_link, "is a link to elsewhere"),
        ("virtual", virtual, "virtual"),
    ):
        yield Case("B3", name, weights(fill), (at, k, said))
        yield Case("B3", f"{name}-h5", _h5_with(fill), (at, h, said))
    yield Case("B4", "3.6-terabytes", weights(vast), (at, k, "declares 1,000,000,000,000 numbers"))
    yield Case("B4", "units", with_layer(dense("vast", 10**10)), (at, k, "units = 10,000,000,000"))
    heads = layer("MultiHeadAttention", num_heads=10**9, key_dim=10**9)
    yield Case("B4", "heads", with_layer(heads), (at, k, "num_heads = 1,000,000,000"))
    asset = members(assets__words=b"x" * 2**20 * 32)
    yield Case("B4", "asset", archive(asset, deflated), (at, k, "unexpected member `assets/words`"))
    config = lambda text: lambda: keras_members(text)  # noqa: E731
    yield Case("B4", "config-bomb", archive(config(b" " * 2**26), deflated), (at, k, "`config.json` declares"))
    yield Case(
        "B4", "crowded-config", archive(config(b"[" + b"[]," * 5_000_000 + b"1]")), (at, k, "more than 1,000,000")
    )
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    yield Case("B4", "deep-config", archive(config(deep)), (at, k, "nested too deeply"))
    for name in ("../../evil.txt", "/srv/evil.txt", "..\\evil.txt"):
        yield Case("B5", f"slip-{len(name)}", slipping(name), (at, k, "unexpected member"))
    yield Case("B5", "twice", twice, (at, k, "two members of one name"))
    yield Case("B5", "encrypted", encrypted, (at, k, "is encrypted"))
    yield Case("B5", "link", archive(members(), linked), (at, k, "`config.json` is a link"))
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    for suffix in ("keras", "onnx", "h5"):
        name = f"model.{suffix}"
        yield Case("B6", f"empty-{suffix}", _file(b"", name), (at, f"`{name}`", "is empty"))
        yield Case(
            "B6", f"pointer-{suffix}", _file(pointer, name), (at, f"`{name}`", "git-lfs pointer", "git lfs pull")
        )
        yield Case("B6", f"page-{suffix}", _file(b"<!DOCTYPE html><p>x", name), (at, f"`{name}`", "web page"))
        yield Case("B6", f"pickle-{suffix}", _file(pickle.dumps({"a": 1}), name), (at, f"`{name}`", "pickle"))
        yield Case("B6", f"folder-{suffix}", folder_for_a_file(name), (at, f"`{name}` is a folder"))
        yield Case("B6", f"pipe-{suffix}", pipe(name), (at, f"`{name}` is not a regular file"))
    yield Case("B6", "truncated-keras", truncated("model.keras"), (at, k, "damaged"))
    yield Case("B6", "truncated-onnx", truncated("model.onnx"), (at, o, "truncated"))
    for op in ("ReadFile", "WriteFile", "WholeFileReaderV2", "Save", "TextLineDataset", "MatchingFiles", "PyFunc"):
        said = (at, s, f"the operation `{op}` (`evil_node` in", f"--for savedmodel-op:{op}")
        yield Case("B7", f"{op}-in-a-function", saved_model(op, "function"), said)
    yield Case("B7", "ReadFile-in-the-graph", saved_model("ReadFile", "graph"), (at, s, "in the graph) is refused"))
    yield Case("B7", "WriteFile-at-load", saved_model("WriteFile", "initializer"), (at, s, "_initializer_7"))
    outside = [
        ("above", tensor_outside(lambda f: "../canary.txt"), "outside its folder"),
        ("absolute", tensor_outside(lambda f: str(canary_of(f))), "outside its folder"),
        ("link", tensor_outside(lambda f: "evil.bin", symlink), "through a link"),
        ("linked-folder", tensor_outside(lambda f: "below/canary.txt", symlinked_folder), "through a link"),
        ("hard-link", tensor_outside(lambda f: "evil.bin", hard_link), "through a link"),
        ("pipe", tensor_outside(lambda f: "evil.bin", lambda f: os.mkfifo(f / "evil.bin")), "special file"),
        ("process", tensor_outside(lambda f: "/proc/self/environ"), "outside its folder"),
        ("missing", tensor_outside(lambda f: "none.bin"), "is missing"),
        ("nothing", tensor_outside(lambda f: ""), "outside its folder"),
        ("nul", tensor_outside(lambda f: "a\0b"), "outside its folder"),
    ]
    for name, make, said in outside:
        yield Case("B12", name, make, (at, o, said))
    for levels in (20, 40, 400):
        said = "calls itself" if levels == 400 else "once its own functions are written out"
        yield Case("B14", f"doubling-{levels}", _late(doubling, levels), (at, o, said))
    yield Case("B14", "itself", calls_itself, (at, o, "calls itself"))
    yield Case("B14", "crowded", crowded_onnx, (at, o, "more than 500,000"))
    for name, dims in (("overflow", (2**62, 2**62)), ("negative", (-4, 2)), ("vast", (10**12, 2))):
        yield Case("B15", name, sized(*dims), (at, o, "the tensor `w` declares"))
    yield Case(
        "B16", "domain", _late(operator, "Evil", "evil.com"), (at, o, "evil.com::Evil", "--for onnx-domain:evil.com")
    )
    yield Case("B16", "unknown", _late(operator, "Evil"), (at, o, "the operator Evil (node `evil`)"))
    yield Case("B16", "opset", _late(operator, "Relu", "", 999), (at, o, "operator set 999"))
    context = _late(operator, "EPContext", "com.microsoft")
    yield Case("B16", "microsoft", context, (at, o, "com.microsoft::EPContext"))
    without = lambda: {name: held for name, held in keras_members().items() if "weights" not in name}  # noqa: E731
    yield Case("B20", "no-weights", archive(without), (at, k, "it has no model.weights.h5"))
    yield Case("B20", "too-few-weights", with_layer(dense("wide", 20_000)), (at, k, "bytes of"))


def _file(content: bytes, name: str) -> Make:
    return lambda folder: file_audit(folder, content, name)


def _late(make: Callable[..., Make], *arguments: Any) -> Make:
    """Made when it is asked for: ONNX is imported only where a case needs it."""
    return lambda folder: make(*arguments)(folder)


def _h5_with(fill: Callable[[Any, Path], None]) -> Make:
    return lambda folder: legacy(sequential(dense()), lambda group: fill(group, canary_of(folder)))(folder)


def mutated(content: bytes, seed: int) -> bytes:
    """A file with some bytes changed, cut short or repeated."""
    dice = np.random.default_rng(seed)
    raw = bytearray(content)
    for _ in range(int(dice.integers(1, 9))):
        place = int(dice.integers(len(raw)))
        value = int(dice.choice([0, 1, 127, 128, 255, int(dice.integers(256))]))
        width = int(dice.choice([1, 1, 2, 4, 8]))
        raw[place : place + width] = struct.pack("<Q", value * 0x0101010101010101 & 2**64 - 1)[:width]
    return bytes(raw[: int(dice.integers(1, len(raw)))]) if dice.random() < 0.1 else bytes(raw)
