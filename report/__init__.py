"""What people look at: tables, figures, pictures of a run."""
