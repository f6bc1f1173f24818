"""Heat maps and shown images as small PNG data URIs, drawn from numbers alone."""

import base64
import struct
import zlib
from collections.abc import Sequence

# ColorBrewer BrBG (Harrower and Brewer 2003): told apart under every common colour blindness; brown is against
# the target, teal is for it. Red and green stay reserved for verdicts, blue and orange for the two directions.
STOPS = ("#543005", "#8c510a", "#bf812d", "#dfc27d", "#f6e8c3", "#f7f7f7", "#c7eae5", "#80cdc1", "#35978f", "#01665e",
         "#003c30")  # fmt: skip
_RGB = tuple((int(stop[1:3], 16), int(stop[3:5], 16), int(stop[5:7], 16)) for stop in STOPS)
_SHOWN_SIDE = 112
_LARGEST_SIDE = 160

Colour = tuple[int, int, int]


def colour(value: float) -> Colour:
    """The colour of a value in [-1, 1] on the diverging map."""
    place = (min(1.0, max(-1.0, value)) + 1) / 2 * (len(_RGB) - 1)
    index = min(int(place), len(_RGB) - 2)
    part = place - index
    low, high = _RGB[index], _RGB[index + 1]
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(low, high, strict=True))
    return red, green, blue


def largest(values: Sequence[float]) -> float:
    """The largest magnitude: the end of the symmetric scale."""
    return max((abs(value) for value in values), default=0.0)


def heat_map(values: Sequence[float], columns: int, end: float | None = None) -> str:
    """Row-major feature values as a PNG data URI, on a symmetric scale of their own, or up to ``end``."""
    scale = (largest(values) if end is None else end) or 1.0
    rows = [[colour(value / scale) for value in values[at : at + columns]] for at in range(0, len(values), columns)]
    return png(_enlarge([row for row in rows if len(row) == columns]))


def segment_map(values: Sequence[float], owners: Sequence[Sequence[int]]) -> str:
    """Values of segments as a PNG data URI: each pixel has the colour of the segment that owns it; none is white."""
    scale = largest(values) or 1.0
    colours = [colour(value / scale) for value in values]
    rows = [[colours[owner] if 0 <= owner < len(colours) else (255, 255, 255) for owner in row] for row in owners]
    return png(_enlarge(rows))


LEVELS = 21
"""Shades that a word may have; the style sheet holds one class for each, since a page may not style its elements itself."""


def level(value: float, end: float) -> int:
    """The shade of a value on a symmetric scale that ends at ``end``, 0 to `LEVELS` - 1."""
    share = value / end if end else 0.0
    return round((min(1.0, max(-1.0, share)) + 1) / 2 * (LEVELS - 1))


def shade_rules() -> str:
    """The style sheet's rules for the shades, with letters that can be read on each."""
    rules = []
    for place in range(LEVELS):
        red, green, blue = colour(2 * place / (LEVELS - 1) - 1)
        ink = "#111" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#fff"
        rules.append(f".shade-{place} {{ background: #{red:02x}{green:02x}{blue:02x}; color: {ink}; }}")
    return "\n".join(rules) + "\n"


def grey_image(pixels: Sequence[Sequence[float]]) -> str:
    """Grey values 0..1 as a PNG data URI, averaged down where a side is longer than can be seen."""
    step = max(1, -(-max(len(pixels), len(pixels[0])) // _LARGEST_SIDE))
    rows = []
    for top in range(0, len(pixels), step):
        block = pixels[top : top + step]
        across = range(0, len(block[0]), step)
        rows.append([_mean_grey([line[left : left + step] for line in block]) for left in across])
    return png(_enlarge(rows))


def _mean_grey(block: Sequence[Sequence[float]]) -> Colour:
    values = [value for line in block for value in line]
    level = round(255 * min(1.0, max(0.0, sum(values) / len(values))))
    return level, level, level


def _enlarge(rows: list[list[Colour]]) -> list[list[Colour]]:
    """Repeat pixels, since PDF viewers smooth small pictures whatever the document asks for."""
    times = max(1, _SHOWN_SIDE // max(len(rows), len(rows[0])))
    return [[pixel for pixel in row for _ in range(times)] for row in rows for _ in range(times)]


def png(rows: list[list[Colour]]) -> str:
    """An indexed PNG where at most 256 colours are used, else a true-colour one."""
    palette = sorted({pixel for row in rows for pixel in row})
    if len(palette) <= 256:
        index = {pixel: place for place, pixel in enumerate(palette)}
        kind, lines = 3, [bytes(index[pixel] for pixel in row) for row in rows]
        extra = _chunk(b"PLTE", b"".join(bytes(pixel) for pixel in palette))
    else:
        kind, lines, extra = 2, [b"".join(bytes(pixel) for pixel in row) for row in rows], b""
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + line for line in lines), 9)
    whole = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + extra + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(whole).decode("ascii")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
