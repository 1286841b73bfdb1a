"""Rows of several images become one row: the compiled half of `core.ccd.combine`, where the rules are written down.

All pixels of a row are combined at once as if none were flagged; those with a flag somewhere are then done one by one.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["AVERAGE", "COPY", "MEDIAN", "MINMAX", "SIGCLIP", "SUM", "combine_row", "combine_rows_of"]

COPY, AVERAGE, MEDIAN, MINMAX, SIGCLIP, SUM = range(6)


@njit(cache=True, nogil=True)
def _sort(values, variances, n):  # type: ignore[no-untyped-def]
    # Shell sort: short for a few images, still quick for a hundred.
    gap = 1
    while gap < n // 3:
        gap = 3 * gap + 1
    while gap >= 1:
        for i in range(gap, n):
            value = values[i]
            variance = variances[i]
            j = i
            while j >= gap and values[j - gap] > value:
                values[j] = values[j - gap]
                variances[j] = variances[j - gap]
                j -= gap
            values[j] = value
            variances[j] = variance
        gap //= 3


@njit(cache=True, nogil=True)
def _mean_of(values, variances, first, last):  # type: ignore[no-untyped-def]
    total = 0.0
    variance = 0.0
    for i in range(first, last):
        total += values[i]
        variance += variances[i]
    n = last - first
    return total / n, variance / (n * n)


@njit(cache=True, nogil=True)
def _sigclip_of(values, variances, n, lsigma, hsigma):  # type: ignore[no-untyped-def]
    _sort(values, variances, n)
    middle = values[n // 2] if n % 2 else 0.5 * (values[n // 2 - 1] + values[n // 2])
    deviation = 0.0
    for i in range(n):
        deviation += abs(values[i] - middle)
    deviation /= n
    low = middle - lsigma * deviation
    high = middle + hsigma * deviation
    first, last = 0, n
    if high > low:
        while first < n and values[first] < low:
            first += 1
        while last > first and values[last - 1] > high:
            last -= 1
    if last <= first:
        first, last = 0, n
    return _mean_of(values, variances, first, last)


@njit(cache=True, nogil=True)
def _combine_pixel(  # type: ignore[no-untyped-def]
    data, stat, dq, x, method, nlow, nhigh, nkeep, lsigma, hsigma, values, variances
):
    """Combine one pixel with regard to its flags; returns value, variance and flags."""
    n = data.shape[0]
    good = 0
    for k in range(n):
        if dq[k, x] == 0:
            values[good] = data[k, x]
            variances[good] = stat[k, x]
            good += 1
    if good == 0:
        best = 0
        smallest = np.int64(1) << 31
        for k in range(n):
            flags = np.int64(dq[k, x]) & 4294967295
            if flags < smallest:
                smallest = flags
                best = k
        factor = n if method == SUM else 1
        return data[best, x] * factor, stat[best, x] * factor * factor, dq[best, x]
    flags_out = np.int32(0)
    if method == AVERAGE:
        value, variance = _mean_of(values, variances, 0, good)
    elif method == SUM:
        value, variance = _mean_of(values, variances, 0, good)
        value *= n
        variance *= np.float64(n) * n
    elif method == SIGCLIP:
        value, variance = _sigclip_of(values, variances, good, lsigma, hsigma)
    elif method == MEDIAN:
        _sort(values, variances, good)
        half = good // 2
        if good % 2:
            value, variance = values[half], variances[half]
        else:
            value = 0.5 * (values[half - 1] + values[half])
            variance = variances[half - 1] + variances[half]
    else:
        # Too few good values: admit flagged ones in list order.
        needed = max(nkeep, 1) + nlow + nhigh
        for k in range(n):
            if good >= needed:
                break
            if dq[k, x] != 0:
                values[good] = data[k, x]
                variances[good] = stat[k, x]
                flags_out |= dq[k, x]
                good += 1
        _sort(values, variances, good)
        value, variance = _mean_of(values, variances, nlow, good - nhigh)
    return value, variance, flags_out


@njit(cache=True, nogil=True)
def _sort_rows(data, ordered, network):  # type: ignore[no-untyped-def]
    """Sort the images of each pixel of a row, all pixels at once."""
    n, nx = data.shape
    for k in range(n):
        for x in range(nx):
            ordered[k, x] = data[k, x]
    for c in range(network.shape[0]):
        a = ordered[network[c, 0]]
        b = ordered[network[c, 1]]
        for x in range(nx):
            u = a[x]
            v = b[x]
            a[x] = u if u < v else v
            b[x] = v if u < v else u


@njit(cache=True, nogil=True)
def _sort_rows_with(data, stat, ordered, carried, network):  # type: ignore[no-untyped-def]
    """The same, and the variances go with their values."""
    n, nx = data.shape
    for k in range(n):
        for x in range(nx):
            ordered[k, x] = data[k, x]
            carried[k, x] = stat[k, x]
    for c in range(network.shape[0]):
        a = ordered[network[c, 0]]
        b = ordered[network[c, 1]]
        p = carried[network[c, 0]]
        q = carried[network[c, 1]]
        for x in range(nx):
            u = a[x]
            v = b[x]
            s = p[x]
            t = q[x]
            right = u <= v
            a[x] = u if right else v
            b[x] = v if right else u
            p[x] = s if right else t
            q[x] = t if right else s


@njit(cache=True, nogil=True)
def _median_row(ordered, carried, out, out_stat):  # type: ignore[no-untyped-def]
    n, nx = ordered.shape
    half = n // 2
    if n % 2:
        for x in range(nx):
            out[x] = ordered[half, x]
            out_stat[x] = carried[half, x]
    else:
        for x in range(nx):
            out[x] = 0.5 * (np.float64(ordered[half - 1, x]) + np.float64(ordered[half, x]))
            out_stat[x] = np.float64(carried[half - 1, x]) + np.float64(carried[half, x])


# The steps of the sigma clipping are loops over few arrays each: compilers turn only those into vector instructions.
@njit(cache=True, nogil=True)
def _middle(lower, upper, middle):  # type: ignore[no-untyped-def]
    for x in range(middle.shape[0]):
        middle[x] = 0.5 * (np.float64(lower[x]) + np.float64(upper[x]))


@njit(cache=True, nogil=True)
def _add_deviation(row, middle, deviation):  # type: ignore[no-untyped-def]
    for x in range(row.shape[0]):
        deviation[x] += abs(np.float64(row[x]) - middle[x])


@njit(cache=True, nogil=True)
def _limits(middle, deviation, n, lsigma, hsigma, high):  # type: ignore[no-untyped-def]
    # The lower limit takes the place of the middle.
    for x in range(middle.shape[0]):
        width = deviation[x] / n
        below = middle[x] - lsigma * width
        above = middle[x] + hsigma * width
        usable = above > below
        middle[x] = below if usable else -np.inf
        high[x] = above if usable else np.inf


@njit(cache=True, nogil=True)
def _keep(row, low, high, keep):  # type: ignore[no-untyped-def]
    for x in range(row.shape[0]):
        value = np.float64(row[x])
        keep[x] = np.float32(1) if (value >= low[x]) & (value <= high[x]) else np.float32(0)


@njit(cache=True, nogil=True)
def _add_kept(row, keep, total):  # type: ignore[no-untyped-def]
    for x in range(row.shape[0]):
        total[x] += np.float64(row[x]) if keep[x] > np.float32(0) else 0.0


@njit(cache=True, nogil=True)
def _add(row, total):  # type: ignore[no-untyped-def]
    for x in range(row.shape[0]):
        total[x] += np.float64(row[x])


@njit(cache=True, nogil=True)
def _divide(total, count, out):  # type: ignore[no-untyped-def]
    for x in range(out.shape[0]):
        out[x] = total[x] / max(count[x], 1.0)


@njit(cache=True, nogil=True)
def _clip_row(data, stat, ordered, work, network, lsigma, hsigma, out, out_stat):  # type: ignore[no-untyped-def]
    """Sigma clipping of a row without flags, vector by vector."""
    n, nx = data.shape
    _sort_rows(data, ordered, network)
    low, high, total, variance, count = work[0], work[1], work[2], work[3], work[4]
    _middle(ordered[(n - 1) // 2], ordered[n // 2], low)
    total[:] = 0.0
    for k in range(n):
        _add_deviation(data[k], low, total)
    _limits(low, total, n, lsigma, hsigma, high)
    total[:] = 0.0
    variance[:] = 0.0
    count[:] = 0.0
    keep = ordered[0]  # no longer needed in order
    for k in range(n):
        _keep(data[k], low, high, keep)
        _add_kept(data[k], keep, total)
        _add_kept(stat[k], keep, variance)
        _add(keep, count)
    _divide(total, count, out)
    _divide(variance, count, variance)
    _divide(variance, count, out_stat)
    empty = False
    for x in range(nx):
        empty |= count[x] == 0.0
    if empty:
        # Narrow limits about the mean of two values keep none of them: keep all.
        for x in range(nx):
            if count[x] == 0.0:
                total[x] = 0.0
                variance[x] = 0.0
                for k in range(n):
                    total[x] += data[k, x]
                    variance[x] += stat[k, x]
                out[x] = total[x] / n
                out_stat[x] = variance[x] / (np.float64(n) * n)


@njit(cache=True, nogil=True)
def _average_row(data, stat, total, variance, out, out_stat):  # type: ignore[no-untyped-def]
    n, nx = data.shape
    for x in range(nx):
        total[x] = 0.0
        variance[x] = 0.0
    for k in range(n):
        row = data[k]
        var = stat[k]
        for x in range(nx):
            total[x] += row[x]
            variance[x] += var[x]
    for x in range(nx):
        out[x] = total[x] / n
        out_stat[x] = variance[x] / (np.float64(n) * n)


@njit(cache=True, nogil=True)
def combine_row(  # type: ignore[no-untyped-def]
    data, stat, dq, any_dq, method, counts, sigmas, network, ordered, carried, work, few, out, out_stat, out_dq
):
    """Combine one row of all images (called from compiled code).

    Parameters
    ----------
    data, stat : ndarray, float32, shape (n, nx)
    dq : ndarray, int32, shape (n, nx)
    any_dq : ndarray, int32, shape (nx,)
        All flags of a pixel, OR'ed over the images.
    method : int
        See `method_code`.
    counts : ndarray, int64, shape (3,)
        nlow, nhigh, nkeep.
    sigmas : ndarray, float64, shape (2,)
        lsigma, hsigma.
    network : ndarray, int64, shape (m, 2)
        See `sorting_network`.
    ordered, carried : ndarray, float32, shape (n, nx)
    work : ndarray, float64, shape (5, nx)
    few : ndarray, float64, shape (2, n)
        Scratch space.
    out, out_stat, out_dq : ndarray, shape (nx,)
        The result, float32 and int32.
    """
    nx = data.shape[1]
    if method == COPY:
        for x in range(nx):
            out[x] = data[0, x]
            out_stat[x] = stat[0, x]
            out_dq[x] = dq[0, x]
        return
    if method == SIGCLIP:
        _clip_row(data, stat, ordered, work, network, sigmas[0], sigmas[1], out, out_stat)
    elif method == MEDIAN:
        _sort_rows_with(data, stat, ordered, carried, network)
        _median_row(ordered, carried, out, out_stat)
    elif method == MINMAX:
        _sort_rows_with(data, stat, ordered, carried, network)
        last = data.shape[0] - counts[1]
        _average_row(ordered[counts[0] : last], carried[counts[0] : last], work[0], work[1], out, out_stat)
    elif method == AVERAGE:
        _average_row(data, stat, work[0], work[1], out, out_stat)
    for x in range(nx):
        if method != SUM and any_dq[x] == 0:
            out_dq[x] = 0
            continue
        value, variance, flags = _combine_pixel(
            data, stat, dq, x, method, counts[0], counts[1], counts[2], sigmas[0], sigmas[1], few[0], few[1]
        )
        out[x] = value
        out_stat[x] = variance
        out_dq[x] = flags


@njit(cache=True, nogil=True)
def combine_rows_of(  # type: ignore[no-untyped-def]
    data, stat, dq, method, counts, sigmas, network, out, out_stat, out_dq
):
    n, ny, nx = data.shape
    ordered = np.empty((n, nx), np.float32)
    carried = np.empty((n, nx), np.float32)
    work = np.empty((5, nx), np.float64)
    few = np.empty((2, n), np.float64)
    any_dq = np.empty(nx, np.int32)
    row = np.empty((n, nx), np.float32)
    row_stat = np.empty((n, nx), np.float32)
    row_dq = np.empty((n, nx), np.int32)
    for y in range(ny):
        any_dq[:] = 0
        for k in range(n):
            row[k] = data[k, y]
            row_stat[k] = stat[k, y]
            row_dq[k] = dq[k, y]
            any_dq |= row_dq[k]
        combine_row(
            row, row_stat, row_dq, any_dq, method, counts, sigmas, network, ordered, carried, work, few,
            out[y], out_stat[y], out_dq[y],
        )  # fmt: skip
