"""Pages that need no other file: charts as SVG, pictures and clips inside, from one base template."""
