"""Side by side with the reference pipeline, where it is installed: same frames, same options, both directions."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.formats.image import read_image

pytestmark = [
    pytest.mark.esorex,
    pytest.mark.skipif(shutil.which("esorex") is None, reason="the reference pipeline is not installed"),
]


@pytest.fixture
def esorex(tmp_path):
    def run(name: str, pairs: list[tuple[Path, str]], **values: object) -> tuple[dict[str, Path], str]:
        folder = tmp_path / f"esorex{len(list(tmp_path.glob('esorex*')))}"
        folder.mkdir()
        (folder / "in.sof").write_text("".join(f"{path} {tag}\n" for path, tag in pairs))
        options = [f"--{key}={str(value).lower()}" for key, value in values.items()]
        done = subprocess.run(
            ["esorex", "--log-dir=.", name, "--nifu=1", *options, "in.sof"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return {path.name.rsplit("-", 1)[0]: path for path in folder.glob("*-01.fits")}, done.stdout

    return run


def compare(ours: Path, theirs: Path, *, relative: float, absolute: float) -> None:
    """Pixels within float32 rounding, equal flags, QC within 2e-5."""
    a, b = read_image(ours, 1), read_image(theirs, 1)
    assert np.allclose(a.data, b.data, rtol=relative, atol=absolute)
    assert np.allclose(a.stat, b.stat, rtol=1e-5)
    assert np.array_equal(a.dq, b.dq)
    keys = [key for key in b.header if key.startswith(("ESO QC", "ESO DRS")) and "POLY Y" not in key]
    assert set(keys) == {key for key in a.header if key.startswith(("ESO QC", "ESO DRS")) and "POLY Y" not in key}
    for key in keys:
        # Slopes near zero are differences of float32 sums in the reference.
        tolerance = 1e-6 if "SLOPE" in key else absolute
        assert a.header[key] == pytest.approx(b.header[key], rel=2e-5, abs=tolerance), key


# A cubic keeps the reference's polynomials in plain powers well conditioned.
OPTIONS = [
    {"overscan": "vpoly:3"},
    {"overscan": "vpoly:3", "combine": "median"},
    {"overscan": "vpoly:3", "combine": "average", "ovscreject": "none", "ovscignore": 10},
    {"overscan": "vpoly:3,1.001,1.01", "combine": "minmax", "nlow": 1, "nhigh": 2, "ovscsigma": 2.0},
    {"overscan": "vpoly:3", "lsigma": 1.5, "hsigma": 2.0, "ovscreject": "fit:2.5"},
    {"overscan": "vpoly:3", "losigmabadpix": 3.0, "hisigmabadpix": 10.0, "ovscreject": "dcr:64,16,2,1.2"},
    {"overscan": "none"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda item: ",".join(map(str, item.values())))
def test_master_bias_with_options(reference_biases, run_one, esorex, options):
    pairs = [(path, "BIAS") for path in reference_biases[1]]
    theirs, _ = esorex("muse_bias", pairs, **options)
    ours = run_one("muse_bias", pairs, **options)
    compare(ours["MASTER_BIAS"], theirs["MASTER_BIAS"], relative=1e-6, absolute=1e-5)


@pytest.mark.parametrize("options", [{}, {"combine": "median", "hotsigma": 4.0}, {"overscan": "offset"}], ids=str)
def test_masters_are_exchanged(reference_biases, reference_darks, run_one, esorex, options):
    biases = [(path, "BIAS") for path in reference_biases[1]]
    darks = [(path, "DARK") for path in reference_darks[1]]
    our_bias = run_one("muse_bias", biases)["MASTER_BIAS"]
    their_bias = esorex("muse_bias", biases)[0]["MASTER_BIAS"]
    for bias in (our_bias, their_bias):
        pairs = [*darks, (bias, "MASTER_BIAS")]
        theirs, output = esorex("muse_dark", pairs, **options)
        ours = run_one("muse_dark", pairs, **options)
        compare(ours["MASTER_DARK"], theirs["MASTER_DARK"], relative=1e-5, absolute=5e-5)
        assert fits.getheader(theirs["MASTER_DARK"])["ESO PRO REC1 CAL1 NAME"] == bias.name
        # Overscan parameters are read from either header; they differ only where this test makes them differ.
        assert ("overscan parameters differ" in output) == ("overscan" in options)
