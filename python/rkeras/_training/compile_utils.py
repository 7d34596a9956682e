"""What `compile(loss=, metrics=)` means for a model with one or many outputs."""

from rkeras import losses as losses_module
from rkeras import metrics as metrics_module
from rkeras._core import tree
from rkeras._core.tensor import convert_to_tensor

_ACCURACY = ("accuracy", "acc")
_CROSSENTROPY = ("crossentropy", "ce")


def is_binary_or_sparse(y_true, y_pred):
    """(one score per sample, targets are class numbers)."""
    rank_true, rank_pred = len(y_true.shape), len(y_pred.shape)
    last_true = y_true.shape[-1] if rank_true else 1
    last_pred = y_pred.shape[-1] if rank_pred else 1
    binary = last_pred == 1
    sparse = (rank_true < rank_pred or last_true == 1) and last_pred != 1
    return binary, sparse


def get_metric(identifier, y_true, y_pred):
    """The metric that an entry of `metrics=` stands for, given its targets and predictions."""
    if identifier is None:
        return None
    name = str(identifier)
    if name.lower() in _ACCURACY + _CROSSENTROPY and isinstance(identifier, str):
        binary, sparse = is_binary_or_sparse(y_true, y_pred)
        if name.lower() in _ACCURACY:
            kinds = (
                metrics_module.BinaryAccuracy,
                metrics_module.SparseCategoricalAccuracy,
                metrics_module.CategoricalAccuracy,
            )
        else:
            kinds = (
                metrics_module.BinaryCrossentropy, metrics_module.SparseCategoricalCrossentropy,
                metrics_module.CategoricalCrossentropy,
            )  # fmt: skip
        return (kinds[0] if binary else kinds[1] if sparse else kinds[2])(name=name)
    found = metrics_module.get(identifier)
    if isinstance(identifier, str):
        if isinstance(found, metrics_module.Metric):
            found.name = name
            return found
    else:
        name = getattr(found, "__name__", None)
    if not isinstance(found, metrics_module.Metric):
        found = metrics_module.MeanMetricWrapper(found, name=name)
    return found


def _is_leaf(x):
    """Is it one entry of `loss=` or `metrics=`, rather than a list or dict of them?"""
    return not isinstance(x, (list, tuple)) and not (isinstance(x, dict) and "class_name" not in x)


class Outputs:
    """The outputs of a model side by side with targets: keys, names, flat lists."""

    def __init__(self, y_pred, output_names=None):
        self.many = tree.is_nested(y_pred)
        if isinstance(y_pred, dict):
            self.keys = list(y_pred)
            self.names = [str(k) for k in self.keys]
        elif self.many:
            flat = tree.flatten(y_pred)
            self.keys = list(range(len(flat)))
            self.names = list(output_names) if output_names and len(output_names) == len(flat) else None
        else:
            self.keys = [None]
            self.names = list(output_names) if output_names else None

    def values(self, structure, who):
        """The entries of targets, weights, ... in the order of the outputs."""
        if structure is None:
            return [None] * len(self.keys)
        if not self.many:
            if isinstance(structure, (list, tuple)) and len(structure) == 1:
                return [structure[0]]
            if isinstance(structure, dict) and len(structure) == 1:
                return list(structure.values())
            return [structure]
        if isinstance(structure, dict):
            names = self.names or []
            unknown = [k for k in structure if k not in names]
            if unknown:
                raise ValueError(f"{who}: expected keys among the outputs {names}. Received: {unknown}")
            return [structure.get(n) for n in names]
        flat = list(structure) if isinstance(structure, (list, tuple)) else [structure]
        if len(flat) != len(self.keys):
            raise ValueError(
                f"{who}: expected {len(self.keys)} entries, one per output. Received: {len(flat)}"
            )
        return flat

    def predictions(self, y_pred):
        """The predictions as a flat list."""
        if isinstance(y_pred, dict):
            return [y_pred[k] for k in self.keys]
        return tree.flatten(y_pred) if self.many else [y_pred]


class CompileLoss:
    """The weighted sum of the losses of all outputs."""

    def __init__(self, loss, loss_weights=None, output_names=None):
        self.loss = loss
        self.loss_weights = loss_weights
        self.output_names = output_names
        self.built = False
        self.metrics = []
        self.entries = []

    def build(self, y_true, y_pred):
        """Resolves the losses against the outputs."""
        self.outputs = outputs = Outputs(y_pred, self.output_names)
        loss, weights = self.loss, self.loss_weights
        if _is_leaf(loss):
            found = [loss] * len(outputs.keys)
        else:
            found = outputs.values(loss, "compile(loss=...)")
        if weights is None or isinstance(weights, (int, float)):
            found_weights = [weights] * len(outputs.keys)
        else:
            found_weights = outputs.values(weights, "compile(loss_weights=...)")
        targets = outputs.values(y_true, "targets")
        for i, (one, weight, target, pred) in enumerate(
            zip(found, found_weights, targets, outputs.predictions(y_pred), strict=True)
        ):
            if one is None:
                self.entries.append(None)
                continue
            self.entries.append((self._resolve(one, target, pred), weight, i))
        used = [e for e in self.entries if e is not None]
        if not used:
            raise ValueError("compile(loss=...): expected a loss for at least one output. Received: none")
        if outputs.many and len(used) > 1:
            for e in used:
                name = outputs.names[e[2]] if outputs.names else e[0].name
                self.metrics.append(metrics_module.Mean(name=f"{name}_loss"))
        self.built = True

    def _resolve(self, identifier, y_true, y_pred):
        if isinstance(identifier, str) and identifier.lower() in _CROSSENTROPY and y_true is not None:
            binary, sparse = is_binary_or_sparse(y_true, y_pred)
            kinds = (
                losses_module.BinaryCrossentropy, losses_module.SparseCategoricalCrossentropy,
                losses_module.CategoricalCrossentropy,
            )  # fmt: skip
            return (kinds[0] if binary else kinds[1] if sparse else kinds[2])()
        loss = losses_module.get(identifier)
        if isinstance(loss, losses_module.Loss):
            return loss
        return losses_module.LossFunctionWrapper(loss, name=getattr(loss, "__name__", None))

    def __call__(self, y_true, y_pred, sample_weight=None):
        if not self.built:
            self.build(y_true, y_pred)
        outputs = self.outputs
        targets = outputs.values(y_true, "targets")
        predictions = outputs.predictions(y_pred)
        if sample_weight is None or _is_leaf(sample_weight):
            weights = [sample_weight] * len(predictions)
        else:
            weights = outputs.values(sample_weight, "sample_weight")
        total, trackers = None, iter(self.metrics)
        for entry, t, p, w in zip(self.entries, targets, predictions, weights, strict=True):
            if entry is None:
                continue
            loss, weight, _ = entry
            if t is None:
                raise ValueError(
                    f"compile(loss=...): expected targets for the loss {loss.name!r}. Received: None"
                )
            value = loss(t, p, w)
            if self.metrics:
                next(trackers).update_state(value, sample_weight=tree.flatten(p)[0].shape[0])
            if weight is not None:
                value = value * weight
            total = value if total is None else total + value
        return total


class CompileMetrics:
    """The metrics of all outputs."""

    name = "compile_metrics"

    def __init__(self, metrics, weighted_metrics, output_names=None):
        self._user_metrics = metrics
        self._user_weighted_metrics = weighted_metrics
        self.output_names = output_names
        self.built = False
        self._entries = []  # (metric, output index, weighted, name in logs)

    @property
    def metrics(self):
        """The metrics, once they are known."""
        seen, out = set(), []
        for m, *_ in self._entries:
            if id(m) not in seen:
                seen.add(id(m))
                out.append(m)
        return out

    @property
    def variables(self):
        """The variables of all of them."""
        return [v for m in self.metrics for v in m.variables]

    def build(self, y_true, y_pred):
        """Resolves the metrics against the outputs."""
        self.outputs = outputs = Outputs(y_pred, self.output_names)
        predictions = outputs.predictions(y_pred)
        targets = outputs.values(y_true, "targets")
        for weighted, given in ((False, self._user_metrics), (True, self._user_weighted_metrics)):
            if given is None or (isinstance(given, (list, tuple, dict)) and not given):
                continue
            for i, entries in enumerate(self._per_output(given, outputs)):
                for identifier in entries:
                    metric = get_metric(identifier, targets[i], predictions[i])
                    if metric is None:
                        continue
                    name = metric.name
                    if outputs.many and len(outputs.keys) > 1 and outputs.names:
                        name = f"{outputs.names[i]}_{name}"
                    self._entries.append((metric, i, weighted, self._unique(name)))
        self.built = True

    def _unique(self, name):
        taken = {e[3] for e in self._entries}
        if name not in taken:
            return name
        n = 1
        while f"{name}_{n}" in taken:
            n += 1
        return f"{name}_{n}"

    @staticmethod
    def _per_output(given, outputs):
        """A list of metrics per output."""

        def listed(entry):
            return [] if entry is None else [entry] if _is_leaf(entry) else list(entry)

        count = len(outputs.keys)
        if not outputs.many:
            if isinstance(given, dict) and "class_name" not in given:
                return [[m for e in given.values() for m in listed(e)]]
            flat = listed(given)
            if len(flat) == 1 and isinstance(flat[0], (list, tuple)):
                flat = list(flat[0])
            return [flat]
        if isinstance(given, dict) and "class_name" not in given:
            return [listed(e) for e in outputs.values(given, "compile(metrics=...)")]
        flat = listed(given)
        if any(not _is_leaf(e) for e in flat) or (len(flat) == count and count > 1):
            if len(flat) != count:
                raise ValueError(
                    f"compile(metrics=...): expected {count} entries, one per output. Received: {len(flat)}"
                )
            return [listed(e) for e in flat]
        return [list(flat) for _ in range(count)]

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Takes a batch into account."""
        if not self.built:
            self.build(y_true, y_pred)
        targets = self.outputs.values(y_true, "targets")
        predictions = self.outputs.predictions(y_pred)
        if sample_weight is None or _is_leaf(sample_weight):
            weights = [sample_weight] * len(predictions)
        else:
            weights = self.outputs.values(sample_weight, "sample_weight")
        for metric, i, weighted, _ in self._entries:
            if targets[i] is None:
                continue
            if weighted:
                metric.update_state(targets[i], predictions[i], sample_weight=weights[i])
            else:
                metric.update_state(targets[i], predictions[i])

    def reset_state(self):
        """Sets all of them to their start."""
        for m in self.metrics:
            m.reset_state()

    def result(self):
        """Their results by name."""
        out = {}
        for metric, _, _, name in self._entries:
            value = metric.result()
            if isinstance(value, dict):
                out.update(value)
            else:
                out[name] = value
        return out


def as_tensors(structure):
    """Arrays, numbers and lists as tensors; None stays."""
    return tree.map_structure(lambda v: None if v is None else convert_to_tensor(v), structure)
