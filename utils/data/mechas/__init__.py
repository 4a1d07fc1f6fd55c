"""A data set of giant robots, drawn by code: no picture in it belongs to anybody else.

Every design is drawn at random from ``(seed, index)`` alone (`designs`, out of what `catalogue`
offers): colours, head, armour, weapon and pose. It is then built as a small three-dimensional
model of armour plates, lofted limbs and joints, each in a frame of its own (`geometry`; the parts
are in `head`, `torso`, `limbs` and `weapons`, put together in `drawing`). It is seen in
three-quarter view (`scene`) and painted back to front with dark outlines and flat cel shading
(`canvas`).

All lengths of the model are in units of about a hundredth of the figure's height; the picture is
fitted to the figure at the very end, so that nothing is ever cropped. The model always faces right
and is mirrored for a design that faces left. So "near" is the side of the body turned to the
viewer (in a picture facing right the left one), "far" is the other one, and inside a limb's frame
+x always points away from the body.
"""

from utils.data.mechas.designs import Design, design
from utils.data.mechas.drawing import DEFAULT_COUNT, VERSION, draw, draw_dataset

__all__ = ["DEFAULT_COUNT", "VERSION", "Design", "design", "draw", "draw_dataset"]
