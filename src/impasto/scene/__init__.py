"""What one painting is made from: content, styles, regions and a film's past."""
