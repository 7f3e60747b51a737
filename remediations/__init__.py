"""Actions and diagnoses, one per file, and the catalogue that names them."""
