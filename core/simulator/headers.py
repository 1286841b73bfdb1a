"""Headers of raw frames, with the keyword groups of real MUSE files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.instruments.muse.facts import FOCAL_SCALE, LAMPS, N_IFU, PORT_X, PORT_Y, chip_name
from core.simulator.channel import chip_card
from core.simulator.clock import LATITUDE, LONGITUDE, mjd_of, sidereal_seconds
from core.simulator.exposure import READ_TIME
from core.simulator.scenes import Scene
from core.simulator.truth import InstrumentTruth

__all__ = ["ExposureCard", "channel_header", "file_stamp", "primary_header"]

_OPTI1: Final = {
    "WFM-NOAO-E": (3, "Clear"),
    "WFM-NOAO-N": (1, "Blue"),
    "WFM-AO-E": (4, "Clear-Na2"),
    "WFM-AO-N": (2, "Blue-Na2"),
    "NFM-AO-N": (2, "Blue-Na2"),
}


@dataclass(frozen=True)
class ExposureCard:
    """What the headers of one exposure say beside the scene and the mode.

    Attributes
    ----------
    start : datetime
        Start of the exposure, UTC, to the millisecond.
    template_start : datetime
    expno, nexp : int
        Number of the exposure in its template, and how many there are.
    detector_expno : int
        Running exposure number of the detector system.
    file_number : int
        Running number of the file name of the day.
    temperature : float
        Ambient temperature [Celsius].
    """

    start: datetime
    template_start: datetime
    expno: int
    nexp: int
    detector_expno: int
    file_number: int
    temperature: float


def file_stamp(moment: datetime) -> str:
    """``DATE-OBS`` form of a time, to the millisecond."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def _second_stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def primary_header(scene: Scene, mode: str, card: ExposureCard) -> Header:
    """Primary header of a raw frame.

    Parameters
    ----------
    scene : Scene
    mode : str
        ``INS.MODE``.
    card : ExposureCard

    Returns
    -------
    Header
        Without the structural cards.
    """
    header = Header()

    def put(key: str, value: Any, comment: str = "") -> None:
        set_key(header, key, value, comment)

    mjd = mjd_of(card.start)
    midnight = card.start.replace(hour=0, minute=0, second=0, microsecond=0)
    stamp = file_stamp(card.start)
    template_id, template_name, sequence = scene.template(mode)
    day = card.start.timetuple().tm_yday
    file_tag = scene.file_tag.replace("WFM", "NFM") if mode.startswith("NFM") else scene.file_tag

    put("DATE", _second_stamp(card.start), "Date this file was written")
    put("ORIGIN", "ESO-PARANAL", "European Southern Observatory")
    put("TELESCOP", "ESO-VLT-U4", "ESO <TEL>")
    put("INSTRUME", "MUSE", "Instrument used.")
    put("OBJECT", scene.dpr_type, "Original target.")
    put("RA", sidereal_seconds(card.start) / 240.0, "[deg] RA (J2000) pointing")
    put("DEC", LATITUDE, "[deg] DEC (J2000) pointing")
    put("EQUINOX", 2000.0, "Standard FK5")
    put("RADECSYS", "FK5", "Coordinate system")
    put("EXPTIME", scene.exptime, "Integration time")
    put("MJD-OBS", round(mjd, 8), "Obs start")
    put("DATE-OBS", stamp, "Observing date")
    put("UTC", round((card.start - midnight).total_seconds(), 3), "[s] UTC")
    put("LST", round(sidereal_seconds(card.start), 3), "[s] LST")
    put("PI-COI", "UNKNOWN", "PI-COI name.")
    put("OBSERVER", "UNKNOWN", "Name of observer.")
    put("ORIGFILE", f"MUSE_{file_tag}{day:03d}_{card.file_number:04d}.fits", "Original File Name")
    put("ARCFILE", f"MUSE.{stamp}.fits", "Archive File Name")

    put("DPR.CATG", scene.dpr_catg, "Observation category")
    put("DPR.TYPE", scene.dpr_type, "Observation type")
    put("DPR.TECH", scene.dpr_tech, "Observation technique")

    put("OBS.DID", "ESO-VLT-DIC.OBS-2.0", "OBS Dictionary")
    put("OBS.EXECTIME", 0, "Expected execution time")
    put("OBS.GRP", "0", "linked blocks")
    put("OBS.ID", 200000000 + int(mjd_of(card.template_start)), "Observation block ID")
    put("OBS.NAME", "Calibrations", "OB name")
    put("OBS.NTPL", 1, "Number of templates within OB")
    put("OBS.OBSERVER", "UNKNOWN", "Observer Name")
    put("OBS.PI-COI.ID", 0, "ESO internal PI-COI ID")
    put("OBS.PI-COI.NAME", "UNKNOWN", "PI-COI name")
    put("OBS.PROG.ID", "60.A-9100(A)", "ESO program identification")
    put("OBS.START", _second_stamp(card.template_start), "OB start time")
    put("OBS.TARG.NAME", "CALIBRATION", "OB target name")
    put("OBS.TPLNO", 1, "Template number within OB")

    put("TPL.DID", "ESO-VLT-DIC.TPL-1.9", "Data dictionary for TPL")
    put("TPL.ID", template_id, "Template signature ID")
    put("TPL.NAME", template_name, "Template name")
    put("TPL.PRESEQ", sequence, "Sequencer script")
    put("TPL.START", _second_stamp(card.template_start), "TPL start time")
    put("TPL.EXPNO", card.expno, "Exposure number within template")
    put("TPL.NEXP", card.nexp, "Number of exposures within template")
    put("TPL.VERSION", "$Revision: 297587 $", "Version of the template")

    _telescope(put, mjd, card.temperature)
    _instrument(put, scene, mode, card.temperature)

    put("DET.BINX", 1, "Setup binning factor along X")
    put("DET.BINY", 1, "Setup binning factor along Y")
    put("DET.CHIPS", N_IFU, "Number of chips in the mosaic")
    for device in range(1, 5):
        put(f"DET.DEV{device}.ID", f"MUSE-NGC{device}", "Detector system Id")
        put(f"DET.DEV{device}.CHIPS", 6, "Number of chips in the mosaic")
        put(f"DET.DEV{device}.OUTPUTS", 24, "Number of outputs")
        put(f"DET.DEV{device}.EXP.RDTTIME", READ_TIME, "[s] Image readout time")
        put(f"DET.DEV{device}.EXP.XFERTIM", READ_TIME, "[s] Image transfer time")
    put("DET.DID", "ESO-VLT-DIC.NGCDCS,ESO-VLT-DIC.NGCCON", "Used dictionaries")
    put("DET.DIT1", scene.exptime, "[s] Actual subintegration time")
    put("DET.DKTM", scene.exptime, "[s] Dark current time")
    put("DET.EXP.NO", card.detector_expno, "Unique exposure ID number")
    put("DET.EXP.TYPE", scene.exposure_type, "Exposure type")
    put("DET.NAME", "MUSE-NGCOPT", "Name of detector system")
    put("DET.NDIT", 1, "Number of Sub-Integrations")
    put("DET.READ.CURID", 1, "Used readout mode id")
    put("DET.READ.CURNAME", "SCI1.0", "Used readout mode name")
    put("DET.UIT1", scene.exptime, "[s] User defined subintegration time")
    put("OCS.DET.IMGNAME", f"MUSE_{file_tag}", "Data File Name.")
    put("OCS.IPS.PIXSCALE", 0.025 if mode.startswith("NFM") else 0.2, "[arcsec/pixel] Pixel scale")
    for key, value, comment in scene.cards(mode):
        put(key, value, comment)
    return header


def _telescope(put: Any, mjd: float, temperature: float) -> None:
    """Keywords of the telescope and the site; calibrations are taken at zenith."""
    pressure = 743.0 + 2.0 * math.sin(2.0 * math.pi * mjd / 27.0)
    put("TEL.AIRM.START", 1.0, "Airmass at start")
    put("TEL.AIRM.END", 1.0, "Airmass at end")
    put("TEL.ALT", 90.0, "[deg] Alt angle at start")
    put("TEL.AZ", 0.0, "[deg] Az angle at start S=0,W=90")
    put("TEL.AMBI.PRES.START", round(pressure, 2), "[hPa] Observatory ambient air pressure")
    put("TEL.AMBI.PRES.END", round(pressure, 2), "[hPa] Observatory ambient air pressure")
    put("TEL.AMBI.RHUM", 12.0, "[%] Observatory ambient relative humidity")
    put("TEL.AMBI.TEMP", round(temperature, 2), "[deg C] Observatory ambient temperature")
    put("TEL.FOCU.ID", "NB", "Telescope focus station ID")
    put("TEL.FOCU.SCALE", FOCAL_SCALE, "[arcsec/mm] Focal scale")
    put("TEL.GEOELEV", 2648.0, "[m] Elevation above sea level")
    put("TEL.GEOLAT", LATITUDE, "[deg] Tel geo latitute (+=North)")
    put("TEL.GEOLON", LONGITUDE, "[deg] Tel geo longitude (+=East)")
    put("TEL.ID", "v 293191", "TCS version number")
    put("TEL.DOME.STATUS", "CLOSED", "Dome status")


def _instrument(put: Any, scene: Scene, mode: str, temperature: float) -> None:
    """Keywords of lamps, shutters, wheels and sensors."""
    put("INS.DATE", "2000-06-16", "Instrument release date (yyyy-mm-dd).")
    put("INS.DID1", "MUSE_ICS-295084", "Data dictionary for INSi")
    put("INS.DROT.MODE", "STAT", "Instrument derotator mode")
    put("INS.DROT.POSANG", 0.0, "[deg] Derotator position angle")
    put("INS.DROT.START", 0.0, "[deg] Derotator position angle at start")
    put("INS.DROT.END", 0.0, "[deg] Derotator position angle at end")
    put("INS.ID", "MUSE/176642", "Instrument ID")
    put("INS.LAMPNUM", len(LAMPS), "Number of lamps")
    for number, name in LAMPS.items():
        lit = number in scene.lamps
        put(f"INS.LAMP{number}.ID", f"CL{number}", "Lamp ID")
        put(f"INS.LAMP{number}.NAME", name, "Lamp name")
        put(f"INS.LAMP{number}.ST", lit, "Lamp activated")
        put(f"INS.SHUT{number}.ID", f"CSH{number}", "Lamp shutter ID")
        put(f"INS.SHUT{number}.NAME", name, "Lamp shutter name")
        put(f"INS.SHUT{number}.ST", lit, "Lamp shutter open")
    put("INS.MODE", mode, "Instrument mode used")
    slot, name = _OPTI1[mode]
    put("INS.OPTI1.ID", str(slot), "Optical function unique ID")
    put("INS.OPTI1.NAME", name, "Pupil Filter Wheel filter name")
    put("INS.OPTI1.NO", slot, "Pupil Filter Wheel slot number")
    put("INS.OPTI1.TYPE", "FILTER", "Pupil Filter Wheel element type")
    field = "NFM" if mode.startswith("NFM") else "WFM"
    put("INS.OPTI2.ID", "1" if field == "NFM" else "2", "Optical function unique ID")
    put("INS.OPTI2.NAME", field, "Mode Switching Unit field mode")
    put("INS.OPTI2.NO", 1 if field == "NFM" else 2, "Mode Switching Unit position")
    put("INS.OPTI2.TYPE", "FILTER", "Optical function element")
    put("INS.OPTI3.ID", "4", "Optical function unique ID")
    put("INS.OPTI3.NAME", "CALIB", "Calibration Unit Pickup Mirror Status")
    put("INS.OPTI3.NO", 4, "Calibration Pickup Element position")
    put("INS.OPTI3.TYPE", "MIRROR", "Calibration Pickup Element type")
    put("INS.OPTI4.ID", "4", "Optical function unique ID")
    put("INS.OPTI4.NAME", "Clear", "CU Focal Plan mask Wheel mask name")
    put("INS.OPTI4.NO", 4, "CU Focal Plan Mask Wheel slot number")
    put("INS.OPTI4.TYPE", "MASK", "Optical function element")
    put("INS.SWSIM", "NORMAL", "Software simulation")
    sensors = {
        1: ("CAOT", "Cooling Outlet Temperature", temperature - 1.0),
        2: ("CAIT", "Cooling Inlet Temperature", temperature - 2.9),
        4: ("CAAT", "Ambient Temperature", temperature),
        7: ("IRT1", "Right IFU Temperature 1", temperature + 2.2),
        11: ("ILT1", "Left IFU Temperature 1", temperature + 2.4),
    }
    for sensor, (identity, label, value) in sensors.items():
        put(f"INS.TEMP{sensor}.ID", identity, "Temperature sensor ID")
        put(f"INS.TEMP{sensor}.NAME", label, "Temperature sensor name")
        put(f"INS.TEMP{sensor}.VAL", round(value, 2), f"[C] {label}")
    for ifu in range(1, N_IFU + 1):
        put(f"INS.TEMP{20 + ifu}.VAL", 162.99, f"[K] Detector {ifu} temperature")
        put(f"INS.PRES{20 + ifu}.VAL", 4.8e-06, f"[mBar] Detector {ifu} pressure")


def channel_header(truth: InstrumentTruth) -> Header:
    """Extension header of a channel, without the structural cards.

    ``DET.OUTn.GAIN`` is electrons per adu, the sense in which pipelines use it; ``DET.OUTn.CONAD`` is its inverse.
    """
    det = truth.detector
    chip = chip_card(truth.ifu)
    header = Header()

    def put(key: str, value: Any, comment: str = "") -> None:
        set_key(header, key, value, comment)

    put("EXTNAME", chip_name(truth.ifu), "Extension name")
    put("DET.OUTPUTS", 4 * N_IFU, "Number of outputs")
    put("DET.CHIP.DATE", "2012-10-12", "[YYYY-MM-DD] Date of installation")
    put("DET.CHIP.ID", chip.chip, "Detector chip identification")
    put("DET.CHIP.INDEX", truth.ifu, "Chip index")
    put("DET.CHIP.LIVE", True, "Detector alive")
    put("DET.CHIP.NAME", chip_name(truth.ifu), "Detector chip name")
    put("DET.CHIP.NX", det.trimmed_shape[1], "Physical active pixels in X")
    put("DET.CHIP.NY", det.trimmed_shape[0], "Physical active pixels in Y")
    put("DET.CHIP.OVSCX", det.overscan_x, "Physical overscan pixels in X")
    put("DET.CHIP.OVSCY", det.overscan_y, "Physical overscan pixels in Y")
    put("DET.CHIP.PRSCX", det.prescan_x, "Physical prescan pixels in X")
    put("DET.CHIP.PRSCY", det.prescan_y, "Physical prescan pixels in Y")
    put("DET.CHIP.PSZX", 15.0, "[um] Size of pixel in X")
    put("DET.CHIP.PSZY", 15.0, "[um] Size of pixel in Y")
    put("DET.CHIP.RGAP", 0.0, "Angle of gap between chips")
    put("DET.CHIP.X", chip.x, "X location in array")
    put("DET.CHIP.XGAP", 0.0, "Gap after chips along x")
    put("DET.CHIP.Y", chip.y, "Y location in array")
    put("DET.CHIP.YGAP", 0.0, "Gap after chip along y")
    for port in range(1, 5):
        out = f"DET.OUT{port}"
        put(f"{out}.CONAD", round(1.0 / det.gain[port - 1], 4), "Conversion electrons to ADU")
        put(f"{out}.GAIN", det.gain[port - 1], "[e-/ADU] Conversion ADU to electrons")
        put(f"{out}.ID", "EFGH"[port - 1], "Output ID as from manufacturer")
        put(f"{out}.INDEX", port, "Output index")
        put(f"{out}.NAME", f"NO{port}", "Description of output")
        put(f"{out}.NX", det.nx, "Valid pixels along X")
        put(f"{out}.NY", det.ny, "Valid pixels along Y")
        put(f"{out}.OVSCX", det.overscan_x, "Overscan region in X")
        put(f"{out}.OVSCY", det.overscan_y, "Overscan region in Y")
        put(f"{out}.PRSCX", det.prescan_x, "Prescan region in X")
        put(f"{out}.PRSCY", det.prescan_y, "Prescan region in Y")
        put(f"{out}.RON", det.ron[port - 1], "[e-] Readout noise per output")
        put(f"{out}.X", PORT_X[port - 1], "X location of output")
        put(f"{out}.Y", PORT_Y[port - 1], "Y location of output")
    return header
