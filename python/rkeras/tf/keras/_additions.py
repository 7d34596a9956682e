"""Names that tf.keras has and Keras 3 has not: by module below `tf.keras`, name and value."""

import rkeras as _keras
from rkeras import callbacks as _callbacks
from rkeras.tf.keras import _legacy

_losses = {
    name: getattr(_keras.losses, target)
    for name, target in {
        "mse": "mean_squared_error", "MSE": "mean_squared_error", "mae": "mean_absolute_error",
        "MAE": "mean_absolute_error", "mape": "mean_absolute_percentage_error", "MAPE": "mean_absolute_percentage_error",
        "msle": "mean_squared_logarithmic_error", "MSLE": "mean_squared_logarithmic_error", "kld": "kl_divergence",
        "KLD": "kl_divergence", "kullback_leibler_divergence": "kl_divergence", "logcosh": "log_cosh",
        "bce": "binary_crossentropy", "BCE": "binary_crossentropy",
    }.items()
}  # fmt: skip

MODULES = {
    "losses": {**_losses, "Reduction": _legacy.Reduction},
    "metrics": dict(_losses),
    "layers": {"ThresholdedReLU": _legacy.ThresholdedReLU},
    "layers.experimental": {},
    "layers.experimental.preprocessing": {},
    "optimizers": {},
    "optimizers.legacy": {},
    "optimizers.experimental": {},
    "experimental": {},
    "mixed_precision.experimental": {},
    "utils.experimental": {},
    "callbacks.experimental": {"BackupAndRestore": getattr(_callbacks, "BackupAndRestore", None)},
}  # fmt: skip
# What stands behind a module that has another name in Keras 3.
RENAMED = {
    "layers.experimental": "layers",
    "layers.experimental.preprocessing": "layers",
    "optimizers.legacy": "optimizers",
    "optimizers.experimental": "optimizers",
    "experimental": "optimizers.schedules",
    "mixed_precision.experimental": "mixed_precision",
    "utils.experimental": "utils",
    "callbacks.experimental": "callbacks",
}
HINTS = {
    "wrappers": " Hint: scikit-learn wrappers are in the package scikeras.",
    "model_to_estimator": " Hint: use model.fit.",
    "CuDNNLSTM": " Hint: use LSTM, which is compiled.",
    "CuDNNGRU": " Hint: use GRU, which is compiled.",
    "ImageDataGenerator": " Hint: use tf.keras.utils.image_dataset_from_directory and layers such as RandomFlip.",
    "LocallyConnected1D": " Hint: Keras 3 has none either; use Conv1D.",
    "LocallyConnected2D": " Hint: Keras 3 has none either; use Conv2D.",
}
