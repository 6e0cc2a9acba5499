"""AT-CNN (Zhao et al., CVPR 2019) as a harness plugin: `at_cfcn` on a light network, `at_csrnet` on CSRNet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import Batch, Method, ModelOptions, Recipe, Sigma, Stage, Variant, hookimpl

if TYPE_CHECKING:
    from harness import LabelMap

# Pixels. The last layers give heads a so large area, of order one in a crowd, whatever the recipe's density_scale: the λ of
# Eq. 5 weigh the other tasks against errors in this unit.
UNIT = 640.0
DENSITY, DEPTH, SEGMENT, COUNT = 1.0, 0.6, 0.04, 1.0  # λ of Eq. 5 (section 5.4)


def build_cfcn(options: ModelOptions) -> Any:
    """AT-CFCN; see `model.build_cfcn`."""
    from crowd_harness_at_cnn import model

    return model.build_cfcn(options)


def build_csrnet(options: ModelOptions) -> Any:
    """AT-CSRNet; see `model.build_csrnet`."""
    from crowd_harness_at_cnn import model

    return model.build_csrnet(options)


def label_maps(options: ModelOptions) -> dict[str, LabelMap]:
    """The depth of every pixel, where the depth task is trained; the variant names its provider."""
    from harness.data.depth import provider

    if "depth" not in options.variant.get("tasks", ("depth",)):
        return {}
    return {"depth": provider(options.variant.get("depth", "head_spacing"))}


def _loss(batch: Batch, outputs: Any, stride: int) -> dict[str, Any]:
    """The terms of Eq. 5 times their λ; those of absent tasks are left out."""
    from keras import ops

    from crowd_harness_at_cnn import losses
    from harness.nn.targets import crowd_mask, distilled_depth

    unit = UNIT / stride**2
    density = batch.density(stride)
    mask = crowd_mask(batch, stride)
    terms = {"density": DENSITY * losses.squared(unit * outputs["density"], unit * density)}
    if "segment" in outputs:
        terms["segment"] = SEGMENT * losses.cross_entropy(outputs["segment"], mask)
    if "depth" in outputs:
        depth = distilled_depth(batch.maps["depth"], mask, stride)
        terms["depth"] = DEPTH * losses.squared(outputs["depth"], depth)
    if "count" in outputs:
        height, width = batch.size
        area = ops.cast(height * width, "float32")
        terms["count"] = COUNT * losses.squared(outputs["count"], batch.counts() * (UNIT / area))
    return terms


def loss_cfcn(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """Eq. 5 at the image's own size."""
    return _loss(batch, outputs, METHOD_CFCN.stride)


def loss_csrnet(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """Eq. 5 at 1/8."""
    return _loss(batch, outputs, METHOD_CSRNET.stride)


AUXILIARY = ("segment_*", "depth_*", "count_*")
# The three stages of section 3.3: the base network, the decoders of the other tasks, everything. The first two choose no
# checkpoint: it would be one of a base network that no other task has helped yet.
SGD: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 1e-3, "options": {"momentum": 0.9}, "l2": 5e-4}
ALONE: dict[str, Any] = {**SGD, "selects": False}


def _recipe(base: tuple[str, ...], crop: int = 224) -> Recipe:
    """The paper's recipe of a base network whose layers are called `base`."""
    return Recipe(
        name="paper",
        epochs=300,
        images_per_step=8,
        crops_per_image=1,
        crop=crop,
        sigma=Sigma(pixels=4.0),
        density_scale=UNIT,
        stages=(
            Stage("base", share=1 / 3, **ALONE, trains=base, loss_weights={"segment": 0.0, "depth": 0.0, "count": 0.0}),
            Stage("auxiliary", share=1 / 6, **ALONE, trains=AUXILIARY, loss_weights={"density": 0.0}),
            Stage("joint", share=1 / 2, **SGD, decay="step", decay_factor=0.1, decay_epochs=50),
        ),
    )


def _recipes(base: tuple[str, ...]) -> dict[str, Recipe]:
    """Section 5.1; 224² is ShanghaiTech B's, and ours wherever the paper has no crop of its own."""
    return {"worldexpo10": _recipe(base, 256), "mall": _recipe(base, 160)}


BASE_CFCN, BASE_CSRNET = ("encoder_*", "density_*"), ("block*", "dilated_*", "output")

PROVIDERS = {
    "depth_files": Variant({"depth": "files"}, "depth from NAME.depth.npy or 16-bit NAME.depth.png beside each image"),
    "depth_perspective": Variant({"depth": "perspective"}, "depth from the dataset's own perspective maps"),
}


def _ablations(tables: str) -> dict[str, Variant]:
    """The rows of Tables 2 and 3: which tasks are trained beside the density."""
    short = {"de": "depth", "se": "segment", "ct": "count"}
    rows = ("de", "se", "ct", "de+se", "de+ct", "se+ct")
    return {
        "base": Variant({"tasks": ()}, f"{tables}: the base network alone"),
        **{
            row: Variant(
                {"tasks": tuple(short[task] for task in row.split("+"))},
                f"{tables}: with {' and '.join(short[task] for task in row.split('+'))} alone",
            )
            for row in rows
        },
        **PROVIDERS,
    }


CITATION = "Zhao et al., Leveraging Heterogeneous Auxiliary Tasks to Assist Crowd Counting, CVPR 2019"

METHOD_CFCN = Method(
    name="at_cfcn",
    title="AT-CFCN",
    citation=CITATION,
    build=build_cfcn,
    loss=loss_cfcn,
    recipe=_recipe(BASE_CFCN),
    recipes=_recipes(BASE_CFCN),
    stride=1,
    multiple_of=4,
    channels=3,
    unit=UNIT,
    margin=48,
    variants=_ablations("Tables 2 and 3"),
    label_maps=label_maps,
)

METHOD_CSRNET = Method(
    name="at_csrnet",
    title="AT-CSRNet",
    citation=CITATION,
    build=build_csrnet,
    loss=loss_csrnet,
    recipe=_recipe(BASE_CSRNET),
    recipes=_recipes(BASE_CSRNET),
    stride=8,
    channels=3,
    unit=UNIT,
    margin=152,
    pretrained="vgg16",
    variants=_ablations("Table 2"),
    label_maps=label_maps,
)


@hookimpl
def harness_methods() -> list[Method]:
    return [METHOD_CFCN, METHOD_CSRNET]


@hookimpl
def harness_published() -> list[Path]:
    return [Path(__file__).with_name("published.yaml")]
