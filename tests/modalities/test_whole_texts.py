"""Texts that a model cuts itself: what a word and a sentence are, what stands for a removed one, and what words are worth.

The model of these tests scores a text by the words in it, each worth what `WORTH` says: so every method has a closed form.
"""

from typing import Any

import numpy as np
import pytest

from pgx_compiler.execute.whole_texts import WholeTexts
from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.modalities import text
from pgx_compiler.modalities.features import FIXED, Rows, UnfitFeatures
from pgx_compiler.modalities.game import game_of_row
from runtimes.capabilities import Composer, Floats, Inputs, Spent
from runtimes.texts.pieces import as_array, pieces_of

WORTH = {"good": 2.0, "bad": -3.0, "film": 0.5, "very": 1.0, "unk": 0.25}


class CountedWords:
    """score = the worth of all words of the text, and ten for `not` right before `bad`; plus a number beside it."""

    rows_per_call = 5

    def __init__(self) -> None:
        self.spent = Spent()
        self.read: list[str] = []

    def predict(self, inputs: Inputs) -> Floats:
        texts = inputs["text"]
        assert texts.shape == (len(texts), 1)
        self.read += texts[:, 0].tolist()
        self.spent.forward += len(texts)
        total = np.array([sum(WORTH.get(word, 0.0) for word in one.lower().split()) for one in texts[:, 0]], float)
        total += [10.0 * one.lower().count("not bad") for one in texts[:, 0]]
        if "stars" in inputs:
            total += np.asarray(inputs["stars"])[:, 0]
        return np.stack([-total, total], axis=1)


def described(units: str = "words", words: int = 6, sentences: int = 3) -> dict[str, Any]:
    settled = text.settle({"text": "text", "longest": {"words": words, "sentences": sentences}, "units": units}, {})
    return {**settled, "modality": "text", "columns": (), "groups": {}}


def rows_of(texts: list[str], fill: dict[str, Any], about: dict[str, Any], train: Any = None, **beside: Any) -> Rows:
    inputs = {"text": as_array([pieces_of(one) for one in texts]), **{name: np.array(a) for name, a in beside.items()}}
    features = text.features_of_rows(inputs, about)
    whole = {"text": np.array([[one] for one in train or ["a film"]], object)}
    found = text.references(inputs, whole, fill, features, np.random.default_rng(0))
    return Rows(inputs, np.ones(len(texts), np.int64), found, features)


def test_words_and_signs_are_features_and_white_space_is_nobodys() -> None:
    features = rows_of(["Not bad, \n", ""], {"kind": "delete"}, described()).features
    assert features.names == ("word 1", "word 2", "word 3", "word 4", "word 5", "word 6")
    assert features.counts is not None
    assert features.counts.tolist() == [3, 1]
    assert features.labels is not None
    assert features.labels[:, :3].tolist() == [["Not", "bad", ","], ["(no text)", "", ""]]
    assert features.owners["text"].tolist() == [[0, 1, 2, FIXED], [FIXED] * 4]


def test_sentences_end_at_signs_and_at_empty_lines() -> None:
    about = described("sentences")
    features = rows_of(['He said: "Good!" It cost 3.5, no less. Fine\n\nThe end'], {"kind": "delete"}, about).features
    assert features.labels is not None
    # the last of as many as the longest text had was counted for holds the rest
    assert features.labels[0].tolist() == ['He said: "Good!"', "It cost 3.5, no less.", "Fine The end"]
    more = rows_of(["One. Two! 三。四。"], {"kind": "delete"}, described("sentences", sentences=4)).features
    assert more.labels is not None
    assert more.labels[0].tolist() == ["One.", "Two!", "三。", "四。"]


def test_the_tokens_of_the_model_are_not_seen() -> None:
    with pytest.raises(UnfitFeatures, match="not ours to see"):
        text.settle({"text": "text", "longest": {"words": 1, "sentences": 1}, "units": "tokens"}, {})


def test_the_longest_text_is_counted() -> None:
    assert text.longest(["One. Two three.", "Four five", ""]) == {"words": 5, "sentences": 2}
    assert text.longest([""]) == {"words": 1, "sentences": 1}


@pytest.mark.parametrize(
    ("fill", "without_first", "without_last"),
    [
        ({"kind": "delete"}, "good film", "a good"),
        ({"kind": "mask", "token": "UNK"}, "UNK good film", "a good UNK"),
    ],
)
def test_what_the_model_reads_without_a_word(fill: dict[str, Any], without_first: str, without_last: str) -> None:
    model = CountedWords()
    rows = rows_of(["a good film", "a much longer text of one"], fill, described())
    game = game_of_row(WholeTexts(model, "text", 2), rows.inputs, 0, rows.references, rows.features, 1)
    game.value(np.array([[0, 1, 1], [1, 1, 0], [1, 1, 1], [0, 0, 0]], bool))
    nothing = "" if fill["kind"] == "delete" else "UNK UNK UNK"
    assert model.read == [without_first, without_last, "a good film", nothing]


def test_substitutes_are_words_of_the_training_texts_as_often_as_they_occur() -> None:
    fill = {"kind": "substitute", "size": 500}
    rows = rows_of(["a  good film\n"], fill, described(), train=["bad bad bad", "very"])
    drawn = rows.references.inputs["text"]
    assert drawn.shape == (1, 500, 4)
    assert set(drawn[0, :, 1]) == {"  bad", "  very"}  # the white space before a word stays
    assert set(drawn[0, :, 3]) == {"\n"}
    share = (drawn[0, :, :3] == np.array(["bad", "  bad", " bad"])).mean()
    assert 0.70 < share < 0.80  # three in four; the standard error of 1,500 draws is 0.011
    assert rows.references.name == "500 draws from the words of 2 training texts"


@pytest.mark.parametrize(
    "method", ["exact_shapley", "kernel_shap", "permutation_shap", "regression_adjusted_shap", "occlusion", "lime"]
)
@pytest.mark.parametrize("token", ["", "unk"])
def test_a_bag_of_words_gets_back_what_each_word_is_worth(method: str, token: str) -> None:
    """Linear in what is present: every Shapley value is coefficient × presence, and so is what a linear surrogate fits.

    With a word in the place of each removed one, a word is worth its own number without that of the other.
    """
    fill = {"kind": "mask", "token": token} if token else {"kind": "delete"}
    rows = rows_of(["very good film but very bad"], fill, described())
    declaration = catalogue()[method]
    found = attribute(declaration, WholeTexts(CountedWords(), "text", 2), rows, declaration.params(), 0, ["0"])
    expected = np.array([1.0, 2.0, 0.5, 0.0, 1.0, -3.0]) - WORTH.get(token, 0.0)
    tolerance = 0.02 if method == "lime" else 1e-9
    np.testing.assert_allclose(found.values[0], expected, atol=tolerance)


def test_words_that_only_count_together_share_what_they_do() -> None:
    """`not bad` is worth 10 beside the -3 of `bad`: 5 for each; `bad` keeps its own -3."""
    rows = rows_of(["film not bad"], {"kind": "delete"}, described())
    declaration = catalogue()["exact_shapley"]
    found = attribute(declaration, WholeTexts(CountedWords(), "text", 2), rows, declaration.params(), 0, ["0"])
    np.testing.assert_allclose(found.values[0, :3], [0.5, 5.0, 2.0], atol=1e-12)


def test_deleting_what_stands_between_brings_words_together() -> None:
    """Without `so`, `not bad` stands there: the sum over all orders, by hand.

    v = 10 where not and bad are there and so is not; else -3 for bad. Shapley values of the part 10 · not · bad · (1 - so):
    not and bad 10 · (1/2 - 1/3) = 5/3 each, and so -10/3.
    """
    rows = rows_of(["not so bad"], {"kind": "delete"}, described())
    declaration = catalogue()["exact_shapley"]
    found = attribute(declaration, WholeTexts(CountedWords(), "text", 2), rows, declaration.params(), 0, ["0"])
    np.testing.assert_allclose(found.values[0, :3], [5 / 3, -10 / 3, 5 / 3 - 3], atol=1e-12)


def test_a_number_beside_the_text_stays_as_it_is() -> None:
    rows = rows_of(["good", "bad film"], {"kind": "delete"}, described(), stars=[[100.0], [200.0]])
    assert (rows.features.owners["stars"] == FIXED).all()
    game = game_of_row(WholeTexts(CountedWords(), "text", 2), rows.inputs, 1, rows.references, rows.features, 1)
    np.testing.assert_allclose(game.value(np.array([[0, 0], [1, 1], [0, 1]], bool))[:, 0], [200, 197.5, 200.5])


def test_composed_texts_score_as_composed_rows_do() -> None:
    model = WholeTexts(CountedWords(), "text", 2)
    assert isinstance(model, Composer)
    rows = rows_of(["not so bad, a film"], {"kind": "substitute", "size": 3}, described(), train=["good not", "bad"])
    game = game_of_row(model, rows.inputs, 0, rows.references, rows.features, 1)
    masks = np.random.default_rng(1).random((40, game.n_features)) < 0.5
    inside = model.coalitions(rows.inputs, rows.references.of_row(0), rows.features.of_row(0).owners)
    assert inside is not None
    assert inside.takes(masks).all()
    composed = model.predict(game._compose(masks))
    np.testing.assert_array_equal(inside.scores(masks), composed)
    assert model.spent.forward == 2 * 120


def test_numbers_that_are_features_too_are_composed_outside() -> None:
    rows = rows_of(["good"], {"kind": "delete"}, described(), stars=[[1.0]])
    owners = {**rows.features.of_row(0).owners, "stars": np.zeros(1, np.int64)}
    assert WholeTexts(CountedWords(), "text", 2).coalitions(rows.inputs, rows.references.of_row(0), owners) is None


def test_descriptors_by_hand() -> None:
    # `A film a FILM!` has five words and signs, three different ones but for capitals, and 11 letters
    held = text.variables(
        {"text": np.array([["A film a FILM!"], [""]], object)},
        None,
        text.feature_map({"text": (1,)}, described()),
        (),
        {},
    )
    assert [one.name for one in held] == ["length", "distinct", "letters"]
    assert [one.unit for one in held] == ["words", "", ""]
    np.testing.assert_allclose([one.train for one in held], [[5, 0], [3 / 5, np.nan], [11 / 5, np.nan]])
