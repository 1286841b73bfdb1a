"""The engine around a recipe: IFU loops, failures, merging, provenance, events, and the command line."""

from __future__ import annotations

import gzip
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import BadFitsError, MissingInputError, ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.fitsfile.sof import format_sof
from core.formats.image import read_image
from core.formats.raw import write_raw
from core.instruments.muse.facts import PORT_X, PORT_Y
from core.recipes import muserex
from core.recipes.engine import run_recipe
from core.recipes.events import Event, PartDone, PartFailed, RunDone, RunError, RunStarted, parse_event
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.units import ifu_part
from core.recipes.registry import get_recipe

NX, NY = 64, 72  # data section of a port: room for the 19 x 19 windows of the noise estimate


def write_bias(path: Path, number: int, ifus: tuple[int, ...] = (3, 9, 17), dead: int | None = None) -> Path:
    """A small raw bias: level 1200 adu, noise 3 adu, in a few channels."""
    primary = Header()
    values = {
        "INSTRUME": "MUSE", "EXPTIME": 0.0, "MJD-OBS": 57000.0 + number, "RADECSYS": "FK5",
        "DATE-OBS": f"2014-12-09T00:0{number}:00.000", "ARCFILE": path.name, "ORIGFILE": "MUSE_CAL_BIAS.fits",
        "DPR.CATG": "CALIB", "DPR.TYPE": "BIAS", "DPR.TECH": "IFU", "INS.MODE": "WFM-NOAO-N",
        "DET.BINX": 1, "DET.BINY": 1, "DET.READ.CURID": 1, "DET.READ.CURNAME": "SCI1.0",
    }  # fmt: skip
    for key, value in values.items():
        set_key(primary, key, value)

    def channels() -> object:
        for ifu in ifus:
            header = Header()
            set_key(header, "DET.CHIP.NAME", f"CHAN{ifu:02d}")
            set_key(header, "DET.CHIP.ID", "test")
            set_key(header, "DET.CHIP.LIVE", ifu != dead)
            for port in range(1, 5):
                own = {"X": PORT_X[port - 1], "Y": PORT_Y[port - 1], "NX": NX, "NY": NY, "GAIN": 1.1, "RON": 3.3}
                for key, value in own.items():
                    set_key(header, f"DET.OUT{port}.{key}", value)
            noise = np.random.default_rng([ifu, number]).normal(1200.0, 3.0, (2 * (NY + 64), 2 * (NX + 64)))
            yield ifu, header, np.rint(noise).astype(np.uint16)

    write_raw(path, primary, channels())  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="module")
def biases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    directory = tmp_path_factory.mktemp("raw")
    return tuple(write_bias(directory / f"MUSE.2014-12-09T00:0{n}:00.000.fits", n) for n in range(3))


def frame_set(paths: tuple[Path, ...]) -> FrameSet:
    return FrameSet(tuple(Frame(path, "BIAS") for path in paths))


def run_bias(paths: tuple[Path, ...], output: Path, **parameters: object) -> tuple[object, list[Event]]:
    recipe = get_recipe("muse_bias")
    events: list[Event] = []
    result = run_recipe(recipe, frame_set(paths), recipe.Params.parse(parameters), output, on_event=events.append)
    return result, events


def test_serial_and_parallel_runs_give_the_same_pixels(biases: tuple[Path, ...], tmp_path: Path) -> None:
    serial, parallel = tmp_path / "serial", tmp_path / "parallel"
    serial.mkdir()
    parallel.mkdir()
    one, _ = run_bias(biases, serial, nifu=0)
    two, events = run_bias(biases, parallel, nifu=-1)
    names = [f"MASTER_BIAS-{ifu:02d}.fits" for ifu in (3, 9, 17)]
    assert [product.path.name for product in one.products] == names
    assert [product.path.name for product in two.products] == names
    for ifu, name in zip((3, 9, 17), names, strict=True):
        np.testing.assert_array_equal(read_image(serial / name, ifu).data, read_image(parallel / name, ifu).data)
    assert {event.part.number for event in events if isinstance(event, PartDone)} == {3, 9, 17}
    assert sorted(path.name for path in parallel.iterdir()) == names  # nothing temporary stays


def test_ifus_that_are_not_asked_for_are_left_alone(biases: tuple[Path, ...], tmp_path: Path) -> None:
    recipe = get_recipe("muse_bias")
    params = recipe.Params.parse({"nifu": -1})
    result = run_recipe(recipe, frame_set(biases), params, tmp_path, units=(3, 17, 24))
    assert [part.number for part in result.reduced] == [3, 17]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["MASTER_BIAS-03.fits", "MASTER_BIAS-17.fits"]
    with pytest.raises(MissingInputError, match="no frame has the IFUs that are asked for: 1, 24"):
        run_recipe(recipe, frame_set(biases), params, tmp_path, units=(24, 1))


@pytest.mark.parametrize(
    ("error", "retriable", "kind"),
    [
        (MemoryError("x"), True, "retriable"),
        (OSError(5, "x"), True, "retriable"),
        (OSError(28, "x"), True, "disk_full"),
        (ZeroDivisionError("x"), False, "non_retriable"),
    ],
)
def test_what_the_machine_does_to_an_ifu_may_go_better_another_time_and_what_the_code_does_not(
    biases: tuple[Path, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    retriable: bool,
    kind: str,
) -> None:
    recipe = type(get_recipe("muse_bias"))
    process = recipe.reduce_ifu

    def fail_for_ifu_9(self: object, ifu: int, *rest: object) -> object:
        if ifu == 9:
            raise error
        return process(self, ifu, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(recipe, "reduce_ifu", fail_for_ifu_9)
    result, events = run_bias(biases, tmp_path, nifu=-1)
    assert [part.number for part in result.reduced] == [3, 17]
    (failure,) = result.failures
    assert (failure.part.number, failure.retriable, failure.error_type) == (9, retriable, kind)
    assert failure.message.startswith(type(error).__name__)
    assert [event.failure.part.number for event in events if isinstance(event, PartFailed)] == [9]


def test_frames_that_the_recipe_does_not_take_are_left_alone_and_told(
    biases: tuple[Path, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = get_recipe("muse_bias")
    frames = FrameSet((*frame_set(biases), Frame(tmp_path / "flat.fits", "MASTER_FLAT")))
    with caplog.at_level(logging.WARNING):
        result = run_recipe(recipe, frames, recipe.Params.parse({"nifu": 3}), tmp_path)
    assert result.ok
    assert "MASTER_FLAT flat.fits is not used: muse_bias takes no such frames" in caplog.text


def test_cards_that_no_reader_accepts_are_left_out_and_told_once(
    biases: tuple[Path, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = [tmp_path / path.name for path in biases]
    for path, whole in zip(damaged, biases, strict=True):
        content = whole.read_bytes().replace(b"'test    '", b"'test     ")  # in each channel
        path.write_bytes(content.replace(b"ORIGFILE= '", b"ORIGFILE=  ", 1).replace(b"ARCFILE = ", b"ARCF\xefLE = ", 1))
    with caplog.at_level(logging.WARNING):
        result, _ = run_bias(tuple(damaged), tmp_path, nifu=0)
    told = [record.getMessage() for record in caplog.records if "not every reader" in record.getMessage()]
    assert told == [
        f"{where}: cards that not every reader accepts are not copied into products: {names}"
        for where, names in (
            (f"{damaged[0].name} and 2 more files", "ARCF?LE, ORIGFILE"),
            *[("the header of the data", "DET.CHIP.ID")] * 3,  # of IFUs 3, 9 and 17
        )
    ]
    with fits.open(result.products[0].path, checksum=True) as hdus:
        hdus.verify("exception")
        assert not {"ORIGFILE", "ARCFILE", "ESO DET CHIP ID"} & set(hdus[0].header)


def test_frames_that_are_compressed_as_a_whole_give_the_same_products(
    biases: tuple[Path, ...], tmp_path: Path, lzw: Callable[[bytes], bytes]
) -> None:
    packed = []
    for path, pack, ending in zip(biases, (gzip.compress, lzw, bytes), (".gz", ".Z", ""), strict=True):
        packed.append(tmp_path / f"{path.name}{ending}")
        packed[-1].write_bytes(pack(path.read_bytes()))
    images = []
    for name, paths in (("plain", biases), ("packed", tuple(packed))):
        (tmp_path / name).mkdir()
        result, _ = run_bias(paths, tmp_path / name, nifu=-1)
        images.append([read_image(product.path, product.unit) for product in result.products])
    for plain, other in zip(*images, strict=True):
        np.testing.assert_array_equal(plain.data, other.data)
        np.testing.assert_array_equal(plain.stat, other.stat)
    assert get_key(images[1][0].header, "PRO.REC1.RAW1.NAME", str) == packed[0].name


def test_parameters_that_do_nothing_are_told(
    biases: tuple[Path, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run_bias(biases, tmp_path, nifu=3, nlow=2, lsigma=4.0)
    assert "parameter nlow does nothing without combine=minmax" in caplog.text
    assert "lsigma" not in caplog.text  # sigclip is the default


def test_a_combination_that_does_not_fit_the_number_of_frames_is_refused_before_anything_runs(
    biases: tuple[Path, ...], tmp_path: Path
) -> None:
    with pytest.raises(ParameterError, match="minmax"):
        run_bias(biases, tmp_path, nifu=3, combine="minmax", nlow=2, nhigh=1, nkeep=1)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_given_twice_is_one_exposure(
    biases: tuple[Path, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    link = tmp_path / "link.fits"
    link.symlink_to(biases[0])
    (tmp_path / "out").mkdir()
    with caplog.at_level(logging.WARNING):
        run_bias((*biases, link), tmp_path / "out", nifu=9)
    assert "BIAS link.fits is given more than once, it is used once" in caplog.text
    header = read_image(tmp_path / "out" / "MASTER_BIAS-09.fits", 9).header
    assert header["ESO QC BIAS MASTER2 RON"] == pytest.approx(3.3, rel=0.1)
    with pytest.raises(MissingInputError, match="BIAS"):
        run_bias((biases[0],) * 3, tmp_path / "out", nifu=9)


@pytest.mark.parametrize("nifu", [0, 9])
def test_a_raw_frame_that_cannot_be_read_is_left_out(
    biases: tuple[Path, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture, nifu: int
) -> None:
    (tmp_path / "text.fits").write_text("no FITS")
    (tmp_path / "out").mkdir()
    with caplog.at_level(logging.WARNING):
        result, _ = run_bias((tmp_path / "text.fits", *biases), tmp_path / "out", nifu=nifu)
    assert result.ok
    assert "text.fits is not used: the file does not start with SIMPLE" in caplog.text
    with pytest.raises(BadFitsError, match="not FITS"):
        run_bias(
            tuple(Path(shutil.copy(tmp_path / "text.fits", tmp_path / f"{n}.fits")) for n in range(3)), tmp_path / "out"
        )


def test_merge_replaces_the_single_files(biases: tuple[Path, ...], tmp_path: Path) -> None:
    result, _ = run_bias(biases, tmp_path, nifu=0, merge=True)
    assert [path.name for path in tmp_path.iterdir()] == ["MASTER_BIAS.fits"]
    assert [product.unit for product in result.products] == [None]
    assert read_image(tmp_path / "MASTER_BIAS.fits", 9).header["ESO QC BIAS MASTER2 RON"] == pytest.approx(3.3, rel=0.1)


def test_merge_has_no_effect_on_a_single_ifu(
    biases: tuple[Path, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_bias(biases, tmp_path, nifu=9, merge=True)
    assert "parameter merge does nothing with a single part (IFU 9)" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["MASTER_BIAS-09.fits"]


def test_provenance_is_that_of_the_data_interface_document(biases: tuple[Path, ...], tmp_path: Path) -> None:
    run_bias(biases, tmp_path, nifu=3)
    header = fits.getheader(tmp_path / "MASTER_BIAS-03.fits")
    assert header["ESO PRO CATG"] == "MASTER_BIAS"
    assert header["ESO PRO ANCESTOR"] == biases[0].name
    assert header["ESO PRO DATANCOM"] == 3
    assert [header[f"ESO PRO REC1 RAW{i} NAME"] for i in (1, 2, 3)] == [path.name for path in biases]
    assert header["ESO PRO REC1 PARAM1 NAME"] == "nifu"
    assert header["ESO PRO REC1 PARAM1 VALUE"] == "3"
    assert header.comments["ESO PRO REC1 PARAM2 VALUE"] == "Default: 'vpoly'"
    assert header["RADESYS"] == "FK5"
    for gone in ("RADECSYS", "ORIGFILE", "ESO DPR TYPE", "ESO DET OUT1 PRSCX"):
        assert gone not in header
    assert header["PIPEFILE"] == "MASTER_BIAS-03.fits"


def test_serial_loop_stops_at_the_first_failure_and_the_parallel_one_tries_all(tmp_path: Path) -> None:
    # IFU 9 is only in one of three frames: too few for the clipping
    raw = tmp_path / "raw"
    raw.mkdir()
    paths = tuple(
        write_bias(raw / f"MUSE.2014-12-09T00:0{n}:00.000.fits", n, (3, 9, 17) if n == 0 else (3, 17)) for n in range(3)
    )
    serial, _ = run_bias(paths, tmp_path, nifu=0)
    assert [product.unit for product in serial.products] == [3]
    parallel, events = run_bias(paths, tmp_path, nifu=-1)
    assert [product.unit for product in parallel.products] == [3, 17]
    for result in (serial, parallel):
        (failure,) = result.failures
        assert failure.part.number == 9
        assert failure.message
        assert not result.ok
    assert [event.failure.part.number for event in events if isinstance(event, PartFailed)] == [9]


def test_too_few_frames_are_refused_before_anything_runs(biases: tuple[Path, ...], tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="needs at least 3 BIAS"):
        run_bias(biases[:2], tmp_path)
    assert not list(tmp_path.iterdir())


# -- the command line --------------------------------------------------------------------------------------------


def test_muserex_runs_the_line_of_the_manual(
    biases: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bias.sof").write_text(format_sof((path, "BIAS") for path in biases))
    assert (
        muserex.main(["--log-file=bias.log", "--msg-level=off", "muse_bias", "--nifu=-1", "--merge", "bias.sof"]) == 0
    )
    assert capsys.readouterr().out == "MASTER_BIAS.fits MASTER_BIAS\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["MASTER_BIAS.fits", "bias.log", "bias.sof"]
    lines = Path("bias.log").read_text().splitlines()
    assert any("[ INFO  ] muse_bias: [ifu=17] " in line for line in lines)
    text = "\n".join(lines)
    assert all(f"muse_bias: input BIAS: {path}" in text for path in biases)
    assert text.count("[ifu=17] combining") == 1  # a step, however often its progress is told
    assert "[ifu=17] saved MASTER_BIAS: MASTER_BIAS-17.fits" in text


def test_help_of_a_recipe_shows_present_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "muse_bias.rc"
    assert muserex.main([f"--create-config={file}", "muse_bias", "--nifu=7", "--combine=median"]) == 0
    assert muserex.main([f"--recipe-config={file}", "--help", "muse_bias", "--combine=average"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "[7; else 0]" in said
    assert "[average; else sigclip]" in said
    assert muserex.main([f"--create-config={file}", "muse_bias"]) == 1
    assert "the file exists" in capsys.readouterr().err


def test_options_come_from_a_file_of_the_reference_too(
    biases: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bias.sof").write_text(format_sof((path, "BIAS") for path in biases))
    Path("esorex.rc").write_text("esorex.caller.output-dir=here\nesorex.caller.msg-level=off\n")
    assert muserex.main(["--config=esorex.rc", "--suppress-prefix", "muse_bias", "--nifu=17", "bias.sof"]) == 0
    assert [path.name for path in Path("here").iterdir()] == ["MASTER_BIAS-17.fits"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["muse_bias", "--combine=mean", "x.sof"], "combine takes one of average, median, minmax, sigclip"),
        (["muse_bias", "--overscan=poly", "x.sof"], "overscan"),
        (["muse_bias", "--novar=1", "x.sof"], "there is no parameter novar"),
        (["muse_bias"], "needs a set of frames"),
        (["muse_bios", "x.sof"], "there is no recipe muse_bios"),
        (["--loglevel=info", "muse_bias", "x.sof"], "there is no option --loglevel"),
        (
            ["muse_bias", "--output-dir=x", "x.sof"],
            "before the recipe (muserex --output-dir=... muse_bias ...)",
        ),
        (["muse_bias", "--version", "x.sof"], "give it before the recipe (muserex --version muse_bias ...)"),
        (["--msg-level=loud", "muse_bias", "x.sof"], "msg-level=loud is not accepted"),
        (["muse_flat", "--smples", "x.sof"], "there is no parameter smples"),
        (["muse_bias", "--overscan=vpoly:31", "x.sof"], "an order from 0 to 30"),
    ],
)
def test_mistakes_are_named_on_one_line(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert muserex.main(arguments) == 1
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.err.count("\n") == 1


def test_what_cannot_be_written_is_found_out_before_anything_runs(
    biases: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bias.sof").write_text(format_sof((path, "BIAS") for path in biases))
    Path("file").write_text("not a directory")
    for option in ("--output-dir=file", "--output-dir=file/below", "--log-dir=file", "--log-file=nowhere/x.log"):
        words = [option, *(["--log-file=x.log"] if "log-dir" in option else []), "muse_bias", "--nifu=3", "bias.sof"]
        assert muserex.main(words) == 1, option
        message = capsys.readouterr().err
        assert message.startswith("muserex: the "), message
        assert message.count("\n") == 1, message
    monkeypatch.setattr("core.recipes.muserex.os.access", lambda path, mode: False)  # root may write everywhere
    assert muserex.main(["muse_bias", "--nifu=3", "bias.sof"]) == 1
    assert "cannot be written to" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bias.sof", "file"]


def test_the_log_of_before_stays_if_the_command_line_is_wrong(
    biases: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("keep.log").write_text("precious")
    Path("bias.sof").write_text(format_sof((path, "BIAS") for path in biases))
    assert muserex.main(["--log-file=keep.log", "muse_bias", "--nifu=99", "bias.sof"]) == 1
    assert Path("keep.log").read_text() == "precious"


def test_a_terminated_run_leaves_no_file_half_written(biases: tuple[Path, ...], tmp_path: Path) -> None:
    (tmp_path / "bias.sof").write_text(format_sof((path, "BIAS") for path in biases))
    code = """if True:
        import os, signal, sys
        from core.fitsfile import writer
        from core.recipes import muserex
        write_at = writer.write_at
        def then_the_signal_comes(*rest):
            write_at(*rest)
            os.kill(os.getpid(), signal.SIGTERM)
        writer.write_at = then_the_signal_comes
        muserex.command()
    """
    run = subprocess.run(
        [sys.executable, "-c", code, "muse_bias", "--nifu=3", "bias.sof"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 130
    assert "interrupted" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bias.sof"]


def test_help_texts_come_from_the_declaration(capsys: pytest.CaptureFixture[str]) -> None:
    assert muserex.main(["--recipes"]) == 0
    assert "muse_bias" in capsys.readouterr().out
    assert muserex.main(["--params", "muse_bias"]) == 0
    listed = capsys.readouterr().out
    for info in get_recipe("muse_bias").Params.listing():
        assert not info.hidden
        assert f"--{info.name}" in listed
    assert muserex.main(["--help", "muse_bias"]) == 0
    assert "QC.BIAS.MASTER{quadrant}.RON" in capsys.readouterr().out


# -- the child process of the workers -----------------------------------------------------------------------------


def test_a_job_reports_events_and_a_result(biases: tuple[Path, ...], tmp_path: Path) -> None:
    job = {
        "recipe": "muse_bias",
        "parameters": {"nifu": -1},
        "frames": [{"path": str(path), "tag": "BIAS"} for path in biases],
        "output_dir": str(tmp_path),
        "log_file": str(tmp_path / "job.log"),
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    done = _run_job(tmp_path / "job.json")
    assert done.returncode == 0, done.stderr
    events = [parse_event(line.encode()) for line in done.stdout.splitlines()]
    assert events[0] == RunStarted("muse_bias", tuple(map(ifu_part, (3, 9, 17))))
    last = events[-1]
    assert isinstance(last, RunDone)
    assert [product.path.name for product in last.result.products] == [
        f"MASTER_BIAS-{ifu:02d}.fits" for ifu in (3, 9, 17)
    ]
    assert last.result.peak_mb > 10
    assert [part.number for part, cost in last.result.parts if cost.peak_mb > 10] == [3, 9, 17]
    assert "saved MASTER_BIAS: MASTER_BIAS-03.fits" in (tmp_path / "job.log").read_text()


def test_a_job_that_cannot_start_tells_its_error_type(tmp_path: Path) -> None:
    job = {"recipe": "muse_bias", "frames": [], "output_dir": str(tmp_path)}
    (tmp_path / "job.json").write_text(json.dumps(job))
    done = _run_job(tmp_path / "job.json")
    assert done.returncode == 1
    event = parse_event(done.stdout.splitlines()[-1].encode())
    assert isinstance(event, RunError)
    assert (event.error_type, event.retriable) == ("missing_input", False)


def _run_job(job_file: Path) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-m", "core.recipes.run_job", str(job_file)],
        cwd=root, env={**os.environ, "OMP_NUM_THREADS": "2"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
