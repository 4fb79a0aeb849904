"""Whether raw data on disk is complete and sound: ``python -m datamodules.doctor mscoco data_dir=DIR``."""

from datamodules.doctor.command import built, doctor, main

__all__ = ["built", "doctor", "main"]
