"""What everything stands on: errors in one line, processes, values and their ranges, files, progress bars."""

from ground.lazy import lazy

# not before it is asked for: a line of an error needs neither torch nor Hydra
__getattr__ = lazy(
    __name__,
    {
        "configs": ("CONFIGS", "composed"),
        "distributed": (
            "add_over_processes", "concatenate", "each_alone", "from_first", "gather_objects", "gather_rows",
            "is_distributed", "rank_and_world",
        ),
        "errors": ("UserError", "nearest", "shown"),
        "files": ("keep_former", "to_json"),
        "home": ("at_home", "expand_home", "path_at_home"),
        "mistakes": ("user_line",),
        "progress": ("is_rank_zero", "progress_bar"),
        "ranges": (
            "Choosable", "Count", "Finite", "Natural", "NonNegative", "Positive", "Rule", "Seed", "Share",
            "above", "at_least", "at_most", "below", "between", "even", "finite", "not_empty", "one_of",
        ),
        "values": ("check", "check_arguments", "check_constructor", "checked", "plain"),
    },
)  # fmt: skip
