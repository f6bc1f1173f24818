"""The ledger: every line seals all lines before it."""

import json
import subprocess
import sys

import pytest

from pgx_compiler.evidence.canonical import canonical_json, digest
from pgx_compiler.evidence.ledger import FIRST, BrokenLedger, Ledger


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path)
    for number in range(5):
        made.append({"event": "run", "number": number})
    return made


def lines(ledger):
    return ledger.path.read_bytes().splitlines(keepends=True)


def test_lines_come_back_in_order_and_the_first_follows_nothing(ledger):
    assert [entry.body["number"] for entry in ledger.entries()] == [0, 1, 2, 3, 4]
    first = json.loads(lines(ledger)[0])
    assert first["prev"] == FIRST
    assert first["seal"] == digest({"body": {"event": "run", "number": 0}, "prev": FIRST})
    assert ledger.head() == json.loads(lines(ledger)[4])["seal"]


def test_an_empty_ledger_has_the_first_seal(tmp_path):
    assert Ledger(tmp_path).head() == FIRST


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (lambda ls: [ls[0], ls[1].replace(b'"number":1', b'"number":7'), *ls[2:]], 2),
        (lambda ls: [ls[0], *ls[2:]], 2),
        (lambda ls: [ls[0], ls[2], ls[1], *ls[3:]], 2),
        (lambda ls: [ls[0], ls[1], ls[1], *ls[2:]], 3),
        (lambda ls: [*ls[:3], b"{}\n", *ls[3:]], 4),
        (lambda ls: [ls[0].replace(b'"event"', b' "event"'), *ls[1:]], 1),
        (lambda ls: [*ls[:4], b"\xff\n"], 5),
    ],
    ids=["edited", "deleted", "reordered", "doubled", "inserted", "spaced", "no text"],
)
def test_the_first_line_that_does_not_hold_is_named(ledger, edit, line):
    ledger.path.write_bytes(b"".join(edit(lines(ledger))))
    with pytest.raises(BrokenLedger) as caught:
        list(ledger.entries())
    assert caught.value.line == line


def test_every_single_changed_byte_is_found(ledger):
    whole = ledger.path.read_bytes()
    head = ledger.head()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1
        ledger.path.write_bytes(bytes(changed))
        try:
            found = ledger.head()
        except BrokenLedger:
            continue
        # a last line end that is gone makes the last line torn: a cut tail, which the kept head tells
        assert found != head, f"byte {position}"


def test_a_ledger_written_anew_or_cut_short_has_another_head(ledger, tmp_path):
    head = ledger.head()
    other = Ledger(tmp_path / "other")
    for number in range(5):
        other.append({"event": "run", "number": number + (number == 4)})
    assert other.head() != head
    ledger.path.write_bytes(b"".join(lines(ledger)[:4]))
    assert ledger.head() != head


def test_a_torn_last_line_is_cut_off_by_the_next_one(ledger):
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + b'{"body":{"event":"ru')
    assert [entry.body["number"] for entry in ledger.entries()] == [0, 1, 2, 3, 4]
    ledger.append({"event": "run", "number": 5})
    assert [entry.body["number"] for entry in ledger.entries()] == [0, 1, 2, 3, 4, 5]
    assert ledger.path.read_bytes().startswith(whole)


def test_nothing_is_sealed_on_top_of_a_damaged_line(ledger):
    content = ledger.path.read_bytes()
    damaged = content.replace(b'"number":4', b'"number":9')
    ledger.path.write_bytes(damaged)
    with pytest.raises(BrokenLedger, match="last line"):
        ledger.append({"event": "run", "number": 5})
    assert ledger.path.read_bytes() == damaged


def test_a_line_longer_than_a_block_is_found_from_behind(ledger):
    ledger.append({"event": "run", "text": "x" * 200_000})
    ledger.append({"event": "run", "number": 6})
    assert [entry.body.get("number") for entry in ledger.entries()] == [0, 1, 2, 3, 4, None, 6]


def test_several_processes_share_one_chain(tmp_path):
    program = (
        "import sys; from pathlib import Path; from pgx_compiler.evidence.ledger import Ledger\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "for n in range(25): ledger.append({'who': sys.argv[2], 'n': n})"
    )
    started = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(who)]) for who in range(4)]
    assert [one.wait() for one in started] == [0, 0, 0, 0]
    bodies = [entry.body for entry in Ledger(tmp_path).entries()]
    assert len(bodies) == 100
    for who in range(4):
        assert [body["n"] for body in bodies if body["who"] == str(who)] == list(range(25))


def test_a_line_is_canonical(ledger):
    for line in lines(ledger):
        assert canonical_json(json.loads(line)) + b"\n" == line
