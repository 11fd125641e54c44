"""Making pictures: products cut out, and put onto things."""
