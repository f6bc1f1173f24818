"""Numbers as a reader expects them."""

import pytest

from pgx_compiler.report import numbers


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.61237, "0.612"),
        (0.9996, "1.00"),  # rounding carries into the next digit
        (12810, "12,810"),
        (12345.678, "12,346"),
        (-0.0431, "\u22120.0431"),
        (0.0, "0"),
        (0.00012, "0.000120"),
        (3.8e-7, "3.80\u00d710\u207b\u2077"),
        (None, "\u2014"),
        (True, "yes"),
        ([0.5, 2], "0.500, 2"),
        ({"min": 0.4}, "min: 0.400"),
    ],
)
def test_three_digits_separators_and_a_true_minus(value: object, said: str) -> None:
    assert numbers.number(value) == said


def test_a_threshold_keeps_its_author_s_digits_and_loses_its_exponent() -> None:
    assert numbers.threshold(">= 0.5") == "\u2265 0.5"
    assert numbers.threshold("<= 1.0e-4") == "\u2264 0.0001"
    assert numbers.threshold("> -0.2") == "> \u22120.2"


def test_an_interval_and_a_sign() -> None:
    assert numbers.interval((-0.1, 0.25)) == "[\u22120.100, 0.250]"
    assert numbers.interval(None) == "\u2014"
    assert numbers.signed(0.25) == "+0.250"


def test_a_digest_is_shortened_without_its_algorithm() -> None:
    assert numbers.short("sha256:0123456789abcdef") == "0123456789ab"
