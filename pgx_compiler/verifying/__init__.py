"""A finished run held against itself: its files, the factsheet that follows from them, and its seal in the ledger.

Every file is hashed and held against the manifest, the factsheet is derived from the evidence again, and the manifest is held
against the ledger of the store, where one is there. It needs neither store nor model nor data, and imports no framework.
"""

import os
import re
from pathlib import Path

from pgx_compiler.driver import not_a_run, store_of
from pgx_compiler.evidence.canonical import digest_of_file
from pgx_compiler.evidence.inspection import Problem, kind_of
from pgx_compiler.evidence.manifest import PLACE, BadManifest, Manifest, empty_folders, files_of, read_manifest
from pgx_compiler.evidence.store import Store
from pgx_compiler.verifying.derivation import check_factsheet
from pgx_compiler.verifying.found import Verified
from pgx_compiler.verifying.seal import check_sealed

__all__ = ["Problem", "Verified", "verify"]

_DEFAULT_NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
"""What `pgx run` calls the folder of a run: a name that says when, and of which plan."""


def verify(folder: str | Path, store: Store | None = None) -> Verified:
    """Verify a run.

    Args:
        folder: of the run.
        store: where its ledger is; default: PGX_STORE, or the store of the project that the folder lies in.

    Raises:
        AuthorError: the folder is that of no run that has ended.
    """
    place = Path(folder)
    found = Verified(place)
    try:
        found.manifest = read_manifest(place)
    except FileNotFoundError as error:
        if not (place / "factsheet.json").is_file():
            raise not_a_run(place, error) from error
        found.say(str(PLACE), "is missing: the run was stopped before its last act, or somebody took it away")
        return found
    except BadManifest as error:
        found.say(str(PLACE), f"was changed: {error}")
        return found
    except OSError as error:
        if not place.is_dir():
            raise not_a_run(place, error) from error
        found.say(str(PLACE), f"cannot be read: {error}")
        return found
    _check_files(found, found.manifest)
    _check_name(found, found.manifest)
    check_factsheet(found, found.manifest)
    check_sealed(found, found.manifest, store if store is not None else store_of(place / "spec.yaml"))
    found.problems.sort(key=lambda problem: problem.file)
    return found


def _check_files(found: Verified, manifest: Manifest) -> None:
    """Hash every file, and name each that is not what the manifest says."""
    listed = manifest.digests
    files, strange = files_of(found.folder, manifest.beside)
    changed: dict[str, str] = {}
    for name in sorted(set(files) & set(listed)):
        try:
            sha256 = digest_of_file(found.folder / name)
        except OSError as error:
            found.say(name, f"cannot be read: {error.strerror or error}")
            continue
        if sha256 == listed[name]:
            found.files += 1
        else:
            changed[name] = sha256
    owner = {sha256: name for name, sha256 in listed.items()}
    for name, sha256 in changed.items():
        swapped = owner.get(sha256)
        found.say(name, "was changed" if swapped is None else f"was swapped: it holds what is `{swapped}`")
    for name in strange:
        kind = kind_of(os.lstat(found.folder / name).st_mode)
        found.say(name, f"is no regular file but {kind}" + ("" if name in listed else ", and not in the manifest"))
    for name in sorted(set(listed) - set(files) - set(strange)):
        folder = (found.folder / name).is_dir()
        found.say(name, "is no regular file but a folder" if folder else "is missing")
    for name in sorted(set(files) - set(listed)):
        found.say(name, "is not in the manifest: somebody has put it there")
    for name in empty_folders(found.folder, manifest.beside):
        if name not in listed:
            found.say(name, "is an empty folder that no run leaves: somebody has put it there")


def _check_name(found: Verified, manifest: Manifest) -> None:
    """A run under another run's name would pass for it."""
    name, written = found.folder.resolve().name, str(manifest.run.get("folder"))
    if name == written:
        return
    whose = f"run {manifest.run['id'][:12]} of {manifest.run['time']}, which was written to `{written}`"
    if _DEFAULT_NAME.fullmatch(name):
        found.say(".", f"has the name of another run: it holds {whose}")
    else:
        found.notes.append(f"the folder has another name than it was given: it holds {whose}")
