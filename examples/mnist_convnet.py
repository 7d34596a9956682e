"""Trains Keras's MNIST convnet on real digits, shows its accuracy, saves it, reloads it.

The same file runs under Keras: change the import line to `import keras`.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import rkeras as keras

HERE = Path(__file__).resolve().parent
BATCH = 128


def load_digits(path=None):
    """The digits from `path`, a local copy, the download, or the repository's sample; and which it was."""
    for candidate in (
        path,
        os.environ.get("MNIST_NPZ"),
        HERE.parent.parent / "shared" / "data" / "mnist.npz",
    ):
        if candidate and Path(candidate).is_file():
            with np.load(candidate) as f:
                return (f["x_train"], f["y_train"]), (f["x_test"], f["y_test"]), str(Path(candidate).name)
    try:
        train, test = keras.datasets.mnist.load_data()
        return train, test, "downloaded mnist.npz"
    except Exception as error:
        print(f"No download ({type(error).__name__}); using the repository's sample of real digits.")
        with np.load(HERE / "data" / "mnist_sample.npz") as f:
            return (f["x_train"], f["y_train"]), (f["x_test"], f["y_test"]), "mnist_sample.npz"


def build_model():
    """The convnet of Keras's MNIST example: 34,826 weights."""
    return keras.Sequential(
        [
            keras.Input(shape=(28, 28, 1)),
            keras.layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
            keras.layers.MaxPooling2D(pool_size=(2, 2)),
            keras.layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
            keras.layers.MaxPooling2D(pool_size=(2, 2)),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="an mnist.npz; searched for, downloaded or sampled when left out")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", default="auto")
    parser.add_argument("--out", default="out/mnist_convnet.keras", help="where the model is saved")
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    (x_train, y_train), (x_test, y_test), source = load_digits(args.data)
    x_train = np.expand_dims(x_train.astype("float32") / 255, -1)
    x_test = np.expand_dims(x_test.astype("float32") / 255, -1)
    y_train_onehot = keras.utils.to_categorical(y_train, 10)
    y_test_onehot = keras.utils.to_categorical(y_test, 10)
    print(f"{source}: {len(x_train)} training and {len(x_test)} test digits")

    model = build_model()
    model.summary()
    # The rate falls to zero along half a cosine, so that the last epochs settle.
    steps = args.epochs * -(-len(x_train) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(0.004, steps)
    model.compile(
        loss="categorical_crossentropy", optimizer=keras.optimizers.Adam(rate), metrics=["accuracy"]
    )
    verbose = args.verbose if args.verbose == "auto" else int(args.verbose)
    start = time.perf_counter()
    model.fit(x_train, y_train_onehot, batch_size=BATCH, epochs=args.epochs, verbose=verbose)
    print(f"Trained {args.epochs} epochs in {time.perf_counter() - start:.1f} s")
    loss, accuracy = model.evaluate(x_test, y_test_onehot, verbose=0)
    print(f"Test loss: {loss:.4f}")
    print(f"Test accuracy: {100 * accuracy:.2f} %")

    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    model.save(out)
    reloaded = keras.models.load_model(out)
    before = model.predict(x_test, verbose=0)
    after = reloaded.predict(x_test, verbose=0)
    difference = float(np.max(np.abs(before - after)))
    print(
        f"Saved {out} ({out.stat().st_size / 1024:.0f} KiB); reloaded predictions differ by at most {difference:g}"
    )
    if difference > 1e-6:
        raise SystemExit("The reloaded model predicts something else.")


if __name__ == "__main__":
    main()
