"""A signal in the first second, while everything is being imported, ends a command in a sentence as one later does."""

import signal
import subprocess
import sys

import pytest

# what a command imports is slow enough to be hit: the import of the named module tells, and waits
PROGRAM = """
import builtins, os, sys, time
imported = builtins.__import__

def slowly(name, *more):
    if name == sys.argv[1] and not told:
        told.append(name)
        os.write(1, b"begun\\n")
        time.sleep(30)
    return imported(name, *more)

told = []
builtins.__import__ = slowly
from pgx_compiler.cli import main
sys.exit(main(["check", "nothing.yaml"]))
"""


@pytest.mark.parametrize("module", ["gc", "argparse", "pgx_compiler.words", "pgx_compiler.evidence.ledger"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_it_imports_ends_in_a_sentence(module, name):
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, module], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout.readline() == "begun\n"
        program.send_signal(getattr(signal, name))
        _, said = program.communicate(timeout=20)
    finally:
        program.kill()
    assert said == "pgx: interrupted; finished steps are kept, run again to continue\n"
    assert program.returncode == 130


def test_what_is_ignored_stays_ignored():
    # as under nohup
    program = "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); " + PROGRAM.replace("30", "0.5")
    begun = subprocess.Popen(
        [sys.executable, "-c", program, "argparse"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert begun.stdout.readline() == "begun\n"
        begun.send_signal(signal.SIGHUP)
        _, said = begun.communicate(timeout=20)
    finally:
        begun.kill()
    assert begun.returncode == 2
    assert "nothing.yaml" in said


def test_a_command_called_from_python_leaves_the_handlers_as_they_were():
    from pgx_compiler.cli import main

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert main(["check", "nothing.yaml"]) == 2
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_little_is_imported_before_a_command_listens():
    program = "import sys; before = {*sys.modules}; import pgx_compiler.cli; print(*sorted({*sys.modules} - before))"
    found = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True).stdout
    assert set(found.split()).isdisjoint({"argparse", "typing", "json", "re", "pgx_compiler.words"})
