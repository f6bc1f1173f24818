"""``extends``: the files that a spec starts from, read one after the other, the later over the earlier."""

from dataclasses import dataclass, field
from pathlib import Path

from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.spec.paths import RefusedPath, locate
from pgx_compiler.spec.source import Document, load, read_source
from pgx_compiler.spec.tree import Tree, grow, merged, without

CANNOT_EXTEND = Code(
    1013,
    "cannot-extend",
    "`extends` names the files that a spec starts from. No file may extend itself, directly or by way of others; the chain"
    " is at most 8 files long, and at most 32 are put together.",
)

LONGEST_CHAIN = 8
MOST_FILES = 32


@dataclass
class Bases:
    """Reads what a document extends, below one folder."""

    root: Path
    found: Diagnostics
    sources: dict[str, str]
    read: list[Tree] = field(default_factory=list)
    """Each file as it is, before anything is laid over it."""
    incomplete: bool = False
    """Something that is extended could not be read."""
    _read: dict[Path, Document] = field(default_factory=dict)
    _files: int = 0

    def under(self, own: Tree, file: str, at: Path, chain: tuple[Path, ...] = ()) -> Tree:
        """A document over everything that it extends; `file` is its name in messages, `at` its real place."""
        chain = (*chain, at.resolve())
        below: Tree | None = None
        for named in _named(own):
            base = self._base(named, file, at, chain)
            if base is not None:
                below = base if below is None else merged(below, base)
        return own if below is None else merged(below, own)

    def _base(self, named: Tree, file: str, at: Path, chain: tuple[Path, ...]) -> Tree | None:
        text = str(named.value)
        place = locate(self.root, at.parent, text)
        if isinstance(place, RefusedPath):
            self._refuse(named, place.message, place.help, place.label, place.code)
            return None
        real = place.resolve()
        if real in chain:
            circle = " → ".join(f"`{path.name}`" for path in (*chain[chain.index(real) :], real))
            self._refuse(named, f"the files extend each other in a circle: {circle}", "delete one `extends`")
            return None
        if len(chain) >= LONGEST_CHAIN:
            message = f"the chain of files that extend each other is longer than {LONGEST_CHAIN}"
            self._refuse(named, message, "let a file extend several others directly")
            return None
        self._files += 1
        if self._files > MOST_FILES:
            self._refuse(named, f"more than {MOST_FILES} files are put together", "put some of them into one")
            return None
        shown = str(Path(file).parent / text) if not file.startswith("<") else text
        document = self._document(real, place, shown)
        if document is None or not isinstance(document.data, dict):
            self.incomplete = True
            return None
        own = grow(document)
        self.read.append(own)
        return without(self.under(own, document.file, place, chain), "extends")

    def _document(self, real: Path, place: Path, shown: str) -> Document | None:
        if real in self._read:
            return self._read[real]
        try:
            text = read_source(place)
        except AuthorError as error:
            self.sources.update(error.sources)
            for item in error.diagnostics:
                self.found.add(item)
            return None
        document = self._read[real] = load(text, shown)
        self.sources[shown] = text
        for item in document.diagnostics:
            self.found.add(item)
        return document

    def _refuse(self, named: Tree, message: str, help_: str, label: str = "", code: Code = CANNOT_EXTEND) -> None:
        self.incomplete = True
        self.found.add(Diagnostic(code, message, named.span, help_, label=label, path=("extends",)))


def _named(own: Tree) -> list[Tree]:
    """What a document extends; of another form than text it is left for validation to say."""
    extends = own.get("extends")
    if extends is None:
        return []
    items = list(extends.value) if isinstance(extends.value, tuple) else [extends]
    return [item for item in items if isinstance(item.value, str)]
