"""Vocabularies as plain data, and texts cut by them as the models' own tokenizers do."""

import json
from pathlib import Path

import pytest

from runtimes.datasets import DataFileError
from runtimes.texts.cutting import Cutting, token_ids, unsafe_pattern
from runtimes.texts.vocabulary import read_vocabulary

PIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] play ##ing ##ed great . ##a ##b ##c ##d ##e ##f ! the".split()  # noqa: SIM905


def written(tmp_path: Path, content: object, name: str = "words.json") -> Path:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def tokenizer_json(**more: object) -> dict[str, object]:
    """WordPiece as BERT's own ``tokenizer.json`` has it."""
    special = [{"id": n, "content": word, "special": True, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False} for n, word in enumerate(PIECES[:5])]  # fmt: skip
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
             "max_input_chars_per_word": 100, "vocab": {word: n for n, word in enumerate(PIECES)}}  # fmt: skip
    framing = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                   {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {word: {"id": word, "ids": [n], "tokens": [word]} for n, word in ((2, "[CLS]"), (3, "[SEP]"))},
    }  # fmt: skip
    normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                  "lowercase": True}  # fmt: skip
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": normalizer,
            "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": framing, "decoder": None, "model": model,
            **more}  # fmt: skip


def test_every_form_of_a_vocabulary_says_the_same(tmp_path: Path) -> None:
    forms = [
        written(tmp_path, PIECES),
        written(tmp_path, {word: place for place, word in enumerate(PIECES)}, "ids.json"),
        written(tmp_path, "\n".join(PIECES) + "\n", "vocab.txt"),
        written(tmp_path, tokenizer_json(), "tokenizer.json"),
    ]
    for path in forms:
        found = read_vocabulary(path)
        assert found.words == tuple(PIECES)
        assert (found.pad, found.unknown, found.start, found.end, found.mask) == (0, 1, 2, 3, 4)
        assert (found.framing, found.pieces) == (frozenset({2, 3}), "##")
        assert found.tokenizer == (path.name == "tokenizer.json")


def test_plain_words_have_no_pieces_and_an_empty_word_is_padding(tmp_path: Path) -> None:
    found = read_vocabulary(written(tmp_path, ["", "[UNK]", "good", "##", "bad"]))
    assert (found.pad, found.unknown, found.mask, found.pieces, found.framing) == (0, 1, None, "", frozenset())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("{", "is no JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": 0, "a": 1}', "the key 'a' stands there twice"),
        (["a", "b", "a"], "entries 0 and 2 are both `a`"),
        (["a", 1], "does not hold words alone"),
        ({"a": 0, "b": 0}, "`a` and `b` have one id, 0"),
        ({"a": -1}, "is not a vocabulary"),
        ({"a": True}, "is not a vocabulary"),
        ({"a": 1.5}, "is not a vocabulary"),
        ({"a": 2_000_000_000}, "holds 1 words, but ids up to 2,000,000,000"),
        (["x" * 2000], "holds a word of 2,000 letters"),
        ('["\\ud83d"]', "holds half a letter"),
        ({"model": {"vocab": 7}}, "a tokenizer without a vocabulary"),
        ({"model": {"vocab": [["a"]]}}, "does not hold pieces with their weights"),
    ],
)
def test_what_is_no_vocabulary_is_refused(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(DataFileError) as caught:
        read_vocabulary(written(tmp_path, content))
    assert said in caught.value.reason
    assert caught.value.help


def test_words_are_cut_by_a_pattern_and_padded(tmp_path: Path) -> None:
    path = written(tmp_path, ["<pad>", "<unk>", "good", "don't", "!", "Good"])
    vocabulary = read_vocabulary(path)
    texts = ["Good, don't!", "", "good " * 9]
    assert token_ids(texts, path, vocabulary, Cutting(5, 0, 1)).tolist() == [
        [2, 1, 3, 4, 0],  # the comma is a sign that the vocabulary has not
        [0, 0, 0, 0, 0],
        [2, 2, 2, 2, 2],
    ]
    by_letters = Cutting(5, 0, None, lowercase=False, pattern="[A-Za-z']+")
    assert token_ids(texts[:1], path, vocabulary, by_letters).tolist() == [[5, 3, 0, 0, 0]]
    framed = Cutting(3, 0, 1, start=5, end=4)
    assert token_ids(texts[2:], path, vocabulary, framed).tolist() == [[5, 2, 4]]


@pytest.mark.frameworks
def test_word_pieces_are_cut_and_framed_as_the_models_own_tokenizer_does(tmp_path: Path) -> None:
    texts = ["Playing great.", "", "Pláyed the zzz"]
    wanted = [[2, 5, 6, 8, 9, 3, 0, 0], [2, 3, 0, 0, 0, 0, 0, 0], [2, 5, 7, 17, 1, 3, 0, 0]]
    for path in (written(tmp_path, "\n".join(PIECES), "vocab.txt"), written(tmp_path, tokenizer_json(), "t.json")):
        found = token_ids(texts, path, read_vocabulary(path), Cutting(8, 0, 1, start=2, end=3))
        assert found.tolist() == wanted


@pytest.mark.frameworks
def test_a_tokenizer_that_cannot_be_built_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, tokenizer_json(normalizer={"type": "Nonsense"}))
    with pytest.raises(DataFileError, match="makes no tokenizer"):
        token_ids(["a"], path, read_vocabulary(path), Cutting(8, 0, 1))


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"[a-z]+(?:'[a-z]+)?|[!?]|[:;=][-']?[)(dp]", None),
        (r"\w+", None),
        (r"[^)]+", None),
        (r"(?:a+)+", "repeats without bound"),
        (r"(?:a|ab)*c", "repeats without bound"),
        (r"(?:a+){2,}", "repeats without bound"),
        (r"a*", "matches nothing at all"),
        (r"(a)b", "captured"),
        (r"(?P<x>a)(?P=x)", "refers back"),
        (r"[a", "no regular expression"),
    ],
)
def test_patterns_that_could_take_for_ever_are_refused(pattern: str, said: str | None) -> None:
    found = unsafe_pattern(pattern)
    assert (found is None) if said is None else (found is not None and said in found)
