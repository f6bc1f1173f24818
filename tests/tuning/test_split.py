"""The validation split."""

import numpy as np
import pytest

from pgx_compiler.tuning.split import equal_rows, hold_out, take
from runtimes.capabilities import Labelled


def test_a_stratified_split_holds_out_the_share_of_every_class() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    train, held = hold_out(labels, 0.2, np.random.default_rng(0), stratify=True)
    assert np.bincount(labels[held]).tolist() == [18, 2]
    assert sorted([*train, *held]) == list(range(100))


def test_a_class_with_one_row_stays_in_training() -> None:
    labels = np.array([0] * 9 + [1])
    train, held = hold_out(labels, 0.5, np.random.default_rng(0), stratify=True)
    assert 9 in train
    assert len(held) == 5  # half of nine, rounded up


def test_groups_are_never_torn_apart() -> None:
    groups = np.repeat(np.arange(25), 4)
    train, held = hold_out(np.zeros(100), 0.2, np.random.default_rng(1), stratify=False, groups=groups)
    assert not set(groups[train]) & set(groups[held])
    assert len(held) == 20


def test_equal_rows_share_a_group_whatever_their_inputs() -> None:
    inputs = {"x": np.array([[1.0, 2], [1, 2], [1, 3], [1, 2]]), "s": np.array(["a", "a", "a", "b"], object)}
    assert equal_rows(inputs).tolist() == [0, 0, 1, 2]


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        hold_out(np.array([0]), 0.2, np.random.default_rng(0), stratify=False)


def test_the_same_generator_draws_the_same_rows() -> None:
    labels = np.arange(50) % 2
    one, other = (hold_out(labels, 0.3, np.random.default_rng(3), stratify=True)[1] for _ in range(2))
    assert one.tolist() == other.tolist()


def test_take_keeps_rows_and_labels_together() -> None:
    part = take(Labelled({"x": np.arange(10)[:, None]}, np.arange(10)), np.array([2, 5]))
    assert part.inputs["x"][:, 0].tolist() == part.labels.tolist() == [2, 5]
