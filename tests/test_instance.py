"""The example of a configuration shows every setting, its default and its meaning."""

import json
from dataclasses import fields
from pathlib import Path

from authsvc.core.config import Settings

EXAMPLE = Path(__file__).parents[1] / "instance" / "config.example.toml"
HEAD = "# Every setting with its default. Copy this file to config.toml and keep the lines you change.\n"


def expected() -> str:
    """The file as it should be."""
    return HEAD + "".join(
        f"\n# {field.metadata['doc']}\n# {field.name} = {json.dumps(field.default, ensure_ascii=False)}\n"
        for field in fields(Settings)
    )


def test_the_example_configuration_lists_every_setting() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == expected(), (
        f".venv/bin/python -m tests.test_instance > instance/{EXAMPLE.name} brings it up to date"
    )


if __name__ == "__main__":
    print(expected(), end="")  # noqa: T201
