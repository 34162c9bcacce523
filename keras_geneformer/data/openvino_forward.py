"""The forward pass on Keras's openvino backend, in float32 and compiled once for all shapes.

Keras's own `predict` there compiles with OpenVINO's default precision, which is bfloat16 on
processors that have it (an error of a percent that nobody asked for), and forgets the compiled
model when the length changes. So the graph is built here, through the same Keras calls, and
compiled with the precision stated.

Lengths are left open in the graph. Measured on V1's shape, over 50 lengths from 100 to 2048: one
graph for all takes 0.15 GB, activations included, and a second to compile; one for each length
1.9 GB and 12 s more, and runs no faster (neither at 16 cells of 512 tokens nor at 4 of 2048).
Padding to a few lengths therefore only adds work. Attention is one fused kernel, whose time is the
same with a mask of ones as with none.
"""

import contextlib
import warnings

import numpy as np


def compile_openvino(model):
    """Compile a model's forward pass for batches of any size and length.

    Args:
        model: a Keras model, built on the openvino backend, with dict inputs and one output. What
            its inputs are is up to it: cells of one length need no `padding_mask`.

    Returns:
        A function from a dict of arrays to the output, as a float32 numpy array. The weights are
        those of the moment of compiling.
    """
    names = [tensor.name for tensor in model.inputs]
    types = [tensor.dtype for tensor in model.inputs]
    compiled = compile_graph(openvino_graph(model))

    def forward(inputs):
        arrays = [
            np.ascontiguousarray(inputs[name], dtype=dtype) for name, dtype in zip(names, types)
        ]
        return np.array(compiled(arrays)[0], dtype=np.float32)

    return forward


def openvino_graph(model):
    """A Keras model's forward pass as an `openvino.Model`, of any batch size and length.

    Args:
        model: a Keras model, built on the openvino backend, with dict inputs and one output.

    Returns:
        The graph, with the model's inputs in their order and under their names.
    """
    kinds = {tensor.name: (tensor.shape, tensor.dtype) for tensor in model.inputs}
    return traced_graph(lambda tensors: model(tensors, training=False), kinds)


def traced_graph(function, kinds):
    """What a function of tensors computes, in Keras operations, as an `openvino.Model`.

    Args:
        function: from a dict of Keras tensors to one.
        kinds: shape, with None where a size is open, and dtype of each tensor, by name.

    Returns:
        The graph, with inputs in the order and under the names of `kinds`.
    """
    import openvino as ov
    from keras.src.backend.openvino.core import OpenVINOKerasTensor, get_ov_output
    from openvino import opset13 as opset

    parameters = {
        name: opset.parameter(
            [-1 if size is None else size for size in shape], dtype=np.dtype(dtype), name=name
        )
        for name, (shape, dtype) in kinds.items()
    }
    for name, parameter in parameters.items():
        parameter.output(0).set_names({name})
    tensors = {
        name: OpenVINOKerasTensor(parameter.output(0)) for name, parameter in parameters.items()
    }
    with only_forward():
        output = get_ov_output(function(tensors))
    return ov.Model([_result(output)], list(parameters.values()))


def compile_openvino_function(function):
    """Compile a function of tensors, in Keras operations, for arrays of any shape.

    Args:
        function: takes tensors and gives one or several. It is traced at the first call, whose
            arrays say how many there are, of which rank and which type.

    Returns:
        A function from arrays to a numpy array, or a tuple of several.
    """
    traced: list = []

    def trace(arrays):
        import openvino as ov
        from keras.src.backend.openvino.core import OpenVINOKerasTensor
        from openvino import opset13 as opset

        parameters = [opset.parameter([-1] * array.ndim, dtype=array.dtype) for array in arrays]
        tensors = (OpenVINOKerasTensor(parameter.output(0)) for parameter in parameters)
        with only_forward():
            outputs = function(*tensors)
        several = isinstance(outputs, tuple)
        outputs = outputs if several else (outputs,)
        results = [_result(output.output) for output in outputs]
        return compile_graph(ov.Model(results, parameters)), several

    def call(*arrays):
        inputs = [np.ascontiguousarray(array) for array in arrays]
        if not traced:
            traced.extend(trace(inputs))
        compiled, several = traced
        outputs = tuple(np.array(output) for output in compiled(inputs).to_tuple())
        return outputs if several else outputs[0]

    return call


def graph_as_model(graph):
    """An `openvino.Model` as something to call where a `keras.Model` is called.

    Args:
        graph: with named inputs and one output, as `openvino_graph` makes it. Each call copies it.

    Returns:
        A function from a dict of Keras tensors to the output as a Keras tensor.
    """
    return lambda inputs, training=False: spliced(graph, inputs)


def spliced(graph, tensors):
    """What a graph gives for tensors, as a part of the graph that these belong to.

    Args:
        graph: an `openvino.Model` with named inputs and one output; it is copied.
        tensors: a Keras tensor for each input, by name.

    Returns:
        A Keras tensor.
    """
    from keras.src.backend.openvino.core import OpenVINOKerasTensor, get_ov_output

    copy = graph.clone()
    for parameter in copy.get_parameters():
        tensor = get_ov_output(tensors[parameter.output(0).get_any_name()])
        parameter.output(0).replace(tensor)
    return OpenVINOKerasTensor(copy.get_results()[0].input_value(0))


def compile_graph(graph):
    """Compile an `openvino.Model` for the CPU, in the precision that its types state."""
    import openvino as ov

    return ov.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@contextlib.contextmanager
def only_forward():
    """Keras warns that gradients of its own, as quantized layers have, are none here: none are."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`custom_gradient` for the openvino backend")
        yield


def _result(tensor):
    """An output of a graph, in float32 where it is a shorter float.

    OpenVINO gives numpy the bits of a bfloat16 as those of a float16.
    """
    import openvino as ov
    from openvino import opset13 as opset

    if tensor.get_element_type() in (ov.Type.bf16, ov.Type.f16):
        tensor = opset.convert(tensor, "f32")
    return opset.result(tensor)
