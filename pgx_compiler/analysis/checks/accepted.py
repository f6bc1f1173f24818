"""Do the accepted findings exist, and do their dates?"""

from datetime import date

from pgx_compiler.analysis.context import Context
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.evidence.finding_codes import FINDING_CODES
from pgx_compiler.spec.source import Path_

UNKNOWN_FINDING_CODE = Code(
    3053,
    "unknown-finding-code",
    "`accept` answers for a finding by its code, and no finding is called so: the answer would never apply."
    " docs/methods.md lists all codes.",
)
NO_SUCH_DATE = Code(
    4095,
    "no-such-date",
    "`until` has the form of a date, and the calendar has no such day. It is the last day on which the answer holds.",
)


def check_accepted(context: Context) -> None:
    """Hold every accepted code against the published list, and every date against the calendar."""
    for index, accepted in enumerate(context.spec.accept):
        at: Path_ = ("accept", index)
        if accepted.code not in FINDING_CODES:
            near = nearest(accepted.code, FINDING_CODES)
            label = f"did you mean `{near}`?" if near else ""
            message = f"no finding is called `{shortened(accepted.code)}`"
            context.error(UNKNOWN_FINDING_CODE, message, (*at, "code"), f"findings: {quoted(FINDING_CODES, 50)}", label)
        if accepted.until is not None and not _is_date(accepted.until):
            message = f"there is no day {accepted.until}"
            context.error(NO_SUCH_DATE, message, (*at, "until"), "write the year, month and day: 2026-03-31")


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
