"""The pages under tests/diagnostics, read as data: blocks of YAML that say on their lines what must be said of them."""

import os
import re
import shutil
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pgx_compiler.analysis.checked import check
from pgx_compiler.diagnostics.diagnostic import AuthorError, Diagnostics
from pgx_compiler.diagnostics.render import render_text
from pgx_compiler.driver import compile
from pgx_compiler.spec.overrides import Overrides

HERE = Path(__file__).parent / "diagnostics"
EXPECTED = re.compile(r'# (error|warning): (PGX\d{4}) "([^"]+)"')
ELSEWHERE = re.compile(r'# (error|warning) at (\S+):(\d+): (PGX\d{4}) "([^"]+)"')
"""What must be said of a line of another file, or of the command line (``--set:1``)."""


@dataclass(frozen=True)
class Block:
    """One fenced block with the words after its language."""

    name: str
    options: dict[str, str]
    text: str

    @property
    def is_file(self) -> bool:
        return "file" in self.options

    @property
    def is_special(self) -> bool:
        """It needs more than a file to be said: arguments of the command line, or something that is no text."""
        return bool({"set", "profile", "path", "encoding"} & self.options.keys())

    @property
    def codes(self) -> set[str]:
        """The codes that its comments ask for."""
        here = {code for _, code, _ in EXPECTED.findall(self.text)}
        return here | {code for _, _, _, code, _ in ELSEWHERE.findall(self.text)}

    @property
    def overrides(self) -> Overrides:
        """What the command line lays over it: ``set=seed=x`` (several joined by ``;``) and ``profile=NAME``."""
        sets = [text for text in self.options.get("set", "").split(";") if text]
        return Overrides(tuple(sets), tuple(name for name in self.options.get("profile", "").split(";") if name))


def blocks() -> Iterator[Block]:
    """Every block of every page; preambles are put before the blocks of their page that follow."""
    for page in sorted(HERE.glob("[0-9]*.md")):
        preamble, heading = "", ""
        for found in re.finditer(r"^#+ (.*)$|^```(\w+)(.*)\n((?:.*\n)*?)```$", page.read_text("utf-8"), re.MULTILINE):
            if found[1]:
                heading = found[1]
                continue
            options = dict(word.partition("=")[::2] for word in found[3].split())
            if "preamble" in options:
                preamble = found[4]
            elif "file" in options:
                yield Block(f"{page.stem}: {options['file']}", options, found[4])
            else:
                yield Block(f"{page.stem}: {heading}", options, preamble * ("alone" not in options) + found[4])


def make_root(folder: Path) -> Path:
    """A folder of specs with the files that the pages speak of; returns it."""
    root = shutil.copytree(HERE.parents[1] / "specs", folder / "specs")
    for block in blocks():
        if block.is_file:
            place = root / block.options["file"]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(block.text, "utf-8")
    small = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIB", 13, b"IHDR", 5, 3, 8)  # 5 wide, 3 high
    (root / "data/small.png").write_bytes(small + b"\0" * 16)
    return root


def said_of(block: Block, root: Path) -> tuple[Diagnostics, dict[str, str]]:
    """What is said of a block, and the texts that the spans speak of; run in `root`, whose paths messages show."""
    Path("spec.yaml").write_bytes(block.text.encode(block.options.get("encoding", "utf-8")))
    path = block.options.get("path", "spec.yaml")
    try:
        checked = check(path, block.overrides)
        if "compile" in block.options and checked.audit is not None:
            compile(path, block.overrides)
    except AuthorError as error:
        return error.diagnostics, error.sources
    return checked.diagnostics, checked.sources


def examples_of_pages() -> dict[str, str]:
    """Each code on the pages to one diagnostic of that code as people see it, of the shortest block that shows it."""
    found: dict[str, str] = {}
    cases = [block for block in blocks() if not block.is_file]
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        root = make_root(Path(folder))
        os.chdir(root)
        try:
            for block in sorted(cases, key=lambda block: (block.is_special, len(block.text), block.name)):
                if block.codes - found.keys():
                    plain = re.sub(rf"[ \t]*{EXPECTED.pattern}", "", block.text)
                    plain = re.sub(rf"[ \t]*{ELSEWHERE.pattern}", "", plain)
                    said, sources = said_of(Block(block.name, block.options, plain), root)
                    for item in (item for item in said if str(item.code) in block.codes):
                        shown = render_text(Diagnostics([item]), sources)
                        found.setdefault(str(item.code), shown.rpartition("\n\n")[0])
        finally:
            os.chdir(before)
    return dict(sorted(found.items()))
