"""The Keras walk-through's steps for each frame of a video, with OpenCV instead of files around them.

The walk-through says `preprocess_input` twice, which is a slip: once here. With `--function` the network, the gradient and the map are
one `tf.function`, and OpenCV draws, as a user who knows TensorFlow would write it.

Usage: program_keras.py CLIP OUT.mp4 [--function] [--threads N]
"""

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from keras.applications import resnet50
from PIL import Image

from common import Weights
from model_keras import resnet50_keras
from video import arguments, input_of, overlay, transcode, write_label


def split(model):
    """The network up to the last convolution, and its head."""
    last_conv_layer = model.get_layer("conv5_block3_out")
    model_1 = keras.Model(model.input, last_conv_layer.output)
    input_2 = keras.Input(shape=last_conv_layer.output.shape[1:])
    x_2 = model.get_layer("avg_pool")(input_2)
    x_2 = model.get_layer("predictions")(x_2)
    return model_1, keras.Model(input_2, x_2)


def walk_through(model):
    """Functions `compute` and `draw` of the walk-through, step by step."""
    model_1, model_2 = split(model)
    labels = Weights().labels

    def compute(frame):
        img = Image.fromarray(frame[..., ::-1]).resize((224, 224), Image.Resampling.NEAREST)
        x = keras.utils.img_to_array(img)
        x = np.expand_dims(x, axis=0)
        x = resnet50.preprocess_input(x)
        preds = model.predict(x, verbose=0)[0]
        top = int(preds.argmax())

        with tf.GradientTape() as tape:
            output_1 = model_1(x)
            tape.watch(output_1)
            preds_2 = model_2(output_1)
            class_id = tf.argmax(preds_2[0])
            output_2 = preds_2[:, class_id]
        grads = tape.gradient(output_2, output_1)
        pooled_grads = tf.reduce_mean(grads, axis=(0, 1, 2))

        output_1 = output_1.numpy()[0]
        pooled_grads = pooled_grads.numpy()
        for i in range(pooled_grads.shape[-1]):
            output_1[:, :, i] *= pooled_grads[i]
        heatmap = np.mean(output_1, axis=-1)
        return np.maximum(heatmap, 0) / np.max(heatmap), top, float(preds[top])

    def draw(frame, explanation):
        heatmap, top, probability = explanation
        img = keras.utils.img_to_array(Image.fromarray(frame[..., ::-1]))
        heatmap = np.uint8(255 * heatmap)
        jet = matplotlib.colormaps["jet"]
        color = jet(np.arange(256))[:, :3]
        color_heatmap = keras.utils.array_to_img(color[heatmap])
        color_heatmap = color_heatmap.resize((img.shape[1], img.shape[0]))
        color_heatmap = keras.utils.img_to_array(color_heatmap)
        overlay_img = keras.utils.array_to_img(color_heatmap * 0.4 + img)
        return write_label(np.ascontiguousarray(np.asarray(overlay_img)[..., ::-1]), labels[top], probability)

    return compute, draw


def as_function(model):
    """The same map from one graph; drawn by OpenCV."""
    model_1, model_2 = split(model)
    labels = Weights().labels

    @tf.function
    def explain(x):
        activations = model_1(x, training=False)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(activations)
            preds = model_2(activations, training=False)
            class_id = tf.argmax(preds[0])
            output = preds[:, class_id]
        pooled_grads = tf.reduce_mean(tape.gradient(output, activations), axis=(0, 1, 2))
        heatmap = tf.nn.relu(tf.linalg.matvec(activations[0], pooled_grads))
        return tf.math.divide_no_nan(heatmap, tf.reduce_max(heatmap)), class_id, output[0]

    def compute(frame):
        x = np.ascontiguousarray(input_of(frame).transpose(0, 2, 3, 1))
        heatmap, class_id, probability = explain(x)
        return heatmap.numpy(), int(class_id), float(probability)

    def draw(frame, explanation):
        heatmap, class_id, probability = explanation
        return write_label(overlay(frame, heatmap), labels[class_id], probability)

    return compute, draw


def main():
    parser = arguments(__doc__)
    parser.add_argument("--function", action="store_true")
    args = parser.parse_args()

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    model = resnet50_keras()
    transcode(args, *(as_function if args.function else walk_through)(model))


if __name__ == "__main__":
    main()
