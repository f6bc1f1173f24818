"""Edits of a run's folder as an attacker makes them: with and without a manifest that is made to fit."""

from dataclasses import replace
from pathlib import Path

from pgx_compiler.deliver import describe_file
from pgx_compiler.evidence.manifest import PLACE, files_of, read_manifest, write_manifest


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Change one bit of a file in place."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.chmod(0o644)
    path.write_bytes(content)


def make_fit(folder: Path, **changes: str) -> None:
    """Write the manifest anew for the files that are there now, with root and digest that hold; the seal stays."""
    manifest = read_manifest(folder)
    names = files_of(folder, manifest.beside)[0]
    again = replace(manifest, run={**manifest.run, **changes}, files=[describe_file(folder, name) for name in names])
    write_manifest(again, folder)


def every_file(folder: Path) -> list[str]:
    """All files of a run, the manifest too."""
    return sorted([*files_of(folder)[0], str(PLACE)])
