"""Images with classes, their random views, and their corruptions."""

from ground.lazy import lazy

__getattr__ = lazy(
    __name__,
    {
        "augmentations": ("EXTREME", "SimCLR"),
        "labelled_images": ("LabelledImages",),
        "views": ("Transform", "Views"),
    },
)
