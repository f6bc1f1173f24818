"""Measures that hang on parameters are made from the parameters on that their declaration says, and not before."""

import re
from typing import get_args

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from tests.methods.tables import Column, run, table_of

DEPENDING = {name: one for name, one in catalogue().items() if one.measures_from}
OF_TABLES = ["accumulated_local_effects", "friedman_h", "functional_decomposition"]


def made(name, **params):
    """Names of the measures of a product of four numbers that nothing hides."""
    values = np.random.default_rng(2).uniform(0.5, 1.5, (24, 4))
    table = table_of(lambda z: z.prod(axis=1), [Column(one, values[:, j]) for j, one in enumerate("abcd")])
    return [measure.name for measure in run(DEPENDING[name], table, rows=12, **params).measures]


def members(method, family, names):
    """Those of a family, or of one name; a name that is declared by itself is of no family."""
    pattern = re.compile(re.sub(r"\{\w+\}", ".+", family))
    return [name for name in names if pattern.fullmatch(name) and (name == family or name not in method.measures)]


@pytest.mark.parametrize("name", DEPENDING)
def test_what_is_needed_is_said_of_measures_and_parameters_that_there_are(name):
    one = DEPENDING[name]
    assert set(one.measures_from) <= set(one.measures)
    for least in one.measures_from.values():
        at_least = one.params(**least)  # that much can be asked for
        assert least
        for parameter, number in least.items():
            assert getattr(at_least, parameter) == number
            if isinstance(number, str):
                assert {number} < set(get_args(one.params.model_fields[parameter].annotation))  # one of several words
            else:
                one.params(**{**least, parameter: number - 1})  # and less as well: else nothing would be said


@pytest.mark.parametrize(
    ("name", "measure"), [(name, measure) for name in OF_TABLES for measure in DEPENDING[name].measures_from]
)
def test_a_measure_is_made_from_there_on_and_not_before(name, measure):
    method, least = DEPENDING[name], DEPENDING[name].measures_from[measure]
    assert members(method, measure, made(name, **least))
    assert method.short_of(measure, method.params(**least)) == {}
    for parameter, number in least.items():
        params = {**least, parameter: number - 1}
        assert members(method, measure, made(name, **params)) == []
        assert method.short_of(measure, method.params(**params)) == {parameter: number}


@pytest.mark.parametrize("name", OF_TABLES)
def test_all_others_are_made_whatever_the_parameters(name):
    method = DEPENDING[name]
    least = {parameter: 0 for wanted in method.measures_from.values() for parameter in wanted}
    names = made(name, **{parameter: max(number, parameter == "order") for parameter, number in least.items()})
    for measure in method.measures:
        assert bool(members(method, measure, names)) == (measure not in method.measures_from), measure
