"""Settings: read once, typed, and never silently wrong."""

from pathlib import Path

import pytest

from authsvc.core.config import SettingError, Settings, load


def test_nothing_set_gives_the_defaults(tmp_path: Path) -> None:
    settings = load({"AUTHSVC_INSTANCE_PATH": str(tmp_path)})
    assert settings.base_url == "http://localhost:8000"
    assert settings.database == f"sqlite:///{tmp_path / 'authsvc.sqlite3'}"
    assert settings.sealing_keys == tmp_path / "sealing-keys"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('mail_from = "a@a.example"\nworkers = 3\nopen_registration = true\n')
    settings = load({"AUTHSVC_INSTANCE_PATH": str(tmp_path), "AUTHSVC_MAIL_FROM": "b@b.example"})
    assert (settings.mail_from, settings.workers, settings.open_registration) == ("b@b.example", 3, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTHSVC_BASE_URI", "http://localhost"),
        ("AUTHSVC_WORKERS", "many"),
        ("AUTHSVC_WORKERS", "-1"),
        ("AUTHSVC_OPEN_REGISTRATION", "maybe"),
        ("AUTHSVC_BASE_URL", "http://id.example"),
        ("AUTHSVC_BASE_URL", "https://id.example/path"),
        ("AUTHSVC_BASE_URL", "ftp://localhost"),
        ("AUTHSVC_BASE_URL", "https://ID.example"),
        ("AUTHSVC_BASE_URL", "https://id.example:443"),
        ("AUTHSVC_BASE_URL", "https://a@id.example"),
        ("AUTHSVC_PASSWORD_MIN_LENGTH", "7"),
        ("AUTHSVC_MAILED_CODE", "never"),
        ("AUTHSVC_DATABASE_URL", "mysql://x"),
        ("AUTHSVC_SMTP_URL", "http://x"),
        ("AUTHSVC_METRICS_TOKEN", "short"),
        ("AUTHSVC_ALLOWED_AAGUIDS", "blue key"),
        ("AUTHSVC_ALLOWED_AAGUIDS", "2fc0579f-8113-47ea-b116-bb5a8db9202a"),  # without roots to check it against
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingError) as error:
        load({"AUTHSVC_INSTANCE_PATH": str(tmp_path), name: value})
    assert name.removeprefix("AUTHSVC_").lower() in str(error.value).lower()


@pytest.mark.parametrize("text", ["workers = ", "wrokers = 3", 'workers = "3x"', "workers = true"])
def test_a_wrong_file_stops_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(SettingError):
        load({"AUTHSVC_INSTANCE_PATH": str(tmp_path)})


def test_https_makes_cookies_secure() -> None:
    assert Settings(base_url="https://id.example").secure
    assert not Settings().secure
    assert not Settings(base_url="https://id.example").is_loopback
