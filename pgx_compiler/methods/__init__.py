"""The catalogue: one method a file, found by walking. A method's signature and its file are its declaration.

A method file imports all that it needs from here. See CONTRIBUTING.md, "add a method in one file".
"""

from pgx_compiler.methods.declaration import (
    Cost,
    Declaration,
    Params,
    Shape,
    agreement,
    attribution,
    faithfulness,
    precaution,
    request,
)

__all__ = [
    "Cost",
    "Declaration",
    "Params",
    "Shape",
    "agreement",
    "attribution",
    "faithfulness",
    "precaution",
    "request",
]
