"""Frozen encoders of images, texts and sounds."""

from ground.lazy import lazy

__getattr__ = lazy(
    __name__,
    {
        "audio": ("Clip",),
        "backbone": ("Backbone",),
        "clap": ("Clap",),
        "efficientnet_lite": ("EfficientNetLite0",),
        "identity": ("Identity",),
        "log_mel": ("LogMel",),
        "open_clip": ("OpenClip",),
        "sbert": ("SentenceTransformerText",),
        "torchvision_resnet": ("TorchvisionResNet",),
        "wav2clip": ("Wav2Clip",),
    },
)
