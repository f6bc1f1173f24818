"""Hostile input that shows only when an audit runs: files changed behind its back, trust that lets a file through, answers
that are none. The sandbox's own tests stand with the engines; nothing here depends on a kernel.
"""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgx_compiler import driver
from pgx_compiler.cli import main
from pgx_compiler.evidence.canonical import digest_of_file
from runtimes.formats.keras_runtime import keras
from tests.hostile import running_models
from tests.hostile.bad_models import tensor_outside
from tests.hostile.pieces import CANARY, honest_onnx, onnx_audit, spec, table

pytestmark = pytest.mark.frameworks
LATER = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
Says = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "audit"
    (made / ".pgx").mkdir(parents=True)
    (tmp_path / "canary.txt").write_text(CANARY)
    monkeypatch.setenv("PGX_TRUST", str(tmp_path / "own" / "trust.json"))
    monkeypatch.delenv("PGX_STORE", raising=False)
    return made


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str]) -> Says:
    def run(*arguments: Any) -> tuple[int, str]:
        status = main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        assert "Traceback" not in told.out + told.err
        return status, told.out + told.err

    return run


def run_json(folder: Path, says: Says) -> tuple[int, str]:
    return says("run", folder / "audit.yaml", "--engine", "inline", "-o", folder / "out")


def plain(folder: Path, model: dict[str, Any] | None = None, **changes: Any) -> None:
    spec(folder, model or {"onnx": "model.onnx"}, factsheet={"formats": ["json"]}, **changes)


def after_the_check(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Do something between the check of an audit and its run; the test fails where it was never done."""
    real = driver.compile

    def compiled(*arguments: Any) -> Any:
        plan = real(*arguments)
        change()
        return plan

    monkeypatch.setattr(driver, "compile", compiled)


def test_a_spec_that_is_changed_while_it_runs_is_not_read_again(
    folder: Path, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx_audit(folder, honest_onnx())
    plain(folder)
    after_the_check(monkeypatch, lambda: (folder / "audit.yaml").write_text("kind: Forgery\n"))
    status, said = run_json(folder, says)
    assert status == 0, said
    assert (folder / "audit.yaml").read_text() == "kind: Forgery\n"
    assert "Forgery" not in (folder / "out" / "spec.yaml").read_text()
    assert json.loads((folder / "out" / "factsheet.json").read_bytes())["audit"]["name"] == "hostile"


def test_data_that_are_replaced_after_the_check_are_refused(
    folder: Path, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx_audit(folder, honest_onnx())
    plain(folder)
    after_the_check(monkeypatch, lambda: (folder / "rows.csv").write_text("a,b,c,d,y\n9,9,9,9,1\n8,8,8,8,0\n"))
    status, said = run_json(folder, says)
    assert status != 0
    assert "rows.csv" in said
    assert not (folder / "out" / "factsheet.json").exists()


def test_external_data_that_is_replaced_after_the_check_is_refused(
    folder: Path, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensor_outside(lambda f: "honest.bin")(folder)
    plain(folder)
    other = np.full(8, 9.0, np.float32).tobytes()
    after_the_check(monkeypatch, lambda: (folder / "honest.bin").write_bytes(other))
    status, said = run_json(folder, says)
    assert status != 0
    assert "honest.bin" in said
    assert not (folder / "out" / "factsheet.json").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_answers_that_are_none_are_said_and_never_a_silent_number(folder: Path, says: Says, value: float) -> None:
    running_models.answers(folder, value)
    plain(folder)
    status, said = run_json(folder, says)
    assert status == 2
    assert "no finite score for 40 rows of train" in said
    assert json.loads((folder / "out" / "factsheet.json").read_bytes())["verdict"]["status"] == "incomplete"


def test_a_model_that_answers_differently_each_time_is_said_to(folder: Path, says: Says) -> None:
    running_models.answers_by_chance(folder)
    plain(folder)
    status, _ = run_json(folder, says)
    sheet = json.loads((folder / "out" / "factsheet.json").read_bytes())
    assert "nondeterministic_model" in {finding["code"] for finding in sheet["findings"]}
    assert (status, sheet["verdict"]["status"], sheet["verdict"]["may_conclude"]) == (1, "failed", [])


def test_a_trusted_operation_is_let_through_and_said(folder: Path, says: Says) -> None:
    """The static refusal is lifted and the use is recorded; that the read itself is denied is the sandbox's to test."""
    secret = folder.parent / "canary.txt"
    running_models.saved_model_that(folder, "reads", secret)
    plain(folder, {"keras": "saved"})
    status, said = says("check", folder / "audit.yaml")
    assert status == 2
    digest = digest_of_file(folder / "saved" / "saved_model.pb")
    assert f"pgx trust add {digest} --for savedmodel-op:ReadFile" in said
    power = ("--for", "savedmodel-op:ReadFile")
    assert says("trust", "add", digest, *power, "--reason", "a test", "--expires", LATER)[0] == 0
    assert says("check", folder / "audit.yaml")[0] == 0
    plan = driver.compile(folder / "audit.yaml")
    assert plan.document["trust"] == plan.trust
    assert [one["power"] for one in plan.trust] == ["savedmodel-op:ReadFile"]
    assert plan.graph["model.keras"].params["powers"] == {"operations": ["ReadFile"]}


def test_a_trusted_lambda_runs_and_the_factsheet_says_so_on_its_first_page(folder: Path, says: Says) -> None:
    marker = folder.parent / "marker"
    running_models.lambda_that_touches(folder, marker)
    spec(folder, factsheet={"formats": ["json", "html"]})
    assert says("check", folder / "audit.yaml")[0] == 2
    assert not marker.exists()
    digest = digest_of_file(folder / "model.keras")
    given = ("--for", "lambda", "--reason", "read <b>line</b> by line", "--expires", LATER, "--by", "a validator")
    assert says("trust", "add", digest, *given)[0] == 0
    status, said = run_json(folder, says)
    assert status == 0, said
    assert marker.exists()  # inline, without a sandbox: the code really ran
    told = json.loads((folder / "out" / "factsheet.json").read_bytes())["provenance"]["trust"]
    assert told == [
        {
            "file": "model.keras",
            "sha256": digest,
            "power": "lambda",
            "reason": "read <b>line</b> by line",
            "by": "a validator",
            "expires": LATER,
        }
    ]
    page = (folder / "out" / "factsheet.html").read_text("utf-8")
    masthead = page[page.index("<header") : page.index("</header>")]
    assert "model.keras may use lambda (read &lt;b&gt;line&lt;/b&gt; by line; a validator, until" in masthead


MODULE = """
import keras

@keras.saving.register_keras_serializable("mine")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""


def test_a_trusted_custom_object_comes_from_the_module_that_was_trusted(
    folder: Path, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    k = keras()
    home = folder.parent / "installed"
    home.mkdir()
    (home / "pgx_test_layers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(home))
    import pgx_test_layers

    inputs = k.Input((4,), name="x")
    out = k.layers.Dense(2, "softmax", name="out")(pgx_test_layers.Doubled(name="twice")(inputs))
    table(folder)
    k.Model(inputs, out).save(folder / "model.keras")
    plain(folder, {"keras": "model.keras"})
    digest = digest_of_file(folder / "model.keras")
    given = ("--for", "custom-objects", "--module", "pgx_test_layers", "--reason", "ours", "--expires", LATER)
    assert says("trust", "add", digest, *given)[0] == 0
    status, said = says("check", folder / "audit.yaml")
    assert status == 2  # a spec has to ask for what it rests on
    assert "custom_objects: [Doubled]" in said
    plain(folder, {"keras": "model.keras", "custom_objects": ["Doubled"], "classes": ["no", "yes"]})
    status, said = run_json(folder, says)
    assert status == 0, said
    told = json.loads((folder / "out" / "factsheet.json").read_bytes())["provenance"]["trust"]
    assert told[0]["code"].startswith("pgx_test_layers ")
    (home / "pgx_test_layers.py").write_text(MODULE + "\n# another line\n")
    status, said = says("check", folder / "audit.yaml")
    assert status == 2
    assert "the code of `pgx_test_layers` has changed since you trusted it" in said


def test_the_day_after_its_last_a_trust_holds_no_more(
    folder: Path, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    running_models.lambda_that_touches(folder, folder.parent / "marker")
    digest = digest_of_file(folder / "model.keras")
    assert says("trust", "add", digest, "--for", "lambda", "--reason", "x", "--expires", LATER)[0] == 0
    assert says("check", folder / "audit.yaml")[0] == 0
    own = folder.parent / "own" / "trust.json"
    passed = date(2020, 2, 29).isoformat()
    own.write_text(own.read_text().replace(LATER, passed))
    status, said = says("check", folder / "audit.yaml")
    assert status == 2
    assert f"your trust in it has expired on {passed}" in said
