"""What the data calls the rows that are explained."""

from pgx_compiler.modalities.data import AuditData
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Inputs


def ids_of(rows: Rows, data: AuditData) -> list[str]:
    """The id of each explained row; of equal rows the first one's. A row that the data has not is called by its position."""
    known: dict[bytes, str] = {}
    for split in (data.test, data.train):
        if split is not None:
            for place in range(len(split)):
                known.setdefault(_bytes(split.inputs, place), str(split.row_ids[place]))
    return [known.get(_bytes(rows.inputs, place), str(place)) for place in range(len(rows))]


def _bytes(inputs: Inputs, place: int) -> bytes:
    return b"|".join(inputs[name][place].tobytes() for name in sorted(inputs))
