"""Independent pieces of work, such as pictures of a batch and cells of a study, on processes or on Ray."""
