"""What a run adds to MMEngine: a quiet terminal with a report, strict checkpoints, checked configs."""
