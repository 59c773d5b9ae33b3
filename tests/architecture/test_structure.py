"""The house rules that a machine can hold: imports, asset names, what is tracked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from data_contracts.tables import TABLES
from pipelines.definitions import defs

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("data_contracts", "analyses", "reports", "assets", "pipelines")


def test_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_asset_name_states_its_layer_and_its_group_agrees() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        name = key.to_user_string()
        layer = name.partition("_")[0]
        assert layer in {"raw", "core", "out"}, name
        group = graph.get(key).group_name
        assert group == ("notebooks" if "notebook" in name else layer), name


def test_every_declared_table_is_produced_by_an_asset_with_its_checks() -> None:
    graph = defs.resolve_asset_graph()
    produced = {k.to_user_string() for k in graph.get_all_asset_keys()}
    checked = {(c.asset_key.to_user_string(), c.name) for c in graph.asset_check_keys}
    for table in TABLES.values():
        assert table.produced_by in produced, table.name
        assert (table.produced_by, "as_declared") in checked, table.name


def test_partitions_are_as_declared() -> None:
    graph = defs.resolve_asset_graph()
    for table in TABLES.values():
        node = graph.get(dg.AssetKey(table.produced_by))
        partition = getattr(node.partitions_def, "name", "none")
        assert partition == table.partition.value, table.name


def test_jobs_are_there() -> None:
    names = {job.name for job in defs.resolve_all_job_defs()}
    assert {"refresh_wave", "yearly_report"} <= names


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_say_what_belongs_in_them_and_import_absolutely(package: str) -> None:
    for path in sorted((ROOT / package).rglob("*.py")):
        text = path.read_text("utf-8")
        if "notebooks" in path.parts and path.name != "__init__.py":
            continue  # a notebook starts with its front matter
        assert text.startswith('"""'), path
        assert not re.search(r"^\s*from \.", text, re.MULTILINE), path


def test_no_person_and_no_machine_is_tracked() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    data = [f for f in tracked if f.endswith((".duckdb", ".parquet", ".key", ".sav"))]
    assert data == []
    assert not [f for f in tracked if f.endswith(".ipynb")]
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pin = re.compile(r'^[a-z0-9-]+==[0-9][\w.]*(; python_version [<>=]+ "3\.12")?$')
    assert [x for x in lines if not x.startswith("#") and not pin.match(x)] == []
