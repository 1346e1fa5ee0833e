"""Pictures, animations and 3D files."""
