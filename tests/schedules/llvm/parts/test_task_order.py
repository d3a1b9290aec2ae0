"""The order of a kernel's tasks."""

from __future__ import annotations

import pytest

from tvmopt.schedules.llvm.parts.task_order import BANDS, WHOLE, band_length, in_bands, useful_bands


@pytest.mark.parametrize("pieces", [1, 2, 7, 16, 33])
@pytest.mark.parametrize("tiles", [1, 3, 8])
@pytest.mark.parametrize("length", [1, 3, 4, 16, 33])
def test_every_piece_meets_every_tile_once(pieces: int, tiles: int, length: int) -> None:
    met = [in_bands(index, pieces, tiles, length) for index in range(pieces * tiles)]
    assert sorted(met) == [(piece, tile) for piece in range(pieces) for tile in range(tiles)]
    bands = [piece // min(length, pieces) for piece, _ in met]
    assert bands == sorted(bands)


def test_threads_share_the_channels_or_the_map() -> None:
    pieces, tiles = 600, 4
    for band, first_half in ((WHOLE, "tiles"), (BANDS[-1], "pieces")):
        length = band_length(band, pieces, 4)
        met = [in_bands(index, pieces, tiles, length) for index in range(pieces * tiles // 4)]
        assert (len({tile for _, tile in met}) == 1) is (first_half == "tiles")
        assert (len({piece for piece, _ in met}) == pieces // 4) is (first_half == "pieces")


@pytest.mark.parametrize(
    ("pieces", "threads", "bands"),
    [(1, 1, (0,)), (2, 1, (0, 1)), (600, 1, (0, 1, 4, 16)), (1, 2, (0, 1)), (9, 2, (0, 1, 4, 16)), (33, 2, BANDS)],
)
def test_bands_that_differ(pieces: int, threads: int, bands: tuple[int, ...]) -> None:
    assert useful_bands(pieces, threads) == bands
