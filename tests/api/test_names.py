"""Public names and signatures are Keras's, as recorded from Keras 3.15; what is absent is listed, not stubbed."""

import gzip
import importlib
import inspect
import json
from pathlib import Path

import pytest
import rkeras

RECORD = json.loads(gzip.decompress((Path(__file__).parent / "keras_names.json.gz").read_bytes()))[
    "namespaces"
]
KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "positional_only",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional_or_keyword",
    inspect.Parameter.KEYWORD_ONLY: "keyword_only",
    inspect.Parameter.VAR_POSITIONAL: "var_positional",
    inspect.Parameter.VAR_KEYWORD: "var_keyword",
}


def namespace(name):
    """Our module of that name, or None."""
    try:
        return importlib.import_module(name.replace("keras", "rkeras", 1))
    except ModuleNotFoundError:
        return None


def present():
    for ns, symbols in sorted(RECORD.items()):
        module = namespace(ns)
        for symbol, facts in sorted(symbols.items()):
            if module is not None and facts.get("parameters") and hasattr(module, symbol):
                yield pytest.param(module, symbol, facts, id=f"{ns}.{symbol}")


@pytest.mark.parametrize(("module", "symbol", "facts"), list(present()))
def test_signature(module, symbol, facts):
    """Every argument of Keras is there, in Keras's order, with Keras's default; more may follow."""
    ours = [p for p in inspect.signature(getattr(module, symbol)).parameters.values() if p.name != "self"]
    theirs = facts["parameters"]
    names = [p.name for p in ours]
    fixed = [name for name, kind, _ in theirs if not kind.startswith("var_")]
    assert [n for n in names if n in fixed] == fixed, f"arguments {names}, expected {fixed}"
    for name, kind, default in theirs:
        if kind.startswith("var_"):
            continue
        parameter = next(p for p in ours if p.name == name)
        assert KINDS[parameter.kind] == kind
        if default is None:
            assert parameter.default is inspect.Parameter.empty
        else:
            assert repr(parameter.default) == default


def test_slice_is_complete():
    """The names that the core slice promises are there."""
    layers = """Input InputLayer Layer Dense Conv1D Conv2D Conv3D DepthwiseConv2D MaxPooling1D MaxPooling2D MaxPooling3D
        AveragePooling1D AveragePooling2D AveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
        GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D Flatten Reshape Dropout Activation ReLU
        Softmax BatchNormalization LayerNormalization Embedding Add Concatenate Rescaling"""
    promised = {
        rkeras.layers: layers,
        rkeras: "Model Sequential Input KerasTensor Variable",
        rkeras.optimizers: "SGD Adam AdamW RMSprop",
        rkeras.losses: """MeanSquaredError MeanAbsoluteError BinaryCrossentropy CategoricalCrossentropy
            SparseCategoricalCrossentropy""",
        rkeras.metrics: """Mean Accuracy BinaryAccuracy CategoricalAccuracy SparseCategoricalAccuracy
            MeanSquaredError""",
        rkeras.initializers: """GlorotUniform GlorotNormal HeUniform HeNormal LecunUniform LecunNormal Zeros Ones
            RandomUniform RandomNormal TruncatedNormal""",
        rkeras.callbacks: "Callback History ModelCheckpoint EarlyStopping",
        rkeras.utils: "set_random_seed to_categorical",
    }
    for module, names in promised.items():
        missing = [n for n in names.split() if not hasattr(module, n)]
        assert not missing, f"{module.__name__}: {missing}"
