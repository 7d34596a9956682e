"""Callbacks."""

from rkeras.callbacks.averages import SwapEMAWeights
from rkeras.callbacks.backup import BackupAndRestore
from rkeras.callbacks.callback import Callback, CallbackList
from rkeras.callbacks.history import History
from rkeras.callbacks.monitor import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from rkeras.callbacks.progress import ProgbarLogger
from rkeras.callbacks.remote import RemoteMonitor
from rkeras.callbacks.simple import CSVLogger, LambdaCallback, LearningRateScheduler, TerminateOnNaN
from rkeras.callbacks.tensorboard import TensorBoard
