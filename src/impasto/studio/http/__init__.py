"""The HTTP interface: routes, answers, refusals, and who may ask."""
