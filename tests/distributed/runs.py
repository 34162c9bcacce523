"""Short trainings on several devices or in several processes, for the tests beside this file.

    python runs.py OUTPUT CHECKPOINTS RUN...

Each RUN is what `pretrain` is given besides, as JSON. Losses by run go to OUTPUT as JSON.
"""

import json
import os
import signal
import sys

DEVICES = 4
STEPS = 20


def virtual_devices():
    """As many devices as CPUs can pretend to be; before the first tensor is made."""
    if os.environ["KERAS_BACKEND"] == "jax":
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"
    elif os.environ["KERAS_BACKEND"] == "tensorflow":
        import tensorflow as tf

        one = tf.config.LogicalDeviceConfiguration()
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [one] * DEVICES)


def finetuned(backbone, cells, options):
    """The losses of a short fine-tuning, by a loss that is a mean over cells."""
    import numpy as np

    from keras_geneformer.training.finetuning.cell_finetuning import finetune_cells

    cells.obs["kind"] = ["one", "other"] * (len(cells) // 2)
    settings = {"epochs": 3, "batch_size": 8, "learning_rate": 2e-3, "head_dropout": 0.0}
    result = finetune_cells(
        backbone, cells, "kind", validation=None, progress=False, **(settings | options)
    )
    weights = [float(np.abs(weight).sum()) for weight in result.model.get_weights()]
    return {"losses": result.history["loss"].tolist(), "weights": weights}


def losses(checkpoints=None, die=None, **options):
    """The losses of a short run; every run has the same weights, cells and masks."""
    import keras
    import numpy as np

    from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary
    from keras_geneformer.tokenization.cells.dataset import CellDataset
    from keras_geneformer.training import pretraining
    from keras_geneformer.training.distribution import connect

    distribution = connect(options.get("distribute"))
    if die is not None:
        compile_step = pretraining.compile_distributed_step

        def mortal(*arguments):
            step, done = compile_step(*arguments), iter(range(STEPS))

            def one(batch):
                if next(done) == die["step"] and distribution.part[0] == die["process"]:
                    os.kill(os.getpid(), getattr(signal, die["signal"]))
                return step(batch)

            return one

        pretraining.compile_distributed_step = mortal
    keras.utils.set_random_seed(1)
    backbone = tiny_backbone(num_layers=1, dropout=0.0)
    # 22 cells of one length: the last batch of a pass is filled up. One length compiles once.
    cells = CellDataset([ids[:30] for ids in synthetic_dataset(22)], vocabulary=tiny_vocabulary())
    if options.pop("finetune", False):
        return finetuned(backbone, cells, options)
    settings = {"steps": STEPS, "batch_size": 8, "learning_rate": 2e-3, "progress": False}
    result = pretraining.pretrain(backbone, cells, checkpoints=checkpoints, **(settings | options))
    weights = [float(np.abs(weight).sum()) for weight in result.model.get_weights()]
    return {"losses": result.history["loss"].tolist(), "weights": weights}


def main(output, checkpoints, *runs):
    """Run all of them, one after the other."""
    if "TF_CONFIG" not in os.environ and "KERAS_DISTRIBUTION_PROCESS_ID" not in os.environ:
        virtual_devices()
    found = [losses(checkpoints or None, **json.loads(run)) for run in runs]
    with open(output, "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
