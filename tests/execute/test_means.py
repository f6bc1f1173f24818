"""What a run is given: told before anything is computed where it is not there."""

import pytest

from pgx_compiler.diagnostics.diagnostic import AuthorError
from pgx_compiler.execute import means
from pgx_compiler.execute.means import Means
from runtimes.engines.sandbox import Confined


def refused(asked):
    with pytest.raises(AuthorError) as caught:
        asked.require_sandbox()
    (found,) = caught.value.diagnostics
    return found


def test_a_required_sandbox_that_the_host_lacks_is_refused_with_the_protection(monkeypatch):
    monkeypatch.setattr(means.sandbox, "tried_here", lambda: Confined({"limits": "rlimit"}, {"files": "no Landlock"}))
    found = refused(Means(sandbox="required"))
    assert str(found.code) == "PGX5013"
    assert "files: no Landlock" in found.message
    assert "--sandbox auto" in found.help


def test_the_engine_without_processes_has_no_sandbox_to_require():
    assert str(refused(Means("inline", sandbox="required")).code) == "PGX5013"


def test_what_the_host_has_or_what_is_not_required_is_not_refused(monkeypatch):
    monkeypatch.setattr(means.sandbox, "tried_here", lambda: Confined({"files": "Landlock"}, {}))
    Means(sandbox="required").require_sandbox()
    monkeypatch.setattr(means.sandbox, "tried_here", lambda: Confined({}, {"files": "no Landlock"}))
    Means(sandbox="auto").require_sandbox()


def test_one_node_at_a_time_without_processes_and_one_a_core_with_them(monkeypatch):
    monkeypatch.setattr(means.machine, "cores", lambda: 6)
    assert [Means("inline", jobs=4).at_a_time, Means().at_a_time, Means(jobs=3).at_a_time] == [1, 6, 3]
