"""One training example from one image and its label maps: scale, crop, flip, grey, noise."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from harness.recipe import Recipe

JUST_BELOW = np.float32(1 - 2**-24)  # times a float32 above 0: the next one below it


@dataclass(frozen=True)
class CropSize:
    """Height and width of a crop in pixels."""

    height: int
    width: int


@dataclass(frozen=True)
class Window:
    """The part of an image that a crop is made of, in pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def pixels(self) -> tuple[slice, slice]:
        """What indexes them."""
        return np.s_[self.top : self.top + self.height, self.left : self.left + self.width]

    def holds(self, heads: np.ndarray) -> np.ndarray:
        """bool [N]: which of the heads float32 [N, 3] (x, y, …; in its own frame) lie in it."""
        x, y = heads[:, 0], heads[:, 1]
        return (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height)

    def seen_from(self, heads: np.ndarray) -> np.ndarray:
        """Heads float32 [N, 3] of the image in its frame."""
        return heads.astype(np.float32) - np.array([self.left, self.top, 0], np.float32)


@dataclass(frozen=True)
class Crop:
    """One training example: image uint8 [h, w, C], heads float32 [M, 3] (x, y, sigma), maps float32 [h, w] by name.

    `frame` is what of it shows the picture, which may be smaller: left, top, right, bottom in pixels, float32 [4].
    """

    image: np.ndarray
    heads: np.ndarray
    maps: Mapping[str, np.ndarray]
    frame: np.ndarray


def fixed_size(crop: int | tuple[int, int], multiple: int) -> CropSize:
    """The crops of a recipe that says their side, or (height, width): each a multiple of `multiple`, and at least that."""
    sides = crop if isinstance(crop, tuple) else (crop, crop)
    return CropSize(*(max(multiple, side // multiple * multiple) for side in sides))


def drawn_share(recipe: Recipe, generator: np.random.Generator) -> float:
    """The share that a step of `recipe` crops by; drawn where it has several."""
    every = shares(recipe)
    return every[int(generator.integers(len(every)))] if len(every) > 1 else every[0]


def shared_size(share: float, image_shape: tuple[int, ...], multiple: int) -> CropSize:
    """The crop of this share of an image's sides."""
    # 0.7 of 720 is 503.999… in binary.
    height, width = (max(multiple, int(side * share + 1e-6) // multiple * multiple) for side in image_shape[:2])
    return CropSize(height, width)


def shares(recipe: Recipe) -> tuple[float, ...]:
    """Those that `recipe` draws from, as often as it has each."""
    return recipe.crop_share if isinstance(recipe.crop_share, tuple) else (recipe.crop_share,)


def make_crop(
    image: np.ndarray,
    heads: np.ndarray,
    size: CropSize,
    recipe: Recipe,
    generator: np.random.Generator,
    maps: Mapping[str, np.ndarray] | None = None,
    lengths: Collection[str] = (),
) -> Crop:
    """A random crop, the heads in it, and the part of each label map under it.

    Args:
        image: uint8 [H, W, C].
        heads: float32 [N, 3]: x, y, sigma in pixels of `image`.
        maps: float32 [H, W] by name.
        lengths: which of them hold lengths in pixels of the image, which grow with it.

    Returns:
        A crop of `size`, every head in its frame. An image smaller than the crop is continued to the right and below by
        its last column and row.
    """
    scale = float(generator.uniform(*recipe.scales)) if recipe.scales[0] != recipe.scales[1] else recipe.scales[0]
    window = drawn_window(image.shape, size, scale, generator)
    crop, labels = image[window.pixels], {name: raster[window.pixels] for name, raster in (maps or {}).items()}
    moved = window.seen_from(heads)
    moved = moved[window.holds(moved)]
    if scale != 1.0:
        height, width = (
            min(size.height, round(window.height * scale)),
            min(size.width, round(window.width * scale)),
        )
        crop = _resize(crop, max(1, height), max(1, width))
        labels = {name: _resize(raster[:, :, None], *crop.shape[:2])[:, :, 0] for name, raster in labels.items()}
        labels |= {name: labels[name] * np.float32(scale) for name in lengths if name in labels}
        factors = np.array([crop.shape[1] / window.width, crop.shape[0] / window.height, scale], np.float32)
        moved = moved * factors
        # The product may be rounded onto the edge.
        last = np.nextafter(np.array(crop.shape[1::-1], np.float32), np.float32(0))
        moved[:, :2] = np.minimum(moved[:, :2], last)
    seen = crop.shape
    crop = pad_to(crop, size.height, size.width)
    labels = {name: pad_to(raster[:, :, None], size.height, size.width)[:, :, 0] for name, raster in labels.items()}
    mirrored = drawn_flip(recipe, generator)
    if mirrored:
        crop, moved = flip(crop, moved)
        labels = {name: raster[:, ::-1] for name, raster in labels.items()}
    if recipe.grey and crop.shape[2] == 3 and generator.random() < recipe.grey:
        luma = crop @ np.array([0.299, 0.587, 0.114], np.float32)
        crop = np.repeat(luma[:, :, None].round().astype(np.uint8), 3, axis=2)
    if recipe.noise and generator.random() < 0.5:
        noisy = crop + generator.normal(0, recipe.noise, crop.shape).astype(np.float32)
        crop = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    left = crop.shape[1] - seen[1] if mirrored else 0
    frame = np.array([left, 0, left + seen[1], seen[0]], np.float32)
    return Crop(np.ascontiguousarray(crop), moved, labels, frame)


def drawn_window(shape: tuple[int, ...], size: CropSize, scale: float, generator: np.random.Generator) -> Window:
    """Where in an image of `shape` the crop lies, before it is resized by `scale`: only what is used need be resized."""
    height, width = min(shape[0], max(1, round(size.height / scale))), min(shape[1], max(1, round(size.width / scale)))
    top = int(generator.integers(0, shape[0] - height + 1))
    return Window(top, int(generator.integers(0, shape[1] - width + 1)), height, width)


def drawn_flip(recipe: Recipe, generator: np.random.Generator) -> bool:
    """Whether the crop is mirrored; drawn after its window."""
    return generator.random() < recipe.flip


def flip(crop: np.ndarray, heads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mirror image [H, W, C] and heads [N, 3] left to right. Twice is the identity, but for a bit of W in x.

    A head at x = c lies in the pixel right of c, whose mirror image ends at W − c: a bit less stays in it.
    """
    mirrored = heads.copy()
    mirrored[:, 0] = (np.float32(crop.shape[1]) - heads[:, 0]) * JUST_BELOW
    return crop[:, ::-1], mirrored


def pad_to(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """`image` [H, W, C] continued to the right and below by its last column and row to at least height × width."""
    down, across = max(0, height - image.shape[0]), max(0, width - image.shape[1])
    if not down and not across:
        return image
    return np.pad(image, ((0, down), (0, across), (0, 0)), mode="edge")


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    import cv2

    shrinking = height * width < image.shape[0] * image.shape[1]
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return resized if resized.ndim == 3 else resized[:, :, None]
