"""The page that tells a comparison, and what lets one go on where it was interrupted."""
