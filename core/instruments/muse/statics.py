"""The static calibrations of MUSE and the product codes of the observatory.

Sources: the observatory's page on MUSE calibration data (names and purposes of static calibrations), its list of
product codes, and the MUSE Pipeline User Manual 0.17: section 5.2 (files of the pipeline), section 4 (vignetting mask),
appendix D (pairs of commissioning and science verification with their expiry).
"""

from __future__ import annotations

from datetime import date
from typing import Final

from core.instruments.statics import BuiltFile, DeclaredFile, NamedSetup, ProductCode, StaticRules

__all__ = ["MUSE_STATICS"]

_COMM1: Final = date(2014, 2, 22)
_COMM2A: Final = date(2014, 7, 15)
_COMM2B: Final = date(2014, 12, 1)

MUSE_STATICS: Final = StaticRules(
    prefix="MU",
    codes=(
        ProductCode("MBIA", "MASTER_BIAS"),
        ProductCode("MDRK", "MASTER_DARK"),
        ProductCode("MFLA", "MASTER_FLAT"),
        ProductCode("PFTT", "TRACE_TABLE"),
        ProductCode("MFLS", "MASTER_SKYFLAT"),
        ProductCode("PWCT", "WAVECAL_TABLE"),
        ProductCode("MDCS", "DATACUBE_STD"),
        ProductCode("GASR", "ASTROMETRY_REFERENCE"),
        ProductCode("GASW", "ASTROMETRY_WCS"),
        ProductCode("GBPT", "BADPIX_TABLE"),
        ProductCode("GEOT", "GEOMETRY_TABLE"),
        ProductCode("GEXT", "EXTINCT_TABLE"),
        ProductCode("GFIL", "FILTER_LIST"),
        ProductCode("GLNC", "LINE_CATALOG"),
        ProductCode("GSDR", "STD_RESPONSE"),
        ProductCode("GSFT", "STD_FLUX_TABLE"),
        ProductCode("GSKL", "SKY_LINES"),
        ProductCode("GVIM", "VIGNETTING_MASK"),
        ProductCode("GLSP", "LSF_PROFILE"),
    ),
    declared=(
        # The expiry date of one pair is the start of the next; the pair of the pipeline comes after the last.
        DeclaredFile("geometry_table_wfm_comm1", "GEOMETRY_TABLE", None, _COMM1, "comm1"),
        DeclaredFile("astrometry_wcs_wfm_comm1", "ASTROMETRY_WCS", None, _COMM1, "comm1"),
        DeclaredFile("geometry_table_wfm_comm2a", "GEOMETRY_TABLE", _COMM1, _COMM2A, "comm2a"),
        DeclaredFile("astrometry_wcs_wfm_comm2", "ASTROMETRY_WCS", _COMM1, _COMM2A, "comm2a"),
        DeclaredFile("astrometry_wcs_wfm_comm2a", "ASTROMETRY_WCS", _COMM1, _COMM2A, "comm2a"),
        DeclaredFile("geometry_table_wfm_comm2b", "GEOMETRY_TABLE", _COMM2A, _COMM2B, "comm2b"),
        DeclaredFile("astrometry_wcs_wfm_comm2b", "ASTROMETRY_WCS", _COMM2A, _COMM2B, "comm2b"),
        DeclaredFile("geometry_table_wfm", "GEOMETRY_TABLE", _COMM2B, None, "wfm"),
        DeclaredFile("astrometry_wcs_wfm", "ASTROMETRY_WCS", _COMM2B, None, "wfm"),
        # Valid always; named here, so that they are known as static calibrations wherever they lie.
        DeclaredFile("lsf_profile_slow_wfm-n", "LSF_PROFILE"),
        DeclaredFile("lsf_profile_slow_wfm-e", "LSF_PROFILE"),
        DeclaredFile("std_response_wfm-n", "STD_RESPONSE"),
        DeclaredFile("std_response_wfm-e", "STD_RESPONSE"),
        DeclaredFile("std_response_nfm-ao-n", "STD_RESPONSE"),
    ),
    setups=(
        NamedSetup("nfm-ao-n", (("INS.MODE", "NFM-AO-N"), ("INS.OPTI2.NAME", "NFM"))),
        NamedSetup("wfm-n", (("INS.MODE", "WFM-NOAO-N"), ("INS.OPTI2.NAME", "WFM"))),
        NamedSetup("wfm-e", (("INS.MODE", "WFM-NOAO-E"), ("INS.OPTI2.NAME", "WFM"))),
        NamedSetup("wfm", (("INS.OPTI2.NAME", "WFM"),)),
        NamedSetup("nfm", (("INS.OPTI2.NAME", "NFM"),)),
    ),
    not_after=(("VIGNETTING_MASK", date(2017, 3, 11)),),  # used up to 2017-03-10
    pairs=(("GEOMETRY_TABLE", "ASTROMETRY_WCS"),),
    only_static=(
        "ASTROMETRY_REFERENCE",
        "BADPIX_TABLE",
        "EXTINCT_TABLE",
        "FILTER_LIST",
        "LINE_CATALOG",
        "RAMAN_LINES",
        "STD_FLUX_TABLE",
        "TELLURIC_REGIONS",
        "VIGNETTING_MASK",
    ),
    built=(
        BuiltFile("LINE_CATALOG", "line_catalog.fits", "core.staticcal.line_catalog:write_line_catalog"),
        BuiltFile("EXTINCT_TABLE", "extinct_table.fits", "core.staticcal.night_sky:write_extinction"),
        BuiltFile("STD_FLUX_TABLE", "std_flux_table.fits", "core.staticcal.standards:write_standards"),
        BuiltFile("FILTER_LIST", "filter_list.fits", "core.staticcal.filters:write_filters"),
        BuiltFile("TELLURIC_REGIONS", "telluric_regions.fits", "core.staticcal.telluric:write_telluric_regions"),
        BuiltFile("SKY_LINES", "sky_lines.fits", "core.staticcal.night_sky:write_sky_lines"),
        BuiltFile("RAMAN_LINES", "raman_lines.fits", "core.staticcal.night_sky:write_raman_lines"),
    ),
)
