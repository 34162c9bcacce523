"""The forward pass on Keras's openvino backend, in float32 and compiled once for each length.

Keras's own `predict` there compiles with OpenVINO's default precision, which is bfloat16 on
processors that have it (an error of a percent that nobody asked for), and forgets the compiled
model when the length changes. So the graph is built here, through the same Keras calls, and
compiled with the precision stated.
"""

import numpy as np


def compile_openvino(model):
    """Compile a model's forward pass for any batch size, anew for each length it meets.

    Args:
        model: a Keras model, built on the openvino backend, with dict inputs of rank 2 and int32
            type, and one output.

    Returns:
        A function from a dict of arrays to the output, as a float32 numpy array. The weights are
        those of the moment of compiling.
    """
    import openvino as ov
    from keras.src.backend.openvino.core import OpenVINOKerasTensor
    from openvino import opset15 as opset

    names = [tensor.name for tensor in model.inputs]
    compiled = {}

    def compile_for(lengths):
        parameters = [opset.parameter([-1, length], dtype=np.int32) for length in lengths]
        tensors = [OpenVINOKerasTensor(parameter.output(0)) for parameter in parameters]
        outputs = model(dict(zip(names, tensors, strict=True)), training=False)
        graph = ov.Model([opset.result(outputs.output)], parameters)
        return ov.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def forward(inputs):
        arrays = [np.ascontiguousarray(inputs[name], dtype=np.int32) for name in names]
        lengths = tuple(array.shape[1] for array in arrays)
        if lengths not in compiled:
            compiled[lengths] = compile_for(lengths)
        return np.array(compiled[lengths](arrays)[0], dtype=np.float32)

    return forward
