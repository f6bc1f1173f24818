"""A real audit whose rows lie on disk and are read seven at a time: the same evidence, and the same facts from Parquet."""

import json

import numpy as np
import pytest
from tests_project import make_project, write_spec

from pgx_compiler import driver
from pgx_compiler.evidence.store import Store
from pgx_compiler.execute import bench, operations, predicting, splits
from pgx_compiler.execute.run import run_graph
from pgx_compiler.methods.precaution import _equal_rows
from pgx_compiler.plan.plan import compile_plan
from pgx_compiler.report.facts import Occasion, gather
from runtimes import datasets
from runtimes.engines.contract import Setting
from runtimes.engines.inline import open_engine

pytestmark = pytest.mark.frameworks

SPEC = {
    "precaution": [
        {"use": name}
        for name in ("class_balance", "missing_values", "duplicate_rows", "outliers", "correlation", "sensitive_groups")
    ],
    "explain.rows": {"from": "test", "sample": 5, "stratify": "target"},
    "explain.fill": {"kind": "background", "size": 5},
    "explain.perturbation": [{"use": "shapley_values"}, {"use": "permutation_importance"}, {"use": "surrogate_tree"}],
    "agreement": None,
    "faithfulness": None,
    "gates": None,
    "strategy": None,
    "factsheet": {"formats": ["json"]},
}


class Nobody:
    def started(self, node):
        pass

    def progressed(self, node, done, total):
        pass

    def ended(self, outcome):
        pass


def run(spec, folder):
    """The plan, its outcomes and the store."""
    checked = driver.check(spec)
    assert checked.audit is not None, [item.message for item in checked.diagnostics]
    plan = compile_plan(checked.audit, "test")
    store = Store(folder)
    for file in (*plan.audit.models.values(), *plan.audit.data.values()):
        store.ingest(file.path, file.sha256)
    setting = Setting(1, store.root, store.root / "boxes")
    result = run_graph(plan.graph, store, lambda _lanes: open_engine(setting), Nobody())
    assert result.complete, [one.reason for one in result.outcomes.values() if one.reason]
    return plan, result, store


def facts(plan, result, store):
    sheet = gather(plan, result.outcomes, store, Occasion("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01+00:00"))
    held = sheet.model_dump(mode="json", by_alias=True)["facts"]
    return {one["id"]: one["value"] for one in (held if isinstance(held, list) else held.values())}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def held(project, tmp_path_factory):
    return run(write_spec(project, "german-credit-trees", SPEC), tmp_path_factory.mktemp("held"))


def test_rows_on_disk_leave_the_same_bytes(project, held, tmp_path, monkeypatch):
    whole = datasets.batches
    monkeypatch.setattr(splits, "HELD", 0)
    monkeypatch.setattr(splits, "_SURVEYED", 0)
    monkeypatch.setattr(bench, "HELD", 0)
    monkeypatch.setattr(bench, "AT_HAND", 0)
    monkeypatch.setattr(predicting, "_PREDICTED", 1)
    monkeypatch.setattr(_equal_rows, "EACH", 0)
    monkeypatch.setattr(_equal_rows, "_AT_ONCE", 13)
    monkeypatch.setattr(datasets, "batches", lambda path, text=(), names=None: whole(path, text, names, 7))
    _, found, store = run(project / "german-credit-trees.yaml", tmp_path)
    used = operations._benches[str(store.root)]
    assert len(used.scratch._mapped) > 40, "the rows were not on disk"
    contents = {name: one.record.content for name, one in held[1].outcomes.items() if one.record}
    assert {name: one.record.content for name, one in found.outcomes.items() if one.record} == contents


def test_parquet_files_give_the_facts_of_the_tables_they_were_made_from(project, held, tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    changes = dict(SPEC)
    for split in ("train", "test"):
        raw = datasets.read(project / f"data/german-credit-{split}.csv").arrays
        table = pa.table({name: pa.array(column, from_pandas=True) for name, column in raw.items()})
        pq.write_table(table, project / f"data/german-credit-{split}.parquet", row_group_size=97)
        changes[f"data.{split}"] = {"path": f"data/german-credit-{split}.parquet", "target": "bad_risk"}
    spec = write_spec(project, "german-credit-trees", changes, "parquet.yaml")
    found = facts(*run(spec, tmp_path))
    wanted = facts(*held)
    assert len(wanted) > 40
    assert found == wanted


def test_the_check_says_what_the_metadata_show(project):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    raw = dict(datasets.read(project / "data/german-credit-train.csv").arrays)
    raw["bad_risk"] = raw["bad_risk"] + 1
    raw["age"][3] = 300
    pq.write_table(pa.table(raw), project / "data/off.parquet")
    spec = json.loads((project / "german-credit-trees.yaml").read_text("utf-8"))
    spec["data"]["train"] = {"path": "data/off.parquet", "target": "bad_risk"}
    spec["data"]["features"]["age"]["range"] = [18, 120]
    spec["explain"]["rows"] = {"from": "train", "ids": [0, 799, 800]}
    (project / "off.yaml").write_text(json.dumps(spec), "utf-8")
    messages = [item.message for item in driver.check(project / "off.yaml").diagnostics]
    rows = len(raw["age"])
    assert any("`bad_risk` goes from 1 to 2, and the 2 classes are 0 to 1" in message for message in messages), messages
    assert any("outside the range: there is 300" in message for message in messages), messages
    unknown = [message for message in messages if "no row of" in message]
    assert len(unknown) == sum(row >= rows for row in (0, 799, 800))
    raw["bad_risk"] = np.where(np.arange(rows) < 4, np.nan, 0.0)
    pq.write_table(pa.table({n: pa.array(v, from_pandas=True) for n, v in raw.items()}), project / "data/off.parquet")
    messages = [item.message for item in driver.check(project / "off.yaml").diagnostics]
    assert any("4 rows have no `bad_risk`" in message for message in messages), messages
