"""Models in the formats of other programs."""

_ABSENT = {
    "openvino": "OpenVINO's own converter makes its files, also from ONNX: export with format='onnx', then run "
    "`ovc model.onnx`",
    "litert": "TensorFlow Lite's flat buffers come from Google's converter, which takes SavedModels: export with "
    "format='tf_saved_model'",
    "torch": "its files hold PyTorch programs, which only PyTorch can write; PyTorch reads the weights as safetensors",
}


def _saved_model(model, filepath, input_signature, **kwargs):
    from rkeras.export import saved_model

    if kwargs:
        raise ValueError(
            f"{model.name}.export: expected no settings of tf_saved_model. Received: {', '.join(kwargs)}"
        )
    saved_model.export(model, filepath, input_signature)


def _onnx(model, filepath, input_signature, **kwargs):
    from rkeras.export import onnx

    onnx.export(model, filepath, input_signature=input_signature, **kwargs)


_FORMATS = {"tf_saved_model": _saved_model, "onnx": _onnx}


def export_model(model, filepath, format="tf_saved_model", verbose=None, input_signature=None, **kwargs):
    """Writes a model's prediction in the format of another program.

    Args:
        model: a built model.
        filepath: where to.
        format: "tf_saved_model": a folder that TensorFlow runs and its servers load, for any batch size; "onnx": a
            file that ONNX Runtime and others run, for any batch size.
        verbose: whether to print what was written.
        input_signature: shapes and dtypes of the inputs, nested like them; by default those of the model.
        **kwargs: settings of the format; `opset_version` (18 to 23) of ONNX.
    """
    if format not in _FORMATS:
        why = _ABSENT.get(format, "no such format is known")
        raise ValueError(
            f"{model.name}.export: expected a format of {list(_FORMATS)}. Received: format={format!r}; {why}"
        )
    _FORMATS[format](model, filepath, input_signature, **kwargs)
    if verbose:
        print(f"Saved {model.name!r} in format {format!r} at {str(filepath)!r}.")
