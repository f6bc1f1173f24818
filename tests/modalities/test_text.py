"""Texts: what a word is, what stands where one was removed, and that a bag of words gets back what each word adds.

The model of most tests scores a text by adding a number for each token: padding adds nothing, so that with the fill
``delete`` every method must give each word exactly its own number.
"""

from typing import Any

import numpy as np
import pytest

from pgx_compiler.methods.apply import attribute, base_values
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.modalities import text
from pgx_compiler.modalities.features import FIXED, Rows, UnfitFeatures
from pgx_compiler.modalities.game import game_of_row
from runtimes.capabilities import Floats, Inputs, Spent

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "##ed", "great", ".", "bad", "film")
PAD, UNK, CLS, SEP, MASK, PLAY, ING, ED, GREAT, STOP, BAD, FILM = range(12)
WORTH = np.array([0.0, -0.5, 0.25, 0.125, 1.0, 2.0, -1.0, 3.0, 5.0, 0.5, -4.0, 0.0])
"""What the model of these tests adds for each token."""


class BagOfWords:
    """score = sum of the worth of all tokens that the mask lets through; a second column has the other sign."""

    rows_per_call = 5

    def __init__(self, mask: str | None = None) -> None:
        self.spent = Spent()
        self._mask = mask

    def predict(self, inputs: Inputs) -> Floats:
        ids = np.asarray(inputs["ids"])
        self.spent.forward += len(ids)
        seen = np.ones(ids.shape) if self._mask is None else np.asarray(inputs[self._mask])
        total = (WORTH[ids] * seen).sum(axis=1)
        return np.stack([-total, total], axis=1)


def described(shapes: dict[str, tuple[int, ...]] | None = None, **more: Any) -> dict[str, Any]:
    facts = {
        "ids": "ids", "mask": None, "types": None, "pad": PAD, "framing": [CLS, SEP], "mask_id": MASK, "unknown": UNK,
        "pieces": "##", "vocabulary": ["0" * 64, ".txt"],
    }  # fmt: skip
    settled = text.settle({**facts, **more}, shapes or {"ids": (8,)})
    return {**settled, "modality": "text", "columns": (), "groups": {}, "words": WORDS}


def rows_of(ids: list[list[int]], fill: dict[str, Any], about: dict[str, Any], **companions: Any) -> Rows:
    inputs = {"ids": np.array(ids, np.int32), **{name: np.array(a) for name, a in companions.items()}}
    features = text.features_of_rows(inputs, about)
    train = {"ids": np.array([[PLAY, ED, GREAT, 0, 0, 0, 0, 0]] * 3, np.int32)}
    train |= {name: np.ones((3, 8), np.int64) for name in companions}
    found = text.references(inputs, train, fill, features, np.random.default_rng(0))
    return Rows(inputs, np.ones(len(ids), np.int64), found, features)


PLAYED = [CLS, PLAY, ED, GREAT, STOP, SEP, PAD, PAD]
"""``played great .`` between the tokens that frame a text."""


def test_words_are_put_together_from_pieces_and_framing_is_never_removed() -> None:
    found = text.features_of_rows({"ids": np.array([PLAYED])}, described())
    assert found.counts is not None
    assert found.labels is not None
    assert found.counts.tolist() == [3]
    assert found.labels[0, :3].tolist() == ["played", "great", "."]
    assert found.owners["ids"][0].tolist() == [FIXED, 0, 0, 1, 2, FIXED, FIXED, FIXED]
    assert found.of_row(0).names == ("played", "great", ".")
    assert found.present(1).sum() == 3


def test_a_piece_does_not_join_a_word_across_a_framing_token() -> None:
    found = text.features_of_rows({"ids": np.array([[PLAY, SEP, ED, PAD]])}, described({"ids": (4,)}))
    assert found.owners["ids"][0].tolist() == [0, FIXED, 1, FIXED]


def test_tokens_and_sentences_are_other_units() -> None:
    ids = np.array([[CLS, PLAY, ED, STOP, STOP, BAD, FILM, PAD]])
    tokens = text.features_of_rows({"ids": ids}, described(units="tokens"))
    assert tokens.owners["ids"][0].tolist() == [FIXED, 0, 1, 2, 3, 4, 5, FIXED]
    sentences = text.features_of_rows({"ids": ids}, described(units="sentences"))
    # the second full stop still belongs to the first sentence: `played..`, then `bad film`
    assert sentences.owners["ids"][0].tolist() == [FIXED, 0, 0, 0, 0, 1, 1, FIXED]
    assert sentences.labels is not None
    assert sentences.labels[0, :2].tolist() == ["played..", "bad film"]


@pytest.mark.parametrize(
    ("mark", "words", "owners", "labels"),
    [
        (
            "Ġ",
            ("", "I", "Ġlike", "Ġcaf", "Ã©", "s", "!", "Ġ("),
            [0, 1, 2, 2, 2, 3, 4],
            ["I", "like", "cafés", "!", "("],
        ),
        (
            "▁",
            ("", "▁I", "▁like", "▁caf", "é", "s", "!", "▁("),
            [0, 1, 2, 2, 2, 3, 4],
            ["I", "like", "cafés", "!", "("],
        ),
    ],
)
def test_byte_level_and_sentence_pieces_begin_words(
    mark: str, words: tuple[str, ...], owners: list[int], labels: list[str]
) -> None:
    about = {**described({"ids": (7,)}, pieces=mark, framing=[]), "words": words}
    found = text.features_of_rows({"ids": np.array([[1, 2, 3, 4, 5, 6, 7]])}, about)
    assert found.owners["ids"][0].tolist() == owners
    assert found.labels is not None
    assert found.labels[0, : len(labels)].tolist() == labels


def test_without_a_vocabulary_ids_are_the_labels_and_words_cannot_be_asked_for() -> None:
    about = {**described(vocabulary=None, pieces="", framing=[]), "words": ()}
    assert about["units"] == "tokens"
    found = text.features_of_rows({"ids": np.array([[7, 3, 0, 0]])}, about)
    assert found.labels is not None
    assert found.labels[0, :2].tolist() == ["7", "3"]
    with pytest.raises(UnfitFeatures, match="without a vocabulary"):
        described(vocabulary=None, pieces="", units="sentences")


def test_a_text_without_tokens_has_one_feature_that_owns_nothing() -> None:
    empty = [CLS, SEP, PAD, PAD, PAD, PAD, PAD, PAD]
    rows = rows_of([empty, PLAYED], {"kind": "delete"}, described())
    assert rows.features.counts is not None
    assert rows.features.counts.tolist() == [1, 3]
    assert rows.features.of_row(0).names == (text.NO_TEXT,)
    for name in ("occlusion", "kernel_shap", "exact_shapley"):
        declaration = catalogue()[name]
        found = attribute(declaration, BagOfWords(), rows, declaration.params())
        assert found.values[0].tolist() == [0.0] * 8


def test_deleted_words_leave_no_gap() -> None:
    rows = rows_of([PLAYED], {"kind": "delete"}, described())
    seen: list[Any] = []

    class Watching(BagOfWords):
        def predict(self, inputs: Inputs) -> Floats:
            seen.append(np.asarray(inputs["ids"]))
            return super().predict(inputs)

    game = game_of_row(Watching(), rows.inputs, 0, rows.references, rows.features, 1)
    game.value(np.array([[True, False, True], [False, False, False]]))
    assert seen[0].tolist() == [
        [CLS, PLAY, ED, STOP, SEP, PAD, PAD, PAD],
        [CLS, SEP, PAD, PAD, PAD, PAD, PAD, PAD],
    ]


def test_a_masked_word_gives_way_to_the_mask_of_the_vocabulary_or_to_the_id_given() -> None:
    for fill, token in (({"kind": "mask", "value": None}, MASK), ({"kind": "mask", "value": UNK}, UNK)):
        rows = rows_of([PLAYED], fill, described())
        game = game_of_row(BagOfWords(), rows.inputs, 0, rows.references, rows.features, 1)
        # without `played` (2 + 3) there are two tokens of the mask: what is left is 0.25 + 5 + 0.5 + 0.125
        assert game.value(np.array([[False, True, True]]))[0, 0] == pytest.approx(5.875 + 2 * WORTH[token])


def test_substitutes_are_tokens_of_the_training_texts_at_their_frequency() -> None:
    rows = rows_of([PLAYED] * 2, {"kind": "substitute", "size": 400}, described())
    drawn = rows.references.inputs["ids"]
    assert drawn.shape == (2, 400, 8)
    assert len(rows.references) == 400
    kinds, counts = np.unique(drawn, return_counts=True)
    assert kinds.tolist() == [PLAY, ED, GREAT]
    # each a third of the training tokens; 6,400 draws have a standard deviation of 38
    assert (abs(counts - 6400 / 3) < 160).all()


def test_attention_and_types_change_together_with_the_tokens() -> None:
    there = [[1, 1, 1, 1, 1, 1, 0, 0]]
    about = described({"ids": (8,), "mask": (8,), "types": (8,)}, mask="mask", types="types")
    rows = rows_of([PLAYED], {"kind": "delete"}, about, mask=there, types=[[0] * 8])
    assert rows.references.packed == {"ids": PAD, "mask": 0}
    game = game_of_row(BagOfWords("mask"), rows.inputs, 0, rows.references, rows.features, 1)
    composed = game._compose(np.array([[False, True, True]]))
    assert composed["ids"].tolist() == [[CLS, GREAT, STOP, SEP, PAD, PAD, PAD, PAD]]
    assert composed["mask"].tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]]
    assert composed["types"].tolist() == [[0] * 8]
    masked = rows_of([PLAYED], {"kind": "mask", "value": None}, about, mask=there, types=[[0] * 8])
    game = game_of_row(BagOfWords("mask"), masked.inputs, 0, masked.references, masked.features, 1)
    assert game._compose(np.array([[False, True, True]]))["mask"].tolist() == there


@pytest.mark.parametrize(
    ("ids", "types"),
    [
        ([PAD, PAD, CLS, PLAY, ED, GREAT, STOP, SEP], [0] * 8),  # padded at the start
        ([CLS, PLAY, ED, SEP, GREAT, STOP, SEP, PAD], [0, 0, 0, 0, 1, 1, 1, 0]),  # a pair of texts
    ],
)
def test_texts_that_cannot_close_up_are_padded_in_place(ids: list[int], types: list[int]) -> None:
    about = described({"ids": (8,), "types": (8,)}, types="types")
    rows = rows_of([ids], {"kind": "delete"}, about, types=[types])
    assert not rows.references.packed
    assert "in place" in rows.references.name
    game = game_of_row(BagOfWords(), rows.inputs, 0, rows.references, rows.features, 1)
    assert game.value(np.ones((1, game.n_features), bool))[0] == game.full()


@pytest.mark.parametrize("name", ["occlusion", "kernel_shap", "permutation_shap", "exact_shapley"])
def test_every_word_of_an_additive_model_gets_what_it_adds(name: str) -> None:
    rows = rows_of([PLAYED, [BAD, FILM, BAD, UNK, PAD, PAD, PAD, PAD]], {"kind": "delete"}, described())
    declaration = catalogue()[name]
    found = attribute(declaration, BagOfWords(), rows, declaration.params())
    # `played` is 2 + 3, `great` 5, `.` 0.5; `bad` -4 each, `film` 0, an unknown word -0.5; nothing beyond a text's words
    np.testing.assert_allclose(found.values[0], [5, 5, 0.5, 0, 0, 0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(found.values[1], [-4, 0, -4, -0.5, 0, 0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(base_values(BagOfWords(), rows), [0.375, 0.0])


def test_texts_are_described_by_length_repetition_and_unknown_words() -> None:
    about = described()
    features = text.feature_map({"ids": (8,)}, about)
    train = {"ids": np.array([PLAYED, [BAD, UNK, BAD, UNK, 0, 0, 0, 0], [CLS, SEP, 0, 0, 0, 0, 0, 0]])}
    found = {one.name: one for one in text.variables(train, None, features, (), {})}
    assert found["length"].train.tolist() == [4.0, 4.0, 0.0]
    np.testing.assert_array_equal(found["distinct"].train, [1.0, 0.5, np.nan])
    np.testing.assert_array_equal(found["unknown"].train, [0.0, 0.5, np.nan])
    assert all(one.is_descriptor for one in found.values())
