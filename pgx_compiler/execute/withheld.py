"""Texts that leave the program, without the secrets that they may hold: messages of models, libraries and systems.

A worker's environment is clean, so that a model has nothing to tell; what is left are messages of the parent's own system
calls and libraries, which name paths and addresses.
"""

import os
import re
from collections.abc import Mapping

_SECRET = re.compile(
    r"TOKEN|SECRET|PASS(WORD|WD|PHRASE)?|CREDENTIAL|APIKEY|API_KEY|ACCESS_KEY|PRIVATE|AUTH|COOKIE|HEADERS",
    re.IGNORECASE,
)
"""Names of environment variables whose values are told to nobody."""
_SHORTEST = 6
"""Characters of a value below which it is a word like any other: `true`, `1000`."""
_IN_ADDRESS = re.compile(r"(?<=://)[^\s/@]+@")
_IN_QUERY = re.compile(
    r"(?i)([?&;](?:[\w-]*(?:token|secret|password|key|sig|signature|credential)[\w-]*)=)[^\s&;#'\"]+"
)
LONGEST = 4_000
"""Characters of a reason that are kept; a model may write a megabyte into its message."""


def without_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """A message without the values of secret environment variables and without passwords in addresses, cut to a length.

    Args:
        text: what somebody said.
        environment: whose secrets are withheld; None: this process's.
    """
    known = os.environ if environment is None else environment
    text = _IN_QUERY.sub(r"\1<withheld>", _IN_ADDRESS.sub("<withheld>@", text))
    for name, value in sorted(known.items(), key=lambda item: -len(item[1])):
        if len(value) >= _SHORTEST and _SECRET.search(name) and value in text:
            text = text.replace(value, f"<the value of {name}>")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text) - LONGEST:,} characters more)"
