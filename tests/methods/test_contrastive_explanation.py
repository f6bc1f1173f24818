"""What is enough for a class and what is absent, on models where both can be read off."""

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from tests.methods.tables import Column, declared, handle_of
from tests.methods.test_counterfactuals import changes, classified, mixed, rows_of, told

DECLARATION = catalogue()["contrastive_explanation"]


def contrast(table, row=0, **params):
    return told(table, row, DECLARATION, **params)


def sums(first, **more):
    """good where a + b + c > 3; typical is 0 in each, so that typical rows are bad. The first row is given."""
    line = np.linspace(-4, 4, 101)
    columns = [Column(name, np.concatenate([[value], line])) for name, value in zip("abc", first, strict=True)]
    return classified(lambda z: z.sum(axis=1) - 3.0, columns, explained=1, **more)


def test_what_is_enough_is_kept_and_the_rest_is_typical():
    # 3.5 alone is more than 3, the others give nothing that is needed: a is enough.
    said = contrast(sums([3.5, 0.5, -0.9]))
    assert said.numbers["typical_agrees"] == 0.0
    assert said.numbers["present"] == 1.0
    assert said.statements[0].text == "a 3.5: enough for good, were all else typical"
    assert said.statements[0].without_values == "a: enough for good, were all else typical"


def test_no_feature_of_what_is_enough_can_be_left_out():
    table = mixed()
    for index in range(12):
        row, said = table.row(index).z, contrast(table, index)
        typical = said.arrays["typical"]
        current = table.score(row[None]).argmax()
        assert (table.score(typical[None]).argmax() == current) == (said.numbers["typical_agrees"] == 1.0)
        kept = [table.names.index(name) for name in said.statements[0].features]
        z = typical.copy()
        z[kept] = row[kept]
        assert table.score(z[None]).argmax() == current
        for j in kept:
            less = z.copy()
            less[j] = typical[j]
            assert table.score(less[None]).argmax() != current
        assert said.numbers["present"] == len(kept)


def test_where_a_typical_row_gets_the_class_nothing_is_needed():
    said = contrast(sums([1.0, 0.5, 0.0]))
    assert said.numbers["present"] == 0.0
    assert said.statements[0].text == "bad needs nothing of this row: a wholly typical one is bad too"


def test_what_is_absent_is_added_away_from_the_typical():
    # 1 + 0.5 + 0 = 1.5: another 1.5 is missing. The median is 0 or a hair off, and going up is going away from it.
    table = sums([1.0, 0.5, 0.0])
    said = contrast(table)
    row, (z,) = table.row(0).z, rows_of(said)
    assert z.sum() > 3.0
    assert (np.abs(z) >= np.abs(row)).all()
    assert said.statements[1].text.startswith("good instead of bad if it left the typical further: ")


def test_nothing_is_taken_off_the_row():
    # Good only where a < -1; the row is at a = 2: less of it would do, but that is no absence, so nothing is found.
    line = np.concatenate([[2.0], np.linspace(-4, 4, 101)])
    table = classified(lambda z: -z[:, 0] - 1.0, [Column("a", line), Column("b", line[::-1])], explained=1)
    said = contrast(table)
    assert said.numbers["found"] == 0.0
    assert said.statements[1].text == "no addition was found that would make it good instead of bad"
    assert told(table, 0).numbers["found"] == 1.0  # a counterfactual may take it off


def test_a_category_leaves_the_typical_only_from_the_commonest():
    codes = np.array([1, 0, 0, 0, 2] * 20)
    columns = [Column("colour", codes, ("red", "green", "blue"), "one_hot"), Column("b", np.linspace(0, 1, 100))]
    table = classified(lambda z: np.array([-1.0, -1.0, 1.0])[z[:, 0].astype(int)], columns, explained=2)
    assert contrast(table, 0).numbers["found"] == 0.0  # green is no typical value: it would have to be taken off
    said = contrast(table, 1)
    assert said.statements[1].text == "good instead of bad if it left the typical further: colour “red” → “blue”"


def test_additions_hold_need_every_part_and_leave_immutable_features_alone():
    table = mixed(immutable=frozenset({"a"}))
    found = 0
    for index in range(12):
        row, said = table.row(index).z, contrast(table, index)
        before = table.score(row[None]).argmax()
        for z in rows_of(said):
            found += 1
            changed = changes(z, row)
            assert not changed[0]
            assert table.score(z[None]).argmax() != before
            away = np.abs(z - said.arrays["typical"]) >= np.abs(row - said.arrays["typical"])
            assert away[[1]].all()
            for j in np.flatnonzero(changed):
                back = z.copy()
                back[j] = row[j]
                assert table.score(back[None]).argmax() == before
    assert found >= 4


@pytest.mark.parametrize("calls", [50, 1000])
def test_no_more_rows_are_asked_than_planned(calls):
    table = mixed()
    before = handle_of(table).spent.forward
    for index in range(4):
        contrast(table, index, max_calls=calls)
    assert (
        0 < handle_of(table).spent.forward - before <= declared(DECLARATION, table, DECLARATION.params(max_calls=calls))
    )
