"""``architecture.png``: a run's networks as rows of boxes, one for each layer with a kernel."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from utils.common.figures import figure_file

# isort: split
import keras
from keras import layers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLOCKS_IN_A_ROW = 11
"""Longer networks continue in a row below."""
COLUMN = 1.45
"""Inches from one block to the next."""
HIGHEST, WIDEST = 1.3, 1.1
"""Inches: the height of the largest map's box, and the width of the widest one's."""
LINE = 0.135
"""Inches of a line of text."""


@dataclass
class Block:
    """A layer with a kernel (or an input, or a merging layer) and the layers around it."""

    layers: list[str]
    """The text of each, in order."""
    shape: tuple[int | None, ...]
    """Of the last one's output for one image: (H, W, channels) or (channels,)."""
    parameters: int
    inputs: list[int] = field(default_factory=list)
    """The numbers of the blocks it reads from."""
    is_open: bool = False
    """Whether it still lacks a kernel and takes one in, as pooling before a convolution."""

    @property
    def side(self) -> int:
        """Height of the map in pixels; a vector is a map of one pixel."""
        return self.shape[0] or 1 if len(self.shape) > 1 else 1

    @property
    def channels(self) -> int:
        """Length of the last axis."""
        return (self.shape[-1] if self.shape else 1) or 1


def blocks(network: keras.Model) -> list[Block]:
    """The blocks of a network, in the order in which they are computed.

    Normalisation, activation and dropout, which keep the shape, belong to the convolution before
    them, and so does a reshaping or a filter; layers without a kernel that change the shape
    (flattening, upsampling, pooling) belong to the convolution after them. A layer that several
    others read from ends its block. A network that is not a graph of layers is one block.
    """
    if not getattr(network, "inputs", None):
        return [Block([type(network).__name__], (), network.count_params())]
    graph = [layer for layer in network.layers if not isinstance(layer, layers.InputLayer)]
    made = [Block([tensor.name], tuple(tensor.shape[1:]), 0) for tensor in network.inputs]
    place = list(range(len(made)))  # of each input and each layer, the number of its block
    shapes = [block.shape for block in made]
    sources = _sources(network, graph)
    readers = [source for found in sources for source in found]
    for layer, before in zip(graph, sources, strict=True):
        has_kernel = _has_kernel(layer)
        shapes.append(tuple(_tensors(layer.output)[0].shape[1:]))
        joins = None
        if len(before) == 1 and readers.count(before[0]) == 1:
            if has_kernel:
                fits = made[place[before[0]]].is_open
            else:
                fits = shapes[-1] == shapes[before[0]] or _only_trims(layer)
            joins = place[before[0]] if fits else None
        if joins is None:
            inputs = sorted({place[source] for source in before})
            made.append(Block([], (), 0, inputs, is_open=len(before) == 1))
            joins = len(made) - 1
        block = made[joins]
        block.layers += _describe(layer)
        block.shape = shapes[-1]
        block.parameters += layer.count_params()
        block.is_open = block.is_open and not has_kernel
        place.append(joins)
    return made


def fold(made: Sequence[Block]) -> list[Block]:
    """The blocks of a drawing: a residual block is one, and so is a convolution with a resizing.

    A residual block is an addition of what a row of blocks makes of a map to that map. A sum of a
    convolution and a resized image is a block as well.
    """
    made = _in_rows(_join_details(made))
    folded: list[Block] = []
    place: list[int] = []  # of each block, its number among the folded ones
    for number, block in enumerate(made):
        inputs = sorted({place[each] for each in block.inputs})
        first, last = (inputs[0], inputs[-1]) if inputs else (0, -1)
        readers = [other for other in made if number - 1 in other.inputs]
        later = {each for other in made[number + 1 :] for each in other.inputs if each < number}
        is_sum = len(inputs) == 2 and block.layers[0] == "Add" and last == len(folded) - 1
        is_alone = not any(place[each] > first for each in later)
        if is_sum and is_alone and _is_row(folded, first, last):
            body = folded[first + 1 :]
            texts = [text for each in body for text in each.layers if not text.endswith("ReLU")]
            texts += block.layers[1:]
            parameters = block.parameters + sum(each.parameters for each in body)
            del folded[first + 1 :]
            block = Block(["residual block:", *texts], block.shape, parameters, [first])
        elif inputs == [len(folded) - 1] and not block.parameters and len(readers) == 1 < number:
            before = folded.pop()
            layers = [*before.layers, *block.layers]
            block = Block(layers, block.shape, before.parameters, before.inputs)
        else:
            block = dataclasses.replace(block, inputs=inputs)
        folded.append(block)
        place.append(len(folded) - 1)
    return folded


def _join_details(made: Sequence[Block]) -> dict[int, Block]:
    """The blocks by their numbers; what is added to a resized image is one with that sum."""
    kept = dict(enumerate(made))
    readers = Counter(each for block in made for each in block.inputs)
    for number, block in enumerate(made):
        is_sum = block.layers[0] == "Add" and len(block.inputs) == 2
        if not is_sum or any(readers[n] > 1 or len(made[n].inputs) != 1 for n in block.inputs):
            continue
        image, details = sorted(block.inputs, key=lambda each: made[each].parameters)
        if made[details].parameters and not made[image].parameters:
            first, second = kept.pop(details), kept.pop(image)
            texts = [*first.layers, *(f"+ {text}" for text in second.layers), *block.layers[1:]]
            inputs = [*first.inputs, *second.inputs]
            kept[number] = Block(texts, block.shape, first.parameters + block.parameters, inputs)
    return kept


def _in_rows(numbered: Mapping[int, Block]) -> list[Block]:
    """Blocks so that each follows one that it reads from, where there is such a one."""
    order: list[int] = []
    while len(order) < len(numbered):
        ready = [
            number
            for number, block in numbered.items()
            if number not in order and set(block.inputs) <= set(order)
        ]
        follows = [number for number in ready if order and order[-1] in numbered[number].inputs]
        order.append(min(follows or ready))
    place = {number: at for at, number in enumerate(order)}
    return [
        dataclasses.replace(block, inputs=sorted(place[each] for each in block.inputs))
        for block in (numbered[number] for number in order)
    ]


def _is_row(made: Sequence[Block], first: int, last: int) -> bool:
    """Whether each block after the first up to the last reads from the one before, and no other."""
    return all(made[number].inputs == [number - 1] for number in range(first + 1, last + 1))


def _sources(network: keras.Model, graph: Sequence[layers.Layer]) -> list[list[int]]:
    """What each layer reads from, as numbers: first the network's inputs, then its layers."""
    first = len(network.inputs)
    if isinstance(network, keras.Sequential):
        return [[first + number - 1] for number in range(len(graph))]
    maker = {id(tensor): number for number, tensor in enumerate(network.inputs)}
    for number, layer in enumerate(graph):
        maker.update({id(tensor): first + number for tensor in _tensors(layer.output)})
    return [[maker[id(tensor)] for tensor in _tensors(layer.input)] for layer in graph]


def _tensors(structure: object) -> list[keras.KerasTensor]:
    return keras.tree.flatten(structure)


def _has_kernel(layer: layers.Layer) -> bool:
    """Whether weights mix channels or pixels, rather than scale and shift them."""
    inner = layer.layer if isinstance(layer, layers.Wrapper) else layer
    is_normalization = type(inner).__name__.endswith(("Normalization", "Norm"))
    return not is_normalization and any(len(weight.shape) > 1 for weight in inner.weights)


def _only_trims(layer: layers.Layer) -> bool:
    """Whether it leaves the map's scale: a reshaping, a cropping, or a filter."""
    is_filter = isinstance(layer, layers.AveragePooling2D) and set(layer.strides) == {1}
    return is_filter or isinstance(layer, (layers.Reshape, layers.Cropping2D))


def _describe(layer: layers.Layer) -> list[str]:
    """A line for a layer; for a wrapper, another for the layer inside."""
    name = type(layer).__name__
    if isinstance(layer, layers.Wrapper):
        return [name, *_describe(layer.layer)]
    if isinstance(layer, layers.InputLayer):
        return [layer.name]
    if isinstance(layer, layers.Activation):
        return [getattr(layer.activation, "__name__", name)]
    kernel = getattr(layer, "kernel_size", None)
    if isinstance(kernel, tuple):
        name += " " + "×".join(map(str, kernel))
    if isinstance(layer, layers.Dropout):
        name += f" {layer.rate:g}"
    return [name]


# ------------------------------------------------------------------------------------------------
# Drawing
# ------------------------------------------------------------------------------------------------


def draw(networks: Mapping[str, Sequence[Block]], path: Path, title: str) -> None:
    """Draw networks below each other, each from left to right.

    A box is as high as the square root of its map's height and as wide as the square root of its
    number of channels, on one scale for all.
    """
    networks = {name: fold(made) for name, made in networks.items()}
    everything = [block for made in networks.values() for block in made]
    largest = math.sqrt(max(block.side for block in everything))
    widest = math.sqrt(max(block.channels for block in everything))
    rows = []
    for name, made in networks.items():
        length = math.ceil(len(made) / math.ceil(len(made) / BLOCKS_IN_A_ROW))
        rows += [(name, at, made[at : at + length]) for at in range(0, len(made), length)]
    heights = [HIGHEST + LINE * (6 + max(len(block.layers) for block in row)) for _, _, row in rows]
    columns = max(len(row) for _, _, row in rows)
    width, height = COLUMN * max(columns, 4) + 0.2, sum(heights) + 0.4
    with figure_file(path, width, height, "none") as figure:
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set(xlim=(0, width), ylim=(0, height))
        axis.axis("off")
        text = (
            f"{title}: a box is the map after these layers, height × width × channels, to scale by "
        )
        text += "square roots; grey: parameters"
        axis.text(0.15, height - 0.2, text, fontsize=8, va="center")
        top = height - 0.4
        for (name, start, row), row_height in zip(rows, heights, strict=True):
            made = networks[name]
            if start == 0:
                total = sum(block.parameters for block in made)
                label = f"{name}: {total:,} parameters"
                axis.text(0.15, top - LINE, label, fontsize=10, weight="bold", va="center")
            sizes = [
                (
                    max(0.05, WIDEST * math.sqrt(block.channels) / widest),
                    max(0.05, HIGHEST * math.sqrt(block.side) / largest),
                )
                for block in row
            ]
            _draw_row(axis, made, start, sizes, top - 3 * LINE - HIGHEST / 2)
            top -= row_height


def _draw_row(
    axis: Axes, made: Sequence[Block], start: int, sizes: Sequence[tuple[float, float]], y: float
) -> None:
    """Draw the blocks from ``start`` on, and an arrow to each that reads from the one before."""
    for place, size in enumerate(sizes):
        number, x = start + place, 0.1 + COLUMN * (place + 0.5)
        _draw_block(axis, made, number, (x, y), size)
        if number - 1 in made[number].inputs:
            before = sizes[place - 1][0] if place else COLUMN - 0.4
            _arrow(axis, x - COLUMN + before / 2, x - size[0] / 2, y)


def _draw_block(
    axis: Axes, made: Sequence[Block], number: int, centre: tuple[float, float],
    size: tuple[float, float],
) -> None:  # fmt: skip
    from matplotlib.patches import Rectangle

    block, (x, y), (width, height) = made[number], centre, size
    colour = "tab:blue" if block.parameters else "lightgrey"
    axis.add_patch(
        Rectangle((x - width / 2, y - height / 2), width, height, facecolor=colour, alpha=0.5,
                  edgecolor="black", linewidth=0.8)
    )  # fmt: skip
    shape = " × ".join("?" if n is None else str(n) for n in block.shape)
    lines = [(shape, "bold", "black"), *((text, "normal", "black") for text in block.layers)]
    if block.parameters:
        lines.append((f"{block.parameters:,}", "normal", "dimgrey"))
    # Numbers are drawn only if the arrows from the left do not show all connections.
    if any(later.inputs != [place] for place, later in enumerate(made[1:])):
        axis.text(x, y + HIGHEST / 2 + LINE / 2, str(number + 1), fontsize=7, ha="center")
        if block.inputs not in ([], [number - 1]):
            numbers = ", ".join(str(n + 1) for n in block.inputs)
            lines.append((f"from {numbers}", "normal", "black"))
    for place, (text, weight, colour) in enumerate(lines):
        axis.text(
            x, y - HIGHEST / 2 - LINE * (place + 1), text, fontsize=7, ha="center", va="center",
            weight=weight, color=colour,
        )  # fmt: skip


def _arrow(axis: Axes, left: float, right: float, y: float) -> None:
    axis.annotate(
        "", (right, y), (left, y), arrowprops={"arrowstyle": "->", "linewidth": 0.8, "shrinkA": 2,
                                               "shrinkB": 2}
    )  # fmt: skip
