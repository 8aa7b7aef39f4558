"""The token is made once and kept from others; the files of weights are those of one user, too."""

import os
import stat
import sys
import threading

import pytest

from eva_lightning.engines.vllm.adapter import installed
from eva_lightning.engines.vllm.bucket_file import MEMORY, PREFIX, mapped
from eva_lightning.engines.vllm.guard import VARIABLE, Guard
from eva_lightning.engines.vllm.server_token import known_token, sure_token, token_file
from eva_lightning.faults import UsageError


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path


def test_it_is_made_once_for_all_servers_and_read_by_nobody_else(home):
    assert known_token() is None
    made, start = [], threading.Barrier(8)

    def serve():
        start.wait()
        made.append(sure_token().secret)

    servers = [threading.Thread(target=serve) for _ in range(8)]
    for one in servers:
        one.start()
    for one in servers:
        one.join()
    assert len(made) == 8 and set(made) == {known_token().secret} and len(made[0]) >= 40
    assert stat.S_IMODE(token_file().stat().st_mode) == 0o600
    assert os.listdir(token_file().parent) == ["server_token"]


def test_the_environment_wins_and_nothing_is_written_then(home, monkeypatch):
    monkeypatch.setenv(VARIABLE, "ours")
    assert (sure_token().secret, sure_token().name) == ("ours", VARIABLE) and not token_file().exists()


def test_a_token_that_others_can_read_or_choose_is_none(home):
    sure_token()
    token_file().chmod(0o644)
    with pytest.raises(UsageError, match="others can read it"):
        known_token()
    token_file().unlink()
    token_file().symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match="can not be read"):
        known_token()


def test_a_guard_without_a_secret_does_not_stand(home):
    with pytest.raises(RuntimeError, match="would let everybody through"):
        Guard(None)


@pytest.fixture
def bucket():
    file = MEMORY / f"{PREFIX}test-{os.getpid()}"
    file.write_bytes(bytes(range(64)))
    yield file
    file.unlink(missing_ok=True)


@pytest.mark.skipif(not MEMORY.is_dir(), reason="there is no /dev/shm")
def test_a_server_opens_the_files_of_weights_of_its_user_and_no_others(bucket, tmp_path):
    assert bytes(mapped(str(bucket), 8)) == bytes(range(8))
    with pytest.raises(ValueError, match="holds 64 bytes, and 65 were announced"):
        mapped(str(bucket), 65)
    for other in (
        "/etc/passwd",
        f"{MEMORY}/x",
        f"{MEMORY}/../dev/shm/{bucket.name}",
        f"{tmp_path}/{bucket.name}",
    ):
        with pytest.raises(ValueError, match="is no file of weights"):
            mapped(other, 8)
    link = bucket.with_name(f"{bucket.name}-link")
    link.symlink_to("/etc/passwd")
    try:
        with pytest.raises(OSError, match="symbolic links"):
            mapped(str(link), 8)
        link.unlink()
        os.link(bucket, link)
        with pytest.raises(ValueError, match="no file that a trainer of this user made"):
            mapped(str(link), 8)
        link.unlink()
        os.mkfifo(link)
        with pytest.raises(ValueError, match="no file that a trainer of this user made"):
            mapped(str(link), 8)
    finally:
        link.unlink()
    if os.geteuid() == 0 and sys.platform == "linux":
        os.chown(bucket, 65534, 65534)
        with pytest.raises(ValueError, match="no file that a trainer of this user made"):
            mapped(str(bucket), 8)


@pytest.mark.skipif(installed() is None, reason="vLLM is not installed: make vllm")
def test_the_receiver_of_weights_reads_no_other_file_either(bucket, tmp_path):
    from eva_lightning.engines.vllm.shared_memory import Bucket, _tensors

    there = {"names": ["x"], "dtypes": ["uint8"], "shapes": [[3]], "offsets": [5]}
    ((name, tensor),) = _tensors(Bucket(file=str(bucket), **there))
    assert (name, tensor.tolist()) == ("x", [5, 6, 7])
    private = tmp_path / "private"
    private.write_bytes(b"secret of some length")
    with pytest.raises(ValueError, match="no file of weights"):
        list(_tensors(Bucket(file=str(private), **there)))
