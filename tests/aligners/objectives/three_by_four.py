"""Three x and four y in the plane, the second x with two y: a problem to compute by hand.

Cosines of x and y: 1, 0, .8, 0; 0, 1, .6, -1; .6, .8, .96, -.8. Of x: 0, .6, .8 for (0, 1), (0, 2), (1, 2). Of y: 0,
.8, 0, .6, -1, -.6 for (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3). The pairs weigh 7, 5, 5, 7 of 24.
"""

import torch

X = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
Y = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.8, 0.6], [0.0, -0.5]], dtype=torch.float64)
X_GROUP, Y_GROUP = torch.tensor([4, 9, 7]), torch.tensor([4, 9, 9, 7])
POSITIVES = X_GROUP[:, None] == Y_GROUP
PAIRS = [(0, 0, 7), (1, 1, 5), (1, 2, 5), (2, 3, 7)]
"""x, y, and their weight in parts of 24."""
