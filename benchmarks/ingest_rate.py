"""How many full-size raw frames a second ingest takes in: python -m benchmarks.ingest_rate --frames 1500

Writes sparse files with the real structure (a primary header of some 700 cards, 24 extensions of 4224 x 4240 pixels),
ingests them into a fresh archive, and looks at the same directory again. Ingest reads headers only, so that holes in
place of pixels change nothing. Then it looks at a directory of files of no use, twice.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from core.archive.schema import upgrade
from core.archive.sessions import Archive
from core.settings import Settings
from workers.ingest import ingest_once
from workers.ingest_scan import TreeReader

_TARGET = 300.0  # files per second


def main() -> int:
    """Run the benchmark; the exit code is 1 below the target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=1500)
    parser.add_argument("--ifus", type=int, default=24)
    parser.add_argument("--useless", type=int, default=100_000, help="files that are no frames")
    parser.add_argument("--database-url", default="", help="an SQLite file if not given")
    parser.add_argument("--directory", type=Path, default=None, help="on the disk to be measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ingest-rate-", dir=options.directory) as folder:
        raw = Path(folder) / "raw"
        raw.mkdir()
        cards = write_frames(raw, options.frames, options.ifus)
        settings = Settings(
            data_dir=Path(folder) / "data",
            archive_dirs=(raw,),
            database_url=options.database_url,
            settle_seconds=0.01,
        )
        upgrade(settings.database_url)
        archive = Archive(settings.database_url)
        time.sleep(0.02)
        used = time.process_time()
        first = ingest_once(archive, settings)
        used = time.process_time() - used
        again = ingest_once(archive, settings)
        archive.dispose()
        useless = look_at_useless(Path(folder) / "useless", options.useless)
    rate = options.frames / first.seconds
    print(f"{options.frames} frames, {options.ifus} channels, {cards} primary cards")
    print(f"first look : {first.seconds:7.2f} s  {rate:9.0f} files/s  ({first.sentence()})")
    print(f"processor  : {used:7.2f} s  {options.frames / used:9.0f} files/s  (what a machine of its own would do)")
    print(f"second look: {again.seconds:7.2f} s  {options.frames / again.seconds:9.0f} files/s")
    print(f"of no use  : {useless[0]:7.2f} s  for {options.useless} files, {useless[1]:.4f} s when nothing changed")
    print(f"target     : {_TARGET:.0f} files/s: {'reached' if rate >= _TARGET else 'MISSED'}")
    return 0 if rate >= _TARGET and first.new == options.frames else 1


def look_at_useless(folder: Path, count: int) -> tuple[float, float]:
    """Seconds of a first and of a second look at files of no use, a thousand in a directory."""
    for number in range(count):
        parent = folder / f"{number // 1000:04d}"
        parent.mkdir(parents=True, exist_ok=True)
        (parent / f"{number}.txt").touch()
    reader = TreeReader(clock=lambda: time.time() + 60)  # the directories have come to rest
    seconds = []
    for _ in range(2):
        start = time.monotonic()
        reader.scan(str(folder))
        seconds.append(time.monotonic() - start)
    return seconds[0], seconds[1]


def write_frames(folder: Path, count: int, ifus: int) -> int:
    """Write sparse raw frames; returns the number of cards of the primary header."""
    channels = [_channel(ifu) for ifu in range(1, ifus + 1)]
    pixels = -(-2 * 4224 * 4240 // 2880) * 2880
    n_cards = 0
    for number in range(count):
        moment = datetime(2026, 11, 1, 20) + timedelta(seconds=45 * number)
        stamp = moment.isoformat(timespec="milliseconds")
        cards = _primary(stamp, moment)
        n_cards = len(cards)
        with (folder / f"MUSE.{stamp}.fits").open("wb") as stream:
            stream.write(_block(cards))
            for channel in channels:
                stream.write(channel)
                stream.seek(pixels, os.SEEK_CUR)
            stream.truncate()
    return n_cards


def _primary(stamp: str, moment: datetime) -> list[str]:
    mjd = (moment - datetime(1858, 11, 17)) / timedelta(days=1)
    cards = [
        "SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    0",
        "EXTEND  =                    T", "INSTRUME= 'MUSE    '", "OBJECT  = 'BIAS    '",
        "EXPTIME =                  0.0", f"DATE-OBS= '{stamp}'", f"MJD-OBS = {mjd:20.8f}",
        "HIERARCH ESO DPR CATG = 'CALIB   '", "HIERARCH ESO DPR TYPE = 'BIAS    '",
        "HIERARCH ESO DPR TECH = 'IFU     '", "HIERARCH ESO TPL ID = 'MUSE_cal_bias'",
        "HIERARCH ESO TPL START = '2026-11-01T20:00:00'", "HIERARCH ESO TPL EXPNO = 1",
        "HIERARCH ESO TPL NEXP = 11", "HIERARCH ESO INS MODE = 'WFM-NOAO-N'",
        "HIERARCH ESO INS OPTI1 NAME = 'Blue'", "HIERARCH ESO INS OPTI2 NAME = 'WFM'",
        "HIERARCH ESO DET READ CURID = 1", "HIERARCH ESO DET READ CURNAME = 'SCI1.0'",
        "HIERARCH ESO DET BINX = 1", "HIERARCH ESO DET BINY = 1",
    ]  # fmt: skip
    for lamp in range(1, 7):
        cards.append(f"HIERARCH ESO INS SHUT{lamp} ST = F / Lamp shutter open")
        cards.append(f"HIERARCH ESO INS LAMP{lamp} ST = F / Lamp activated")
    for ifu in range(1, 25):
        for key in ("CHAN", "DV ID", "ID", "ISS ID", "PREAMP ID", "SPS ID", "VPHG ID"):
            cards.append(f"HIERARCH ESO INS IFU{ifu} {key} = '{ifu:02d}' / Unit ID")
        for key in ("ID", "NAME", "VAL"):
            cards.append(f"HIERARCH ESO INS SENS{ifu} {key} = '{ifu}' / Sensor")
            cards.append(f"HIERARCH ESO INS TEMP{100 + ifu} {key} = '{ifu}' / Temperature sensor")
    for board in range(1, 40):
        for key in ("BCKPL", "REV", "SERNO", "TRANS", "TYPE", "VERSION"):
            cards.append(f"HIERARCH ESO DET DEV{board % 4 + 1} BOARD{board} {key} = '000010805B5C' / Serial no")
    return cards


def _channel(ifu: int) -> bytes:
    cards = [
        "XTENSION= 'IMAGE   '", "BITPIX  =                   16", "NAXIS   =                    2",
        "NAXIS1  =                 4224", "NAXIS2  =                 4240", "PCOUNT  =                    0",
        "GCOUNT  =                    1", f"EXTNAME = 'CHAN{ifu:02d}  '", "BZERO   =                32768",
    ]  # fmt: skip
    for port in range(1, 5):
        for key in ("CONAD", "GAIN", "ID", "NX", "NY", "RON", "X", "Y", "INDEX", "OVSCX", "OVSCY", "PRSCX"):
            cards.append(f"HIERARCH ESO DET OUT{port} {key} = 1 / of the port")
    for key in ("DATE", "ID", "LIVE", "NAME", "NX", "NY", "PSZX", "PSZY", "VIGNETD", "X", "Y"):
        cards.append(f"HIERARCH ESO DET CHIP {key} = 1 / of the chip")
    return _block(cards)


def _block(cards: list[str]) -> bytes:
    data = "".join(card.ljust(80)[:80] for card in (*cards, "END")).encode("ascii")
    return data + b" " * (-len(data) % 2880)


if __name__ == "__main__":
    sys.exit(main())
