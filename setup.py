"""What pyproject.toml cannot say: the folder of the migrations is installed inside core.archive, not beside it."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["core", "core.*", "service", "service.*", "workers", "workers.*"]),
        "core.archive._migrations",
        "core.archive._migrations.versions",
    ],
    package_dir={"core.archive._migrations": "migrations"},
)
