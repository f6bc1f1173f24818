"""tf-explain beside ours in one audit: where both should give the same numbers they do, and where not it shows."""

import numpy as np
import pytest
from tests_project import make_project, write_spec

from pgx_compiler import driver
from pgx_compiler.cli import main
from runtimes.capabilities import View
from runtimes.formats import keras_tf_explain
from runtimes.frameworks import keras_tf_explain as framework

pytestmark = pytest.mark.frameworks
WITHOUT = [name for name in keras_tf_explain.NEEDED if keras_tf_explain.find_spec(name) is None]
needs_tf_explain = pytest.mark.skipif(bool(WITHOUT), reason=f"the extra `tf-explain` is not installed: no {WITHOUT}")

STEPS = [
    {"use": "saliency"},
    {"use": "integrated_gradients"},
    {"use": "grad_cam", "with": {"relu": False}},
    {"use": "tf_explain_vanilla_gradients"},
    {"use": "tf_explain_integrated_gradients", "with": {"steps": 16}},
    {"use": "tf_explain_grad_cam"},
    {"id": "unguided", "use": "tf_explain_grad_cam", "with": {"guided": False}},
]
CHANGES = {
    "model.onnx": None,
    "precaution": [{"use": "class_balance"}],
    "explain.rows": {"from": "test", "sample": 5},
    "explain.features": {"superpixels": "patches", "size": 4},
    "explain.perturbation": None,
    "explain.gradient": STEPS,
    "agreement": [{"use": "rank_correlation"}],
    "faithfulness": None,
    "tuning": None,
    "gates": None,
    "factsheet": {"formats": ["json"]},
}
THEIRS = {"tf_explain_vanilla_gradients", "tf_explain_integrated_gradients", "tf_explain_grad_cam", "unguided"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.delenv("PGX_STORE", raising=False)
    return make_project(tmp_path / "project")


@pytest.fixture
def pretended(monkeypatch):
    """As if tf-explain were there: enough to check an audit, which imports nothing."""
    monkeypatch.setattr(keras_tf_explain, "find_spec", lambda name: name)


@needs_tf_explain
def test_an_audit_says_where_tf_explain_and_ours_agree_and_where_not(project, tmp_path):
    sheet = driver.run(write_spec(project, "digits", CHANGES), tmp_path / "run", engine="inline").factsheet
    values = {
        name: np.load(tmp_path / "run" / "evidence" / name / "attributions.npz")["values"]
        for name in (*THEIRS, "saliency", "grad_cam")
    }
    for ours, theirs in (("saliency", "tf_explain_vanilla_gradients"), ("grad_cam", "unguided")):
        size = np.abs(values[ours]).max()
        assert size > 0
        np.testing.assert_allclose(values[theirs], values[ours], atol=1e-5 * size)
    assert np.abs(values["tf_explain_grad_cam"] - values["grad_cam"]).max() > 0.1 * np.abs(values["grad_cam"]).max()

    found = {frozenset((one.first, one.second)): one for one in sheet.agreement}
    for pair in ({"saliency", "tf_explain_vanilla_gradients"}, {"grad_cam", "unguided"}):
        assert found[frozenset(pair)].minimum > 0.999
    for pair in ({"grad_cam", "tf_explain_grad_cam"}, {"integrated_gradients", "tf_explain_integrated_gradients"}):
        assert found[frozenset(pair)].median < 0.95

    assert not [fact for fact in sheet.facts if fact.id.startswith("model.parity")]
    nodes = {one.id: one for one in sheet.provenance.nodes}
    for step in STEPS:
        name = step.get("id", step["use"])
        assert nodes[f"explain.{name}"].runtime == ("keras_tf_explain" if name in THEIRS else "tensorflow_native")
    explained = [entry for entry in sheet.explanations if entry.step in THEIRS]
    assert len(explained) == 4
    for entry in explained:
        assert entry.cost_spent == entry.cost_planned, entry.step


@needs_tf_explain
def test_its_integrated_gradients_add_up_only_with_the_factor_that_it_leaves_out(project):
    handle = framework.open_model(project / "models" / "digits.keras", View("logit"))
    held = np.load(project / "data" / "digits-test.npz")["x"][:3]
    image = {"image": (held / 255.0).astype(np.float32).reshape(3, 28, 28, 1)}
    target = handle.predict(image).argmax(axis=1)
    zeros = {"image": np.zeros_like(image["image"])}
    difference = (handle.predict(image) - handle.predict(zeros))[np.arange(3), target]
    mean = handle.tf_explain_path(image, target, 128)["image"]
    # the end points count half too much in a plain mean: an error of about 1/128 of what the slope changes
    assert np.abs((mean * image["image"]).sum(axis=(1, 2, 3)) - difference).max() < 0.03 * np.abs(difference).max()
    assert np.abs(mean.sum(axis=(1, 2, 3)) - difference).min() > 0.2 * np.abs(difference).max()


def test_where_it_is_not_installed_the_audit_is_refused_with_the_way_out(project, monkeypatch, capsys):
    monkeypatch.setattr(keras_tf_explain, "find_spec", lambda name: None)
    assert main(["check", str(write_spec(project, "digits", CHANGES))]) == 2
    said = capsys.readouterr()
    text = " ".join((said.out + said.err).split())
    assert "PGX4010" in text
    assert "install pgx-compiler with the extra `tf-explain`" in text


def test_where_it_is_installed_the_audit_is_in_order(project, pretended, capsys):
    assert main(["check", str(write_spec(project, "digits", CHANGES))]) == 0, capsys.readouterr()


def test_a_score_that_it_cannot_see_is_refused(project, pretended, capsys):
    assert main(["check", str(write_spec(project, "digits", {**CHANGES, "explain.score": "log_odds"}))]) == 2
    said = capsys.readouterr()
    text = " ".join((said.out + said.err).split())
    assert "PGX4011" in text
    assert "which is no log-odds; explain `logit` or `probability`" in text
