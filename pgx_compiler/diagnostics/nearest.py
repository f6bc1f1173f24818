"""The known word that a mistyped one most likely meant."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The candidate closest to a word, ignoring case and the difference of ``-`` and ``_``; None: nothing is close."""
    plain = {_plain(candidate): candidate for candidate in known}
    wanted = _plain(word[:100])
    close = difflib.get_close_matches(wanted, plain, n=1, cutoff=0.6)
    if close:
        return plain[close[0]]
    # `classes_balance_check` names `class_balance` plainly, though the ratio is poor
    inside = [key for key in plain if len(key) > 3 and len(wanted) > 3 and (key in wanted or wanted in key)]
    return plain[max(inside, key=len)] if inside else None


def quoted(words: Iterable[object], limit: int = 40) -> str:
    """Words in backquotes with commas; the rest is counted beyond the limit."""
    listed = [f"`{shortened(word, 48)}`" for word in words]
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more


def shortened(word: object, limit: int = 60) -> str:
    """A value for a message: at most so many characters."""
    text = str(word)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _plain(word: str) -> str:
    return word.casefold().replace("-", "_")
