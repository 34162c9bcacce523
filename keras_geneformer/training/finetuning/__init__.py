"""From labelled cells or genes to a model that labels them."""
