"""Half precision for computation: `keras.mixed_precision.set_global_policy("mixed_bfloat16")`."""

from rkeras.config import dtype_policy as dtype_policy
from rkeras.config import set_dtype_policy as set_dtype_policy
from rkeras.dtype_policies import DTypePolicy as DTypePolicy
from rkeras.optimizers import LossScaleOptimizer as LossScaleOptimizer

global_policy, set_global_policy, Policy = dtype_policy, set_dtype_policy, DTypePolicy
