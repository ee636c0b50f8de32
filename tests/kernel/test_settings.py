"""Settings: precedence, origins, nearest names, secrets only by reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from ruxa.kernel import settings
from ruxa.kernel.errors import InvalidCall


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ruxa.toml"
    path.write_text(text)
    return path


def test_defaults_need_no_file(tmp_path: Path) -> None:
    loaded = settings.load(env={}, cwd=tmp_path)
    assert (loaded.host, loaded.port, loaded.role, loaded.demo) == ("127.0.0.1", 8000, "all", True)
    assert loaded.data == tmp_path / ".ruxa"
    assert loaded.keys == tmp_path / ".ruxa-keys"
    assert set(loaded.origins.values()) == {"default"}


def test_each_source_beats_the_one_before(tmp_path: Path) -> None:
    _file(tmp_path, "port = 1000\nworkers = 2\nhost = '127.0.0.2'\n[mail]\nurl = 'smtp://a:25'\n")
    env = {"RUXA_PORT": "2000", "RUXA_HOST": "127.0.0.3", "RUXA_MAIL__URL": "smtp://b:25"}
    loaded = settings.load(env=env, flags={"port": 3000, "host": None}, cwd=tmp_path)
    assert (loaded.port, loaded.host, loaded.workers) == (3000, "127.0.0.3", 2)
    assert loaded.mail.url == "smtp://b:25"
    assert loaded.origins["port"] == "--port"
    assert loaded.origins["host"] == "RUXA_HOST"
    assert loaded.origins["workers"] == "ruxa.toml"
    assert loaded.origins["mail.url"] == "RUXA_MAIL__URL"
    assert loaded.origins["body_bytes_max"] == "default"


def test_keys_follow_the_data_directory_until_set(tmp_path: Path) -> None:
    assert settings.load(env={"RUXA_DATA": "d"}, cwd=tmp_path).keys == tmp_path / "d-keys"
    assert settings.load(env={"RUXA_DATA": "d", "RUXA_KEYS": "k"}, cwd=tmp_path).keys == tmp_path / "k"
    with pytest.raises(InvalidCall, match="outside the data directory"):
        settings.load(env={"RUXA_DATA": "d", "RUXA_KEYS": "d/k"}, cwd=tmp_path)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("prot = 1", "port"),
        ("[mail]\nurll = 'x'", "mail.url"),
        ("[providers.openai]\nbaseurl = 'x'", "providers.openai.base_url"),
        ('[models."openai/gpt-5.1"]\noutput_token_max = 5', "models.openai/gpt-5.1.output_tokens_max"),
        ("[provider.openai]\nkey = 'env:X'", "providers"),
        ("origins = 1", "?"),
    ],
)
def test_an_unknown_key_names_the_nearest(tmp_path: Path, text: str, nearest: str) -> None:
    _file(tmp_path, text)
    with pytest.raises(InvalidCall, match=r"Unknown setting") as caught:
        settings.load(env={}, cwd=tmp_path)
    if nearest != "?":
        assert f"did you mean {nearest}" in caught.value.public


def test_a_mistyped_variable_names_the_nearest_and_strangers_are_left_alone(tmp_path: Path) -> None:
    with pytest.raises(InvalidCall, match="did you mean RUXA_WORKERS"):
        settings.load(env={"RUXA_WORKER": "2"}, cwd=tmp_path)
    with pytest.raises(InvalidCall, match=r"RUXA_MAIL__UR in the environment; did you mean mail.url"):
        settings.load(env={"RUXA_MAIL__UR": "x"}, cwd=tmp_path)
    settings.load(env={"RUXA_OPENAI_SECRET": "sk", "RUXA_TEST_LONG": "1", "RUXA_API_KEY": "x"}, cwd=tmp_path)


def test_a_contact_is_a_mail_or_https_address(tmp_path: Path) -> None:
    for good in ("security@example.com", "https://example.com/contact"):
        assert settings.load(env={"RUXA_CONTACT": good}, cwd=tmp_path).contact == good
    for bad in ("call us", "http://example.com", "a@b", "https://example.com\nContact: x", "javascript:alert(1)"):
        with pytest.raises(InvalidCall, match="contact must be"):
            settings.load(env={"RUXA_CONTACT": bad}, cwd=tmp_path)


def test_a_clients_key_in_the_environment_is_no_setting(tmp_path: Path) -> None:
    loaded = settings.load(env={"RUXA_KEY": "rx_live_canary"}, cwd=tmp_path)
    assert loaded == settings.load(env={}, cwd=tmp_path)
    assert all("canary" not in value for _, value, _ in settings.explain(loaded))


@pytest.mark.parametrize(
    "text",
    [
        "[providers.openai]\nkey = 'sk-live-canary'",
        "[payments.stripe]\nwebhook_secret = 'sk-live-canary'",
        "metrics_token = 'sk-live-canary'",
    ],
)
def test_a_secret_in_the_open_is_refused_without_being_repeated(tmp_path: Path, text: str) -> None:
    _file(tmp_path, text)
    with pytest.raises(InvalidCall, match="env:NAME or file:PATH") as caught:
        settings.load(env={}, cwd=tmp_path)
    assert "canary" not in caught.value.public


def test_secrets_are_read_where_they_are_used_and_shown_as_fingerprints(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-file\n")
    _file(
        tmp_path,
        f"database_url = 'postgresql://u:open-sesame@h/db'\n[providers.openai]\nkey = 'env:K'\n"
        f"[providers.anthropic]\nkey = 'file:{tmp_path}/secret'\n[providers.google]\nkey = 'env:ABSENT'\n",
    )
    env = {"K": "from-env"}
    loaded = settings.load(env=env, cwd=tmp_path)
    assert settings.read_secret("env:K", env=env) == "from-env"
    assert settings.read_secret(f"file:{tmp_path}/secret") == "from-file"
    with pytest.raises(InvalidCall, match="ABSENT is not set"):
        settings.read_secret("env:ABSENT", env=env)
    shown = {name: value for name, value, _ in settings.explain(loaded, env=env)}
    assert shown["providers.openai.key"] == f"env:K (sha256 {settings.fingerprint('from-env')})"
    assert shown["providers.google.key"] == "env:ABSENT (not set)"
    for secret in ("from-env", "from-file", "open-sesame"):
        assert secret not in repr(shown)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("port = 'x'", "port"),
        ("port = 70000", "65535"),
        ("workers = 0", "workers"),
        ("role = 'everything'", "role"),
        ("[egress]\nallow_loopback = 3", "egress.allow_loopback"),
        ("mail = 3", r"\[mail\] must be a table"),
        ("x = [", "not TOML"),
        ('[models."a/b"]\ninput_micros_per_mtok = -1', "must not be negative"),
    ],
)
def test_a_wrong_value_says_which_setting(tmp_path: Path, text: str, says: str) -> None:
    _file(tmp_path, text)
    with pytest.raises(InvalidCall, match=says):
        settings.load(env={}, cwd=tmp_path)


def test_a_named_file_must_exist_and_texts_become_values(tmp_path: Path) -> None:
    with pytest.raises(InvalidCall, match=r"no settings file"):
        settings.load(env={"RUXA_CONFIG": "absent.toml"}, cwd=tmp_path)
    env = {"RUXA_NO_DEMO": "1", "RUXA_TRUSTED_PROXIES": "10.0.0.1, 10.0.0.2", "RUXA_SIMULATED": "yes"}
    loaded = settings.load(env=env, cwd=tmp_path)
    assert (loaded.demo, loaded.simulated, loaded.trusted_proxies) == (False, True, ("10.0.0.1", "10.0.0.2"))
    with pytest.raises(InvalidCall, match="RUXA_PORT must be a whole number"):
        settings.load(env={"RUXA_PORT": "many"}, cwd=tmp_path)
    with pytest.raises(InvalidCall, match="true or false"):
        settings.load(env={"RUXA_SIMULATED": "perhaps"}, cwd=tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds"), [("+91d", 91 * 86_400), ("-2h", -7200), ("90", 90), ("1d12h", 129_600), ("+0", 0)]
)
def test_durations(tmp_path: Path, text: str, seconds: int) -> None:
    assert settings.duration_s(text) == seconds
    assert settings.load(env={"RUXA_CLOCK_OFFSET": text}, cwd=tmp_path).clock_offset_s == seconds


@pytest.mark.parametrize("text", ["soon", "1y", "+", "d", "1d-2h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidCall, match="not a duration"):
        settings.duration_s(text)


def test_a_child_gets_the_same_settings(tmp_path: Path) -> None:
    _file(tmp_path, '[providers.openai]\nkey = "env:K"\n[models."openai/m"]\naliases = ["m"]\n[payments.stripe]\n')
    loaded = settings.load(env={"RUXA_WORKERS": "3"}, cwd=tmp_path)
    assert settings.decode(settings.encode(loaded)) == loaded
    assert "stripe" in loaded.payments


def test_every_field_is_explained_once(tmp_path: Path) -> None:
    shown = [name for name, _, _ in settings.explain(settings.load(env={}, cwd=tmp_path))]
    assert len(shown) == len(set(shown))
    assert {"host", "data", "mail.url", "egress.allow_loopback"} <= set(shown)
    assert set(shown) == {name for name in settings.names() if "*" not in name}
