"""Sealing, digests and the key file."""

import base64
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from authsvc.core import crypto


def key_line(name: str) -> str:
    """One line of a key file."""
    return f"{name} {base64.b64encode(secrets.token_bytes(32)).decode()}\n"


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Path]:
    """A key file, in force."""
    path = tmp_path / "keys"
    app = Flask("test")
    app.extensions["authsvc.keys"] = crypto.load_keys(path, create=True)
    with app.app_context():
        yield path


def use(path: Path) -> None:
    """Put the file's present keys in force."""
    from flask import current_app

    current_app.extensions["authsvc.keys"] = crypto.load_keys(path, create=False)


def test_what_is_sealed_opens_again_for_its_purpose_only(keys: Path) -> None:
    blob = crypto.seal(b"a seed", "totp")
    assert b"a seed" not in blob
    assert crypto.unseal(blob, "totp") == b"a seed"
    with pytest.raises(crypto.SealBroken):
        crypto.unseal(blob, "mail")


def test_a_changed_value_does_not_open(keys: Path) -> None:
    blob = crypto.seal(b"a seed", "totp")
    for place in range(len(blob)):
        broken = blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]
        with pytest.raises(crypto.SealBroken):
            crypto.unseal(broken, "totp")
    for cut in (b"", blob[:1], blob[:10], blob[:-1]):
        with pytest.raises(crypto.SealBroken):
            crypto.unseal(cut, "totp")


def test_a_new_key_on_top_seals_and_the_old_one_still_opens(keys: Path) -> None:
    blob, digest = crypto.seal(b"a seed", "totp"), crypto.keyed_digest("code", "1234")
    keys.write_text(key_line("newer") + keys.read_text())
    use(keys)
    assert crypto.unseal(blob, "totp") == b"a seed"
    assert b"newer" in crypto.seal(b"a seed", "totp")
    assert crypto.keyed_digest("code", "1234") != digest
    assert digest in crypto.keyed_digests("code", "1234")


def test_a_dropped_key_opens_nothing(keys: Path) -> None:
    blob = crypto.seal(b"a seed", "totp")
    keys.write_text(key_line("newer"))
    use(keys)
    with pytest.raises(crypto.SealBroken):
        crypto.unseal(blob, "totp")


def test_a_digest_depends_on_purpose_and_parts(keys: Path) -> None:
    found = {
        crypto.keyed_digest("a", "x", "y"),
        crypto.keyed_digest("b", "x", "y"),
        crypto.keyed_digest("a", "xy"),
        crypto.keyed_digest("a", "y", "x"),
    }
    assert len(found) == 4


def test_the_key_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "keys"
    first = crypto.load_keys(path, create=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert crypto.load_keys(path, create=True) == first


@pytest.mark.parametrize("text", ["", "id", "id notbase64!", "id c2hvcnQ=", "a" * 21 + " " + "A" * 43 + "="])
def test_an_unusable_key_file_stops_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ValueError, match=r".+"):
        crypto.load_keys(tmp_path / "keys", create=False)


def test_the_same_id_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(key_line("a") + key_line("a"))
    with pytest.raises(ValueError, match="line 2"):
        crypto.load_keys(tmp_path / "keys", create=False)


def test_codes_have_all_their_digits() -> None:
    codes = {crypto.random_digits(8) for _ in range(200)}
    assert {len(code) for code in codes} == {8}
    assert len(codes) == 200
