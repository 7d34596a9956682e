"""Runs in a real Keras (see tests/saving/test_interop.py): loads files and says what the models in them do.

python real_program.py keras|tf_keras FOLDER       (reads FOLDER/jobs.json, writes FOLDER/<program>.npz)
"""

import importlib
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import zoo


def model_of(keras, job, folder):
    """The model that a job describes, loaded."""
    path, name = str(folder / job["path"]), job["model"]
    if job["kind"] == "model":
        return keras.models.load_model(path)
    if job["kind"] == "json":
        model = keras.models.model_from_json((folder / job["json"]).read_text())
    else:
        model = zoo.architecture(keras, name)
    if not model.built or not model.weights:
        model(zoo.data(name)[0][:2])
    model.load_weights(path)
    return model


def main(program, folder):
    keras = importlib.import_module(program)
    results = {}
    for job in json.loads((folder / "jobs.json").read_text()):
        if program not in job["programs"]:
            continue
        try:
            model = model_of(keras, job, folder)
            results.update(
                {f"{job['id']}/before/{i}": y for i, y in enumerate(zoo.predict(model, job["model"]))}
            )
            if job["kind"] == "model" and job["goes_on"]:
                zoo.train(model, job["model"])
                results.update(
                    {f"{job['id']}/after/{i}": y for i, y in enumerate(zoo.predict(model, job["model"]))}
                )
        except Exception as error:  # reported by the test of that file
            results[f"{job['id']}/error/0"] = np.array(f"{type(error).__name__}: {error}"[:2000])
    for name in ("mlp", "convnet", "nested", "lstm", "transformer"):
        (folder / f"{program}-{name}.json").write_text(zoo.architecture(keras, name).to_json())
    np.savez(folder / f"{program}.npz", **results)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
