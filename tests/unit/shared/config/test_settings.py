"""Invalid settings are reported in one line."""

from pathlib import Path

import pytest
import redis

from shared.config.settings import Settings, load_settings
from shared.domain.errors import InvalidRequest
from shared.messaging.celery_app import make_celery
from shared.store.redis_client import connect, readable_url


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "url", ["http://x", "redis://h:port/0", "localhost:6379", "redis://h:99999", "redis://h/mine", "valkeys://h:1/-1"]
)
def test_an_address_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """There is no traceback, and no password from the address."""
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(InvalidRequest, match="REDIS_URL is invalid"):
        load_settings()


@pytest.mark.parametrize(
    "url",
    [
        "redis://h/0?ssl_cert_reqs=required",
        "redis://h/0?nonsense=1",
        "redis://h/0?db=x",
        "rediss://h/0?ssl_cert_reqs=x",
    ],
)
def test_an_option_of_the_address_that_there_is_not_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Before anything is connected: a worker ends with one line too."""
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(InvalidRequest, match=r"REDIS_URL has an option .* need rediss://"):
        connect(load_settings())


def test_certificates_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The path of a container, for example. It would look like a server that does not answer."""
    authority = tmp_path / "ca.pem"
    monkeypatch.setenv("REDIS_URL", f"rediss://h:6380/0?ssl_cert_reqs=required&ssl_ca_certs={authority}")
    with pytest.raises(InvalidRequest, match=r"ssl_ca_certs in REDIS_URL names .*/ca\.pem"):
        connect(load_settings())
    authority.write_text("certificate")
    connect(load_settings())


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_times_are_finite(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The server knows no others."""
    monkeypatch.setenv("FACEQUEUE_LEASE_S", value)
    with pytest.raises(InvalidRequest, match="FACEQUEUE_LEASE_S is invalid"):
        load_settings()


def test_empty_settings_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example a line `REDIS_URL=` in .env."""
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("FACEQUEUE_BATCH_SIZE", "")
    assert Settings().redis_url is None
    assert Settings().batch_size == Settings.model_fields["batch_size"].default


def test_both_spellings_of_a_unix_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spellings of redis-py and kombu."""
    monkeypatch.setenv("REDIS_URL", "unix:///run/redis.sock")
    assert Settings().server_url == "redis+socket:///run/redis.sock"


@pytest.mark.parametrize(
    ("given", "understood"), [("valkey", "redis"), ("valkeys", "rediss"), ("VALKEYS", "rediss"), ("Redis", "redis")]
)
def test_valkeys_spelling_of_addresses(monkeypatch: pytest.MonkeyPatch, given: str, understood: str) -> None:
    """redis-py and kombu know only Redis's. Messages name the address as it was written, without its password."""
    tls = understood == "rediss"
    monkeypatch.setenv("REDIS_URL", f"{given}://facequeue:s3cret@h:6380/2" + ("?ssl_cert_reqs=required" if tls else ""))
    settings = load_settings()
    assert readable_url(settings) == f"{given.lower()}://h:6380/2"
    client, broker = connect(settings), make_celery(settings).connection()
    connection = client.get_connection_kwargs()
    assert (connection["host"], connection["port"], connection["db"]) == ("h", 6380, 2)
    assert (broker.transport_cls, broker.hostname, broker.password) == (understood, "h", "s3cret")
    assert issubclass(client.connection_pool.connection_class, redis.SSLConnection) == tls


@pytest.mark.parametrize(
    "password", ["p@ss/w#rd", "a%41b", "a?b", "a[b", "pa;b", 'say"hi', "back\\slash", "pa$word", "a b"]
)
def test_a_password_may_hold_anything(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    """redis-py and kombu both parse it from the address."""
    monkeypatch.setenv("FACEQUEUE_REDIS_PASSWORD", password)
    monkeypatch.setenv("FACEQUEUE_REDIS_HOST", "redis")
    settings = load_settings()
    connection = connect(settings).get_connection_kwargs()
    assert (connection["host"], connection["port"], connection["password"]) == ("redis", 6379, password)
    broker = make_celery(settings).connection()
    assert (broker.hostname, broker.password) == ("redis", password)


def test_a_password_that_flower_would_cut_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower treats a comma as the end of a user."""
    monkeypatch.setenv("FACEQUEUE_FLOWER_PASSWORD", "s3,cret")
    with pytest.raises(InvalidRequest, match="FACEQUEUE_FLOWER_PASSWORD is invalid"):
        load_settings()


@pytest.mark.parametrize("hosts", ["http://flower.example", "flower.example:5555", "a b", "*"])
def test_a_name_for_flower_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, hosts: str) -> None:
    """A name with a scheme or a port would never match."""
    monkeypatch.setenv("FACEQUEUE_FLOWER_HOSTS", hosts)
    with pytest.raises(InvalidRequest, match="FACEQUEUE_FLOWER_HOSTS is invalid"):
        load_settings()


def test_names_for_flower_are_read_in_any_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    """With spaces, brackets, capitals and a final dot."""
    monkeypatch.setenv("FACEQUEUE_FLOWER_HOSTS", "Flower.Example., [fd00::1] ,10.0.0.1,")
    assert load_settings().flower_host_names == ["flower.example", "fd00::1", "10.0.0.1"]


def test_a_settings_file_in_another_encoding(tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / ".env").write_bytes(b"FACEQUEUE_FLOWER_USER=J\xfcrgen\n")
    with pytest.raises(InvalidRequest, match=r"\.env is not UTF-8"):
        load_settings()


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1"])
def test_devices(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """Valid devices are the processor, a GPU, or one of several."""
    monkeypatch.setenv("FACEQUEUE_DEVICE", device)
    assert load_settings().device == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CUDA", "cuda:-1", "cuda\n"])
def test_a_device_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """The error lists the valid values."""
    monkeypatch.setenv("FACEQUEUE_DEVICE", device)
    with pytest.raises(InvalidRequest, match=r"FACEQUEUE_DEVICE is invalid: .*give cpu, cuda, or cuda:N"):
        load_settings()


@pytest.mark.parametrize("line", ["FACEQUEUE_BATCH_SIZE=many", "FACEQUEUE_REDIS_PORT=0", "FACEQUEUE_BACKEND=magic"])
def test_a_value_that_cannot_be_is_named(tmp_path: Path, line: str) -> None:
    """The error has the setting's own name."""
    (tmp_path / ".env").write_text(line)
    with pytest.raises(InvalidRequest, match=line.partition("=")[0]):
        load_settings()


def test_a_given_value_wins_and_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command-line option overrides the environment, and its error does not name the environment."""
    monkeypatch.setenv("FACEQUEUE_DEVICE", "cuda")
    assert load_settings(device="cpu").device == "cpu"
    assert load_settings(device=None).device == "cuda"
    with pytest.raises(InvalidRequest, match=r"^The device 'gpu' is invalid: .*from cuda:0\.$"):
        load_settings(device="gpu")
