"""Heat maps as PNG: right colours in the right places, a scale that is symmetric."""

import base64
import struct
import zlib

from pgx_compiler.report import heat_maps

BROWN, WHITE, TEAL = (84, 48, 5), (247, 247, 247), (0, 60, 48)  # the ends and the middle of ColorBrewer's BrBG


def pixels(uri: str) -> list[list[tuple[int, ...]]]:
    """Decode an indexed or true-colour PNG without filters, from its definition."""
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length]) == (zlib.crc32(name + body),)
        chunks[name] = body
        at += 12 + length
    width, height, depth, kind = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    raw, size = zlib.decompress(chunks[b"IDAT"]), 1 if kind == 3 else 3
    assert depth == 8
    assert len(raw) == height * (1 + width * size)
    lines = [raw[row * (1 + width * size) + 1 : (row + 1) * (1 + width * size)] for row in range(height)]
    if kind == 3:
        palette = chunks[b"PLTE"]
        return [[tuple(palette[3 * i : 3 * i + 3]) for i in line] for line in lines]
    return [[tuple(line[3 * i : 3 * i + 3]) for i in range(width)] for line in lines]


def test_the_largest_magnitude_gets_the_end_of_the_scale_and_zero_its_middle() -> None:
    # Two columns, two rows of 112 / 2 = 56 pixels; the largest magnitude is 4: -4 is the brown end, 0 the middle.
    drawn = pixels(heat_maps.heat_map([-4.0, 0.0, 2.0, 4.0 - 1e-12], 2))
    assert len(drawn) == len(drawn[0]) == 112
    assert drawn[0][0] == drawn[55][55] == BROWN
    assert drawn[0][56] == WHITE
    assert drawn[56][56] == TEAL
    # 2 is half of the scale: place 7.5 of the stops, half-way between #80cdc1 and #35978f.
    assert drawn[56][0] == (round((0x80 + 0x35) / 2), round((0xCD + 0x97) / 2), round((0xC1 + 0x8F) / 2))


def test_all_zero_is_the_middle_of_the_scale_and_not_a_division_by_zero() -> None:
    assert set(pixels(heat_maps.heat_map([0.0] * 4, 2))[0]) == {WHITE}


def test_a_large_image_is_averaged_down() -> None:
    # 320 x 320 by steps of 2 gives 160 x 160; each block of two zeros and two ones is grey 0.5: round(127.5) = 128.
    drawn = pixels(heat_maps.grey_image([[float(column % 2) for column in range(320)] for _ in range(320)]))
    assert len(drawn) == len(drawn[0]) == 160
    assert {pixel for row in drawn for pixel in row} == {(128, 128, 128)}


def test_many_colours_are_drawn_without_a_palette() -> None:
    drawn = pixels(heat_maps.heat_map([i / 1000 for i in range(-1000, 1000)], 50))
    assert len({pixel for row in drawn for pixel in row}) > 256
