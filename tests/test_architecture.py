"""The shape of the whole: which way imports point, what is marked, where the clock is read."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import grimp
from flask import Flask

import authsvc
from authsvc.core import db

PACKAGE = Path(authsvc.__file__).parent
GRAPH = grimp.build_graph("authsvc")
SHARED = frozenset({"core", "policy", "adapters"})  # not slices: their modules are used one by one
MAY_REACH_IN = frozenset({"authsvc.app"})
MAY_READ_THE_CLOCK = frozenset({"app.py", "cli.py", "worker.py", "core/counters.py"})  # the last for a library


def slice_of(module: str) -> str:
    """`authsvc.totp.models` belongs to `totp`."""
    return module.partition(".")[2].partition(".")[0]


def exported(slice_name: str) -> set[str]:
    """What a slice's cover page offers."""
    return set(getattr(importlib.import_module(f"authsvc.{slice_name}"), "__all__", ()))


def test_imports_point_downward_and_policy_is_pure() -> None:
    # In a process of its own: it silences every log that was made before.
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_slice_is_used_through_its_cover_page() -> None:
    reaching_in = [
        f"{importer} imports {imported}"
        for importer in sorted(GRAPH.modules - MAY_REACH_IN)
        for imported in sorted(GRAPH.find_modules_directly_imported_by(importer))
        if imported.count(".") > 1
        and slice_of(imported) not in SHARED | {slice_of(importer)}
        and imported.rpartition(".")[2] not in exported(slice_of(imported))
    ]
    assert reaching_in == []


def test_row_classes_stay_inside_their_slice_but_for_the_one_to_join() -> None:
    seen_elsewhere = [
        f"{module} knows {value.__module__}.{value.__name__} as {name}"
        for module in sorted(GRAPH.modules)
        for name, value in vars(importlib.import_module(module)).items()
        if inspect.isclass(value)
        and issubclass(value, db.Row)
        and value is not db.Row
        and slice_of(value.__module__) != slice_of(module)
        and name != "AccountRow"  # exported to be joined
    ]
    assert seen_elsewhere == []


def test_the_row_that_others_join_is_written_by_its_slice_alone() -> None:
    written = [
        f"{path.relative_to(PACKAGE)}: {found.group()}"
        for path in PACKAGE.rglob("*.py")
        for found in re.finditer(
            r"\b(insert|update|delete)\((\w+\.)?AccountRow\b|\bAccountRow\(", path.read_text("utf-8")
        )
    ]
    assert written == []


def test_the_clock_is_read_at_the_edge_only() -> None:
    readers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(call in path.read_text(encoding="utf-8") for call in ("datetime.now(", "time.time(", ".today("))
    }
    assert readers <= MAY_READ_THE_CLOCK


def test_every_route_says_who_may_call_it(app: Flask) -> None:
    unmarked = [
        f"{rule.rule} ({rule.endpoint})"
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static" and not hasattr(app.view_functions[rule.endpoint], "access")
    ]
    assert unmarked == []


def test_every_module_says_what_it_owns() -> None:
    silent = [module for module in sorted(GRAPH.modules) if not importlib.import_module(module).__doc__]
    assert silent == []
