"""Summaries are Keras's, character by character, and HTML in notebooks."""

import importlib.util
import io
import json
import re
import sys
import types
import unicodedata
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import rkeras as keras

GOLDEN = Path(__file__).parent.parent / "golden"
RECORDED = json.loads((GOLDEN / "summaries.json").read_text("utf-8"))


def cases():
    spec = importlib.util.spec_from_file_location("record_summary", GOLDEN / "record_summary.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.models(keras)


def test_text_is_keras_text(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    seen = 0
    for name, model, arguments in cases():
        texts = []
        model.summary(print_fn=texts.append, **arguments)
        assert "".join(texts) == RECORDED[name], name
        seen += 1
    assert seen == len(RECORDED)


def small():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="small")


def test_a_pipe_gets_plain_text_and_a_terminal_colours(monkeypatch):
    out = io.StringIO()
    with redirect_stdout(out):
        small().summary()
    assert "\x1b" not in out.getvalue() and "dense (Dense)" in out.getvalue()

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown = Terminal()
    with redirect_stdout(shown):
        small().summary()
    assert "\x1b[38;5;33mDense" in shown.getvalue()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue())
    assert plain == out.getvalue().replace("dense (Dense)  ", "dense_1 (Dense)")


def test_html():
    text = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="a<b")], name="s&t")._repr_html_()
    assert (
        "a&lt;b (Dense)" in text and "s&amp;t" in text and "<td" in text and "Total params: <b>15</b>" in text
    )
    assert small()._repr_html_().count("<tr>") == 2


def test_notebooks_show_html(monkeypatch, capsys):
    shown = []
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: type("ZMQInteractiveShell", (), {})()
    ipython.display = types.SimpleNamespace(display=shown.append, HTML=lambda s: s)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    small().summary()
    assert "<table" in shown[0] and capsys.readouterr().out == ""


def test_wrong_arguments():
    model = small()
    with pytest.raises(ValueError, match="4 characters"):
        model.summary(line_length=10)
    with pytest.raises(ValueError, match="positions"):
        model.summary(positions=[0.5, 1.0])
    for layer_range in (["a"], [1, 2], ["nobody", "dense"]):
        with pytest.raises(ValueError, match="layer_range"):
            model.summary(layer_range=layer_range)


def test_wide_letters_keep_the_frame_straight():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="全连接层")])
    texts = []
    model.summary(print_fn=texts.append)
    lines = [line for line in texts[0].splitlines() if line[0] in "┏┃┡│├└"]
    assert len({sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in line) for line in lines}) == 1


def test_tensors_in_notebooks():
    x = keras.ops.reshape(keras.ops.arange(6, dtype="float32"), (2, 3))
    text = x._repr_html_()
    assert "float32" in text and "(2, 3)" in text and text.count("<td") == 6
    v = keras.Variable(1.5, name="a<b")
    assert "Variable" in v._repr_html_() and "a&lt;b" in v._repr_html_() and "1.5" in v._repr_html_()
    big = keras.ops.zeros((100, 100))._repr_html_()
    assert big.count("<tr>") == 13 and "⋮" in big and "…" in big
    assert "<pre>" in keras.ops.zeros((2, 2, 2))._repr_html_()
