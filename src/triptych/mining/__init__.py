"""The agent: it proposes pairs of pictures, writes modifications, judges its
own triplets, and keeps or refuses them."""
