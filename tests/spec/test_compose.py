"""A spec put together: what wins, where its values stand, what its steps become, and what a run keeps of it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgx_compiler.plan.semantics import role_of
from pgx_compiler.spec.compose import compose
from pgx_compiler.spec.emit import composed_text, dumped
from pgx_compiler.spec.model import AuditSpec, ExplainStep, When
from pgx_compiler.spec.overrides import Overrides
from pgx_compiler.spec.parse import parse
from pgx_compiler.spec.partial import profile_model
from pgx_compiler.spec.refusals import MOST_NODES
from pgx_compiler.spec.source import Document, load

BASE = """\
apiVersion: pgx/v1
kind: Audit
metadata: {name: base, labels: {a: "1", b: "2"}}
vars: {rows: 6, words: [x, y], eps: 1e-3}
model: {onnx: a.onnx}
data: {modality: tabular, train: {path: a.csv}}
explain: {rows: {from: train, sample: "${vars.rows}"}, perturbation: [{use: occlusion}, {use: kernel_shap}]}
"""


def composed(root: Path, text: str, *sets: str, profiles: tuple[str, ...] = (), **files: str) -> Document:
    for name, held in files.items():
        (root / f"{name}.yaml").write_text(held)
    return compose(text, str(root / "a.yaml"), root, Overrides(sets, profiles))


def codes(document: Document) -> list[str]:
    return [str(item.code) for item in document.diagnostics]


# extends


def test_mappings_merge_and_lists_and_single_values_replace(tmp_path: Path) -> None:
    child = "extends: base.yaml\nmetadata: {labels: {b: '3', c: '4'}}\nexplain: {perturbation: [{use: saliency}]}\n"
    document = composed(tmp_path, child, base=BASE)
    assert codes(document) == []
    assert document.data["metadata"] == {"name": "base", "labels": {"a": "1", "b": "3", "c": "4"}}
    assert document.data["explain"] == {"rows": {"from": "train", "sample": 6}, "perturbation": [{"use": "saliency"}]}


def test_a_later_file_wins_over_an_earlier_one_and_the_spec_over_both(tmp_path: Path) -> None:
    one, two = "seed: 1\nmetadata: {name: one, owner: one}\n", "seed: 2\nmetadata: {name: two}\n"
    document = composed(tmp_path, "extends: [one.yaml, two.yaml]\nseed: 3\n", one=one, two=two)
    assert document.data["seed"] == 3
    assert document.data["metadata"] == {"name": "two", "owner": "one"}


def test_every_value_keeps_the_place_where_it_was_written(tmp_path: Path) -> None:
    document = composed(tmp_path, "extends: base.yaml\nmetadata:\n  name: child\n", base=BASE)
    name, onnx = document.values["metadata", "name"], document.values["model", "onnx"]
    assert (Path(name.file).name, name.line, name.column) == ("a.yaml", 3, 9)
    assert (Path(onnx.file).name, onnx.line, onnx.column) == ("base.yaml", 5, 15)
    assert document.composition.sources[onnx.file] == BASE
    head = document.key_span(())
    assert head is not None
    assert (Path(head.file).name, head.line) == ("a.yaml", 1)


def test_a_file_is_relative_to_the_file_that_names_it_and_stays_below_the_specs_folder(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "b.yaml").write_text("extends: c.yaml\n")
    (tmp_path / "parts" / "c.yaml").write_text("seed: 5\n")
    assert composed(tmp_path, "extends: parts/b.yaml\n").data["seed"] == 5
    (tmp_path.parent / "outside.yaml").write_text("seed: 6\n")
    (tmp_path / "link.yaml").symlink_to(tmp_path.parent / "outside.yaml")
    assert codes(composed(tmp_path, "extends: link.yaml\n")) == ["PGX5001"]


def test_files_that_multiply_are_stopped(tmp_path: Path) -> None:
    for level in range(7):
        above = f"extends: [{', '.join([f'l{level + 1}.yaml'] * 8)}]\n" if level < 6 else "seed: 1\n"
        (tmp_path / f"l{level}.yaml").write_text(above)
    document = composed(tmp_path, "extends: l0.yaml\n")  # 8 to the 6th files, were they not counted
    assert "PGX1013" in codes(document)


# merge keys


def test_keys_written_out_win_over_merged_ones_and_earlier_aliases_over_later_ones() -> None:
    text = "x-a: &a {p: 1, q: 1, r: 1}\nx-b: &b\n  <<: *a\n  q: 2\nc: {r: 3, <<: [*b, *a]}\nd: {'<<': 1}\n"
    document = load(text, "a.yaml")
    assert codes(document) == []
    assert document.data["x-b"] == {"p": 1, "q": 2, "r": 1}
    assert document.data["c"] == {"r": 3, "p": 1, "q": 2}
    assert document.data["d"] == {"<<": 1}
    assert (document.keys["c", "q"].line, document.keys["c", "p"].line) == (4, 1)


def test_merging_cannot_blow_up() -> None:
    keys = ", ".join(f"k{n}: [1, 1, 1, 1, 1, 1, 1, 1, 1]" for n in range(100))
    layers = [f"x-{n}: &a{n} {{<<: *a{n - 1}, s{n}: [{', '.join([f'*a{n - 1}'] * 8)}]}}" for n in range(1, 6)]
    document = load("\n".join([f"x-0: &a0 {{{keys}}}", *layers]) + "\n", "a.yaml")
    assert codes(document) == ["PGX1002"]  # 1,101 values times 9 for each layer: the third passes 50,000


# variables


def test_a_whole_value_keeps_its_kind_and_a_part_of_a_text_is_written_into_it(tmp_path: Path) -> None:
    text = (
        BASE
        + "strategy: {intended_use: '${vars.rows} rows, eps ${vars.eps}, not $${this}', audience: '${vars.words}'}\n"
    )
    document = composed(tmp_path, text)
    assert codes(document) == []
    assert document.data["strategy"] == {"intended_use": "6 rows, eps 0.001, not ${this}", "audience": ["x", "y"]}
    assert document.data["explain"]["rows"]["sample"] == 6
    assert document.values["strategy", "audience", 1].line == 4


def test_variables_cannot_blow_up(tmp_path: Path) -> None:
    many = "vars: {v: [" + ", ".join(["1"] * 1000) + "], t: " + "x" * 10_000 + "}\n"
    values = many + "x: [" + ", ".join(["'${vars.v}'"] * 60) + "]\n"
    texts = many + "x: ['" + "${vars.t}" * 90 + "', '" + "${vars.t}" * 90 + "']\n"
    assert MOST_NODES < 60 * 1001
    assert codes(composed(tmp_path, values))[0] == "PGX1002"
    assert "PGX1002" in codes(composed(tmp_path, texts))


def test_a_variable_that_only_an_overridden_value_uses_is_not_called_unused(tmp_path: Path) -> None:
    document = composed(tmp_path, BASE + "profiles: {fast: {explain: {rows: {sample: 2}}}}\n", profiles=("fast",))
    said = [item.message for item in document.diagnostics]
    assert said == ["the variable `words` is never used", "the variable `eps` is never used"]


# profiles and values of the command line


def test_profiles_lie_over_the_spec_and_values_over_profiles(tmp_path: Path) -> None:
    text = BASE + "profiles: {fast: {seed: 1, explain: {rows: {sample: 2}}}, two: {seed: 2}}\n"
    assert composed(tmp_path, text, profiles=("fast",)).data["seed"] == 1
    assert composed(tmp_path, text, profiles=("two", "fast")).data["seed"] == 1
    both = composed(tmp_path, text, "seed=7", profiles=("fast", "two"))
    assert (both.data["seed"], both.data["explain"]["rows"]) == (7, {"from": "train", "sample": 2})
    assert both.composition.overrides == ("--profile fast", "--profile two", "--set seed=7")


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("explain.rows.sample=8", ("explain", "rows", "sample"), 8),
        ("explain.perturbation[1].with.samples=512", ("explain", "perturbation", 1, "with", "samples"), 512),
        ("explain.perturbation[kernel_shap].with={samples: 2}", ("explain", "perturbation", 1, "with", "samples"), 2),
        (
            'tuning.space."layers.dense.units".uniform=[1, 2]',
            ("tuning", "space", "layers.dense.units", "uniform", 1),
            2,
        ),
        ("metadata.owner=no", ("metadata", "owner"), "no"),
        ("metadata.owner='8'", ("metadata", "owner"), "8"),
        ("data.train.path=a=b.csv", ("data", "train", "path"), "a=b.csv"),
        ("vars.rows=9", ("explain", "rows", "sample"), 9),
        ("seed=${vars.rows}", ("seed",), 6),
        ("tuning=~", ("tuning",), None),
    ],
)
def test_a_value_is_put_at_its_place(tmp_path: Path, setting: str, path: tuple[Any, ...], value: Any) -> None:
    document = composed(tmp_path, BASE, setting)
    assert [code for code in codes(document) if code != "PGX3005"] == []
    assert document.at(path) == value


def test_what_is_wrong_with_a_value_of_the_command_line_is_shown_there(tmp_path: Path) -> None:
    parsed = parse(BASE, str(tmp_path / "a.yaml"), tmp_path, Overrides(("explain.rows.smaple=8", "seed=x")))
    unknown, kind = [item for item in parsed.diagnostics if item.severity == "error"]
    assert unknown.span is not None
    assert kind.span is not None
    # `smaple` begins in column 14 of its own text; `x` is the sixth character
    assert (unknown.span.file, unknown.span.column) == ("<--set explain.rows.smaple=8>", 14)
    assert (kind.span.file, kind.span.column) == ("<--set seed=x>", 6)
    assert parsed.document.composition.sources["<--set seed=x>"] == "seed=x"


def test_the_form_of_a_profile_is_that_of_the_language_with_nothing_required() -> None:
    profile = profile_model()
    assert set(profile.model_fields) == set(AuditSpec.model_fields) - {"extends", "profiles"}
    profile.model_validate({"data": {"test": {"target": "y"}}, "tuning": {"trials": 3}})
    assert profile.model_validate({}).model_dump(exclude_none=True) == {}


# steps


def test_a_matrix_makes_every_combination_with_names_that_do_not_hang_on_the_order(tmp_path: Path) -> None:
    steps = "precaution: [{use: drift, with: {statistic: psi}, matrix: {warn: [0.1, 1e-5], fail: [1]}}]\n"
    document = composed(tmp_path, BASE + steps)
    assert document.data["precaution"] == [
        {"use": "drift", "id": "drift[fail=1,warn=0.1]", "with": {"statistic": "psi", "warn": 0.1, "fail": 1}},
        {"use": "drift", "id": "drift[fail=1,warn=1e-05]", "with": {"statistic": "psi", "warn": 1e-05, "fail": 1}},
    ]
    line = BASE.count("\n") + 1
    second = document.values["precaution", 1, "with", "warn"]
    assert (second.line, steps[second.column - 1 : second.end_column - 1]) == (line, "1e-5")


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("{modality: tabular}", True),
        ("{modality: image}", False),
        ("{has: onnx}", True),
        ("{has: [onnx, keras]}", False),
        ("{has: test}", False),
        ("{task: classification}", True),
        ("{profile: fast}", True),
        ("{profile: slow}", False),
        ("{vars.rows: 6}", True),
        ("{vars.rows: 7}", False),
        ("{vars.words: [x, y], modality: tabular}", True),
        ("{modality: tabular, vars.eps: 1}", False),
        ("{}", True),
    ],
)
def test_a_step_stays_where_all_its_conditions_hold(tmp_path: Path, when: str, holds: bool) -> None:
    text = BASE + f"precaution: [{{use: outliers, when: {when}}}]\nprofiles: {{fast: {{}}, slow: {{}}}}\n"
    document = composed(tmp_path, text, profiles=("fast",))
    assert document.data["precaution"] == ([{"use": "outliers"}] if holds else [])
    assert [one.step for one in document.composition.left_out] == ([] if holds else ["outliers"])


# what a run keeps


def test_a_spec_that_is_what_it_says_is_kept_word_for_word(tmp_path: Path) -> None:
    text = "# mine\nx-notes: any\nvars: {}\nseed:   3\nmetadata: {description: when in doubt}\n"
    assert composed_text(composed(tmp_path, text)) == text


def test_a_spec_put_together_is_kept_as_text_that_means_the_same(tmp_path: Path) -> None:
    child = "extends: base.yaml\nmetadata: {owner: '1e-3'}\nprecaution: [{use: outliers, when: {has: keras}}]\n"
    document = composed(tmp_path, child, "seed=4", base=BASE)
    kept = composed_text(document)
    assert kept.split("\n")[:4] == [
        "# put together by pgx from a.yaml",
        "# extending base.yaml",
        "# overridden by --set seed=4",
        "# without the step outliers, since `has: keras` does not hold",
    ]
    again = parse(kept, "kept.yaml", tmp_path)
    assert again.spec == parse(child, str(tmp_path / "a.yaml"), tmp_path, Overrides(("seed=4",))).spec.model_copy(
        update={"extends": None, "vars": {}}
    )


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Cn"]), max_size=12)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
    | st.sampled_from(["1e-3", "no", "0o17", "017", "~", "1_0", "<<", "a: b", "- c", "x\ny", " z", "#", "1:30", "=", ""]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS.filter(bool), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(DATA)
def test_text_written_for_a_run_reads_back_as_the_same_data(data: Any) -> None:
    document = load(dumped({"x": data}), "a.yaml")
    assert codes(document) == []
    assert document.data == {"x": data}


# roles


def test_what_puts_a_spec_together_plays_no_part_in_its_digest_and_what_overrides_a_stage_does() -> None:
    composing = [(AuditSpec, name) for name in ("extends", "vars", "profiles")]
    composing += [(ExplainStep, name) for name in ("matrix", "when")] + [(When, name) for name in When.model_fields]
    assert {role_of(model, name) for model, name in composing} == {"descriptive"}
    assert {role_of(ExplainStep, name) for name in ("rows", "features")} == {"semantic"}
