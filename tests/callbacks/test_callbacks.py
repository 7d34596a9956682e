"""Callbacks: what they change, write and send."""

import csv
import http.server
import json
import threading
import urllib.parse

import numpy as np
import pytest
import rkeras as keras


def regression(**arguments):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, **arguments), "mse")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3)).astype("float32")
    return model, x, x @ np.array([[1.0], [-1.0], [2.0]], "float32")


class Interrupt(keras.callbacks.Callback):
    """Raises in an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_backup_goes_on_where_it_was_interrupted(tmp_path, optimizer):
    def fresh():
        model, x, y = regression()
        model.compile(optimizer, "mse")
        return model, x, y

    whole, x, y = fresh()
    whole.fit(x, y, epochs=6, batch_size=10, shuffle=False, verbose=0)
    folder = tmp_path / "backup"
    model, x, y = fresh()
    fit = dict(epochs=6, batch_size=10, shuffle=False, verbose=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, callbacks=[keras.callbacks.BackupAndRestore(folder), Interrupt(4)], **fit)
    assert json.loads((folder / "training_metadata.json").read_text()) == {"epoch": 4, "batch": 0}
    again, x, y = fresh()
    history = again.fit(x, y, callbacks=[keras.callbacks.BackupAndRestore(folder)], **fit)
    assert history.epoch == [4, 5] and not folder.exists()
    for a, b in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert int(again.optimizer.iterations.numpy()) == 24


def test_backup_of_batches_and_a_damaged_file(tmp_path):
    model, x, y = regression()
    backup = keras.callbacks.BackupAndRestore(
        tmp_path / "b", save_freq=3, double_checkpoint=True, delete_checkpoint=False
    )
    model.fit(x, y, epochs=2, batch_size=10, verbose=0, callbacks=[backup])
    assert json.loads((tmp_path / "b" / "training_metadata.json").read_text())["epoch"] == 1
    (tmp_path / "b" / "latest.weights.h5").write_bytes(b"damaged")
    again, x, y = regression()
    backup = keras.callbacks.BackupAndRestore(tmp_path / "b", double_checkpoint=True)
    history = again.fit(x, y, epochs=3, batch_size=10, verbose=0, callbacks=[backup])
    assert history.epoch[-1] == 2 and int(again.optimizer.iterations.numpy()) >= 11
    with pytest.raises(ValueError, match="backup_dir"):
        keras.callbacks.BackupAndRestore("")
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    unbuilt.compile("sgd", "mse")
    with pytest.raises(ValueError, match="built"):
        unbuilt.fit(x, y, verbose=0, callbacks=[keras.callbacks.BackupAndRestore(tmp_path / "c")])


def test_swap_of_averages(tmp_path):
    model, x, y = regression(use_ema=True, ema_momentum=0.9)
    seen = {}

    class Look(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            seen["test"] = self.model.get_weights()[0].copy()

        def on_epoch_end(self, epoch, logs=None):
            seen["train"] = self.model.get_weights()[0].copy()

    swap = keras.callbacks.SwapEMAWeights()
    model.fit(x, y, batch_size=10, verbose=0, validation_data=(x, y), callbacks=[swap, Look()])
    average = model.optimizer._model_variables_moving_average[0].numpy()
    np.testing.assert_allclose(seen["test"], average, rtol=1e-6)
    assert not np.allclose(seen["test"], seen["train"])
    np.testing.assert_allclose(
        model.get_weights()[0], average, rtol=1e-6
    )  # the end of fit puts averages in place
    path = str(tmp_path / "m.keras")
    model, x, y = regression(use_ema=True, ema_momentum=0.9)
    callbacks = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True), keras.callbacks.ModelCheckpoint(path)]
    model.fit(x, y, batch_size=10, verbose=0, callbacks=callbacks)
    np.testing.assert_allclose(keras.models.load_model(path).get_weights()[0], seen["test"], rtol=1e-5)
    model, x, y = regression()
    with pytest.raises(ValueError, match="use_ema"):
        model.fit(x, y, verbose=0, validation_data=(x, y), callbacks=[keras.callbacks.SwapEMAWeights()])


@pytest.mark.parametrize("as_json", [False, True])
def test_remote_monitor(as_json):
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            got.append((self.path, self.headers["X-Run"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        root = f"http://127.0.0.1:{server.server_port}"
        model, x, y = regression()
        monitor = keras.callbacks.RemoteMonitor(root, headers={"X-Run": "7"}, send_as_json=as_json)
        model.fit(x, y, epochs=2, verbose=0, callbacks=[monitor])
        server.shutdown()
        thread.join()
    assert [g[:2] for g in got] == [("/publish/epoch/end/", "7")] * 2
    text = got[1][2] if as_json else urllib.parse.parse_qs(got[1][2])["data"][0]
    assert json.loads(text)["epoch"] == 1 and json.loads(text)["loss"] > 0
    with pytest.warns(UserWarning, match="expected a server"):
        model.fit(x, y, verbose=0, callbacks=[keras.callbacks.RemoteMonitor("http://127.0.0.1:9")])


def test_learning_rates():
    model, x, y = regression()
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    history = model.fit(x, y, epochs=3, verbose=0, callbacks=[scheduler]).history
    np.testing.assert_allclose(history["learning_rate"], [0.05, 0.025, 0.0125], rtol=1e-6)
    model, x, y = regression()
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=2, min_delta=1e9, min_lr=1e-4)
    history = model.fit(x, y, epochs=8, verbose=0, callbacks=[plateau]).history
    # The first epoch is better than nothing; two that are not lower the rate, down to min_lr.
    np.testing.assert_allclose(
        history["learning_rate"], [0.1] * 3 + [0.01] * 2 + [0.001] * 2 + [1e-4], rtol=1e-5
    )


def test_log_file(tmp_path):
    model, x, y = regression()
    path = tmp_path / "log.csv"
    model.fit(x, y, epochs=2, verbose=0, callbacks=[keras.callbacks.CSVLogger(path)])
    model.fit(x, y, epochs=1, verbose=0, callbacks=[keras.callbacks.CSVLogger(path, append=True)])
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [r["epoch"] for r in rows] == ["0", "1", "0"] and float(rows[1]["loss"]) < float(rows[0]["loss"])


def test_functions_and_nan(capsys):
    model, x, y = regression()
    calls = []
    functions = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: calls.append(epoch),
        on_train_batch_end=lambda batch, logs: calls.append("b"),
    )
    model.fit(x, y, batch_size=20, epochs=2, verbose=0, callbacks=[functions])
    assert calls == ["b", "b", 0, "b", "b", 1]
    x[0] = np.nan
    history = model.fit(x, y, epochs=5, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN()]).history
    assert len(history["loss"]) == 1 and "Invalid loss" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="finite"):
        model.fit(x, y, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN(raise_error=True)])
