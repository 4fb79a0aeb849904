"""The objectives that the solver knows by name, with small options."""

OBJECTIVES = {
    "clip": {},
    "info_nce": {},
    "dcl": {},
    "siglip": {"bias": -1.0},
    "unicon": {"nu": 1.0},
    "spectral_contrastive": {},
}
