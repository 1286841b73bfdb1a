"""Which wavelength belongs to which line: matching of two point patterns on a line.

No start wavelength is used, only ratios of neighbouring distances and the range of plausible dispersions. Three steps:
lines vote for wavelengths by the ratio of the distances to their neighbours, the longest chain with plausible
dispersions is kept, gaps and ends are filled by local linear prediction.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from core.instruments.muse.facts import SAMPLING

__all__ = ["MIN_PEAKS", "match_positions", "well_separated"]

MIN_PEAKS: Final = 4
MIN_SEPARATION: Final = 1.5  # [Angstrom] of catalogue lines used for the matching
_GAP_RADIUS: Final = 2.0  # [pix]
_END_RADIUS: Final = 6.0  # [pix]
_END_DISTANCE: Final = 1.0  # [pix]


def well_separated(wave: NDArray[np.float64], minimum: float = MIN_SEPARATION) -> NDArray[np.bool_]:
    """Lines without a near neighbour.

    Parameters
    ----------
    wave : ndarray (n,)
        Ascending wavelengths [Angstrom].
    minimum : float
        Two neighbours that are nearer than this are both left out.

    Returns
    -------
    ndarray of bool (n,)
    """
    keep = np.ones(wave.size, dtype=np.bool_)
    close = np.diff(wave) < minimum
    keep[:-1] &= ~close
    keep[1:] &= ~close
    return keep


@njit(cache=True, nogil=True)
def _vote(p, lines, min_disp, max_disp, tolerance, votes):  # type: ignore[no-untyped-def]
    n, m = p.size, lines.size
    for i in range(1, m - 1):
        dl = lines[i] - lines[i - 1]
        du = lines[i + 1] - lines[i]
        ratio = du / dl
        for j in range(1, n - 1):
            best = np.inf
            best_a = best_b = -1
            for a in range(j - 1, -1, -1):
                d = p[j] - p[a]
                if d < dl / max_disp:
                    continue
                if d >= dl / min_disp:
                    break
                for b in range(j + 1, n):
                    u = p[b] - p[j]
                    if u <= du / max_disp:
                        continue
                    if u > du / min_disp:
                        break
                    r = u / d
                    deviation = abs(ratio - r) / r
                    if deviation < best:
                        best, best_a, best_b = deviation, a, b
            if best < tolerance:
                votes[j, i] += 1
                votes[best_b, i + 1] += 1
                votes[best_a, i - 1] += 1


@njit(cache=True, nogil=True)
def _elect(votes, chosen):  # type: ignore[no-untyped-def]
    """Most frequent line of each peak; -1 if it has fewer than two votes or the vote is tied."""
    n, m = votes.shape
    for j in range(n):
        chosen[j] = -1
        best = 1
        for i in range(m):
            if votes[j, i] > best:
                best = votes[j, i]
                chosen[j] = i
            elif votes[j, i] == best and chosen[j] >= 0:
                chosen[j] = -2
        if chosen[j] < 0:
            chosen[j] = -1


@njit(cache=True, nogil=True)
def _longest_chain(p, lines, min_disp, max_disp, chosen, chain):  # type: ignore[no-untyped-def]
    """Peaks of the longest chain with plausible dispersions; returns its length."""
    n = p.size
    used = np.zeros(n, dtype=np.bool_)
    current = np.empty(n, dtype=np.int64)
    longest = 0
    for start in range(n):
        if used[start] or chosen[start] < 0:
            continue
        length = 1
        current[0] = start
        used[start] = True
        for j in range(start + 1, n):
            if used[j] or chosen[j] < 0:
                continue
            last = current[length - 1]
            disp = (lines[chosen[j]] - lines[chosen[last]]) / (p[j] - p[last])
            if min_disp <= disp <= max_disp:
                current[length] = j
                used[j] = True
                length += 1
        if length > longest:
            longest = length
            for k in range(length):
                chain[k] = current[k]
    return longest


@njit(cache=True, nogil=True)
def _fill_and_extend(p, lines, min_disp, max_disp, chosen, chain, length, out_p, out_l):  # type: ignore[no-untyped-def]
    """Chain members, gaps and both ends as (peak, line) indices; returns their number."""
    n, m = p.size, lines.size
    count = 0
    for k in range(length):
        j = chain[k]
        out_p[count] = j
        out_l[count] = chosen[j]
        count += 1
        if k + 1 == length:
            break
        upper = chain[k + 1]
        anchor, anchor_line = j, chosen[j]
        for i in range(chosen[j] + 1, chosen[upper]):
            slope = (p[upper] - p[anchor]) / (lines[chosen[upper]] - lines[anchor_line])
            predicted = p[anchor] + slope * (lines[i] - lines[anchor_line])
            for q in range(anchor + 1, upper):
                if abs(p[q] - predicted) < _GAP_RADIUS:
                    out_p[count] = q
                    out_l[count] = i
                    count += 1
                    anchor, anchor_line = q, i
                    break
    if count < 2:
        return count
    # upwards, then downwards, line by line with the dispersion of the last pair
    for direction in (1, -1):
        while True:
            end = count - 1 if direction == 1 else 0
            near = count - 2 if direction == 1 else 1
            disp = (lines[out_l[end]] - lines[out_l[near]]) / (p[out_p[end]] - p[out_p[near]])
            i = out_l[end] + direction
            if i < 0 or i >= m or not min_disp <= disp <= max_disp:
                break
            predicted = p[out_p[end]] + (lines[i] - lines[out_l[end]]) / disp
            best = -1
            for q in range(n):
                if best < 0 or abs(p[q] - predicted) < abs(p[best] - predicted):
                    best = q
            away = direction * (p[best] - p[out_p[end]])
            if not (abs(p[best] - predicted) < _END_RADIUS and away > _END_DISTANCE):
                break
            if direction == 1:
                out_p[count] = best
                out_l[count] = i
            else:
                for k in range(count, 0, -1):
                    out_p[k] = out_p[k - 1]
                    out_l[k] = out_l[k - 1]
                out_p[0] = best
                out_l[0] = i
            count += 1
    return count


def match_positions(
    positions: ArrayLike,
    waves: ArrayLike,
    *,
    dispersion: float = SAMPLING,
    dres: float = 0.05,
    tolerance: float = 0.1,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Identify measured positions with catalogue wavelengths.

    Parameters
    ----------
    positions : array_like (n,)
        Ascending line positions [pix].
    waves : array_like (m,)
        Ascending wavelengths [Angstrom], growing with position.
    dispersion : float
        Expected dispersion [Angstrom/pix].
    dres : float
        Allowed fractional deviation from it.
    tolerance : float
        Allowed relative difference of distance ratios.

    Returns
    -------
    peaks, lines : ndarray of int
        Indices into ``positions`` and ``waves``, pairwise, ascending; empty if there are fewer than 4 positions or
        no pattern was found.

    Examples
    --------
    >>> import numpy as np
    >>> waves = np.array([5000.0, 5060.0, 5200.0, 5230.0, 5400.0])
    >>> match_positions((waves - 4900) / 1.25, waves)[1].tolist()
    [0, 1, 2, 3, 4]
    """
    p = np.ascontiguousarray(positions, dtype=np.float64)
    lines = np.ascontiguousarray(waves, dtype=np.float64)
    none = np.empty(0, dtype=np.intp)
    if p.size < MIN_PEAKS or lines.size < 3:
        return none, none
    min_disp, max_disp = dispersion * (1 - dres), dispersion * (1 + dres)
    votes = np.zeros((p.size, lines.size), dtype=np.int64)
    chosen = np.empty(p.size, dtype=np.int64)
    chain = np.empty(p.size, dtype=np.int64)
    _vote(p, lines, min_disp, max_disp, tolerance, votes)
    _elect(votes, chosen)
    length = _longest_chain(p, lines, min_disp, max_disp, chosen, chain)
    if length == 0:
        return none, none
    out_p = np.empty(p.size + lines.size, dtype=np.intp)
    out_l = np.empty(p.size + lines.size, dtype=np.intp)
    count = _fill_and_extend(p, lines, min_disp, max_disp, chosen, chain, length, out_p, out_l)
    return out_p[:count].copy(), out_l[:count].copy()
