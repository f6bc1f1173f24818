"""Every fenced block of the pages here says on its lines what must be said of them; see README.md for the notation."""

import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

import pgx_compiler
from pgx_compiler.analysis.analyse import analyse
from pgx_compiler.diagnostics.codes import collect
from pgx_compiler.diagnostics.diagnostic import AuthorError, Diagnostics
from pgx_compiler.diagnostics.render import render_text
from pgx_compiler.spec.parse import parse
from pgx_compiler.spec.source import read_source

HERE = Path(__file__).parent
EXPECTED = re.compile(r'# (error|warning): (PGX\d{4}) "([^"]+)"')


def blocks() -> Iterator[tuple[str, dict[str, str], str]]:
    """Name, options and text of each block; preambles are put before the blocks of their page that follow."""
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
                yield f"{page.stem}: {options['file']}", options, found[4]
            else:
                yield f"{page.stem}: {heading}", options, preamble * ("alone" not in options) + found[4]


BLOCKS = list(blocks())
CASES = [block for block in BLOCKS if "file" not in block[1]]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(HERE.parents[1] / "specs", tmp_path_factory.mktemp("pages") / "specs")
    for _, options, text in BLOCKS:
        if "file" in options:
            (folder / options["file"]).write_text(text, "utf-8")
    small = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIB", 13, b"IHDR", 5, 3, 8)  # 5 wide, 3 high
    (folder / "data/small.png").write_bytes(small + b"\0" * 16)
    return folder


def said_of(text: str, options: dict[str, str], root: Path) -> Diagnostics:
    (root / "spec.yaml").write_bytes(text.encode(options.get("encoding", "utf-8")))
    try:
        return analyse(parse(read_source(root / options.get("path", "spec.yaml")), "spec.yaml"), root).diagnostics
    except AuthorError as error:
        return error.diagnostics


@pytest.mark.parametrize(("options", "text"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_lines_get_what_they_ask_for(options: dict[str, str], text: str, root: Path) -> None:
    lines = text.split("\n")
    wanted = [
        (number + line.lstrip().startswith("#"), *found)
        for number, line in enumerate(lines, 1)
        for found in EXPECTED.findall(line)
    ]
    said = said_of(text, options, root)
    left = list(said)
    for line, severity, code, words in wanted:
        met = [d for d in left if d.span and (d.span.line, d.severity, str(d.code)) == (line, severity, code)]
        met = [d for d in met if words in f"{d.message}\n{d.label}\n{d.help}"]
        assert met, f"line {line} lacks {code} {words!r}; said:\n{render_text(said, {'spec.yaml': text})}"
        left.remove(met[0])
    assert not left or "others" in options, f"unasked for:\n{render_text(Diagnostics(left), {'spec.yaml': text})}"


def test_every_code_of_the_front_end_stands_on_a_page() -> None:
    shown = {code for _, _, text in CASES for _, code, _ in EXPECTED.findall(text)}
    ours = {str(c) for package in (pgx_compiler.spec, pgx_compiler.analysis) for c in collect(package).values()}
    assert sorted(ours - shown) == []


def test_every_code_of_the_program_has_a_number_of_its_own_and_an_explanation() -> None:
    codes = collect(pgx_compiler)
    assert len({code.number for code in codes.values()}) == len(codes) > 40
    assert [str(code) for code in codes.values() if len(code.explanation) < 60] == []
