"""A built wheel carries all it needs and starts from an empty folder.

Its dependencies come from this environment, by path: downloading them again would test the index, not us.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tests import servers

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment that holds the wheel."""
    source, wheels, home = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "home"))
    shutil.copytree(ROOT / "authsvc", source / "authsvc", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    build = [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(wheels), str(source)]
    subprocess.run(build, check=True)
    venv.create(home, with_pip=False)
    programs = home / "bin"
    install = [*pip, "--python", str(programs / "python"), "install", *offline, *map(str, wheels.iterdir())]
    subprocess.run(install, check=True)
    (there,) = home.glob("lib/python*/site-packages")
    (there / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


@pytest.mark.slow
def test_an_installed_wheel_serves_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    port = servers.free_port()
    origin = f"http://localhost:{port}"
    environ = {"PATH": os.environ["PATH"], "AUTHSVC_BASE_URL": origin}
    command = [str(installed / "authsvc"), "serve", "--port", str(port)]
    with servers.program(command, ready="Started worker", cwd=tmp_path, env=environ), requests.Session() as session:
        # The server says that it started a moment before it listens.
        session.mount(origin, HTTPAdapter(max_retries=Retry(connect=8, backoff_factor=0.1)))
        for path in ("/login", "/healthz", "/static/style.css"):
            assert (path, session.get(origin + path, timeout=10).status_code) == (path, 200)
    assert {entry.name for entry in tmp_path.iterdir()} == {"instance"}
