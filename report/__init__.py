"""What people look at: tables, figures, pictures of a run."""

from ground.lazy import lazy

# not before it is asked for: figures need Matplotlib
__getattr__ = lazy(
    __name__,
    {
        "pictures": ("Pictures", "confusion", "numbered"),
        "similarities": ("Similarities",),
        "sweep_settings": ("by_setting", "short_names", "varied_keys"),
        "tables": ("COLUMNS", "SweepTable", "result_line", "retrieval_rows", "run_table", "screen", "sweep_table"),
    },
)
