"""What everything stands on: errors in one line, processes, values and their ranges, files, progress bars."""
