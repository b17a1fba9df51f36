"""Networks: layers by name, pictures to features, and where the weights come from."""
