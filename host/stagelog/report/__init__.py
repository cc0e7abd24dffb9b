"""What a reader sees of a stage: strip charts and the report."""
