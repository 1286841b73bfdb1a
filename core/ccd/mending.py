"""Bad pixels become the mean of the good ones around them, from the edge of a bad area inwards."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from core.errors import DataError

__all__ = ["mend"]


def mend(data: npt.NDArray[np.float32], stat: npt.NDArray[np.float32], bad: npt.NDArray[np.bool_]) -> None:
    """Give bad pixels of an image and its variance a value, in place.

    In passes: each bad pixel with good ones among its eight neighbours becomes their mean, all of a pass from what was
    good before it.

    Parameters
    ----------
    data, stat : ndarray of float32, shape (ny, nx)
    bad : ndarray of bool, shape (ny, nx)

    Raises
    ------
    DataError
        If there is no good pixel at all.
    """
    rows, columns = np.nonzero(bad)
    if rows.size == bad.size:
        raise DataError("all pixels of the image are bad")
    _mend(data, stat, bad.copy(), rows, columns)


@njit(cache=True, nogil=True)
def _mend(data, stat, bad, rows, columns):  # type: ignore[no-untyped-def]
    ny, nx = data.shape
    left = rows.size
    means = np.empty((left, 2))
    while left:
        waiting, found = 0, left  # those that wait move to the front, the others to the end
        while waiting < found:
            y, x = rows[waiting], columns[waiting]
            n, value, variance = 0, 0.0, 0.0
            for line in range(max(y - 1, 0), min(y + 2, ny)):
                for column in range(max(x - 1, 0), min(x + 2, nx)):
                    if not bad[line, column]:
                        n += 1
                        value += data[line, column]
                        variance += stat[line, column]
            if n == 0:
                waiting += 1
                continue
            found -= 1
            rows[waiting], rows[found] = rows[found], y
            columns[waiting], columns[found] = columns[found], x
            means[found, 0], means[found, 1] = value / n, variance / n
        for k in range(found, left):
            data[rows[k], columns[k]], stat[rows[k], columns[k]] = means[k, 0], means[k, 1]
            bad[rows[k], columns[k]] = False
        left = found
