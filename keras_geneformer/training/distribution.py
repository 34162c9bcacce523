"""On how many devices and machines a model is trained: `tf.distribute` and `keras.distribution`."""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

KINDS = ("mirrored", "multiworker", "tpu", "jax-data", "jax-model")
_ON_TENSORFLOW = ("mirrored", "multiworker", "tpu")

_connected: dict[str, "Distribution"] = {}


class Distribution:
    """The devices of a run, and which rows of each batch this process makes.

    Attributes:
        name: as it was asked for; None for one device.
        strategy: the `tf.distribute.Strategy`, or None.
        layout: the `keras.distribution.Distribution`, or None.
        devices: over which the rows of a batch are spread, those of all processes together.
        part: (index, count): this process makes the index-th of `count` shares of each batch.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        strategy: Any = None,
        layout: Any = None,
        devices: int = 1,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        self.name = name
        self.strategy = strategy
        self.layout = layout
        self.devices = devices
        self.part = part

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what all of them know: checkpoints, presets, logs."""
        return self.part[0] == 0

    def told_by_all(self, number: int) -> list[int]:
        """What every process says, from what this one says; all must call it alike."""
        if self.part[1] == 1:
            return [number]
        if self.strategy is not None:
            import tensorflow as tf

            each = self.strategy.run(lambda: tf.constant([number]))
            return self.strategy.gather(each, axis=0).numpy().tolist()
        from jax.experimental.multihost_utils import process_allgather

        return process_allgather(np.array([number])).ravel().tolist()

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Variables made within lie on all devices; on JAX the steps belong within as well."""
        if self.strategy is not None:
            with self.strategy.scope():
                yield
        elif self.layout is not None:
            with self.layout.scope():
                yield
        else:
            yield

    def __repr__(self) -> str:
        if self.name is None:
            return "one device"
        return f"{self.name}: {self.devices} devices, process {self.part[0] + 1} of {self.part[1]}"


def connect(name: str | None) -> Distribution:
    """Find the devices, and the other processes of the run.

    Where several processes train together (`"multiworker"`, or JAX on several hosts), this must
    come before the first model or tensor is made. A second call returns what the first one found.

    Args:
        name: None for one device, or
            `"mirrored"`: all devices of this machine (`tf.distribute.MirroredStrategy`);
            `"multiworker"`: several processes, named in `TF_CONFIG`
            (`tf.distribute.MultiWorkerMirroredStrategy`);
            `"tpu"`: the TPU that `TPU_NAME` names, or the local one (`tf.distribute.TPUStrategy`;
            never run on one yet);
            `"jax-data"`: each device takes a share of the rows (`keras.distribution.DataParallel`);
            `"jax-model"`: besides, every two devices share one copy of the weights
            (`keras.distribution.ModelParallel`). On several hosts, `KERAS_DISTRIBUTION_*` tell
            `keras.distribution.initialize` who they are.
            `"mirrored:2"`, `"jax-data:2"`: the first two devices alone. `"jax-model:4"`: four
            devices share one copy.

    Returns:
        The devices.

    Raises:
        ValueError: there is no such kind, the backend in use is not its own, or the environment
            names the processes wrongly.
        RuntimeError: a tensor was made before the processes could be connected.
    """
    if name is None:
        if (processes := _processes()) > 1:
            kind = "multiworker" if keras.config.backend() == "tensorflow" else "jax-data"
            warnings.warn(
                f"The environment names {processes} processes, and with distribute=None each "
                f"trains alone on all cells: give distribute={kind!r} for one run of all of them.",
                stacklevel=3,
            )
        return Distribution()
    if name not in _connected:
        kind, number = _parsed(name)
        _check_backend(name, kind)
        make = {
            "mirrored": _mirrored,
            "multiworker": _multiworker,
            "tpu": _tpu,
            "jax-data": _jax_data,
            "jax-model": _jax_model,
        }[kind]
        _connected[name] = make(name, number)
    return _connected[name]


def is_chief() -> bool:
    """Whether this process is the one that writes results (in a run of one process, it is)."""
    return all(distribution.is_chief for distribution in _connected.values())


def whole_value(variable: Any) -> np.ndarray:
    """A variable's value as one array, wherever its pieces lie.

    Pieces on other hosts are fetched, for which every process must call this alike.
    """
    value = variable.value
    if keras.config.backend() == "jax" and not (
        value.is_fully_addressable or value.is_fully_replicated
    ):
        from jax.experimental.multihost_utils import process_allgather

        value = process_allgather(value, tiled=True)
    elif keras.config.backend() == "tensorflow" and hasattr(value, "values"):
        value = value.values[0]
    return np.array(keras.ops.convert_to_numpy(value), order="C")


def _parsed(name: str) -> tuple[str, int | None]:
    kind, colon, number = name.partition(":")
    if kind not in KINDS or (colon and (not number.isdigit() or int(number) < 1)):
        raise ValueError(
            f"Received distribute={name!r}; expected one of {', '.join(KINDS)}, or with a number "
            "of devices, as in 'mirrored:2'."
        )
    if colon and kind in ("multiworker", "tpu"):
        raise ValueError(
            f"Received distribute={name!r}: the devices of {kind!r} are those of the cluster; "
            f"leave out ':{number}'."
        )
    return kind, int(number) if colon else None


def _check_backend(name: str, kind: str) -> None:
    backend = keras.config.backend()
    wanted = "tensorflow" if kind in _ON_TENSORFLOW else "jax"
    if backend == "torch":
        raise ValueError(
            f"Received distribute={name!r} on the backend 'torch', on which Keras "
            f"{keras.__version__} trains on one device. Set KERAS_BACKEND=jax (and "
            "distribute='jax-data') or KERAS_BACKEND=tensorflow (and distribute='mirrored'): "
            "presets are the same on all."
        )
    if backend != wanted:
        other = "'mirrored' or 'multiworker'" if backend == "tensorflow" else "'jax-data'"
        raise ValueError(
            f"Received distribute={name!r} on the backend {backend!r}; it belongs to {wanted!r}. "
            f"Set KERAS_BACKEND={wanted}, or use distribute={other} here."
        )


def _mirrored(name: str, number: int | None) -> Distribution:
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = _first(number, [device.name for device in devices], name)
    # Collectives among the CPU's virtual devices would bind the process to one group of them.
    on_cpu = None if tf.config.list_logical_devices("GPU") else tf.distribute.ReductionToOneDevice()
    strategy = tf.distribute.MirroredStrategy(names, cross_device_ops=on_cpu)
    return Distribution(name, strategy=strategy, devices=strategy.num_replicas_in_sync)


def _multiworker(name: str, number: int | None) -> Distribution:
    import tensorflow as tf

    cluster = _cluster()
    # A worker that is gone is noticed by the others, which then end with an error.
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=_timeout())
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    except RuntimeError as error:
        raise RuntimeError(
            f"TensorFlow was in use before the workers were connected ({error}): call "
            "keras_geneformer.training.distribution.connect('multiworker') before making any "
            "model or tensor (the command line does)."
        ) from error
    task = cluster["task"]
    workers = [*cluster["cluster"].get("chief", []), *cluster["cluster"]["worker"]]
    index = int(task["index"])
    if task["type"] == "worker" and "chief" in cluster["cluster"]:
        index += 1
    return Distribution(
        name,
        strategy=strategy,
        devices=strategy.num_replicas_in_sync,
        part=(index, len(workers)),
    )


def _cluster() -> dict[str, Any]:
    """What TF_CONFIG says."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        cluster = json.loads(text)
        workers, task = cluster["cluster"], cluster["task"]
        known = (
            workers["worker"]
            and task["type"] in ("chief", "worker")
            and 0 <= int(task["index"]) < len(workers[task["type"]])
        )
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise ValueError(
            f"distribute='multiworker' reads the workers from TF_CONFIG, which is {text!r}; "
            'expected {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", '
            '"index": 0}} with the same workers and another index for each process.'
        )
    return cluster


def _timeout() -> float:
    """Seconds that a collective waits for the other workers."""
    return float(os.environ.get("KERAS_GENEFORMER_WORKER_TIMEOUT", "600"))


def _tpu(name: str, number: int | None) -> Distribution:
    import tensorflow as tf

    address = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(address)
    except (ValueError, tf.errors.OpError, RuntimeError) as error:
        raise RuntimeError(
            f"No TPU answered at TPU_NAME={address!r} ({error}): on a TPU machine set "
            "TPU_NAME=local, on another one the name of the TPU."
        ) from error
    strategy = tf.distribute.TPUStrategy(resolver)
    return Distribution(name, strategy=strategy, devices=strategy.num_replicas_in_sync)


def _jax_data(name: str, number: int | None) -> Distribution:
    devices, part = _jax_devices(), _jax_part()
    if number is not None and part[1] > 1:
        raise ValueError(
            f"Received distribute={name!r} in a run of {part[1]} processes: each trains on all of "
            f"its devices; leave out ':{number}'."
        )
    devices = _first(number, devices, name)
    layout = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    return Distribution(name, layout=layout, devices=len(devices), part=part)


def _jax_model(name: str, number: int | None) -> Distribution:
    devices = _jax_devices()
    sharing = number or 2
    if len(devices) % sharing:
        raise ValueError(
            f"{name!r}: {sharing} devices are to share a copy of the weights, and there are "
            f"{len(devices)}; expected a multiple of {sharing}."
        )
    mesh = keras.distribution.DeviceMesh(
        (len(devices) // sharing, sharing), ["batch", "model"], devices
    )
    layout = keras.distribution.ModelParallel(
        layout_map=_layout_map(mesh), batch_dim_name="batch", auto_shard_dataset=False
    )
    rows, part = len(devices) // sharing, _jax_part()
    if rows % part[1]:
        raise ValueError(
            f"{name!r}: {part[1]} processes cannot each make a whole share of {rows} shares of the "
            "rows; let fewer devices share a copy of the weights."
        )
    return Distribution(name, layout=layout, devices=rows, part=part)


def _layout_map(mesh: Any) -> Any:
    """Which dimension of which weight is spread over the devices that share a copy.

    Heads and feed-forward units are spread; the projections that gather them are split along what
    they gather over, so that each block exchanges activations twice. Tables are split by width.
    """
    layouts = keras.distribution.LayoutMap(mesh)
    layouts[".*(query|key|value|intermediate).kernel"] = (None, "model")
    layouts[".*(query|key|value|intermediate).bias"] = ("model",)
    layouts[".*encoder_block.*output_projection.kernel"] = ("model", None)
    layouts[".*token_embedding.embeddings"] = (None, "model")
    return layouts


def _jax_devices() -> list[str]:
    import jax

    if _processes() > 1 and not jax.distributed.is_initialized():
        try:
            keras.distribution.initialize()
        except RuntimeError as error:
            raise RuntimeError(
                f"JAX was in use before the processes were connected ({error}): call "
                "keras_geneformer.training.distribution.connect('jax-data') before making any "
                "model or tensor (the command line does)."
            ) from error
    return keras.distribution.list_devices()


def _processes() -> int:
    """How many processes the environment names for the backend in use."""
    if keras.config.backend() == "tensorflow":
        if "TF_CONFIG" not in os.environ:
            return 1
        try:
            cluster = json.loads(os.environ["TF_CONFIG"])["cluster"]
            return len(cluster.get("chief", [])) + len(cluster.get("worker", []))
        except (ValueError, KeyError, TypeError, AttributeError):
            return 1
    name = "KERAS_DISTRIBUTION_NUM_PROCESSES"
    number = os.environ.get(name, "1") if keras.config.backend() == "jax" else "1"
    if not number.isdigit():
        raise ValueError(f"{name} is {number!r}; expected the number of processes.")
    return int(number)


def _jax_part() -> tuple[int, int]:
    import jax

    return jax.process_index(), jax.process_count()


def _first(number: int | None, devices: list[str], name: str) -> list[str]:
    if number is not None and number > len(devices):
        raise ValueError(
            f"Received distribute={name!r}, but there are {len(devices)} devices: "
            f"{', '.join(devices)}."
        )
    return devices if number is None else devices[:number]
