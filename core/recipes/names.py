"""Names of product files (MUSE manual, section 5.3)."""

from __future__ import annotations

__all__ = ["product_name"]


def product_name(tag: str, *, number: int | None = None, unit: int | None = None) -> str:
    """File name of a product: ``TAG.fits``, ``TAG_iiii.fits``, ``TAG-nn.fits``, ``TAG_iiii-nn.fits``.

    Parameters
    ----------
    tag : str
    number : int, optional
        Number of the exposure.
    unit : int, optional
        Number of the unit; None for a product of the whole or of several units.

    Examples
    --------
    >>> product_name("PIXTABLE_OBJECT", number=3, unit=7)
    'PIXTABLE_OBJECT_0003-07.fits'
    >>> product_name("DATACUBE_FINAL")
    'DATACUBE_FINAL.fits'
    """
    exposure = "" if number is None else f"_{number:04d}"
    return f"{tag}{exposure}{'' if unit is None else f'-{unit:02d}'}.fits"
