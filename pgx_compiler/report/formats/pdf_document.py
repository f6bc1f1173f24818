"""``factsheet.pdf``: a tagged PDF/UA-1 of the same content, the same bytes for the same factsheet, by WeasyPrint."""

import hashlib
import logging
from pathlib import Path
from typing import Any

from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.report.formats import write_atomically
from pgx_compiler.report.formats.json_file import again, text
from pgx_compiler.report.templates import document

SUFFIX = ".pdf"
APART = True
"""It is drawn in a process of its own (`report.apart`): what sets its pages may hang, and takes memory."""


def closed_fetcher() -> Any:
    """A fetcher for WeasyPrint that opens PNG data URIs and stops the rendering at anything else.

    WeasyPrint would otherwise read local files that a document names, even into attachments.
    """
    from weasyprint.urls import FatalURLFetchingError, URLFetcher

    class ClosedFetcher(URLFetcher):  # type: ignore[misc]
        def fetch(self, url: str, headers: Any = None) -> Any:
            """Open a PNG data URI.

            Raises:
                FatalURLFetchingError: the address is anything else.
            """
            if not url.startswith("data:image/png;base64,"):
                raise FatalURLFetchingError(f"a factsheet loads nothing from outside, but this asked for {url[:80]}")
            return super().fetch(url, headers)

    return ClosedFetcher(allowed_protocols=("data",), allow_redirects=False)


def render(html: str, identifier: bytes) -> bytes:
    """Lay out an HTML document as tagged PDF bytes.

    Raises:
        FatalURLFetchingError: the document names a resource outside itself.
    """
    from weasyprint import HTML

    # WeasyPrint logs what it ignores in a style sheet; the sheets are ours and people read the report, not the log.
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    made = HTML(string=html, base_url=None, url_fetcher=closed_fetcher())
    content: bytes = made.write_pdf(pdf_variant="pdf/ua-1", pdf_tags=True, pdf_identifier=identifier)
    return content


def write(factsheet: Factsheet, path: Path) -> None:
    """Write ``factsheet.pdf``."""
    identifier = hashlib.sha256(text(factsheet).encode("utf-8")).hexdigest()[:32].encode("ascii")
    write_atomically(path, render(document(again(factsheet)), identifier))
