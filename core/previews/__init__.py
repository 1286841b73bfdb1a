"""Pictures of images for pages."""
