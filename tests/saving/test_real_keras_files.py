"""Files that real Keras wrote: read, predict the same, train on the same."""

from pathlib import Path

import numpy as np
import rkeras as keras

GOLDEN = Path(__file__).parents[1] / "golden"
G = np.load(GOLDEN / "models.npz")


def test_convnet_predicts_and_trains_on_as_in_keras():
    model = keras.models.load_model(GOLDEN / "convnet.keras")
    np.testing.assert_allclose(model.predict(G["x"], verbose=0), G["prediction"], atol=1e-5)
    # The optimizer state came along: the next epoch goes where Keras's went.
    assert int(model.optimizer.iterations.numpy()) == 8
    model.fit(G["x"], G["y"], batch_size=8, epochs=1, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.predict(G["x"], verbose=0), G["after"], atol=1e-4)


def test_functional_model_with_shared_layer_and_named_outputs():
    model = keras.models.load_model(GOLDEN / "functional.keras")
    out = model.predict([G["xa"], G["xb"]], verbose=0)
    np.testing.assert_allclose(out["p"], G["p"], atol=1e-5)
    np.testing.assert_allclose(out["q"], G["q"], atol=1e-5)


def test_round_trip_keeps_everything(tmp_path):
    model = keras.models.load_model(GOLDEN / "convnet.keras")
    model.save(tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    assert again.get_config() == model.get_config()
    for a, b in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    np.testing.assert_array_equal(again.predict(G["x"], verbose=0), model.predict(G["x"], verbose=0))
