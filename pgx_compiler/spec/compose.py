"""A spec put together: what it extends, profiles, values set on the command line, variables, and steps written out."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from pgx_compiler.diagnostics.diagnostic import Diagnostics
from pgx_compiler.spec.expand import Expander, profiles_of, say_unknown_profile
from pgx_compiler.spec.extends import Bases
from pgx_compiler.spec.overrides import Overrides, Setting, check_variable, profile_place, settings
from pgx_compiler.spec.source import Composition, Document, load
from pgx_compiler.spec.tree import Tree, flatten, grow, merged, too_large, tree
from pgx_compiler.spec.variables import Variables, plain_variables

NOTHING = Overrides()

_NOT_FILLED = frozenset({"extends", "vars", "profiles"})
"""Top-level keys in which no variable is looked for; those of one's own (``x-``) are others."""


def compose(text: str, file: str, root: Path | None = None, overrides: Overrides = NOTHING) -> Document:
    """Read a spec and put it together; everything wrong with it is in the diagnostics.

    Args:
        text: what the file holds.
        file: its name in messages.
        root: the folder of the spec, below which everything that it extends stands (default: that of `file`).
        overrides: what the command line changes.
    """
    document = load(text, file)
    if not isinstance(document.data, dict) or not _needs_composing(document, overrides):
        return document
    return _Composer(document, root if root is not None else Path(file).parent, overrides).compose()


def _needs_composing(document: Document, overrides: Overrides) -> bool:
    """Whether anything in the text may ask for it; most specs are what they say."""
    keys = _NOT_FILLED & document.data.keys()
    words = any(word in document.text for word in ("${", "matrix", "when"))
    return bool(keys or words or overrides.sets or overrides.profiles)


@dataclass
class _Composer:
    document: Document
    root: Path
    overrides: Overrides
    sources: dict[str, str] = field(default_factory=dict)

    def compose(self) -> Document:
        found = Diagnostics(list(self.document.diagnostics))
        self.sources[self.document.file] = self.document.text
        bases = Bases(self.root, found, self.sources)
        own = grow(self.document)
        whole = bases.under(own, self.document.file, self.root / Path(self.document.file).name)
        whole = self._with_profiles(whole, found)
        sets = settings(self.overrides, self.sources, found)
        whole, variables, sets = self._with_variables(whole, sets, found)
        for setting in sets:
            filled = replace(setting, value=variables.fill(setting.value))
            whole = filled.put(whole, found)
        expander = Expander(whole, variables, self.overrides.profiles, found)
        whole = expander.expand()
        composed = whole is not own
        whole = self._with_profiles_filled(whole, variables)
        if not bases.incomplete:
            for one in (own, *bases.read):
                variables.note_uses(one)
            variables.say_unused(self.document.file)
        much = too_large(whole)
        if much is not None:
            found.add(much)
            return self._document(tree({}, whole.span), found, Composition(dict(self.sources), True, incomplete=True))
        composition = Composition(
            dict(self.sources),
            composed=composed,
            overrides=self.overrides.recorded,
            left_out=tuple(expander.left_out),
            incomplete=bases.incomplete,
        )
        return self._document(whole, found, composition)

    def _document(self, whole: Tree, found: Diagnostics, composition: Composition) -> Document:
        data, keys, values, refused = flatten(whole)
        composition = replace(composition, refused=refused)
        return Document(self.document.file, self.document.text, data, keys, values, found, composition)

    def _with_profiles(self, whole: Tree, found: Diagnostics) -> Tree:
        for name in self.overrides.profiles:
            place = profile_place(name, self.sources)
            say_unknown_profile(name, place, profiles_of(whole), found)
            chosen = whole.get("profiles", name)
            if chosen is not None and isinstance(chosen.value, dict):
                layer = chosen.but(
                    {key: item for key, item in chosen.value.items() if key not in ("profiles", "extends")}
                )
                both = merged(whole, layer).value
                # the file's own keys first: what is said of the whole document points at the first of them
                whole = whole.but({key: both[key] for key in [*whole.value, *both]})
        return whole

    def _with_variables(
        self, whole: Tree, sets: list[Setting], found: Diagnostics
    ) -> tuple[Tree, Variables, list[Setting]]:
        """The document with its variables in their places, and the settings that are not of variables."""
        defined = whole.get("vars")
        known = defined.value if defined is not None and isinstance(defined.value, dict) else {}
        for setting in sets:
            if setting.names_variable and check_variable(setting, known, found):
                whole = setting.put(whole, found)
        variables = Variables(plain_variables(whole.get("vars"), self.sources, found), self.sources, found)
        filled = {
            name: item if name in _NOT_FILLED or name.startswith("x-") else variables.fill(item, 2)
            for name, item in whole.value.items()
        }
        if any(filled[name] is not item for name, item in whole.value.items()):
            whole = whole.but(filled)
        return whole, variables, [setting for setting in sets if not setting.names_variable]

    def _with_profiles_filled(self, whole: Tree, variables: Variables) -> Tree:
        """The document with variables filled into its profiles: those not chosen are checked as well."""
        profiles = whole.get("profiles")
        filled = None if profiles is None else variables.fill(profiles, 2)
        return whole if filled is None or filled is profiles else whole.but({**whole.value, "profiles": filled})
