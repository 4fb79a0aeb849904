"""What a shift of distribution does to an image (Hendrycks and Dietterich 2019)."""
