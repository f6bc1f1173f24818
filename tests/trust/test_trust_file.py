"""The trust file: one person's own, by digest, power, reason and end; refused where anybody else could have written it."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pgx_compiler.cli import main
from pgx_compiler.trust.code import NoModuleError, code_digest
from pgx_compiler.trust.ledger import read_grants, trust_path
from pgx_compiler.trust.power import Kind, NoPowerError, Power

DIGEST, OTHER = "ab" * 32, "cd" * 32
LATER = (datetime.now(UTC).date() + timedelta(days=1)).isoformat()
Says = Callable[..., tuple[int, str]]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PGX_TRUST", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "pgx" / "trust.json"


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str], own: Path) -> Says:
    def run(*arguments: str) -> tuple[int, str]:
        status = main(["trust", *arguments])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return status, told.out + told.err

    return run


def add(says: Says, digest: str = DIGEST, power: str = "lambda", *more: str) -> tuple[int, str]:
    return says("add", digest, "--for", power, "--reason", "read line by line", "--expires", LATER, *more)


def test_a_grant_is_written_for_this_person_alone_and_listed(says: Says, own: Path) -> None:
    status, said = add(says)
    assert status == 0
    assert said.startswith(f"trusted {DIGEST} for lambda until {LATER}\n")
    assert "the sandbox stays" in said
    assert own.stat().st_mode & 0o777 == 0o600
    assert own.parent.stat().st_mode & 0o777 == 0o700
    assert add(says, OTHER, "savedmodel-op:ReadFile", "--by", "a validator")[0] == 0
    status, said = says("list")
    assert status == 0
    assert [line.split("  ")[:3] for line in said.splitlines()] == [
        [DIGEST, "lambda", f"until {LATER}"],
        [OTHER, "savedmodel-op:ReadFile", f"until {LATER}"],
    ]
    assert [grant.by for grant in read_grants()][1] == "a validator"
    assert sorted(path.name for path in own.parent.iterdir()) == ["trust.json"]


def test_nothing_is_trusted_at_first(says: Says, own: Path) -> None:
    status, said = says("list")
    assert (status, read_grants()) == (0, [])
    assert "nothing is trusted" in said
    assert not own.exists()


def test_the_same_power_of_the_same_file_is_granted_once(says: Says) -> None:
    add(says)
    assert says("add", DIGEST, "--for", "lambda", "--reason", "again", "--expires", LATER)[0] == 0
    assert [(one.sha256, one.reason) for one in read_grants()] == [(DIGEST, "again")]


def test_one_power_or_all_of_a_file_are_taken_back(says: Says) -> None:
    for power in ("lambda", "onnx-domain:a.b", "onnx-domain:c"):
        add(says, DIGEST, power)
    add(says, OTHER)
    assert says("revoke", DIGEST, "--for", "onnx-domain:c") == (0, f"no longer trusted: {DIGEST} for onnx-domain:c\n")
    assert [str(one.power) for one in read_grants()] == ["lambda", "onnx-domain:a.b", "lambda"]
    assert says("revoke", DIGEST)[0] == 0
    assert [one.sha256 for one in read_grants()] == [OTHER]
    assert says("revoke", DIGEST)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", DIGEST), "lacks --for"),
        (("add",), "lacks digest"),
        (("add", "abc", "--for", "lambda", "--reason", "x", "--expires", LATER), "is no SHA-256"),
        (("add", DIGEST, "--for", "everything", "--reason", "x", "--expires", LATER), "is no power; there are custom-"),
        (("add", DIGEST, "--for", "savedmodel-op", "--reason", "x", "--expires", LATER), "savedmodel-op:NAME"),
        (("add", DIGEST, "--for", "lambda:x", "--reason", "x", "--expires", LATER), "takes no name"),
        (("add", DIGEST, "--for", "lambda", "--reason", "x", "--expires", "soon"), "is no date"),
        (("add", DIGEST, "--for", "lambda", "--reason", "x", "--expires", "2020-01-01"), "has passed"),
        (("add", DIGEST, "--for", "lambda", "--reason", " ", "--expires", LATER), "there is no reason"),
        (("add", DIGEST, "--for", "lambda", "--reason", "a\x1b[2J", "--expires", LATER), "not printed, U+001B"),
        (("add", DIGEST, "--for", "lambda", "--reason", "a\nb", "--expires", LATER), "a line break, U+000A"),
        (("add", DIGEST, "--for", "custom-objects", "--reason", "x", "--expires", LATER), "name it with --module"),
        (
            ("add", DIGEST, "--for", "lambda", "--module", "json", "--reason", "x", "--expires", LATER),
            "leave --module out",
        ),
        (("revoke",), "lacks the digest"),
    ],
)
def test_what_cannot_be_granted_is_said(says: Says, own: Path, arguments: tuple[str, ...], words: str) -> None:
    status, said = says(*arguments)
    assert status == 2
    assert "PGX5081" in said
    assert words in said
    assert not own.exists()


def writable_by_all(own: Path) -> None:
    own.chmod(0o666)


def writable_by_the_group(own: Path) -> None:
    own.chmod(0o660)


def in_an_open_folder(own: Path) -> None:
    own.parent.chmod(0o777)


def linked(own: Path) -> None:
    own.rename(own.with_name("elsewhere.json"))
    own.symlink_to("elsewhere.json")


def hard_linked(own: Path) -> None:
    os.link(own, own.with_name("second.json"))


def a_pipe(own: Path) -> None:
    own.unlink()
    os.mkfifo(own)


def a_folder(own: Path) -> None:
    own.unlink()
    own.mkdir()


def no_json(own: Path) -> None:
    own.write_text("{")


def another_layout(own: Path) -> None:
    own.write_text('{"schema": "pgx-trust/9", "entries": []}')


def an_unknown_power(own: Path) -> None:
    own.write_text(own.read_text().replace("lambda", "everything"))


def no_digest(own: Path) -> None:
    own.write_text(own.read_text().replace(DIGEST, "*"))


def far_too_long(own: Path) -> None:
    own.write_text(" " * 2**21)


SPOILT = [writable_by_all, writable_by_the_group, in_an_open_folder, linked, hard_linked, a_pipe, a_folder, no_json]
SPOILT += [another_layout, an_unknown_power, no_digest, far_too_long]


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_a_file_that_others_could_have_written_is_refused_whole(says: Says, own: Path, spoil: Any) -> None:
    """Catalogue row F9."""
    add(says)
    spoil(own)
    for word in (("list",), ("revoke", DIGEST)):
        status, said = says(*word)
        assert status == 2
        assert "PGX5080" in said
        assert str(own) in said
    assert add(says)[0] == 2


def test_a_file_of_another_user_is_refused(says: Says, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(says)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    status, said = says("list")
    assert status == 2
    assert f"belongs to another user (number {mine})" in said


def test_an_expired_grant_is_kept_and_said(says: Says, own: Path) -> None:
    add(says)
    own.write_text(own.read_text().replace(LATER, "2020-01-01"))
    assert "expired 2020-01-01" in says("list")[1]
    assert read_grants()[0].is_over()
    assert json.loads(says("list", "--format", "json")[1])[0]["expired"] is True


def test_a_grant_holds_until_the_end_of_its_last_day(says: Says) -> None:
    add(says)
    grant = read_grants()[0]
    assert not grant.is_over(grant.expires)
    assert grant.is_over(grant.expires + timedelta(days=1))


def test_the_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGX_TRUST", "/a/b.json")
    assert trust_path() == Path("/a/b.json")
    monkeypatch.delenv("PGX_TRUST")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")  # the specification says that such a path is to be ignored
    monkeypatch.setenv("HOME", str(tmp_path))
    assert trust_path() == tmp_path / ".config" / "pgx" / "trust.json"


def test_powers_are_written_and_read_alike() -> None:
    for text in ("lambda", "custom-objects", "savedmodel-op:ReadFile", "onnx-domain:com.example"):
        assert str(Power.parse(text)) == text
    assert Power.parse("onnx-domain:x") == Power(Kind.ONNX_DOMAIN, "x")
    for text in ("", "all", "*", "lambda:", "onnx-domain:", "savedmodel-op:a b", "savedmodel-op:*"):
        with pytest.raises(NoPowerError):
            Power.parse(text)


def test_the_code_of_a_module_is_hashed_without_running_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "loud_package"
    (home / "below").mkdir(parents=True)
    (home / "__init__.py").write_text("raise SystemExit('imported')\n")
    (home / "below" / "__init__.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_digest("loud_package")
    assert code_digest("loud_package") == before
    (home / "below" / "__init__.py").write_text("x = 2\n")
    assert code_digest("loud_package") != before
    for name in ("loud_package.below", "no_such_module_at_all", "../x", ""):
        with pytest.raises(NoModuleError):
            code_digest(name)
