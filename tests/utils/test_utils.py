"""Helpers: labels, padding, downloads, archives, the progress bar."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rkeras as keras


def test_to_categorical():
    out = keras.utils.to_categorical([[0], [2], [1]], 4)
    np.testing.assert_array_equal(out, np.eye(4)[[0, 2, 1]])
    assert keras.utils.to_categorical(np.zeros((2, 3), int)).shape == (2, 3, 1)
    with pytest.raises(ValueError, match="from 0 to 1"):
        keras.utils.to_categorical([0, 2], 2)


def test_pad_sequences():
    rows = [[1], [2, 3, 4, 5]]
    assert keras.utils.pad_sequences(rows, maxlen=3).tolist() == [[0, 0, 1], [3, 4, 5]]
    assert keras.utils.pad_sequences(rows, maxlen=3, padding="post", truncating="post", value=9).tolist() == [
        [1, 9, 9], [2, 3, 4],
    ]  # fmt: skip
    assert keras.utils.pad_sequences([[[1, 2]], [[3, 4], [5, 6]]]).shape == (2, 2, 2)
    with pytest.raises(ValueError, match="pre"):
        keras.utils.pad_sequences(rows, padding="left")


def test_normalize():
    np.testing.assert_allclose(keras.utils.normalize([[3.0, 4.0], [0.0, 0.0]]), [[0.6, 0.8], [0, 0]])


def test_get_file_checks_the_hash_and_keeps_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("RKERAS_HOME", str(tmp_path / "home"))
    source = tmp_path / "source.bin"
    source.write_bytes(b"abc")
    right = hashlib.sha256(b"abc").hexdigest()
    path = keras.utils.get_file(origin=source.as_uri(), file_hash=right)
    assert path == str(tmp_path / "home" / "datasets" / "source.bin")
    source.write_bytes(b"changed")
    assert Path(keras.utils.get_file(origin=source.as_uri(), file_hash=right)).read_bytes() == b"abc"
    # A kept file that was changed is noticed.
    with open(path, "wb") as f:
        f.write(b"damaged")
    with pytest.raises(ValueError, match="not kept"):
        keras.utils.get_file(origin=source.as_uri(), file_hash=right)
    with pytest.raises(ValueError, match="not kept"):
        keras.utils.get_file("other", origin=source.as_uri(), file_hash="0" * 64)
    assert not (tmp_path / "home" / "datasets" / "other").exists()


def tar_with(path, *members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                archive.addfile(info)


def test_archives_are_unpacked(tmp_path):
    tar_with(tmp_path / "a.tar.gz", ("top/x.txt", b"1"), ("top/deep/y.txt", b"22"))
    out = keras.utils.get_file("a", origin=(tmp_path / "a.tar.gz").as_uri(), extract=True, cache_dir=tmp_path)
    assert Path(out, "top/deep/y.txt").read_bytes() == b"22"
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("x.txt", "1")
    out = keras.utils.get_file("b", origin=(tmp_path / "b.zip").as_uri(), extract=True, cache_dir=tmp_path)
    assert Path(out, "x.txt").read_bytes() == b"1"


@pytest.mark.parametrize(
    "members",
    [
        [("../x", b"1")], [("/abs/x", b"1")], [("a/../../x", b"1")], [("C:/x", b"1")], [("..\\x", b"1")],
        [("link", (tarfile.SYMTYPE, "/etc")), ("link/x", b"1")], [("hard", (tarfile.LNKTYPE, "x"))],
        [("dev", (tarfile.CHRTYPE, ""))], [("x", b"1"), ("x", b"2")],
    ],
)  # fmt: skip
def test_archives_cannot_reach_outside(tmp_path, members):
    tar_with(tmp_path / "evil.tar.gz", *members)
    before = sorted(p.name for p in tmp_path.rglob("*") if p.name != "evil")
    with pytest.raises((ValueError, FileExistsError)):
        keras.utils.get_file(
            "evil", origin=(tmp_path / "evil.tar.gz").as_uri(), extract=True, cache_dir=tmp_path
        )
    after = sorted(p.name for p in tmp_path.rglob("*") if p.name not in ("evil", "datasets"))
    assert after == before


def test_progbar_averages(capsys):
    bar = keras.utils.Progbar(4, stateful_metrics=["acc"])
    bar.update(2, [("loss", 1.0), ("acc", 0.5)])
    bar.add(2, [("loss", 3.0), ("acc", 0.75)])
    assert bar.values() == {"loss": 2.0, "acc": 0.75}
    assert "4/4" in capsys.readouterr().out
