"""Reports as single HTML files, with charts, pictures and clips embedded, from one base template."""
