"""The tangential plane of the sky: forth and back, scales and angles of a WCS, and the astrometry of an exposure.

Plane coordinates are in degrees, x to the east of the reference point and y to the north. They are computed without
the detour over the native angles, which costs precision near the reference point.

Sources: Calabretta & Greisen 2002 (A&A 395, 1077), MUSE manual 6.5.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from core.cubes.angles import arc_tangent, sine_cosine

__all__ = [
    "Matrix",
    "cd_angles",
    "cd_scales",
    "exposure_cd",
    "native_angles",
    "plane_to_sky",
    "position_native",
    "ra_difference",
    "sky_to_plane",
    "sky_to_plane_by_angles",
    "tangent_plane",
    "tangent_plane_by_angles",
    "tangent_plane_near",
    "tangent_sky",
]

Matrix = tuple[tuple[float, float], tuple[float, float]]
Floats = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]

_DEGREE: Final = math.pi / 180
_RADIAN: Final = 180 / math.pi


@njit(cache=True, nogil=True)
def tangent_plane(ra_offset, dec, sin_dec0, cos_dec0):  # type: ignore[no-untyped-def]
    """Plane coordinates of one point; everything in degrees, ``ra_offset`` from the reference point. For kernels."""
    sin_ra, cos_ra = math.sin(ra_offset * _DEGREE), math.cos(ra_offset * _DEGREE)
    sin_dec, cos_dec = math.sin(dec * _DEGREE), math.cos(dec * _DEGREE)
    depth = sin_dec * sin_dec0 + cos_dec * cos_dec0 * cos_ra
    if depth <= 0:
        return np.nan, np.nan
    return (
        cos_dec * sin_ra / depth / _DEGREE,
        (sin_dec * cos_dec0 - cos_dec * sin_dec0 * cos_ra) / depth / _DEGREE,
    )


@njit(cache=True, nogil=True)
def tangent_plane_near(ra_offset, dec_offset, sin_dec0, cos_dec0):  # type: ignore[no-untyped-def]
    """`tangent_plane` of a point less than 0.6 degrees from the reference point in both directions. For kernels.

    So near, four terms of sine and cosine are exact to the last digit, and much faster than the functions.
    """
    a, d = ra_offset * _DEGREE, dec_offset * _DEGREE
    a2, d2 = a * a, d * d
    sin_ra = a * (1 - a2 * (1 / 6) * (1 - a2 * (1 / 20) * (1 - a2 * (1 / 42))))
    cos_ra = 1 - a2 * (1 / 2) * (1 - a2 * (1 / 12) * (1 - a2 * (1 / 30)))
    sin_d = d * (1 - d2 * (1 / 6) * (1 - d2 * (1 / 20) * (1 - d2 * (1 / 42))))
    cos_d = 1 - d2 * (1 / 2) * (1 - d2 * (1 / 12) * (1 - d2 * (1 / 30)))
    sin_dec, cos_dec = sin_dec0 * cos_d + cos_dec0 * sin_d, cos_dec0 * cos_d - sin_dec0 * sin_d
    scale = _RADIAN / (sin_dec * sin_dec0 + cos_dec * cos_dec0 * cos_ra)
    return cos_dec * sin_ra * scale, (sin_dec * cos_dec0 - cos_dec * sin_dec0 * cos_ra) * scale


@njit(cache=True, nogil=True)
def tangent_plane_by_angles(ra, dec, ra0, dec0):  # type: ignore[no-untyped-def]
    """Plane coordinates of one point by way of its native angles, everything in degrees. For kernels.

    Near the reference point this rounds to 1e-4 pix and worse. It is how the reference pipeline goes: where a grid may
    begin anywhere, or a point lies between two pixels, its rounding is as good as any other and makes the same cubes.
    """
    if ra - ra0 > 180:
        ra -= 360
    elif ra - ra0 < -180:
        ra += 360
    offset = ra / _RADIAN - ra0 / _RADIAN
    sin_dec, cos_dec = math.sin(dec / _RADIAN), math.cos(dec / _RADIAN)
    sin_dec0, cos_dec0 = math.sin(dec0 / _RADIAN), math.cos(dec0 / _RADIAN)
    phi = math.pi + math.atan2(-cos_dec * math.sin(offset), sin_dec * cos_dec0 - cos_dec * sin_dec0 * math.cos(offset))
    theta = math.asin(min(sin_dec * sin_dec0 + cos_dec * cos_dec0 * math.cos(offset), 1.0))
    radius = _RADIAN / math.tan(theta)
    return radius * math.sin(phi), -radius * math.cos(phi)


@njit(cache=True, nogil=True)
def tangent_sky(x, y, sin_dec0, cos_dec0):  # type: ignore[no-untyped-def]
    """Offset of the right ascension from the reference point, and declination, of one point. For kernels."""
    east, north = x * _DEGREE, y * _DEGREE
    inward = cos_dec0 - north * sin_dec0
    return (
        math.atan2(east, inward) / _DEGREE,
        math.atan2(sin_dec0 + north * cos_dec0, math.hypot(east, inward)) / _DEGREE,
    )


@njit(cache=True, nogil=True)
def _to_plane(ra_offset, dec, dec0, x, y):  # type: ignore[no-untyped-def]
    sin_dec0, cos_dec0 = math.sin(dec0 * _DEGREE), math.cos(dec0 * _DEGREE)
    for i in range(ra_offset.size):
        x[i], y[i] = tangent_plane(ra_offset[i], dec[i], sin_dec0, cos_dec0)


@njit(cache=True, nogil=True)
def _by_angles(ra, dec, ra0, dec0, x, y):  # type: ignore[no-untyped-def]
    for i in range(ra.size):
        x[i], y[i] = tangent_plane_by_angles(ra[i], dec[i], ra0, dec0)


@njit(cache=True, nogil=True)
def _to_sky(x, y, dec0, ra_offset, dec):  # type: ignore[no-untyped-def]
    sin_dec0, cos_dec0 = math.sin(dec0 * _DEGREE), math.cos(dec0 * _DEGREE)
    for i in range(x.size):
        ra_offset[i], dec[i] = tangent_sky(x[i], y[i], sin_dec0, cos_dec0)


@njit(cache=True, nogil=True, error_model="numpy")
def _project(x, y, centre_x, centre_y, xx, xy, yx, yy, phi, theta):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        dx, dy = np.float64(x[i]) - centre_x, np.float64(y[i]) - centre_y
        east, north = xx * dx + xy * dy, yx * dx + yy * dy
        azimuth = arc_tangent(east, -north)
        phi[i] = azimuth + 2 * math.pi if azimuth < 0 else azimuth
        theta[i] = -arc_tangent(math.sqrt(east * east + north * north) * _DEGREE, 1.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _position(phi, theta, dec0, sin_dec0, cos_dec0, xpos, ypos):  # type: ignore[no-untyped-def]
    for i in range(phi.size):
        # In double precision: the cosine of the single one is 1 over the whole field, which makes parallels straight.
        sin_azimuth, cos_azimuth = sine_cosine(np.float64(phi[i]))
        # theta is counted from the pole, where it is small: sine and cosine change places.
        cos_theta, sin_theta = sine_cosine(np.float64(theta[i]))
        along, east = -cos_theta * cos_azimuth, -cos_theta * sin_azimuth
        inward, north = sin_theta * cos_dec0 + sin_dec0 * along, sin_theta * sin_dec0 - cos_dec0 * along
        xpos[i] = arc_tangent(east, inward) / _DEGREE
        ypos[i] = arc_tangent(north, math.sqrt(east * east + inward * inward)) / _DEGREE - dec0


def ra_difference(ra: float, other: float) -> float:
    """``ra - other`` [deg], the short way round the sky: from -180 up to but not including 180."""
    return (ra - other + 180) % 360 - 180


def sky_to_plane(ra: npt.ArrayLike, dec: npt.ArrayLike, centre: tuple[float, float]) -> tuple[Doubles, Doubles]:
    """Project points on the sky onto the plane that touches it at ``centre``.

    Parameters
    ----------
    ra, dec : array-like [deg]
    centre : pair of float [deg]

    Returns
    -------
    x, y : ndarray of float64 [deg]
        NaN for points that are 90 degrees away or more.
    """
    dec = np.asarray(dec, np.float64)
    offset = (np.asarray(ra, np.float64) - centre[0] + 180) % 360 - 180
    x, y = np.empty(dec.shape), np.empty(dec.shape)
    _to_plane(np.ravel(offset), np.ravel(dec), centre[1], x.reshape(-1), y.reshape(-1))
    return x, y


def sky_to_plane_by_angles(
    ra: npt.ArrayLike, dec: npt.ArrayLike, centre: tuple[float, float]
) -> tuple[Doubles, Doubles]:
    """The same with the rounding of `tangent_plane_by_angles`."""
    dec = np.asarray(dec, np.float64)
    x, y = np.empty(dec.shape), np.empty(dec.shape)
    _by_angles(np.ravel(np.asarray(ra, np.float64)), np.ravel(dec), *centre, x.reshape(-1), y.reshape(-1))
    return x, y


def plane_to_sky(x: npt.ArrayLike, y: npt.ArrayLike, centre: tuple[float, float]) -> tuple[Doubles, Doubles]:
    """Sky positions of points of the plane that touches the sky at ``centre``.

    Parameters
    ----------
    x, y : array-like [deg]
    centre : pair of float [deg]

    Returns
    -------
    ra_offset, dec : ndarray of float64 [deg]
        The right ascension is counted from that of ``centre``, from -180 to 180.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    offset, dec = np.empty(x.shape), np.empty(x.shape)
    _to_sky(np.ravel(x), np.ravel(y), centre[1], offset.reshape(-1), dec.reshape(-1))
    return offset, dec


def native_angles(
    x: npt.ArrayLike, y: npt.ArrayLike, centre: tuple[float, float] = (0.0, 0.0), cd: Matrix = ((1.0, 0.0), (0.0, 1.0))
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Native angles of points of the plane: ``xpos`` and ``ypos`` of a pixel table in radians.

    Parameters
    ----------
    x, y : array-like
        In degrees unless told otherwise.
    centre : pair of float
        Where the plane touches the sky.
    cd : pair of pairs
        What makes degrees of offsets from there.

    Returns
    -------
    phi : ndarray of float32 [rad]
        From 0 to 2 pi.
    theta : ndarray of float32 [rad]
        Counted from the pole: 0 at the reference point, negative elsewhere.
    """
    x, y = np.asarray(x), np.asarray(y)
    phi, theta = np.empty(x.shape, np.float32), np.empty(x.shape, np.float32)
    _project(np.ravel(x), np.ravel(y), *centre, *cd[0], *cd[1], phi.reshape(-1), theta.reshape(-1))
    return phi, theta


def position_native(phi: Floats, theta: Floats, dec: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Put native angles on the sky: ``xpos`` and ``ypos`` of a pixel table in degrees.

    Parameters
    ----------
    phi, theta : ndarray [rad]
        As `native_angles` gives them.
    dec : float [deg]
        Declination of the reference point.

    Returns
    -------
    xpos, ypos : ndarray of float32 [deg]
        Less right ascension and declination of the reference point.
    """
    xpos, ypos = np.empty(phi.shape, np.float32), np.empty(phi.shape, np.float32)
    sine, cosine = math.sin(dec * _DEGREE), math.cos(dec * _DEGREE)
    _position(np.ravel(phi), np.ravel(theta), dec, sine, cosine, xpos.reshape(-1), ypos.reshape(-1))
    return xpos, ypos


def cd_scales(cd: Matrix) -> tuple[float, float]:
    """Scales of the axes of a CD matrix, in its unit per pixel; positive if the axes do not swap hands."""
    (cd11, cd12), (cd21, cd22) = _right_handed(cd)
    if cd12 == 0 and cd21 == 0:
        return cd11, cd22
    return math.hypot(cd11, cd12), math.hypot(cd22, cd21)


def cd_angles(cd: Matrix) -> tuple[float, float]:
    """Angles of the axes of a CD matrix [deg]."""
    (cd11, cd12), (cd21, cd22) = _right_handed(cd)
    if cd12 == 0 and cd21 == 0:
        return 0.0, 0.0
    return math.degrees(math.atan2(cd12, cd11)), math.degrees(math.atan2(-cd21, cd22))


def exposure_cd(calibration: Matrix, position_angle: float) -> Matrix:
    """CD matrix of an exposure, from that of the astrometric calibration and its position angle.

    Parameters
    ----------
    calibration : pair of pairs [deg/pix]
    position_angle : float [deg]
        ``INS.DROT.POSANG``, with the opposite sign if ``INS.DROT.MODE`` is ``SKY``.
    """
    scales = np.array(cd_scales(calibration))[:, None]
    pc = np.array(calibration) / scales
    corrected = (np.linalg.inv(pc) if np.linalg.det(pc) != 0 else np.eye(2)) * scales
    sine, cosine = math.sin(math.radians(position_angle)), math.cos(math.radians(position_angle))
    (cd11, cd12), (cd21, cd22) = (np.array([[cosine, -sine], [sine, cosine]]) @ corrected).tolist()
    return (cd11, cd12), (cd21, cd22)


def _right_handed(cd: Matrix) -> Matrix:
    (cd11, cd12), (cd21, cd22) = cd
    if cd11 * cd22 - cd12 * cd21 < 0:
        return (-cd11, -cd12), (cd21, cd22)
    return cd
