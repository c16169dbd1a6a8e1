"""The filters of a build, as they describe themselves."""
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def described(folder):
    """By name, what `--describe` of each filter in the folder of binaries says."""
    names = sorted(path.parent.name for path in (ROOT / "processors").glob("*/main.c") if path.parent.name != "holdfast")
    return {name: json.loads(subprocess.run([folder / name, "--describe"], capture_output=True, text=True, check=True).stdout) for name in names}


def views(filters):
    return [name for name, filter_ in filters.items() if filter_["routes"]]


def stateful(filters):
    return [name for name, filter_ in filters.items() if filter_["rows"]]


def replayed(filters):
    """Whose outputs follow from their input alone: no row of them comes due."""
    return [name for name, filter_ in filters.items() if not any(row["due"] for row in filter_["rows"])]
