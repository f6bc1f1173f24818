"""Ask and tell."""

import math

import numpy as np
import pytest

from pgx_compiler.tuning.search import Record, Search, good_trials
from pgx_compiler.tuning.space import Dimension, contains

SPACE = {
    "rate": Dimension.of({"loguniform": [1e-4, 1e-1]}),
    "units": Dimension.of({"quniform": [10, 60, 8]}),
    "batch": Dimension.of({"choice": [16, 32, 64]}),
    "drop": Dimension.of({"uniform": [0.0, 0.6]}),
}
ALGORITHMS = ("hyperopt.tpe", "hyperopt.rand", "hyperopt.anneal")


def toy(settings: dict) -> float:
    """Smallest (0) at rate 10^-2.5, 26 units, batch 32, no dropout."""
    return (
        (math.log10(settings["rate"]) + 2.5) ** 2
        + ((settings["units"] - 26) / 16) ** 2
        + (settings["batch"] != 32) * 0.5
        + settings["drop"]
    )


def run(search: Search, trials: int, start: int = 0) -> list[dict]:
    for _ in range(start, trials):
        record = search.ask()
        search.tell(record.number, toy(record.settings))
    return [dict(record.settings) for record in search.records]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_suggestion_lies_in_the_space_in_natural_units_and_plain_types(algorithm: str) -> None:
    for settings in run(Search(SPACE, algorithm, 1), 40):
        assert contains(SPACE, settings)
        assert 1e-4 <= settings["rate"] <= 1e-1
        assert [type(settings[name]) for name in ("rate", "units", "batch", "drop")] == [float, int, int, float]
        assert settings["units"] in range(10, 61, 8)


def test_random_search_is_even_in_the_logarithm_and_over_the_grid() -> None:
    settings = run(Search(SPACE, "hyperopt.rand", 3), 400)
    below = np.mean([one["rate"] < 10**-2.5 for one in settings])
    assert abs(below - 0.5) < 4 * 0.5 / math.sqrt(400)  # four standard errors of a fair coin
    ends = np.mean([one["units"] in (10, 58) for one in settings])
    assert abs(ends - 2 / 7) < 4 * math.sqrt(2 / 7 * 5 / 7 / 400)  # ends count as much as any other point


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_seed_asks_the_same_and_another_seed_does_not(algorithm: str) -> None:
    first = run(Search(SPACE, algorithm, 5), 20)
    assert run(Search(SPACE, algorithm, 5), 20) == first
    assert run(Search(SPACE, algorithm, 6), 20) != first


@pytest.mark.parametrize("killed_at", [1, 6, 13, 17])
def test_a_search_killed_anywhere_and_replayed_from_its_results_asks_the_same(killed_at: int) -> None:
    straight = run(Search(SPACE, "hyperopt.tpe", 9), 18)
    values = [toy(settings) for settings in straight[:killed_at]]
    resumed = Search(SPACE, "hyperopt.tpe", 9)
    for value in values:  # the finished trials' values come from where they were kept, nothing is computed again
        resumed.tell(resumed.ask().number, value)
    assert run(resumed, 18, start=killed_at) == straight


def test_tpe_finds_better_settings_than_random_search() -> None:
    best: dict[str, list[float]] = {"hyperopt.tpe": [], "hyperopt.rand": []}
    for algorithm, found in best.items():
        for seed in range(12):
            search = Search(SPACE, algorithm, seed)
            run(search, 40)
            found.append(min(record.value for record in search.records))
    assert np.median(best["hyperopt.tpe"]) < 0.8 * np.median(best["hyperopt.rand"])


def test_enqueued_settings_come_first_and_only_once() -> None:
    search = Search(SPACE, "hyperopt.tpe", 1)
    audited = {"rate": 1e-3, "units": 26, "batch": 32, "drop": 0.5}
    assert search.enqueue(audited, "audited settings")
    assert not search.enqueue({**audited, "units": 26.0}, "finding small_sample")
    first, second = search.ask(), search.ask()
    assert (first.number, dict(first.settings), first.origin) == (0, audited, "audited settings")
    assert (second.number, second.origin) == (1, "search")


def test_settings_outside_the_space_may_be_tried_without_troubling_the_search() -> None:
    search = Search(SPACE, "hyperopt.tpe", 1)
    search.enqueue({"rate": 0.5, "units": 7, "batch": 128, "drop": 0.9}, "audited settings")
    assert all(contains(SPACE, settings) for settings in run(search, 30)[1:])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_failed_trials_do_not_stop_a_search_and_are_avoided(algorithm: str) -> None:
    search = Search({"x": Dimension.of({"uniform": [0, 1]})}, algorithm, 2)
    for _ in range(40):
        record = search.ask()
        x = record.settings["x"]
        search.tell(record.number, math.nan if x > 0.5 else x)
    late = [record.settings["x"] for record in search.records[20:]]
    assert len(late) == 20
    if algorithm == "hyperopt.tpe":
        assert np.mean([x > 0.5 for x in late]) < 0.3  # random search would have half of them there


def test_the_next_suggestion_depends_on_what_is_pending() -> None:
    def asked_beside(pending: dict) -> dict:
        search = Search(SPACE, "hyperopt.tpe", 4)
        run(search, 12)
        assert search.enqueue(pending, "by hand")
        assert dict(search.ask().settings) == pending
        assert not search.records[12].told
        return dict(search.ask().settings)

    one, other = ({"rate": rate, "units": 26, "batch": 32, "drop": 0.1} for rate in (3e-3, 9e-2))
    assert asked_beside(one) == asked_beside(one)
    assert asked_beside(one) != asked_beside(other)  # were pending trials dropped, both would be the same


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_record_taken_up_is_as_good_as_one_asked_for(algorithm: str) -> None:
    first = Search(SPACE, algorithm, 5)
    straight = run(first, 14)
    second = Search(SPACE, algorithm, 5)
    for number, settings in enumerate(straight[:13]):
        assert second.take_up(settings, "search").number == number
        second.tell(number, toy(settings))
    assert dict(second.ask().settings) == straight[13]


def test_what_is_taken_up_was_enqueued_first() -> None:
    search = Search(SPACE, "hyperopt.tpe", 1)
    audited = {"rate": 1e-3, "units": 26, "batch": 32, "drop": 0.5}
    search.enqueue(audited, "audited settings")
    search.enqueue({**audited, "drop": 0.1}, "finding small_sample")
    assert search.take_up(audited, "audited settings").number == 0
    assert search.ask().origin == "finding small_sample"


def test_a_finite_space_is_exhausted_once_all_of_it_was_asked_for_and_knows_what_came_first() -> None:
    search = Search({"x": Dimension.of({"choice": ["a", "b"]})}, "hyperopt.rand", 1)
    search.enqueue({"x": "outside"}, "audited settings")
    search.ask()
    numbers: dict[str, int] = {}
    while len(numbers) < 2:
        assert not search.exhausted
        record = search.ask()
        numbers.setdefault(record.settings["x"], record.number)
        assert search.first_with(record.settings) == numbers[record.settings["x"]]
    assert search.exhausted
    assert not Search(SPACE, "hyperopt.rand", 1).exhausted  # a rate can take any value


def test_a_value_may_be_told_again_and_the_last_word_counts() -> None:
    search = Search(SPACE, "hyperopt.tpe", 4)
    number = search.ask().number
    search.tell(number, 3.0)
    search.tell(number, 1.0)
    assert search.records[0].value == 1.0
    with pytest.raises(KeyError):
        search.tell(7, 1.0)


def test_the_good_trials_are_a_tenth_three_at_least_and_never_failed_ones() -> None:
    def history(finite: int, failed: int) -> list[Record]:
        values = [1.0] * finite + [math.inf] * failed
        return [Record(number, {}, "search", True, value) for number, value in enumerate(values)]

    assert good_trials(history(60, 0)) == 6
    assert good_trials(history(61, 0)) == 7  # ceil(6.1)
    assert good_trials(history(10, 0)) == 3
    assert good_trials(history(2, 8)) == 2
    assert good_trials(history(0, 5)) == 1


def test_a_dimension_with_a_single_value_is_searched_like_any_other() -> None:
    space = {"x": Dimension.of({"uniform": [0.3, 0.3]}), "y": Dimension.of({"choice": ["only"]}), **SPACE}
    for settings in run(Search(space, "hyperopt.tpe", 1), 15):
        assert (settings["x"], settings["y"]) == (0.3, "only")
