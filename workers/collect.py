"""What a recipe left in the work directory goes to its place and becomes rows.

Files are placed first (flushed, hashed, renamed), then a *receipt* with the signature of the work and the hashes of the
files is placed beside them, then everything is committed in one transaction. A crash in between loses nothing: the next
try finds the receipt, checks the files and adopts them instead of reducing again.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from core.archive.queries import BlockTask
from core.archive.records import BlockResult, LostUnit, NewPlot, NewProduct, NewQc1Text, NewQc1Value
from core.archive.store import ProductStore
from core.fitsfile.header import Header
from core.fitsfile.keywords import dot_name
from core.fitsfile.scan import FitsScan, scan_fits
from core.instruments.catalogue import qc1_definitions
from core.instruments.registry import instrument
from core.instruments.setup import UnitSpec
from core.qc1.extract import Extraction, Measurement, Source, TextMeasurement, extract
from core.recipes.results import PlotFile
from workers.child import ChildResult
from workers.lease import LeaseKeeper
from workers.verdict import RunVerdict

__all__ = ["Receipt", "adopt", "block_result", "place", "receipt_path"]

_LOG = logging.getLogger(__name__)
RECEIPT_PREFIX = "receipt-"


@dataclass(frozen=True)
class ReceiptFile:
    """One placed product."""

    tag: str
    unit: int | None
    name: str
    size: int
    sha256: str
    number: int | None = None


@dataclass(frozen=True)
class Receipt:
    """Proof that the work with a signature is on disk."""

    signature: str
    seconds: float
    peak_mb: float
    text: str
    products: tuple[ReceiptFile, ...]
    plots: tuple[PlotFile, ...]
    lost: tuple[LostUnit, ...]

    @classmethod
    def from_json(cls, text: str) -> Receipt:
        """Read what `place` wrote."""
        values = json.loads(text)
        products = tuple(ReceiptFile(**entry) for entry in values.pop("products"))
        lost = tuple(LostUnit(**entry) for entry in values.pop("lost"))
        plots = tuple(PlotFile(**entry) for entry in values.pop("plots"))
        return cls(products=products, plots=plots, lost=lost, **values)


def receipt_path(store: ProductStore, task: BlockTask, signature: str) -> Path:
    """Where the receipt of a block lies between placing and committing."""
    return store.directory(task.night, task.name) / f"{RECEIPT_PREFIX}{signature[:16]}.json"


def adopt(store: ProductStore, task: BlockTask, signature: str, keeper: LeaseKeeper) -> Receipt | None:
    """The receipt of an earlier try of the same work, if all its files are still as they were written.

    ``keeper`` is asked before each file: it raises if the block is held no longer.
    """
    path = receipt_path(store, task, signature)
    try:
        receipt = Receipt.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        _LOG.warning("%s cannot be read, the block is reduced again: %s", path, error)
        return None
    for entry in receipt.products:
        keeper.confirm()
        file = path.parent / entry.name
        if not store.renew(file) or not store.verify(file, entry.size, entry.sha256):
            return None
    plots = all(store.renew(Path(plot.path)) for plot in receipt.plots)
    return receipt if receipt.signature == signature and plots else None


def place(
    store: ProductStore,
    task: BlockTask,
    signature: str,
    result: ChildResult,
    verdict: RunVerdict,
    work: Path,
    keeper: LeaseKeeper,
) -> Receipt:
    """Bring the products of the good units, all plots and the receipt to their place.

    What a failed unit left is in no product, but in the plots: they show what became of it. ``keeper`` is asked before
    each file and while it is read: it raises if the block is held no longer, since then another worker may be placing
    files of the same names.

    Raises
    ------
    ProductStoreError
        If disk or permissions fail.
    """
    products = []
    pictured = instrument(task.instrument).plan.pictured(task.recipe)
    unkept = {tag for name, tag in pictured.items() if name not in task.parameters}
    for product in result.run.products:
        if product.tag in unkept or (product.unit is not None and product.unit not in verdict.good):
            continue
        keeper.confirm()
        source = _second_name(product.path, work / "placing")
        placed = store.place(source, night=task.night, block=task.name, check=keeper.check)
        products.append(
            ReceiptFile(product.tag, product.unit, placed.path.name, placed.size, placed.sha256, product.number)
        )
    plots = []
    for plot in result.plots:
        keeper.confirm()
        placed = store.place(Path(plot.path), night=task.night, block=task.name)
        plots.append(replace(plot, path=str(placed.path)))
    notes = [verdict.text] if verdict.text else []
    if result.plot_error:
        notes.append(f"plots are missing: {result.plot_error}")
    run = result.run
    text = "; ".join(notes)
    receipt = Receipt(signature, run.seconds, run.peak_mb, text, tuple(products), tuple(plots), verdict.lost)
    draft = work / receipt_path(store, task, signature).name
    draft.write_text(json.dumps(asdict(receipt)), encoding="utf-8")
    keeper.confirm()
    store.place(draft, night=task.night, block=task.name)
    return receipt


def _second_name(path: Path, folder: Path) -> Path:
    """Another name of a file, to be placed: a try after a crash finds the first name again."""
    folder.mkdir(exist_ok=True)
    name = folder / path.name
    try:
        name.unlink(missing_ok=True)
        os.link(path, name)
    except OSError:  # a file system without links
        return path
    return name


def block_result(store: ProductStore, task: BlockTask, receipt: Receipt) -> BlockResult:
    """Rows of a block from its placed products: products, QC1 values, plots. Scores follow from them in the archive."""
    folder = store.directory(task.night, task.name)
    scans = [scan_fits(folder / entry.name) for entry in receipt.products]
    headers = [_plain(scan.hdus[0].header) for scan in scans]
    products = tuple(
        NewProduct(
            tag=entry.tag,
            unit=entry.unit,
            path=str(folder / entry.name),
            size=entry.size,
            sha256=entry.sha256,
            mjd_obs=float(header.get("MJD-OBS", task.mjd_mid)),
            mjd_mid=task.mjd_mid,
            night=task.night,
            header=header,
            datamd5=header.get("DATAMD5"),
        )
        for entry, header in zip(receipt.products, headers, strict=True)
    )
    found = _measure(instrument(task.instrument).units, receipt.products, scans)
    return BlockResult(
        products=products,
        qc1_values=tuple(_value(measured, products[measured.product]) for measured in found.measurements),
        qc1_texts=tuple(_text(measured, products[measured.product]) for measured in found.texts),
        peak_mb=receipt.peak_mb,
        text="; ".join(part for part in (receipt.text, *_odd(found)) if part),
        plots=tuple(NewPlot(**asdict(plot)) for plot in receipt.plots),
        lost=receipt.lost,
    )


def _measure(unit_spec: UnitSpec, files: Iterable[ReceiptFile], scans: Iterable[FitsScan]) -> Extraction:
    """QC1 measurements, with the number of their file as product.

    A file of one unit has them in its primary header. One of several units has those of each unit in its extensions,
    one of the whole instrument has all of them in its primary header.
    """
    sources: list[Source] = []
    owners: list[int] = []
    for number, (file, scan) in enumerate(zip(files, scans, strict=True)):
        own = [Source(file.tag, _plain(scan.hdus[0].header), file.unit, file.number)]
        if file.unit is None:
            units = ((unit_spec.of_extension(hdu.extname.partition(".")[0]), hdu.header) for hdu in scan.hdus[1:])
            own += [Source(file.tag, _plain(header), unit, file.number) for unit, header in units if unit is not None]
        sources += own
        owners += [number] * len(own)
    found = extract(sources, qc1_definitions())
    return replace(
        found,
        measurements=tuple(replace(entry, product=owners[entry.product]) for entry in found.measurements),
        texts=tuple(replace(entry, product=owners[entry.product]) for entry in found.texts),
    )


def _odd(found: Extraction) -> Iterable[str]:
    """What is odd about the QC keywords, in words."""
    if found.undeclared:
        yield f"undeclared QC keywords: {', '.join(found.undeclared)}"
    if found.unusable:
        yield f"QC keywords without a usable value: {', '.join(found.unusable)}"


def _value(measured: Measurement, product: NewProduct) -> NewQc1Value:
    return NewQc1Value(
        table=measured.parameter.table,
        column=measured.parameter.column,
        value=measured.value,
        mjd_obs=product.mjd_obs,
        product=product.path,
        position=measured.position,
    )


def _text(measured: TextMeasurement, product: NewProduct) -> NewQc1Text:
    return NewQc1Text(
        table=measured.parameter.table,
        column=measured.parameter.column,
        text=measured.text,
        mjd_obs=product.mjd_obs,
        product=product.path,
        position=measured.position,
    )


def _plain(header: Header) -> dict[str, Any]:
    """A header as keywords in dot notation with plain values; comments and structure are left out."""
    return {
        dot_name(card.keyword): card.value
        for card in header.cards
        if card.has_value
        and card.keyword not in ("CHECKSUM", "DATASUM")
        and isinstance(card.value, str | int | float | bool)
    }


def night_folder(root: Path, night: date) -> Path:
    """Directory of a night below a root, made if missing."""
    path = root / night.isoformat()
    path.mkdir(parents=True, exist_ok=True)
    return path
